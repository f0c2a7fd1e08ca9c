"""Detections as stored: what a finding rests on, hashed. SQL; never commits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from analytics.detectors.protocol import Finding
from analytics.store import moment
from kit.database import Conn, rows


def telemetry_hash(conn: Conn, device: int, since: datetime, until: datetime, through_batch: int) -> str:
    """sha256 over the stored rows and fault events of a device in a range that had arrived by a batch.

    Shortest exact decimals, names of metrics included, so that any changed number changes it.
    """
    found = conn.execute(
        """with through as (select xid, id from ingest.batch where id = %(batch)s),
           known as (
               select concat_ws('|', 'row', extract(epoch from t.ts)::text, t.seq, s.metrics::text,
                                t."values"::text) as line
               from ingest.telemetry t join ingest.shape s on s.id = t.shape_id
               join ingest.batch b on b.id = t.batch_id, through
               where t.device_id = %(device)s and t.ts between %(since)s and %(until)s
                 and (b.xid, b.id) <= (through.xid, through.id)
               union all
               select concat_ws('|', 'fault', extract(epoch from f.ts)::text, f.code, f.active::text)
               from ingest.fault_event f join ingest.batch b on b.id = f.batch_id, through
               where f.device_id = %(device)s and f.ts between %(since)s and %(until)s
                 and (b.xid, b.id) <= (through.xid, through.id))
           select line from known order by line collate "C" """,
        {"device": device, "since": since, "until": until, "batch": through_batch},
    )
    digest = hashlib.sha256()
    for (line,) in found:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def save_detections(
    conn: Conn, found: Sequence[tuple[int, Finding]], tuning_id: int | None, partition: int
) -> None:
    """Append detections; one that is there already is left as it is."""
    for device, finding in found:
        since, until = moment(finding.since), moment(finding.ts)
        conn.execute(
            """insert into analytics.detection (device_id, ts, kind, rule, rule_version, failure_mode, severity, score,
                   evidence, telemetry_from, telemetry_to, through_batch, telemetry_hash, tuning_id, partition)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
               on conflict (device_id, ts, kind, rule, failure_mode) do nothing""",
            (device, until, finding.kind, finding.rule, finding.version, finding.mode, finding.severity,
             finding.score, Jsonb(finding.evidence(), dumps=_dumps), since, until, finding.batch,
             telemetry_hash(conn, device, since, until, finding.batch), tuning_id, partition),
        )  # fmt: skip


def _dumps(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def open_alarms(conn: Conn, device: int) -> list[dict[str, Any]]:
    """What is raised on a device now: rule, failure_mode, ts and id of the raise."""
    return rows(
        conn,
        """select distinct on (rule, failure_mode) id, rule, failure_mode, ts from (
               select d.*, (select max(c.id) from analytics.detection c where c.device_id = d.device_id
                            and c.kind = 'clear' and c.failure_mode = d.failure_mode
                            and c.rule in (d.rule, 'reset')) as cleared
               from analytics.detection d where d.device_id = %s and d.kind = 'raise') raised
           where cleared is null or cleared < id order by rule, failure_mode, id desc""",
        (device,),
    )
