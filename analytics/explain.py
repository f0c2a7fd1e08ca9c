"""Recompute a detection from the stored rows: is it what those rows say, and are they still what they were?

The device's state is taken from its last snapshot before the evidence begins (or from nothing), and all its rows
from there on go through the same engine as live, with the tuning and the fleet priors that were used then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np

from analytics import evidence, store, switched_off
from analytics.block import Block
from analytics.definitions import Definition
from analytics.detectors.protocol import Finding
from analytics.engine import Engine
from analytics.fleet import Fleet
from analytics.reader import Reader
from analytics.recovery import store as recoveries
from analytics.recovery import worker as recovery
from analytics.store import Position, microseconds
from kit.database import Conn, one
from kit.errors import NotFound

PREDICTION = "prediction"
CLOSE = 1e-9  # relative difference of recomputed numbers that another machine's arithmetic may make


@dataclass(frozen=True)
class Explanation:
    """Whether a detection follows from the stored rows.

    Attributes:
        ok: the rows are those it rested on, and they give the same detection.
        detection: as stored; `recomputed`: what the rows give now, None when they do not give it.
        telemetry_hash: of the rows as they are now.
        text_en, text_zh: the difference, or that there is none.
    """

    ok: bool
    detection: dict[str, Any]
    recomputed: dict[str, Any] | None
    telemetry_hash: str
    text_en: str
    text_zh: str


def explain(conn: Conn, detection_id: int) -> Explanation:
    """Recompute a detection.

    Raises:
        NotFound: there is no such detection.
    """
    row = one(
        conn,
        """select d.*, device.uid, device.model, b.xid::text::bigint as batch_xid
           from analytics.detection d join ingest.device device on device.id = d.device_id
           join ingest.batch b on b.id = d.through_batch where d.id = %s""",
        (detection_id,),
    )
    if row is None:
        raise NotFound(f"There is no detection {detection_id}.")
    hashed = evidence.telemetry_hash(
        conn, row["device_id"], row["telemetry_from"], row["telemetry_to"], row["through_batch"]
    )
    if row["rule"] == PREDICTION:
        from analytics.prediction import scoring  # brings scikit-learn along: only where it is needed

        recomputed = scoring.recompute(conn, row)
    elif row["rule"] == recoveries.RULE:
        definitions = store.definitions(conn)
        reader = Reader(definitions, store.state_metrics(conn))
        recomputed = recovery.recompute(conn, reader, definitions[row["model"]], row)
    else:
        found = _matching(_replay(conn, row), row)
        recomputed = None if found is None else _as_row(found)
    english, chinese = _difference(row, hashed, recomputed)
    return Explanation(not english, row, recomputed, hashed, english or _SAME[0], chinese or _SAME[1])


_SAME = ("The stored rows give this detection again.", "存储的数据重新得出同一检测结果。")


def _difference(row: dict[str, Any], hashed: str, recomputed: dict[str, Any] | None) -> tuple[str, str]:
    english, chinese = [], []
    if hashed != row["telemetry_hash"]:
        english.append("The stored rows it rests on are no longer what they were (their hash differs).")
        chinese.append("其依据的存储数据已被更改（哈希值不同）。")
    if recomputed is None:
        english.append("The stored rows do not lead to this detection.")
        chinese.append("存储的数据未得出此检测结果。")
    else:
        for name in [key for key in recomputed if not _same(row[key], recomputed[key])]:
            told_en, told_zh = _NAMES.get(name, (name, name))
            then, now = (_short(one[name]) for one in (row, recomputed))
            if then and now:
                english.append(f"{told_en} is recomputed as {now}, stored as {then}.")
                chinese.append(f"{told_zh}重新计算为 {now}，存储为 {then}。")
            else:
                english.append(f"{told_en} differs from what is stored.")
                chinese.append(f"{told_zh}与存储的不同。")
    return " ".join(english), "".join(chinese)


_NAMES = {
    "rule_version": ("The version of the rule", "规则版本"),
    "severity": ("The severity", "严重级别"),
    "score": ("The score", "得分"),
    "evidence": ("What drove it (values, usual levels, limits)", "依据（数值、常值、限值）"),
    "telemetry_from": ("The beginning of its rows", "数据的起始时间"),
}


def _short(value: Any) -> str:
    """A value that fits into a sentence; nothing for one that does not."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return "" if isinstance(value, dict | list) else f"{value:g}" if isinstance(value, float) else str(value)


def _same(stored: Any, recomputed: Any) -> bool:
    if isinstance(stored, dict) and isinstance(recomputed, dict):
        return stored.keys() == recomputed.keys() and all(_same(stored[k], recomputed[k]) for k in stored)
    if isinstance(stored, list) and isinstance(recomputed, list):
        return len(stored) == len(recomputed) and all(map(_same, stored, recomputed))
    if isinstance(stored, float | int) and isinstance(recomputed, float | int):
        return abs(stored - recomputed) <= CLOSE * max(abs(stored), abs(recomputed), 1.0)
    return bool(stored == recomputed)


