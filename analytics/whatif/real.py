"""What becomes of the orders that were really opened when their period is run again under both rules. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from analytics.whatif.orders import SAME, Pair

FATES: Final = ("vanish", "stay", "missing")
MOST_LISTED = 100  # orders of each fate
MOST_MISSING = 50


@dataclass(frozen=True, order=True)
class Opened:
    """An automatic order that was opened, with the alarm that opened it."""

    ts: datetime
    id: int
    number: str
    device_id: int
    model: str
    failure_mode: str


def held_against(pairs: Sequence[Pair], opened: Sequence[Opened], uids: Mapping[int, str]) -> dict[str, Any]:
    """The fate of each real order, counted and listed.

    `missing`: not even the rules in force open it again, so it says nothing of the tried ones. `stay`, `vanish`: they
    do, and the tried rules open it as well, or not. The verdicts of those that vanish are counted, for they say
    whether visits are saved or warnings lost.

    Args:
        pairs: the orders of both sides.
        uids: names of the devices.
    """
    of_key = defaultdict[tuple[int, str], list[Pair]](list)
    for pair in pairs:
        of_key[pair.first.device_id, pair.first.failure_mode].append(pair)
    each: list[dict[str, Any]] = []
    for one in opened:
        fate, verdict = _fate(one.ts, of_key[one.device_id, one.failure_mode])
        each.append(
            {"id": one.id, "number": one.number, "device_uid": uids.get(one.device_id, ""), "model": one.model,
             "failure_mode": one.failure_mode, "fate": fate, "verdict": verdict}
        )  # fmt: skip
    each.sort(key=lambda one: one["number"])
    fates = Counter(one["fate"] for one in each)
    gone = Counter(one["verdict"] for one in each if one["fate"] == "vanish")
    of_fate = {fate: [one for one in each if one["fate"] == fate] for fate in FATES}
    return {
        "orders": len(each),
        "again": fates["stay"] + fates["vanish"],
        "missing": [one["number"] for one in of_fate["missing"][:MOST_MISSING]],
        "stay": fates["stay"],
        "vanish": fates["vanish"],
        "vanish_verdicts": {verdict: gone[verdict] for verdict in ("right", "false", "undecided")},
        "listed": [one for some in of_fate.values() for one in some[:MOST_LISTED]],
    }


def _fate(ts: datetime, pairs: Sequence[Pair]) -> tuple[str, str | None]:
    """Of a real order of that time; and the verdict on the order in force that stands for it."""
    near = [pair for pair in pairs if pair.live is not None and abs(pair.live.ts - ts) <= SAME]
    if not near:
        return "missing", None
    stands = min(near, key=lambda pair: abs(pair.first.ts - ts))
    kept = stands.changed is not None or any(
        pair.changed is not None and abs(pair.changed.ts - ts) <= SAME for pair in pairs
    )
    return "stay" if kept else "vanish", stands.first.verdict
