"""Simulated devices in the registry, with the tokens that they know by the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from ingest import registry
from kit.database import Conn
from simulators.fleet import Machine, token


def enrol(conn: Conn, seed: int, machines: Sequence[Machine], at: datetime | None = None) -> dict[str, int]:
    """Provision the machines that are not there yet; their models must be loaded. Returns uid -> device id.

    The tokens follow from the seed, which a simulation may do and `ingest.registry.provision` never does.
    """
    known = dict(conn.execute("select uid, id from ingest.device").fetchall())
    for machine in machines:
        if machine.uid not in known:
            known[machine.uid] = registry.add(conn, machine.uid, machine.model, at).id
            conn.execute(
                "insert into ingest.credential (device_id, username, secret) values (%s, %s, %s)",
                (known[machine.uid], machine.uid, hashlib.sha256(token(seed, machine.uid).encode()).digest()),
            )
    return {machine.uid: known[machine.uid] for machine in machines}
