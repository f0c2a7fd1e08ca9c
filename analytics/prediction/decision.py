"""From probabilities to orders: expected cost, confirmation, one open order, mute after a repair. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analytics.definitions import HOUR, Bools, Floats, Ints
from analytics.prediction.history import Log
from kit.errors import Invalid


@dataclass(frozen=True)
class Costs:
    """What one event costs, in any one unit.

    Attributes:
        failure: an unplanned failure, its repair included.
        visit: a planned repair in time.
        needless: a visit that found nothing wrong.
    """

    failure: float = 5.0
    visit: float = 1.0
    needless: float = 4.0

    def __post_init__(self) -> None:
        if not (0 < self.visit < self.failure and self.needless > 0):
            raise Invalid(
                f"A planned visit must cost more than nothing and less than a failure, and a needless one more than "
                f"nothing; given: visit {self.visit}, failure {self.failure}, needless {self.needless}."
            )

    @property
    def level(self) -> float:
        """The probability above which going is cheaper: p visit + (1 - p) needless < p failure."""
        return self.needless / (self.needless + self.failure - self.visit)


@dataclass(frozen=True)
class Policy:
    """How probabilities become orders.

    Attributes:
        costs: by component; `default` for those not named.
        confirm: so many consecutive rows must each say that going is cheaper.
        open_hours: an order stands for a failure within so many hours; afterwards it was false, and the next may
            be opened.
        mute_hours: after a repair of the component its traces are still in the windows; nothing is opened.
    """

    costs: dict[str, Costs]
    default: Costs = Costs()
    confirm: int = 2
    open_hours: float = 72.0
    mute_hours: float = 48.0

    def level(self, component: str) -> float:
        """The deciding probability of a component."""
        return self.costs.get(component, self.default).level


@dataclass(frozen=True)
class Order:
    """An order to open: row of the table at which it was decided, position of the device, time."""

    row: int
    device: int
    ts: int


def muted(repairs: Log, device: Ints, ts: Ints, hours: float) -> Bools:
    """[row] whether the component was repaired within the last hours; `repairs` of that component only."""
    return repairs.before(device, ts) > repairs.before(device, ts - round(hours * HOUR))


def decide(p: Floats, device: Ints, ts: Ints, repairs: Log, policy: Policy, component: str) -> list[Order]:
    """Orders for one component, row by row as they would have been opened at the time.

    Args:
        p: [row] probability of failure, rows sorted by (device, ts); NaN never confirms.
        repairs: replacements of this component; one closes the open order.
    """
    over = (np.nan_to_num(p) > policy.level(component)) & ~muted(repairs, device, ts, policy.mute_hours)
    orders: list[Order] = []
    run, blocked_until, last_device = 0, 0, -1
    done = repairs.before(device, ts)
    repaired_at_opening = 0
    for row in np.flatnonzero(over).tolist():
        same = row > 0 and over[row - 1] and device[row - 1] == device[row]
        run = run + 1 if same else 1
        if device[row] != last_device:
            last_device, blocked_until = int(device[row]), 0
        is_open = ts[row] < blocked_until and done[row] == repaired_at_opening
        if run >= policy.confirm and not is_open:
            orders.append(Order(row, int(device[row]), int(ts[row])))
            blocked_until = int(ts[row]) + round(policy.open_hours * HOUR)
            repaired_at_opening = int(done[row])
    return orders


def is_over(since: int, now: int, repaired: bool, p: Floats, policy: Policy, component: str) -> bool:
    """Whether a finding raised at `since` (µs) ends: the component was repaired since, or its time has passed and
    nothing points to a failure any more; `p` of its device now (empty: nothing is said of it)."""
    expired = now >= since + round(policy.open_hours * HOUR)
    return repaired or (expired and bool((p < policy.level(component)).all()))
