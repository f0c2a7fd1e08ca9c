"""Puts blocks of telemetry into the ingest tables, as the store of ingest would."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

import meantime
from analytics.block import Block
from analytics.store import moment
from ingest import device_types, storage
from kit.database import Conn, scalar

MODEL = "pump-p100"
METRICS = [
    "bearing_temperature",
    "current",
    "flow",
    "pressure",
    "state",
    "vibration",
]  # + the operating state
NAMES = ("id", "ts", "kind", "rule", "failure_mode", "score", "evidence", "telemetry_hash", "through_batch")


def prepare(conn: Conn, devices: int) -> list[int]:
    """The pump of the product and so many devices; their ids."""
    folder = Path(meantime.__file__).parent / "device_types"
    device_types.load(conn, tomllib.loads((folder / "pump.toml").read_text(encoding="utf-8")))
    conn.execute("insert into ingest.shape (metrics) values (%s)", (METRICS,))
    return [
        scalar(
            conn, "insert into ingest.device (uid, model) values (%s, %s) returning id", (f"P-{at}", MODEL)
        )
        for at in range(devices)
    ]


def write(conn: Conn, block: Block, faults: Sequence[tuple[int, datetime, str, bool]] = ()) -> int:
    """One committed batch; a row whose key is there already is left out. Returns its id."""
    with conn.transaction():
        if len(block):
            first, last = moment(int(block.ts.min())), moment(int(block.ts.max()))
            storage.ensure_range(conn, first, last)
        else:
            first = last = None
        batch: int = scalar(
            conn,
            """insert into ingest.batch (door, messages, rows, readings, duplicates, first_ts, last_ts)
               values ('test', %(n)s, %(n)s, 0, 0, %(first)s, %(last)s) returning id""",
            {"n": len(block), "first": first, "last": last},
        )
        shape = scalar(conn, "select id from ingest.shape where metrics = %s", (METRICS,))
        conn.execute("create temp table if not exists incoming (like ingest.telemetry)")
        with conn.cursor().copy("copy incoming from stdin") as copy:
            table = np.column_stack([block.values[:, :4], block.state, block.values[:, 4:]])
            for at in range(len(block)):
                copy.write_row(
                    (batch, moment(int(block.ts[at])), int(block.device[at]), int(block.seq[at]), shape,
                     table[at].tolist(), moment(int(block.ts[at])))
                )  # fmt: skip
        conn.execute("insert into ingest.telemetry select * from incoming on conflict do nothing")
        conn.execute("truncate incoming")
        for device, ts, code, active in faults:
            conn.execute(
                """insert into ingest.fault_event (batch_id, device_id, ts, code, active) values (%s, %s, %s, %s, %s)
                   on conflict do nothing""",
                (batch, device, ts, code, active),
            )
    return batch


def detections(conn: Conn) -> list[tuple[object, ...]]:
    """Everything that was found, without what depends on the run."""
    return conn.execute(
        """select device_id, ts, kind, rule, failure_mode, score, evidence::text, telemetry_from, telemetry_to,
                  telemetry_hash
           from analytics.detection order by device_id, ts, kind, rule, failure_mode"""
    ).fetchall()
