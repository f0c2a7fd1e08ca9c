"""Episodes, what became of signals, and what the decision needs to know, in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from fsm_core.plans.rules import RECONSIDERED, RECOVERY, Closed, Policy, Situation
from fsm_core.plans.wording import Names
from fsm_core.work_orders import store as orders
from kit.database import Conn, columns, one, rows, scalar

OPEN = ["new", "accepted", "assigned", "confirmed", "in_progress", "on_hold"]


@dataclass(frozen=True)
class Episode:
    """A row of fsm.episode: one fault of a device, from its first signal to the end of its order."""

    id: int
    device_id: int
    failure_mode: str
    opened_at: datetime
    last_raise_at: datetime
    cleared_at: datetime | None
    closed_at: datetime | None
    order_id: int | None


@dataclass(frozen=True)
class Verdict:
    """A row of fsm.episode_signal."""

    detection_id: int
    episode_id: int | None
    order_id: int | None
    outcome: str
    rule: str


def decided(conn: Conn, detection_ids: Sequence[int]) -> set[int]:
    """Which of these detections were decided before."""
    found = rows(
        conn,
        "select detection_id from fsm.episode_signal where detection_id = any(%s)",
        (list(detection_ids),),
    )
    return {row["detection_id"] for row in found}


def write_verdicts(conn: Conn, verdicts: Iterable[Verdict], at: datetime) -> None:
    """Write what became of signals; one that was suppressed before may become something else."""
    conn.cursor().executemany(
        """insert into fsm.episode_signal (detection_id, episode_id, order_id, outcome, rule, decided_at)
           values (%s, %s, %s, %s, %s, %s)
           on conflict (detection_id) do update set episode_id = excluded.episode_id, order_id = excluded.order_id,
               outcome = excluded.outcome, rule = excluded.rule, decided_at = excluded.decided_at""",
        [(v.detection_id, v.episode_id, v.order_id, v.outcome, v.rule, at) for v in verdicts],
    )


def open_episode(conn: Conn, device_id: int, failure_mode: str) -> Episode | None:
    """The open episode, with its order and itself locked: the order first, as everybody does."""
    seen = _open_episode(conn, device_id, failure_mode)
    if seen is not None and seen.order_id is not None:
        orders.get(conn, seen.order_id, lock=True)
        seen = _open_episode(conn, device_id, failure_mode)  # its order may have ended while we waited
    return seen


def _open_episode(conn: Conn, device_id: int, failure_mode: str) -> Episode | None:
    cursor = conn.cursor(row_factory=class_row(Episode))
    return cursor.execute(
        f"""select {columns(Episode)} from fsm.episode
            where device_id = %s and failure_mode = %s and closed_at is null""",
        (device_id, failure_mode),
    ).fetchone()


def put_episode(
    conn: Conn, device_id: int, failure_mode: str, ts: datetime, order_id: int, cleared_at: datetime | None
) -> Episode:
    """Open the episode of an order; the index makes it one: where one is open already, the raise joins it."""
    episode = (
        conn.cursor(row_factory=class_row(Episode))
        .execute(
            f"""insert into fsm.episode (device_id, failure_mode, opened_at, last_raise_at, order_id, cleared_at)
                values (%s, %s, %s, %s, %s, %s)
                on conflict (device_id, failure_mode) where closed_at is null
                do update set opened_at = least(fsm.episode.opened_at, excluded.opened_at),
                    last_raise_at = greatest(fsm.episode.last_raise_at, excluded.last_raise_at)
                returning {columns(Episode)}""",
            (device_id, failure_mode, ts, ts, order_id, cleared_at),
        )
        .fetchone()
    )
    assert episode is not None
    return episode


def stretch(conn: Conn, episode: Episode, raised: Sequence[datetime], cleared: Sequence[datetime]) -> None:
    """Let signals join an episode; first, last and clear are extremes, so their order of arrival does not matter."""
    conn.execute(
        """update fsm.episode set opened_at = least(opened_at, %s), last_raise_at = greatest(last_raise_at, %s),
               cleared_at = greatest(cleared_at, %s) where id = %s""",
        (min(raised, default=None), max(raised, default=None), max(cleared, default=None), episode.id),
    )
    if raised and episode.order_id is not None:
        conn.execute(
            """update fsm.work_order set fault_at = least(fault_at, %s)
               where id = %s and source = 'automatic' and fault_at > %s""",
            (min(raised), episode.order_id, min(raised)),
        )


def known_clear(conn: Conn, device_id: int, failure_mode: str, ts: datetime) -> datetime | None:
    """The newest clear at or after a raise that has been handled before it (it had come early)."""
    found: datetime | None = scalar(
        conn,
        """select max(d.ts) from analytics.detection d join fsm.episode_signal s on s.detection_id = d.id
           where d.device_id = %s and d.failure_mode = %s and d.kind = 'clear' and d.ts >= %s""",
        (device_id, failure_mode, ts),
    )
    return found


def asset(conn: Conn, device_id: int, failure_mode: str) -> dict[str, Any] | None:
    """The device as an asset with what its model knows of the mode; None when it is not in the register."""
    return one(
        conn,
        """select r.uid, r.model, d.site_id, s.customer_id, d.parent_id, d.criticality, m.priority, m.component,
               coalesce(m.name_en, %(mode)s) as mode_en, coalesce(m.name_zh, %(mode)s) as mode_zh
           from fsm.device d join ingest.device r on r.id = d.id join fsm.site s on s.id = d.site_id
           left join ingest.failure_mode m on m.model = r.model and m.code = %(mode)s
           where d.id = %(device)s""",
        {"device": device_id, "mode": failure_mode},
    )


def situation(conn: Conn, fact: Mapping[str, Any], moment: datetime, policy: Policy) -> Situation:
    """What is so for a raise (a row of analytics.detection); windows and engineers on site are looked at for
    `moment`."""
    device_id, failure_mode, ts = fact["device_id"], fact["failure_mode"], fact["ts"]
    known = asset(conn, device_id, failure_mode)
    if known is None:
        return Situation(asset=False)
    found = one(
        conn,
        """select
               (select min(id) from fsm.work_order where device_id = %(device)s and failure_mode = %(mode)s
                and state = any(%(open)s)) as open_order,
               (select min(id) from fsm.work_order where device_id = %(parent)s and state = any(%(open)s)
                and priority <= 2) as parent_order,
               (select min(reason) from fsm.maintenance_window where during @> %(moment)s::timestamptz
                and (site_id = %(site)s or device_id = %(device)s)) as "window",
               (select min(o.id) from fsm.visit v join fsm.work_order o on o.id = v.order_id
                where o.device_id = %(device)s and v.on_site_at <= %(moment)s
                and coalesce(v.ended_at, 'infinity') > %(moment)s) as on_site,
               (select case when count(*) >= %(cap)s then min(id) end from fsm.work_order
                where site_id = %(site)s and source = 'automatic' and state = any(%(open)s)
                and fault_at between %(ts)s - %(span)s and %(ts)s + %(span)s) as storm,
               exists (select from analytics.prediction_decides d join analytics.model_version v on v.model = d.model
                and v.kind = 'failure' and v.component = %(component)s
                and v.promoted_at is not null and v.retired_at is null
                where d.model = %(model)s) as foreseen""",
        {
            "device": device_id, "mode": failure_mode, "open": OPEN, "parent": known["parent_id"],
            "site": known["site_id"], "moment": moment, "ts": ts, "cap": policy.storm_cap,
            "span": policy.storm_window, "component": known["component"], "model": known["model"],
        },
    )  # fmt: skip
    assert found is not None
    return Situation(
        asset=True,
        mode_priority=known["priority"],
        criticality=known["criticality"],
        closed=_closed(conn, device_id, failure_mode),
        repaired_by=_repaired_by(conn, fact) if fact["rule"] == RECOVERY else None,
        **found,
    )


def _repaired_by(conn: Conn, fact: Mapping[str, Any]) -> int | None:
    """The order whose repair a raise of rule `recovery` is about: its number begins the reset's reason."""
    found: int | None = scalar(
        conn,
        """select o.id from analytics.reset r join fsm.work_order o
               on o.device_id = r.device_id and o.number = split_part(r.reason, ' ', 1)
           where r.id = %s and r.device_id = %s""",
        (fact["evidence"].get("reset"), fact["device_id"]),
    )
    return found


