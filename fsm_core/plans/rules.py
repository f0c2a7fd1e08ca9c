"""What becomes of a signal: a new order, part of an open one, or nothing, and by which rule. Pure.

All times are event times, so a late or shuffled signal decides as it would have in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

RECONSIDERED: Final = ("parent_cause", "maintenance_window", "engineer_on_site", "site_storm")
"""Rules whose reason passes: a signal suppressed by them is decided again when it has."""
INFORMATION: Final = 4
"""Severity that only informs."""
EVIDENCE: Final = ("shift", "spike", "joint", "fault_code")
"""Rules whose findings are evidence to a failure model: where that decides, they open no orders of their own."""
STOPS: Final = 1
"""Severity of a fault code that stops the machine; no model is asked about that."""
RECOVERY: Final = "recovery"
"""Rule of a raise that says: the signal did not come back to normal after the repair."""


@dataclass(frozen=True)
class Policy:
    """How the rules are set.

    Attributes:
        cool_down: a raise of any rule so soon after a repair is a repeat repair.
        storm_cap: automatic orders open at a site within `storm_window`; what comes then belongs to the incident.
        settle: how long a signal must have stayed clear before its unaccepted order is cancelled.
        auto_accept: orders of this priority or more urgent are accepted by the rule.
        remember: how long a suppressed signal can still become an order.
    """

    cool_down: timedelta = timedelta(days=7)
    storm_cap: int = 5
    storm_window: timedelta = timedelta(hours=1)
    settle: timedelta = timedelta(minutes=15)
    auto_accept: int = 3
    remember: timedelta = timedelta(days=14)


@dataclass(frozen=True)
class Signal:
    """A raise as analytics found it."""

    ts: datetime
    rule: str
    severity: int


@dataclass(frozen=True)
class Closed:
    """The newest ended episode of this device and failure mode; `ended_at` is when the fault was over: repaired, or
    by itself (then the order was cancelled).
    """

    order_id: int
    ended_at: datetime
    repaired: bool


@dataclass(frozen=True)
class Situation:
    """What is so when the signal is decided.

    Attributes:
        asset: the device is in the asset register.
        mode_priority: of its failure mode; None when the model does not know the mode.
        criticality: of the device, 1 (the most critical) to 4.
        open_order: an open order for this device and mode that has no episode yet (opened by a person).
        parent_order: an open order of the device this one hangs on.
        window: why signals do not count now: a maintenance window's reason.
        on_site: the order an engineer is working on at this device.
        storm: the incident's order, when the site has reached its cap.
        foreseen: a failure model of the component is in force, and decides for this device type.
        repaired_by: of a raise of rule `recovery`: the order whose repair did not hold, if it was an order's.
    """

    asset: bool
    mode_priority: int | None = None
    criticality: int = 3
    open_order: int | None = None
    closed: Closed | None = None
    parent_order: int | None = None
    window: str | None = None
    on_site: int | None = None
    storm: int | None = None
    foreseen: bool = False
    repaired_by: int | None = None


@dataclass(frozen=True)
class Decision:
    """What becomes of the signal. `order_id` is the order it belongs to; for opened and reopened, that comes later.

    Attributes:
        outcome: as in fsm.episode_signal.
        rule: names what decided.
        repeat_of: the order whose repair did not hold.
    """

    outcome: str
    rule: str
    order_id: int | None = None
    repeat_of: int | None = None

    @property
    def opens(self) -> bool:
        """Whether an order is to be opened."""
        return self.outcome in ("opened", "reopened")


def decide(signal: Signal, now: Situation, policy: Policy) -> Decision:
    """Decide a raise for which no episode is open."""
    if not now.asset:
        return Decision("ignored", "no_asset")
    if signal.severity >= INFORMATION:
        return Decision("ignored", "information_only")
    if now.open_order is not None:
        return Decision("attached", "open_order", now.open_order)
    if now.closed is not None and signal.ts <= now.closed.ended_at:
        rule = "before_repair" if now.closed.repaired else "before_clear"
        return Decision("suppressed", rule, now.closed.order_id)
    if now.foreseen and signal.rule in EVIDENCE and signal.severity > STOPS:
        return Decision("suppressed", "left_to_prediction")
    if now.parent_order is not None:
        return Decision("suppressed", "parent_cause", now.parent_order)
    if now.window is not None:
        return Decision("suppressed", "maintenance_window")
    if now.on_site is not None:
        return Decision("suppressed", "engineer_on_site", now.on_site)
    if now.storm is not None:
        return Decision("suppressed", "site_storm", now.storm)
    if signal.rule == RECOVERY and now.repaired_by is not None:
        return Decision("reopened", "not_recovered", repeat_of=now.repaired_by)
    if now.closed is not None and now.closed.repaired and signal.ts - now.closed.ended_at <= policy.cool_down:
        return Decision("reopened", "repeat_repair", repeat_of=now.closed.order_id)
    return Decision("opened", "new_fault")


def priority(severity: int, mode_priority: int | None, criticality: int) -> int:
    """1 to 4: the more urgent of what the mode and the signal say; one more urgent for a most critical device, one
    less for a least critical one.

    >>> priority(2, 2, 3), priority(2, 2, 1), priority(3, None, 4)
    (2, 1, 4)
    """
    base = min(severity, mode_priority or 4)
    return min(4, max(1, base + {1: -1, 4: 1}.get(criticality, 0)))


def order_type(rule: str, repeat_of: int | None = None) -> str:
    """A repair that did not hold is repeated; a device that reported a fault is repaired; one that is only getting
    worse is maintained by condition."""
    if repeat_of is not None:
        return "repeat"
    return "repair" if rule == "fault_code" else "condition"
