"""Who may publish, and what each shows at the door."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ingest import registry
from ingest.registry import Device
from kit import clock
from kit.database import Conn, scalar
from kit.errors import Conflict, Invalid, NotFound


def test_a_provisioned_device_logs_in_with_its_token(writer: Conn) -> None:
    made = registry.provision(writer, "N-1", "pump")
    device = Device(made.device_id, "N-1", "pump")
    assert registry.authenticate(writer, "N-1", made.token) == device
    assert registry.authenticate(writer, made.token, None) == device
    assert registry.authenticate(writer, made.token, "") == device


def test_nobody_else_gets_in(writer: Conn) -> None:
    made = registry.provision(writer, "N-1", "pump")
    for username, password in (("N-1", None), ("N-1", ""), ("N-1", "wrong"), ("P-1", made.token), ("", made.token),
                               ("N-1\0", made.token), ("\0", None), ("\ud800", "\ud800")):  # fmt: skip
        assert registry.authenticate(writer, username, password) is None


def test_only_the_digest_of_a_token_is_kept(writer: Conn) -> None:
    made = registry.provision(writer, "N-1", "pump")
    assert len(made.token) >= 32
    stored = scalar(writer, "select secret from ingest.credential where username = 'N-1'")
    assert len(stored) == 32
    assert made.token.encode() not in stored


def test_a_rotated_token_replaces_the_old_one(writer: Conn) -> None:
    old = registry.provision(writer, "N-1", "pump")
    new = registry.rotate(writer, "N-1")
    assert registry.authenticate(writer, "N-1", old.token) is None
    assert registry.authenticate(writer, "N-1", new.token) is not None


def test_both_tokens_hold_while_one_is_being_rotated(writer: Conn) -> None:
    writer.execute("set local role none")  # the clock is not the doors' to set
    old = registry.provision(writer, "N-1", "pump")
    new = registry.rotate(writer, "N-1", keep=timedelta(hours=1))
    assert registry.authenticate(writer, "N-1", old.token) is not None
    assert registry.authenticate(writer, "N-1", new.token) is not None
    clock.set_rate(writer, 1, sim=clock.now(writer) + timedelta(hours=2))
    assert registry.authenticate(writer, "N-1", old.token) is None
    assert registry.authenticate(writer, "N-1", new.token) is not None


def test_a_revoked_device_stays_out_until_it_is_reinstated(writer: Conn) -> None:
    made = registry.provision(writer, "N-1", "pump")
    registry.revoke(writer, "N-1")
    assert registry.authenticate(writer, "N-1", made.token) is None
    with pytest.raises(Conflict, match="reinstate"):
        registry.rotate(writer, "N-1")
    again = registry.reinstate(writer, "N-1")
    assert registry.authenticate(writer, "N-1", made.token) is None
    assert registry.authenticate(writer, "N-1", again.token) is not None
    with pytest.raises(Conflict):
        registry.reinstate(writer, "N-1")


def test_what_cannot_be_provisioned_says_why(writer: Conn) -> None:
    with pytest.raises(Conflict, match="P-1"):
        registry.provision(writer, "P-1", "pump")
    with pytest.raises(NotFound, match="Known: pump"):
        registry.provision(writer, "N-1", "nothing")
    for uid in ("", "a b", "-x", "x" * 65, "ü"):
        with pytest.raises(Invalid, match="letters"):
            registry.provision(writer, uid, "pump")
    with pytest.raises(NotFound):
        registry.revoke(writer, "nobody")
    with pytest.raises(NotFound):
        registry.device(writer, "nobody")


def test_a_csv_provisions_its_lines_or_names_the_wrong_one(writer: Conn) -> None:
    made = registry.provision_csv(writer, "\ufeffuid, model\nN-1, pump\nN-2, pump\n")
    assert [c.uid for c in made] == ["N-1", "N-2"]
    for last, error in (
        ("N-1,pump", Conflict), ("N-3,pump", Conflict), ("N 4,pump", Invalid), ("N-4,moon", NotFound),
        ("N-4", NotFound), ("N" * 140_000 + ",pump", Invalid),
    ):  # fmt: skip
        with pytest.raises(error, match="Line 3"), writer.transaction():
            registry.provision_csv(writer, f"uid,model\nN-3,pump\n{last}\n")
        assert scalar(writer, "select count(*) from ingest.device where uid = 'N-3'") == 0
    for credentials in made:
        assert registry.authenticate(writer, credentials.uid, credentials.token) is not None
    with pytest.raises(Invalid, match="uid and model"):
        registry.provision_csv(writer, "name\nx\n")


def test_devices_are_listed_in_pages(writer: Conn) -> None:
    first = registry.devices(writer, limit=3)
    assert [d["uid"] for d in first] == ["P-1", "P-2", "P-3"]
    assert [d["uid"] for d in registry.devices(writer, after="P-3")] == ["P-4"]
    assert [d["uid"] for d in registry.devices(writer, text="p-2", model="pump")] == ["P-2"]
