"""May an order go ahead: from what stands for and against each engineer to one answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fsm_core.dispatch.model import Reason


@dataclass(frozen=True)
class Readiness:
    """Whether person and parts are there.

    Attributes:
        ready: the order can be dispatched now.
        earliest: when work could begin; None when nobody knows.
        missing: what stands against it, a reason a cause; empty when ready.
    """

    ready: bool
    earliest: datetime | None
    missing: list[Reason]


def decide(starts: Sequence[datetime], against: Reason | None, held: str | None, state: str) -> Readiness:
    """`starts`: when each engineer who could go would begin; `against`: why nobody can; `held`: the hold reason."""
    missing = []
    if state == "on_hold":
        missing.append(_hold(held or ""))
    elif state not in ("accepted", "assigned", "confirmed"):
        missing.append(
            Reason(
                "state",
                f"An order in state {state} is not dispatched",
                f"{state} 状态的工单不可派工",
                {"state": state},
            )
        )
    if not starts and against is not None:
        missing.append(against)
    return Readiness(not missing, min(starts, default=None), missing)


def _hold(reason: str) -> Reason:
    en, zh = _HOLDS.get(reason, (reason.replace("_", " "), reason))
    return Reason("hold", f"On hold: {en}", f"已挂起：{zh}", {"hold_reason": reason})


_HOLDS: Mapping[str, tuple[str, str]] = {
    "waiting_customer": ("waiting for the customer", "等待客户"),
    "customer_approval": ("waiting for the customer's approval", "等待客户批准"),
    "waiting_parts": ("waiting for parts", "等待配件"),
}
