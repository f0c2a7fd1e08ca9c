"""How a simulated engineer carries out one step of a visit, whoever moves his hands. Pure orchestration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from simulators import staff_rules
from simulators.staff_rules import Step


@dataclass(frozen=True)
class PartNeed:
    """A part of the order: how many are expected, were used, and how many old ones were handed back."""

    part_id: int
    expected: Decimal
    consumed: Decimal
    old_returned: Decimal
    returns_old: bool


@dataclass(frozen=True)
class Assignment:
    """The order behind a visit, as the engineer needs it."""

    order_id: int
    visit_id: int
    component: str | None
    site: tuple[float, float]
    parts: Sequence[PartNeed]
    open_items: Sequence[int]  # positions of the checklist that are not ticked
    really_failing: bool


class Hands(Protocol):
    """What an engineer can do; each call is one request or one transaction."""

    def move(self, step: Step, position: tuple[float, float] | None) -> None:
        """Move the visit."""

    def consume(self, part_id: int, quantity: Decimal, at: datetime) -> None:
        """Use a part."""

    def return_old(self, part_id: int, quantity: Decimal, at: datetime) -> None:
        """Hand the replaced part back."""

    def tick(self, item: int, at: datetime) -> None:
        """Tick an item of the checklist."""

    def file_codes(self, cause: str, remedy: str, note: str, at: datetime) -> None:
        """Say what it was and what was done."""

    def sign(self, name: str, signature: str, at: datetime) -> None:
        """Write the report and have the customer sign it."""


def carry_out(step: Step, job: Assignment, hands: Hands, seed: int) -> None:
    """Do the step, with everything that belongs to it; may be called again after it broke off halfway."""
    if step.action == "finish":
        _paperwork(job, hands, seed, step.at)
    where = staff_rules.position(job.site, seed, job.visit_id) if step.action == "check_in" else None
    hands.move(step, where)


def _paperwork(job: Assignment, hands: Hands, seed: int, at: datetime) -> None:
    if job.really_failing:
        for part in job.parts:
            if (left := part.expected - part.consumed) > 0:
                hands.consume(part.part_id, left, at)
    used = [part for part in job.parts if part.consumed > 0 or (job.really_failing and part.expected > 0)]
    for part in used:
        quantity = max(part.consumed, part.expected if job.really_failing else Decimal(0))
        if part.returns_old and (owed := quantity - part.old_returned) > 0:
            hands.return_old(part.part_id, owed, at)
    for item in job.open_items:
        hands.tick(item, at)
    cause, remedy = staff_rules.codes(job.component, really_failing=job.really_failing, parts_used=bool(used))
    hands.file_codes(cause, remedy, "", at)
    hands.sign("Duty engineer 值班工程师", staff_rules.signature(seed, job.visit_id), at)
