"""Devices, their telemetry, and what could not be used."""

from __future__ import annotations

from ingest import registry
from kit.database import connect
from tests.api.conftest import Installation


def test_telemetry_is_raw_for_a_day_and_hourly_beyond(installation: Installation) -> None:
    client = installation.logged_in("reliability")
    day = client.get("/api/devices/pump-001/telemetry?metric=vibration").json()
    assert (day["level"], day["unit"], len(day["points"])) == ("raw", "mm/s", 48)
    week = client.get("/api/devices/pump-001/telemetry?metric=vibration&from=2026-02-27T02:00:00Z").json()
    assert week["level"] == "hour"
    assert len(week["points"]) == 24 * 7
    assert sum(point["n"] for point in week["points"]) == 2 * 24 * 7
    assert all(point["low"] <= point["value"] <= point["high"] for point in week["points"])
    assert client.get("/api/devices/pump-001/telemetry?metric=colour").status_code == 404
    wrong = client.get(
        "/api/devices/pump-001/telemetry?metric=flow&from=2026-03-05T00:00:00Z&to=2026-03-04T00:00:00Z"
    )
    assert wrong.status_code == 422


def test_a_device_with_a_raised_finding_is_not_well(installation: Installation) -> None:
    rows = {row["uid"]: row for row in installation.logged_in("manager").get("/api/devices").json()["items"]}
    assert (rows["pump-001"]["health"], rows["pump-001"]["online"]) == ("bad", True)
    assert rows["pump-001"]["order_id"] == installation.scene.at_work
    assert rows["pump-002"]["health"] == "good"


def test_a_provisioned_device_gets_a_token_that_opens_the_door_until_it_is_revoked(
    installation: Installation,
) -> None:
    admin = installation.logged_in("admin")
    made = admin.post("/api/devices", json={"uid": "pump-new", "model": "pump-p100"})
    assert made.status_code == 201
    with connect(installation.dsn, autocommit=True) as conn:
        known = registry.authenticate(conn, "pump-new", made.json()["token"])
        assert known is not None
        fresh = admin.post("/api/devices/pump-new/rotate").json()["token"]
        assert registry.authenticate(conn, "pump-new", fresh) is not None
        assert admin.post("/api/devices/pump-new/revoke").json() == {"done": True}
        assert registry.authenticate(conn, "pump-new", fresh) is None
        again = admin.post("/api/devices/pump-new/reinstate").json()["token"]
        last = admin.post("/api/devices/pump-new/rotate?keep_hours=2").json()["token"]
        assert registry.authenticate(conn, "pump-new", again) == known
        assert registry.authenticate(conn, "pump-new", last) == known
    assert admin.post("/api/devices", json={"uid": "pump-new", "model": "pump-p100"}).status_code == 409


def test_a_csv_lets_many_devices_in_or_none(installation: Installation) -> None:
    admin = installation.logged_in("admin")
    made = admin.post("/api/devices/import", json={"csv": "uid,model\ncsv-1,pump-p100\ncsv-2,pump-p100\n"})
    assert (made.status_code, [row["uid"] for row in made.json()["items"]]) == (201, ["csv-1", "csv-2"])
    bad = admin.post("/api/devices/import", json={"csv": "uid,model\ncsv-3,pump-p100\ncsv-1,pump-p100\n"})
    assert (bad.status_code, bad.json()["message"].split(":")[0]) == (409, "Line 3")
    with connect(installation.dsn, autocommit=True) as conn:
        assert registry.authenticate(conn, "csv-1", made.json()["items"][0]["token"]) is not None
        assert conn.execute("select count(*) from ingest.device where uid = 'csv-3'").fetchone() == (0,)
    reader = installation.logged_in("reliability")
    assert reader.post("/api/devices/import", json={"csv": "uid,model\n"}).status_code == 403


def test_dead_letters_are_listed_replayed_after_the_fix_and_purged(installation: Installation) -> None:
    admin = installation.logged_in("admin")
    letters = admin.get("/api/dead-letters").json()["items"]
    assert {row["reason"] for row in letters} == {"malformed", "unknown_device"}
    assert [row["uid"] for row in admin.get("/api/unknown-devices").json()["items"]] == ["ghost-7"]
    assert [row["item"] for row in admin.get("/api/quarantine").json()["items"]] == ["flow"]
    still = admin.post("/api/dead-letters/replay", json={"reason": "unknown_device"}).json()
    assert (still["stored"], list(still["refused"].values())) == (0, ["unknown_device"])
    admin.post("/api/devices", json={"uid": "ghost-7", "model": "pump-p100"})
    assert admin.post("/api/dead-letters/replay", json={"reason": "unknown_device"}).json()["stored"] == 1
    points = admin.get("/api/devices/ghost-7/telemetry?metric=flow&to=2026-03-06T03:00:00Z").json()["points"]
    assert [point["value"] for point in points] == [1.0]
    assert admin.post("/api/dead-letters/purge", json={}).status_code == 422
    bad = [row["id"] for row in letters if row["reason"] == "malformed"]
    assert admin.post("/api/dead-letters/purge", json={"ids": bad}).json() == {"count": 1}
    assert admin.get("/api/dead-letters?replayed=false").json()["items"] == []
