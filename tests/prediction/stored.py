"""Puts the small fleet of `machines` into the tables of ingest, as hourly rollups, fault events and resets."""

from __future__ import annotations

import numpy as np

from analytics.definitions import HOUR
from analytics.prediction.history import History, Log
from analytics.store import moment
from kit.database import Conn

MODEL = "press"
STOP = "E9"  # severity 1: the machine stops itself


def write(conn: Conn, history: History, failures: Log) -> History:
    """The same history with the ids the devices got."""
    conn.execute(
        "insert into ingest.model (code, name_en, name_zh, kind) values (%s, 'Press', '压机', 'press')",
        (MODEL,),
    )
    for metric in history.metrics:
        conn.execute(
            """insert into ingest.metric (model, name, name_en, name_zh, unit, low, high, role)
               values (%s, %s, 'x', 'x', 'mm', -1e6, 1e6, 'reading')""",
            (MODEL, metric),
        )
    for component in history.components:
        conn.execute(
            """insert into ingest.failure_mode (model, code, component, name_en, name_zh, priority)
               values (%s, %s, %s, 'x', 'x', 2)""",
            (MODEL, f"{component}_wear", component),
        )
    for code, severity, mode in (("E1", 3, "bearing_wear"), ("E2", 4, None), (STOP, 1, "bearing_wear")):
        conn.execute(
            """insert into ingest.fault_code (model, code, severity, failure_mode, text_en, text_zh)
               values (%s, %s, %s, %s, 'x', 'x')""",
            (MODEL, code, severity, mode),
        )
    ids = [
        conn.execute(
            "insert into ingest.device (uid, model) values (%s, %s) returning id", (f"D-{at}", MODEL)
        ).fetchone()[0]
        for at in range(len(history.devices))
    ]
    _readings(conn, history, ids)
    batch = conn.execute(
        "insert into ingest.batch (door, messages, rows, readings, duplicates) values ('test', 0, 0, 0, 0) returning id"
    ).fetchone()[0]
    faults = [
        (batch, ids[d], moment(ts), history.codes[k])
        for d, ts, k in zip(
            history.faults.device, history.faults.ts.tolist(), history.faults.kind, strict=True
        )
    ]
    faults += [
        (batch, ids[d], moment(ts), STOP) for d, ts in zip(failures.device, failures.ts.tolist(), strict=True)
    ]
    conn.cursor().executemany(
        """insert into ingest.fault_event (batch_id, device_id, ts, code, active) values (%s, %s, %s, %s, true)
           on conflict do nothing""",
        faults,
    )
    conn.cursor().executemany(
        "insert into analytics.reset (device_id, component, ts, reason) values (%s, %s, %s, 'test')",
        [
            (ids[d], history.components[k], moment(ts))
            for d, ts, k in zip(
                history.repairs.device, history.repairs.ts.tolist(), history.repairs.kind, strict=True
            )
        ],
    )
    return History(**{**vars(history), "devices": np.array(ids)})


def _readings(conn: Conn, history: History, ids: list[int]) -> None:
    """One hour of each step carries its mean; it is in the middle of the step."""
    with conn.cursor().copy(
        "copy ingest.reading_hour (device_id, metric, bucket, n, mean, low, high, first, last) from stdin"
    ) as copy:
        for device, id_ in enumerate(ids):
            for step, known in enumerate(history.known.tolist()):
                for at, metric in enumerate(history.metrics):
                    value = float(history.values[device, step, at])
                    copy.write_row(
                        (id_, metric, moment(known - 2 * HOUR), 1, value, value, value, value, value)
                    )
