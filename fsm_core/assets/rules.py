"""Who pays for what: the entitlement of an order, line by line. Pure.

The first that covers a line decides: repair warranty (a repeat of a repair that did not hold) → part warranty →
device → parent device → contract → billable. Misuse excludes all of them. Everything is judged at the time of the
fault, not of the repair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

LINES: Final = ("labour", "travel", "parts")
FULL = Decimal(100)


@dataclass(frozen=True)
class PartWarranty:
    """The warranty of a part that was installed by an earlier repair; it covers parts, not labour or travel."""

    sku: str
    component: str
    until: datetime


@dataclass(frozen=True)
class DeviceWarranty:
    """The warranty of a device, to a date or a life in run-hours, whichever ends first.

    Attributes:
        until: the last day, local; None: no warranty.
        hours: limit of the life in hours; None: none.
        life: hours it had run at the fault; None: not known, then only the date decides.
    """

    uid: str
    until: date | None
    hours: float | None = None
    life: float | None = None

    def covers(self, day: date) -> bool:
        """Whether a fault on that local day is covered."""
        within_hours = self.hours is None or self.life is None or self.life <= self.hours
        return self.until is not None and day <= self.until and within_hours


@dataclass(frozen=True)
class RepairWarranty:
    """The repair that did not hold: whoever did it bears the repeat, not the customer.

    Attributes:
        order: its number; provider: who had done it (code), None: own staff.
    """

    order: str
    provider: str | None = None


@dataclass(frozen=True)
class Contract:
    """What a contract covers, in percent of each line."""

    number: str
    percent: Mapping[str, Decimal]


@dataclass(frozen=True)
class Facts:
    """What is known when the order is accepted.

    Attributes:
        fault_day: local date of the fault at the site.
        part: the warranty of the part that failed, if it was replaced before.
        misuse: the cause code that excludes everything, if one was filed.
        repair: of a repeat repair, the one it repeats.
    """

    fault_at: datetime
    fault_day: date
    part: PartWarranty | None = None
    device: DeviceWarranty | None = None
    parent: DeviceWarranty | None = None
    contract: Contract | None = None
    misuse: str | None = None
    repair: RepairWarranty | None = None


@dataclass(frozen=True)
class Coverage:
    """The decision for one line: payer of the covered percent, the rule, and why, in both languages."""

    line: str
    payer: str
    covered_pct: Decimal
    rule: str
    reason_en: str
    reason_zh: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


def decide(facts: Facts) -> list[Coverage]:
    """One decision per line of `LINES`."""
    return [next(_offers(line, facts)) for line in LINES]


def _offers(line: str, facts: Facts) -> Iterator[Coverage]:
    """What covers a line, best first; the last never fails."""
    if facts.misuse is not None:
        yield _billable(line, "misuse", f"Cause {facts.misuse}: misuse is not covered",
                        f"原因 {facts.misuse}：误用不在保障范围内", {"cause": facts.misuse})  # fmt: skip
    if facts.repair is not None:
        yield _repair(line, facts.repair)
    if line == "parts" and facts.part is not None and facts.fault_at <= facts.part.until:
        yield _part(facts.part)
    for rule, warranty in (("device_warranty", facts.device), ("parent_warranty", facts.parent)):
        if warranty is not None and warranty.covers(facts.fault_day):
            yield _device(line, rule, warranty, facts.fault_day)
    if facts.contract is not None and facts.contract.percent[line] > 0:
        yield _contract(line, facts.contract)
    yield _billable(line, "billable", *_why_not(facts), {"fault_day": facts.fault_day.isoformat()})


def _repair(line: str, repair: RepairWarranty) -> Coverage:
    by_en, by_zh = (f" by {repair.provider}", f"（{repair.provider}）") if repair.provider else ("", "")
    return Coverage(
        line, "warranty", FULL, "repair_warranty", f"The repair {repair.order}{by_en} did not hold",
        f"维修 {repair.order}{by_zh} 未能解决故障，免费返修", {"order": repair.order, "provider": repair.provider},
    )  # fmt: skip


def _part(part: PartWarranty) -> Coverage:
    day = part.until.date().isoformat()
    return Coverage(
        "parts", "warranty", FULL, "part_warranty", f"Part {part.sku} is under warranty until {day}",
        f"配件 {part.sku} 保修至 {day}",
        {"sku": part.sku, "component": part.component, "until": part.until.isoformat()},
    )  # fmt: skip


def _device(line: str, rule: str, warranty: DeviceWarranty, day: date) -> Coverage:
    evidence = {
        "uid": warranty.uid, "until": str(warranty.until), "fault_day": day.isoformat(), "hours": warranty.hours,
        "life": warranty.life,
    }  # fmt: skip
    hours_en = "" if warranty.hours is None else f" and {warranty.hours:.0f} h"
    hours_zh = "" if warranty.hours is None else f" 且 {warranty.hours:.0f} 小时内"
    which_en, which_zh = ("Parent device", "上级设备") if rule == "parent_warranty" else ("Device", "设备")
    return Coverage(
        line, "warranty", FULL, rule,
        f"{which_en} {warranty.uid} is under warranty until {warranty.until}{hours_en}",
        f"{which_zh} {warranty.uid} 保修至 {warranty.until}{hours_zh}", evidence,
    )  # fmt: skip


def _contract(line: str, contract: Contract) -> Coverage:
    percent = contract.percent[line]
    return Coverage(
        line, "contract", percent, "contract", f"Contract {contract.number} covers {percent.normalize():f} %",
        f"合同 {contract.number} 承担 {percent.normalize():f}%", {"contract": contract.number},
    )  # fmt: skip


def _billable(line: str, rule: str, en: str, zh: str, evidence: Mapping[str, Any]) -> Coverage:
    return Coverage(line, "customer", Decimal(0), rule, en, zh, evidence)


def _why_not(facts: Facts) -> tuple[str, str]:
    device = facts.device
    if device is None or device.until is None:
        return "No warranty and no contract covers it", "无保修，也无合同承担"
    if facts.fault_day > device.until:
        return f"The warranty ended on {device.until}", f"保修已于 {device.until} 到期"
    return (
        f"{device.life:.0f} h run exceed the warranty's {device.hours:.0f} h",
        f"已运行 {device.life:.0f} 小时，超过保修的 {device.hours:.0f} 小时",
    )


def renewed_until(installed_at: datetime, days: int, replaced: Sequence[datetime]) -> datetime:
    """How long a new part is under warranty: the longer of N days and what was left of the one it replaces."""
    return max([installed_at + timedelta(days=days), *replaced])