def _closed(conn: Conn, device_id: int, failure_mode: str) -> Closed | None:
    row = one(
        conn,
        """select e.order_id, e.closed_at, e.cleared_at, o.state from fsm.episode e
           join fsm.work_order o on o.id = e.order_id
           where e.device_id = %s and e.failure_mode = %s and e.closed_at is not null
           order by e.closed_at desc, e.id desc limit 1""",
        (device_id, failure_mode),
    )
    if row is None:
        return None
    repaired = row["state"] != "cancelled"
    ended = row["closed_at"] if repaired else row["cleared_at"] or row["closed_at"]
    return Closed(row["order_id"], ended, repaired)


def names(conn: Conn, known: Mapping[str, Any]) -> Names:
    """How people call the device's mode, metrics and fault codes; `known` as `asset` gives it."""
    metrics = rows(
        conn, "select name, name_en, name_zh from ingest.metric where model = %s", (known["model"],)
    )
    codes = rows(
        conn, "select code, text_en, text_zh from ingest.fault_code where model = %s", (known["model"],)
    )
    return Names(
        known["uid"],
        (known["mode_en"], known["mode_zh"]),
        {row["name"]: (row["name_en"], row["name_zh"]) for row in metrics},
        {row["code"]: (row["text_en"], row["text_zh"]) for row in codes},
    )


