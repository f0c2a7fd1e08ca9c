"""What is kept of a backtest: JSON, with the devices' names and links to the real orders. SQL reads; never commits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from analytics.backtest import Report
from analytics.episodes import Outcome, Repair
from analytics.honesty.scores import deciles
from analytics.store import moment
from analytics.whatif.orders import SAME, Ordered, Pair
from analytics.whatif.real import Opened, held_against
from analytics.whatif.spoken import FOR_EVER, Source
from kit.database import Conn, rows

MOST_ORDERS = 2_000
OPENED = ("opened", "reopened")  # as in fsm.episode_signal


def of(conn: Conn, report: Report) -> dict[str, Any]:
    """The result of a backtest: counts, outcomes of both rules by device type, orders and recorded failures."""
    uids = dict(conn.execute("select id, uid from ingest.device").fetchall())
    links = _links(conn, report.start, report.end)
    counts = Counter(pair.status for pair in report.orders)
    shown = sorted(report.orders, key=lambda pair: pair.status == "stay")[:MOST_ORDERS]
    shown.sort(key=lambda pair: pair.first.ts)
    numbers = _numbers(conn, report.repairs)
    of_device = defaultdict[int, list[Pair]](list)
    for pair in report.orders:
        of_device[pair.first.device_id].append(pair)
    return {
        "rows": report.rows,
        "horizon_hours": report.horizon / timedelta(hours=1),
        "tuning_id": report.tuning_id,
        "counts": {status: counts[status] for status in ("appear", "vanish", "stay")},
        "live": _outcome(report.live_outcome),
        "changed": _outcome(report.changed_outcome),
        "cost_difference": round(report.cost_difference, 6),
        "models": [
            {"model": model, "costs": asdict(price), "live": _outcome(live), "changed": _outcome(changed),
             "cost_difference": round(changed.cost - live.cost, 6)}
            for model, (price, live, changed) in sorted(report.models.items())
            if live.orders or changed.orders or live.repairs
        ],
        "orders": [_order(pair, uids, links) for pair in shown],
        "left_out": len(report.orders) - len(shown),
        "predictions": {
            side: [_source(one) for one in sources]
            for side, sources in zip(("live", "changed"), report.predictions, strict=True)
        },
        "learned": [asdict(one) for one in report.learned],
        "differences": [asdict(one) for one in report.differences],
        "real": held_against(report.orders, _opened(links, report.start, report.end), uids),
        "failures": [_failure(repair, of_device[repair.device], uids, numbers) for repair in report.repairs],
    }  # fmt: skip


def _source(one: Source) -> dict[str, Any]:
    return {
        "model": one.model, "component": one.component, "version": one.version, "failures": one.fitted.failures,
        "since": moment(one.since).isoformat(),
        "until": None if one.until >= FOR_EVER else moment(one.until).isoformat(),
    }  # fmt: skip


def _outcome(one: Outcome) -> dict[str, Any]:
    leads = deciles(one.lead_hours)
    return {
        "orders": one.orders, "right": one.right, "false": one.false, "undecided": one.undecided,
        "failures": one.repairs, "announced": one.announced, "recall": one.recall, "precision": one.precision,
        "lead_hours": None if leads is None else [round(lead, 2) for lead in leads], "cost": round(one.cost, 6),
    }  # fmt: skip


def _order(pair: Pair, uids: Mapping[int, str], links: Mapping[tuple[int, str], list[Any]]) -> dict[str, Any]:
    first = pair.first
    near = [
        link
        for link in links.get((first.device_id, first.failure_mode), [])
        if abs(link["raised_at"] - first.ts) <= SAME
    ]
    link = min(near, key=lambda one: abs(one["raised_at"] - first.ts), default=None)
    return {
        "status": pair.status, "device_id": first.device_id, "device_uid": uids.get(first.device_id, ""),
        "model": first.model, "failure_mode": first.failure_mode, "component": first.component,
        "live": _side(pair.live), "changed": _side(pair.changed),
        "order": None if link is None else {"id": link["order_id"], "number": link["number"]},
    }  # fmt: skip


def _side(one: Ordered | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "ts": one.ts.isoformat(), "rule": one.rule, "severity": one.severity, "score": round(one.score, 4),
        "verdict": one.verdict, "lead_hours": None if one.lead_hours is None else round(one.lead_hours, 2),
        "repaired_at": None if one.repaired_at is None else one.repaired_at.isoformat(),
        "evidence": one.evidence,
    }  # fmt: skip


def _links(conn: Conn, start: datetime, end: datetime) -> dict[tuple[int, str], list[Any]]:
    """The orders that were really opened, by device and failure mode."""
    found = defaultdict[tuple[int, str], list[Any]](list)
    for row in rows(
        conn,
        """select device_id, model, failure_mode, raised_at, order_id, number, outcome from reports.alarm_honesty
           where order_id is not null and raised_at between %s and %s""",
        (start - SAME, end + SAME),
    ):
        found[row["device_id"], row["failure_mode"]].append(row)
    return found


def _opened(
    links: Mapping[tuple[int, str], Sequence[Mapping[str, Any]]], start: datetime, end: datetime
) -> list[Opened]:
    """The automatic orders that were opened in the period, each with the first alarm that opened it."""
    first: dict[int, Opened] = {}
    for (device, mode), its in links.items():
        for link in its:
            if start <= link["raised_at"] <= end and link["outcome"] in OPENED:
                one = Opened(link["raised_at"], link["order_id"], link["number"], device, link["model"], mode)
                first[one.id] = min(one, first.get(one.id, one))
    return sorted(first.values())


def _numbers(conn: Conn, repairs: Sequence[Repair]) -> dict[str, int]:
    """The orders that the reasons of repairs name, by number."""
    numbers = sorted({repair.reason.split(" ", 1)[0] for repair in repairs})
    return dict(
        conn.execute(
            "select number, order_id from reports.order_funnel where number = any(%s)", (numbers,)
        ).fetchall()
    )


def _failure(
    repair: Repair, pairs: Sequence[Pair], uids: Mapping[int, str], numbers: Mapping[str, int]
) -> dict[str, Any]:
    at, number = moment(repair.ts), repair.reason.split(" ", 1)[0]

    def announced(one: Ordered | None) -> bool:
        return (
            one is not None
            and one.device_id == repair.device
            and repair.component in (one.component, "*")
            and one.repaired_at == at
        )

    return {
        "device_id": repair.device, "device_uid": uids.get(repair.device, ""), "component": repair.component,
        "ts": at.isoformat(), "order": {"id": numbers[number], "number": number} if number in numbers else None,
        "live": any(announced(pair.live) for pair in pairs),
        "changed": any(announced(pair.changed) for pair in pairs),
    }  # fmt: skip
