"""Follows repairs to their end: recovered, or a finding of rule `recovery` that says it did not hold.

Runs in the transactions of the streaming worker: a check begins where the stream learns of a repair, and is looked
at after the batches that bring its device's rows, once an hour of the device's time at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from analytics.definitions import Definition
from analytics.reader import Reader
from analytics.recovery import rules, store
from analytics.recovery.rules import Policy, Rows, Signal, Verdict
from analytics.store import microseconds, moment
from kit import logs
from kit.database import Conn

log = logs.get(__name__)
EVERY = timedelta(hours=1)
BEFORE = timedelta(days=14)  # rows before the repair that are looked at
GIVE_UP = timedelta(days=60)


def begin(conn: Conn, resets: Sequence[int], partition: int) -> None:
    """The stream knows of these resets now."""
    if not resets:
        return
    for row in store.standing(conn, resets):
        store.save(conn, "clear", row, row["repaired_at"], 0.0, {"raised": row["raised"]}, partition)
    store.begin(conn, resets)


def look(
    conn: Conn,
    reader: Reader,
    definition: Definition,
    watch: Mapping[str, Any],
    until: datetime,
    partition: int,
) -> None:
    """Decide a check, if that can be done with the device's rows up to `until`."""
    policy = Policy(hours=watch["hours"])
    verdict = _judge(conn, reader, definition, watch, until, policy)
    if verdict.state == "watching":
        store.later(conn, watch, max(watch["repaired_at"], moment(verdict.ts)) + EVERY)
        return
    found = _raise(conn, watch, verdict, policy, partition) if verdict.state == "not_recovered" else None
    store.decide(conn, watch, verdict, found)
    log.info("repair checked", device=watch["device_id"], mode=watch["failure_mode"], state=verdict.state,
             run_hours=verdict.run_hours)  # fmt: skip


def _judge(
    conn: Conn, reader: Reader, definition: Definition, watch: Mapping[str, Any], until: datetime, policy: Policy
) -> Verdict:  # fmt: skip
    repaired, signals = watch["repaired_at"], _signals(watch["evidence"], definition)
    before = _rows(conn, reader, definition, watch["device_id"], signals, (repaired - BEFORE, repaired))
    after = _rows(conn, reader, definition, watch["device_id"], signals, (repaired, until))
    wanted = rules.targets(signals, before, policy)
    again = store.raised_again(conn, watch["device_id"], watch["failure_mode"], repaired, until)
    return rules.judge(
        microseconds(repaired), wanted, after, None if again is None else microseconds(again), policy
    )


def _signals(evidence: Mapping[str, Any], definition: Definition) -> list[Signal]:
    known = definition.axis("metric")
    return [
        Signal(
            each["metric"], each.get("value"), each.get("baseline"), each.get("limit"), int(each["regime"])
        )
        for each in evidence.get("drivers", [])
        if each["metric"] in known and each.get("regime") is not None
    ]


def _rows(
    conn: Conn, reader: Reader, definition: Definition, device: int, signals: Sequence[Signal],
    between: tuple[datetime, datetime],
) -> Rows:  # fmt: skip
    """Rows in (first, last], each time once; values that cannot be are missing."""
    block = reader.span(conn, device, *between).get(definition.model)
    if block is None:
        nothing = np.empty(0, np.int64)
        return Rows(nothing, nothing, np.empty((0, len(signals))))
    ts, at = np.unique(block.ts, return_index=True)
    values = np.full((len(ts), len(signals)), np.nan)
    for column, signal in enumerate(signals):
        metric = definition.metrics[definition.axis("metric").index(signal.metric)]
        its = block.values[at, definition.axis("metric").index(signal.metric)]
        values[:, column] = np.where((its >= metric.low) & (its <= metric.high), its, np.nan)
    return Rows(ts, _regimes(block.state[at]), values)


def _regimes(state: np.ndarray[Any, Any]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Unknown states repeat the one before; a device that never says it runs at 1, as for the detectors."""
    known = np.where(np.isfinite(state), np.arange(len(state)), -1)
    last = np.maximum.accumulate(known) if len(known) else known
    filled = np.where(last >= 0, state[np.maximum(last, 0)], 1.0)
    return np.clip(np.rint(filled), 0, 3).astype(np.int64)


def _raise(
    conn: Conn, watch: Mapping[str, Any], verdict: Verdict, policy: Policy, partition: int
) -> int | None:
    found = _found(watch, verdict, policy)
    return store.save(conn, "raise", watch, moment(verdict.ts), found["score"], found["evidence"], partition)


def _found(watch: Mapping[str, Any], verdict: Verdict, policy: Policy) -> dict[str, Any]:
    """Score (1: just not recovered) and evidence of a repair that did not hold."""
    drivers, left = [], [1.0]
    for driver in watch["evidence"]["drivers"]:
        name = driver["metric"]
        if name not in verdict.targets:
            continue
        mean, level, baseline = verdict.means[name], verdict.targets[name], driver.get("baseline")
        drivers.append({
            "metric": name, "value": round(mean, 6), "baseline": baseline, "limit": round(level, 6),
            "unit": driver.get("unit", ""), "z": None, "regime": driver.get("regime"),
        })  # fmt: skip
        if baseline is not None and level != baseline:
            left.append((mean - baseline) / (level - baseline))
    evidence = {
        "drivers": drivers, "codes": [], "repaired_at": watch["repaired_at"].isoformat(), "reset": watch["reset_id"],
        "raised": watch["raise_id"], "run_hours": verdict.run_hours, "within_hours": policy.hours,
    }  # fmt: skip
    return {"score": round(max(left), 6), "evidence": evidence}


def recompute(
    conn: Conn, reader: Reader, definition: Definition, row: Mapping[str, Any]
) -> dict[str, Any] | None:
    """A raise of rule `recovery` once more, from the stored rows; None if they do not lead to it (any more)."""
    watch = store.of_raise(conn, row["id"])
    if watch is None or row["kind"] != "raise":
        return None
    policy = Policy(hours=watch["hours"])
    verdict = _judge(conn, reader, definition, watch, row["ts"], policy)
    if verdict.state != "not_recovered" or moment(verdict.ts) != row["ts"]:
        return None
    return _found(watch, verdict, policy) | {
        "rule_version": store.VERSION, "severity": watch["severity"], "telemetry_from": watch["repaired_at"],
    }  # fmt: skip
