"""How orders would have fared against the failures that came. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analytics.definitions import HOUR
from analytics.prediction.decision import Costs, Order
from analytics.prediction.history import Log


@dataclass(frozen=True)
class Result:
    """One component in a period.

    Attributes:
        failures: those in the period; leads: hours of warning of those that were warned of.
        orders: opened in the period; false: those without a failure in time.
    """

    failures: int
    leads: tuple[float, ...]
    orders: int
    false: int

    def cost(self, costs: Costs) -> float:
        """What the period cost with these orders; without any it is failures times the cost of one."""
        missed = self.failures - len(self.leads)
        return missed * costs.failure + len(self.leads) * costs.visit + self.false * costs.needless


def score(orders: Sequence[Order], failures: Log, first: int, last: int, hours: float = 72.0) -> Result:
    """An order is right if its device fails strictly later, but within so many hours. A failure counts if it falls
    in (first, last], µs; `failures` of one component."""
    warned: dict[tuple[int, int], float] = {}
    false = 0
    for order in orders:
        following = failures.ts[(failures.device == order.device) & (failures.ts > order.ts)]
        if not len(following) or following.min() > order.ts + round(hours * HOUR):
            false += 1
            continue
        key = (order.device, int(following.min()))
        warned[key] = max(float(following.min() - order.ts) / HOUR, warned.get(key, 0.0))
    happened = zip(failures.device.tolist(), failures.ts.tolist(), strict=True)
    due = [key for key in happened if first < key[1] <= last]
    return Result(len(due), tuple(warned[key] for key in due if key in warned), len(orders), false)