def _as_row(finding: Finding) -> dict[str, Any]:
    return {
        "rule_version": finding.version,
        "severity": finding.severity,
        "score": finding.score,
        "evidence": finding.evidence(),
        "telemetry_from": store.moment(finding.since),
    }


def _matching(findings: Sequence[Finding], row: dict[str, Any]) -> Finding | None:
    key = (microseconds(row["ts"]), row["kind"], row["rule"], row["failure_mode"])
    return next((f for f in findings if (f.ts, f.kind, f.rule, f.mode) == key), None)


def _replay(conn: Conn, row: dict[str, Any]) -> list[Finding]:
    """What the device's rows give through the batch that decided."""
    device, model = row["device_id"], row["model"]
    definitions = store.definitions(conn)
    uses = store.tuning_uses(conn, row["partition"])
    start, state, layout = _snapshot(conn, device, row["telemetry_from"])
    engine = _Tuned(conn, definitions[model], device, uses, start)
    if state is not None:
        engine.first.load(device, state, layout)
    through = Position(row["batch_xid"], row["through_batch"])
    fleets = store.fleets(conn, row["partition"], model)
    resets = store.known_resets(conn, start, device)
    reader = Reader(definitions, store.state_metrics(conn))
    blocks, events, batches = reader.device(conn, device, _pair(start), _pair(through))
    block, its = blocks.get(model, engine.first.nothing()), events.get(model, [])
    positions = [Position(xid, batch) for xid, batch in batches]
    bounds = [at for at, _ in fleets] + [at for at, _ in resets] + [at for at, _ in uses]
    found: list[Finding] = []
    for first, end in _stretches(positions, bounds):
        its_engine = engine.at(positions[first])
        known = [state for at, state in fleets if at < positions[first]]
        if known:
            its_engine.baseline.fleet = Fleet.from_json(known[-1], definitions[model].axis("metric"))
        pending = [reset for at, reset in resets if at < positions[first]]
        done = its_engine.step(
            _between(block, first, end), [e for e in its if first <= e.order < end], pending
        )
        resets = [(at, reset) for at, reset in resets if reset not in done.applied]
        found += [finding for _, finding in done.findings]
    engine.at(Position(through.xid, through.batch + 1))  # rules changed right after that batch
    return found + engine.closed


class _Tuned:
    """One device's engine with the tuning that was in use at each position; its state goes from one to the next.
    `closed`: clears of what rules that were switched off had left open."""

    def __init__(
        self,
        conn: Conn,
        definition: Definition,
        device: int,
        uses: Sequence[tuple[Position, int | None]],
        start: Position,
    ) -> None:
        self._conn, self._definition, self._device, self._uses = conn, definition, device, uses
        self._tuning = self._in_use(start)
        self.first = self._engine = self._build(self._tuning)
        self.closed: list[Finding] = []

    def at(self, position: Position) -> Engine:
        """For batches from a position on."""
        tuning = self._in_use(position)
        if tuning != self._tuning:
            before, self._engine, self._tuning = self._engine, self._build(tuning), tuning
            if self._device in before.devices:
                state = before.dump(self._device)
                self._engine.load(self._device, state, before.layout)
                self.closed += switched_off.closings(
                    self._definition, state, before.layout, self._engine.rules.detectors, position.batch
                )
        return self._engine

    def _in_use(self, position: Position) -> int | None:
        used = [tuning for at, tuning in self._uses if at < position]
        return used[-1] if used else None

    def _build(self, tuning: int | None) -> Engine:
        rules = store.tuning(self._conn, tuning)[1] if tuning is not None else None
        return Engine(self._definition, rules)


def _snapshot(conn: Conn, device: int, before: Any) -> tuple[Position, bytes | None, Any]:
    """The last snapshot that knows nothing of the evidence: its position, state and layout."""
    snapshot = one(
        conn,
        """select s.xid::text::bigint as xid, s.batch_id, s.state, l.spec from analytics.snapshot s
           join analytics.state_layout l on l.id = s.layout_id join ingest.batch b on b.id = s.batch_id
           where s.device_id = %s and b.last_ts <= %s order by s.xid desc, s.batch_id desc limit 1""",
        (device, before),
    )
    if snapshot is None:
        return Position(0, 0), None, None
    return Position(snapshot["xid"], snapshot["batch_id"]), bytes(snapshot["state"]), snapshot["spec"]


def _stretches(positions: list[Position], bounds: list[Position]) -> list[tuple[int, int]]:
    """Runs of batches (first, end) between which a fleet was learned or a reset became known."""
    if not positions:
        return []
    cut = {0, len(positions)} | {sum(position <= bound for position in positions) for bound in bounds}
    edges = sorted(cut)
    return list(pairwise(edges))


def _between(block: Block, first: int, end: int) -> Block:
    return block.take(np.flatnonzero((block.order >= first) & (block.order < end)))


def _pair(position: Position) -> tuple[int, int]:
    return position.xid, position.batch
