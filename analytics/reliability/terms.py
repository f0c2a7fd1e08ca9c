"""What counts as a failure, written down once, in the terms of ISO 14224:2016 and EN 13306.

An order says what was done; the cause code that the engineer filed says what was found. Only finished orders
(work done, or later) speak; what is open or cancelled says nothing yet.

    breakdown    corrective maintenance (type `repair`) with a confirmed cause: loss of the required function, a
                 *critical failure* (ISO 14224, 3.16). A failure.
    prevented    condition-based maintenance (type `condition`) with a confirmed cause: the item was found worn and
                 was restored while it still worked, a *degraded or incipient failure* (3.19, 3.45). A failure by
                 default; when only breakdowns are counted, its life is suspended.
    needless     either of the two whose cause is `no_fault_found`: nothing was wrong. No failure.
    unconfirmed  either of the two without a cause code (data from elsewhere). No failure until somebody says why.
    planned      maintenance and inspection by plan: preventive maintenance. No failure; if it replaced a component,
                 the old one's life is suspended (it ended without failing).

Why a prevented failure is a failure by default: an item that is taken out *because* it is about to fail is no random
suspension. To call it one would make a component look the better the better its wear is foreseen (the censoring
would be informative), and every estimate that rests on independent censoring would be too long.

Misuse (causes `operating_error`, `outside_limits`) is a failure cause in ISO 14224 and counts; choose the cause in the
Pareto to see its part. A repeat repair (type `repeat`) counts like a `repair`: the item did not do what it should.

`reports.maintenance` says the same in SQL for Grafana; a test compares the two on every combination.
"""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["breakdown", "prevented", "needless", "unconfirmed", "planned"]
Count = Literal["all", "breakdowns"]

FINISHED: Final = frozenset({"work_done", "reviewed", "settled", "closed"})
CORRECTIVE: Final = frozenset({"repair", "repeat"})
CONDITION_BASED: Final = "condition"
PLANNED: Final = frozenset({"maintenance", "inspection"})
NO_FAULT_FOUND: Final = "no_fault_found"
NOTHING_DONE: Final = "inspect"
"""The remedy that leaves the item as old as it was."""

COUNTED: Final[dict[Count, frozenset[Kind]]] = {
    "all": frozenset({"breakdown", "prevented"}),
    "breakdowns": frozenset({"breakdown"}),
}
"""Which kinds are failures, by what is counted."""


def kind_of(order_type: str, state: str, cause: str | None) -> Kind | None:
    """What an order says of the machine; None: nothing (not finished, cancelled, or no maintenance at all)."""
    if state not in FINISHED:
        return None
    if order_type in CORRECTIVE or order_type == CONDITION_BASED:
        if cause is None:
            return "unconfirmed"
        if cause == NO_FAULT_FOUND:
            return "needless"
        return "breakdown" if order_type in CORRECTIVE else "prevented"
    return "planned" if order_type in PLANNED else None


def renews(kind: Kind, remedy: str | None) -> bool:
    """Whether a failure's repair left its component as good as new, so that a new life begins. (Parts that other
    orders install begin one, too; the stored record has them as events of their own.)"""
    return kind in COUNTED["all"] and remedy != NOTHING_DONE
