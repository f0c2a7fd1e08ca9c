"""Alive, ready, figures, and a contract that says everything."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from api import health, metrics
from kit import follow, process
from kit.database import Conn, connect
from tests.api.conftest import Installation


def test_the_health_routes_answer_without_logging_in(installation: Installation) -> None:
    client = installation.client()
    assert client.get("/livez").json() == {"status": "ok"}
    assert set(client.get("/version").json()) == {"version", "python"}
    ready = client.get("/readyz").json()
    assert (ready["status"], ready["migrations"]) == ("ok", "ok")
    assert ready["ingest"]["newest"] is not None


def test_a_silent_process_shows_as_degraded(installation: Installation) -> None:
    with connect(installation.dsn, autocommit=True) as conn:
        process.beat(conn, "stuck")
        conn.execute("update kit.process set beat_at = beat_at - interval '1 hour' where name = 'stuck'")
    ready = installation.client().get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
    assert ready.json()["processes"]["stuck"]["alive"] is False


def test_a_missing_migration_is_named(db: Conn) -> None:
    assert health.readiness(db)["status"] == "ok"
    db.execute("delete from kit.migration where schema = 'fsm' and name = '0002_work.sql'")
    found = health.readiness(db)
    assert found["status"] == "unavailable"
    assert "fsm/0002_work.sql" in found["migrations"]


def _figures(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_metrics_say_what_came_in_what_was_refused_and_how_orders_stand(
    installation: Installation,
) -> None:
    with connect(installation.dsn, autocommit=True) as conn:
        process.beat(conn, "endpoint", {"buffer": {"depth": 17}, "connected": True, "note": "text"})
    answer = installation.client().get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = _figures(answer.text)
    assert found["meantime_ingest_total", (("door", "seed"), ("name", "messages"))] > 1000
    assert found["meantime_ingest_refused_total", (("door", "seed"), ("reason", "malformed"))] == 1
    assert found["meantime_process", (("name", "buffer.depth"), ("process", "endpoint"))] == 17
    assert found["meantime_process", (("name", "connected"), ("process", "endpoint"))] == 1
    assert found["meantime_orders", (("source", "automatic"), ("state", "settled"))] == 1
    assert found["meantime_detections", (("kind", "raise"), ("rule", "shift"))] == 1
    assert found["meantime_sla_breaches", (("kind", "accept"),)] >= 1
    assert found["meantime_dead_letters", (("reason", "unknown_device"),)] == 1


def test_the_lag_of_a_follower_is_the_number_of_facts_it_has_not_handled(db: Conn) -> None:
    with db.transaction():
        follow.position(db, follow.Follower("late", "ingest.batch", lambda conn, facts: None))
        for _ in range(3):
            db.execute(
                """insert into ingest.batch (door, messages, rows, readings, duplicates) values ('seed', 1, 1, 1, 0)"""
            )
    assert _figures(metrics.text(db).decode())["meantime_follower_lag", (("follower", "late"),)] == 3


def test_every_route_of_the_contract_has_a_model_and_a_description(installation: Installation) -> None:
    document = installation.client().get("/api/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], f"{method} {path}"
            if path not in ("/metrics", "/api/events"):
                answers = [operation["responses"].get(code) for code in ("200", "201")]
                content = next(answer for answer in answers if answer)["content"]["application/json"]
                assert content["schema"], f"{method} {path}"
            assert "409" in operation["responses"]
