"""SQL of recovery checks. Never commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from analytics import evidence
from analytics.recovery.rules import HOURS, Verdict
from analytics.store import moment
from kit.database import Conn, one, rows, scalar

RULE = "recovery"
VERSION = 1
INFORMATION = 4

# Of each failure mode of the repaired component: the newest alarm between the repair before and this one. Its metrics
# are those of the newest alarm that names some; codes alone name none.
_BEGIN = """
    insert into analytics.recovery (reset_id, failure_mode, device_id, raise_id, repaired_at, hours, look_at)
    select r.id, m.code, r.device_id, alarm.id, r.ts, coalesce(its.hours, own.hours, %(hours)s), r.ts
    from analytics.reset r
    join ingest.device d on d.id = r.device_id
    join ingest.failure_mode m on m.model = d.model and r.component in (m.component, '*')
    cross join lateral (
        select n.id, n.rule from analytics.detection n
        where n.device_id = r.device_id and n.failure_mode = m.code and n.kind = 'raise' and n.severity < %(least)s
          and n.ts <= r.ts and n.ts > r.ts - interval '90 days'
          and n.ts > coalesce((select max(b.ts) from analytics.reset b where b.device_id = r.device_id
                               and b.component in (m.component, '*') and b.ts < r.ts), '-infinity')
        order by jsonb_array_length(coalesce(n.evidence -> 'drivers', '[]')) = 0, n.ts desc, n.id desc limit 1) alarm
    left join analytics.recovery_rule own on own.model = m.model and own.failure_mode = m.code and own.rule = ''
    left join analytics.recovery_rule its on its.model = m.model and its.failure_mode = m.code and its.rule = alarm.rule
    where r.id = any(%(resets)s)
    on conflict do nothing"""

_ROW = """select w.*, d.model, n.evidence, n.severity, n.ts as raised_at from analytics.recovery w
          join ingest.device d on d.id = w.device_id join analytics.detection n on n.id = w.raise_id """


def begin(conn: Conn, resets: Sequence[int]) -> None:
    """Watch for the recovery of what these resets repaired; what was watched of the same modes before is over."""
    conn.execute(_BEGIN, {"resets": list(resets), "hours": HOURS, "least": INFORMATION})
    conn.execute(
        """update analytics.recovery w set state = 'superseded', decided_ts = r.ts
           from analytics.reset r join ingest.device d on d.id = r.device_id
           join ingest.failure_mode m on m.model = d.model and r.component in (m.component, '*')
           where r.id = any(%s) and w.device_id = r.device_id and w.failure_mode = m.code and w.state = 'watching'
             and w.reset_id <> r.id and w.repaired_at < r.ts""",
        (list(resets),),
    )


def watched(conn: Conn, partition: int, partitions: int) -> list[dict[str, Any]]:
    """What is watched of a partition's devices, with the alarm before the repair."""
    return rows(
        conn,
        _ROW
        + """where w.state = 'watching' and w.device_id %% %s = %s order by w.reset_id, w.failure_mode""",
        (partitions, partition),
    )


def of_raise(conn: Conn, detection_id: int) -> dict[str, Any] | None:
    """The check that a raise of rule `recovery` came from."""
    return one(conn, _ROW + "where w.detection_id = %s", (detection_id,))


def raised_again(conn: Conn, device: int, mode: str, after: datetime, until: datetime) -> datetime | None:
    """The first alarm of a mode after a repair, by any other rule."""
    found: datetime | None = scalar(
        conn,
        """select min(ts) from analytics.detection where device_id = %s and failure_mode = %s and kind = 'raise'
           and rule <> %s and severity < %s and ts > %s and ts <= %s""",
        (device, mode, RULE, INFORMATION, after, until),
    )
    return found


def later(conn: Conn, watch: Mapping[str, Any], look_at: datetime) -> None:
    """Nothing can be said yet."""
    conn.execute(
        "update analytics.recovery set look_at = %s where reset_id = %s and failure_mode = %s",
        (look_at, watch["reset_id"], watch["failure_mode"]),
    )


def decide(conn: Conn, watch: Mapping[str, Any], verdict: Verdict, detection: int | None) -> None:
    """Keep the verdict; it stands, whatever comes late."""
    figures = {
        metric: {"mean": verdict.means.get(metric), "level": level}
        for metric, level in verdict.targets.items()
    }
    conn.execute(
        """update analytics.recovery set state = %s, decided_ts = %s, run_hours = %s, figures = %s, detection_id = %s
           where reset_id = %s and failure_mode = %s and state = 'watching'""",
        (verdict.state, moment(verdict.ts), verdict.run_hours, Jsonb(figures), detection, watch["reset_id"],
         watch["failure_mode"]),
    )  # fmt: skip


def give_up(conn: Conn, before: datetime, partition: int, partitions: int) -> None:
    """Of machines that have been silent since a repair so long ago nothing will be known."""
    conn.execute(
        """update analytics.recovery set state = 'unknown', decided_ts = look_at
           where state = 'watching' and repaired_at < %s and device_id %% %s = %s""",
        (before, partitions, partition),
    )


def save(
    conn: Conn, kind: str, watch: Mapping[str, Any], ts: datetime, score: float, found: Mapping[str, Any],
    partition: int,
) -> int | None:  # fmt: skip
    """A detection of rule `recovery` on the rows since the repair; None when it is there already."""
    batch: int = scalar(conn, "select id from ingest.batch order by xid desc, id desc limit 1")
    since = watch["repaired_at"]
    hashed = evidence.telemetry_hash(conn, watch["device_id"], since, ts, batch)
    number: int | None = scalar(
        conn,
        """insert into analytics.detection (device_id, ts, kind, rule, rule_version, failure_mode, severity, score,
               evidence, telemetry_from, telemetry_to, through_batch, telemetry_hash, partition)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
           on conflict (device_id, ts, kind, rule, failure_mode) do nothing returning id""",
        (watch["device_id"], ts, kind, RULE, VERSION, watch["failure_mode"], watch["severity"], score,
         Jsonb(dict(found)), since, ts, batch, hashed, partition),
    )  # fmt: skip
    return number


def standing(conn: Conn, resets: Sequence[int]) -> list[dict[str, Any]]:
    """Raises of rule `recovery` that these resets end: device_id, failure_mode, severity, repaired_at (the end)."""
    return rows(
        conn,
        """select n.device_id, n.failure_mode, n.severity, r.ts as repaired_at, n.id as raised
           from analytics.reset r join ingest.device d on d.id = r.device_id
           join ingest.failure_mode m on m.model = d.model and r.component in (m.component, '*')
           join analytics.detection n on n.device_id = r.device_id and n.failure_mode = m.code and n.rule = %(rule)s
             and n.kind = 'raise' and n.ts <= r.ts
           where r.id = any(%(resets)s) and not exists (
               select from analytics.detection c where c.device_id = n.device_id and c.failure_mode = n.failure_mode
               and c.rule = n.rule and c.kind = 'clear' and c.id > n.id) order by n.id""",
        {"rule": RULE, "resets": list(resets)},
    )