def cleared_unaccepted(conn: Conn, before: datetime) -> list[Episode]:
    """Episodes whose signal has stayed clear since before `before` while nobody accepted the order."""
    cursor = conn.cursor(row_factory=class_row(Episode))
    return cursor.execute(
        f"""select {columns(Episode, "e.")} from fsm.episode e join fsm.work_order o on o.id = e.order_id
            where e.closed_at is null and e.cleared_at >= e.last_raise_at and e.cleared_at <= %s
              and o.state = 'new' and o.source = 'automatic'
              and not exists (select from fsm.episode x where x.order_id = e.order_id and x.closed_at is null
                              and (x.cleared_at is null or x.cleared_at < x.last_raise_at))
            order by e.id""",
        (before,),
    ).fetchall()


def mark_cancelled(conn: Conn, episode: Episode, at: datetime) -> None:
    """The clear that cancelled the order says so."""
    conn.execute(
        """update fsm.episode_signal s set outcome = 'cancelled', rule = 'cleared_before_acceptance', decided_at = %s
           from analytics.detection d
           where d.id = s.detection_id and s.episode_id = %s and d.kind = 'clear' and d.ts = %s""",
        (at, episode.id, episode.cleared_at),
    )


def waiting(conn: Conn, now: datetime, policy: Policy, limit: int = 100) -> list[dict[str, Any]]:
    """Suppressed raises whose reason may have passed: neither cleared nor repaired since, oldest first."""
    return rows(
        conn,
        """select d.*, s.rule as suppressed_by from fsm.episode_signal s
           join analytics.detection d on d.id = s.detection_id
           left join fsm.work_order o on o.id = s.order_id
           left join ingest.device r on r.id = d.device_id
           left join ingest.failure_mode m on m.model = r.model and m.code = d.failure_mode
           where s.outcome = 'suppressed' and s.rule = any(%(rules)s) and d.ts > %(since)s
             and (s.rule in ('maintenance_window', 'engineer_on_site') or not o.state = any(%(open)s))
             and not exists (select from analytics.detection c where c.device_id = d.device_id
                  and c.failure_mode = d.failure_mode and c.kind = 'clear' and c.ts >= d.ts)
             and not exists (select from analytics.reset x where x.device_id = d.device_id and x.ts >= d.ts
                  and x.component in (m.component, '*'))
           order by d.ts, d.id limit %(limit)s""",
        {"rules": list(RECONSIDERED), "since": now - policy.remember, "open": OPEN, "limit": limit},
    )
