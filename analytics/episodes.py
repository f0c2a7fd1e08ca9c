"""Which findings would open an order, as the field service decides it, and how those orders stand against recorded
repairs. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from analytics.definitions import DAY, HOUR
from analytics.detectors.protocol import Finding
from analytics.prediction.decision import Costs

COOL_DOWN = 7 * DAY  # after an episode none is opened for so long: what comes then is the old fault again
HORIZON = 30 * DAY  # an order is right when the component is repaired within so long
INFORMATION = 4  # a severity that opens no order


@dataclass(frozen=True)
class Opened:
    """An order; `ts` in microseconds."""

    device: int
    mode: str
    ts: int
    rule: str


@dataclass
class Episodes:
    """One order for each device and failure mode while any rule has it raised, and none within the cool-down after
    that. `opened` in the order in which findings are taken."""

    opened: list[Opened] = field(default_factory=list)
    _alarms: dict[tuple[int, str], set[str]] = field(default_factory=dict)
    _ended: dict[tuple[int, str], int] = field(default_factory=dict)

    def take(self, device: int, finding: Finding) -> Opened | None:
        """The order that a finding opens; None when it opens none."""
        key = device, finding.mode
        alarms = self._alarms.setdefault(key, set())
        if finding.kind == "clear":
            standing = bool(alarms)
            alarms.clear() if finding.rule == "reset" else alarms.discard(finding.rule)
            if (
                standing and not alarms
            ):  # what opened nothing (information, left to a prediction) ends nothing
                self._ended[key] = finding.ts
            return None
        if finding.severity >= INFORMATION:
            return None
        first = not alarms and finding.ts >= self._ended.get(key, -COOL_DOWN) + COOL_DOWN
        alarms.add(finding.rule)
        if not first:
            return None
        self.opened.append(Opened(device, finding.mode, finding.ts, finding.rule))
        return self.opened[-1]


@dataclass(frozen=True)
class Repair:
    """A recorded repair of a component (`*`: the whole machine)."""

    device: int
    component: str
    ts: int
    reason: str


@dataclass(frozen=True)
class Outcome:
    """Orders against repairs.

    Attributes:
        right, false: orders followed by a repair of their component within the horizon, or not.
        undecided: orders for which the horizon is not over.
        repairs, announced: recorded repairs; those an order came before.
        recall, precision: None where there is nothing to divide by.
        lead_hours: from the order to the repair, one for each repair announced, ascending.
        cost: announced × visit + missed × failure + false × needless.
    """

    orders: int
    right: int
    false: int
    undecided: int
    repairs: int
    announced: int
    recall: float | None
    precision: float | None
    lead_hours: tuple[float, ...]
    cost: float


def outcome(
    orders: Sequence[Opened],
    repairs: Sequence[Repair],
    component: Mapping[tuple[int, str], str],
    until: int,
    costs: Costs,
    horizon: int = HORIZON,
) -> Outcome:
    """Hold orders against repairs.

    Args:
        component: of each (device, failure mode) that has orders.
        until: time up to which repairs are known.
        horizon: µs; an order is right when its component is repaired within so long.
    """
    there = by_device(repairs)
    matched = [(one, claim(one, there, component, horizon)) for one in orders]
    right = sum(repair is not None for _, repair in matched)
    false = sum(repair is None and one.ts + horizon <= until for one, repair in matched)
    first: dict[Repair, int] = {}
    for one, repair in matched:
        if repair is not None:
            first[repair] = min(one.ts, first.get(repair, one.ts))
    missed = len(repairs) - len(first)
    return Outcome(
        len(orders), right, false, len(orders) - right - false, len(repairs), len(first),
        len(first) / len(repairs) if repairs else None, right / (right + false) if right + false else None,
        tuple(sorted((repair.ts - ts) / HOUR for repair, ts in first.items())),
        len(first) * costs.visit + missed * costs.failure + false * costs.needless,
    )  # fmt: skip


Repairs = Mapping[int, Sequence[Repair]]
"""By device, in order of time."""


def by_device(repairs: Sequence[Repair]) -> Repairs:
    """To look them up by."""
    found: dict[int, list[Repair]] = {}
    for repair in sorted(repairs, key=lambda repair: repair.ts):
        found.setdefault(repair.device, []).append(repair)
    return found


def claim(
    one: Opened, repairs: Repairs, component: Mapping[tuple[int, str], str], horizon: int = HORIZON
) -> Repair | None:
    """The first repair that an order may claim."""
    its = component[one.device, one.mode]
    return next(
        (
            repair
            for repair in repairs.get(one.device, ())
            if repair.component in (its, "*") and one.ts < repair.ts <= one.ts + horizon
        ),
        None,
    )


def total(outcomes: Sequence[Outcome]) -> Outcome:
    """Several device types together."""
    right, false = sum(one.right for one in outcomes), sum(one.false for one in outcomes)
    repairs, announced = sum(one.repairs for one in outcomes), sum(one.announced for one in outcomes)
    return Outcome(
        sum(one.orders for one in outcomes), right, false, sum(one.undecided for one in outcomes),
        repairs, announced,
        announced / repairs if repairs else None, right / (right + false) if right + false else None,
        tuple(sorted(lead for one in outcomes for lead in one.lead_hours)),
        sum(one.cost for one in outcomes),
    )  # fmt: skip
