"""Orders, visits and their sections."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import Field

from api.schemas.common import Row
from api.schemas.documents import Report, Settlement


class OrderRow(Row):
    """An order in a list."""

    id: int
    number: str
    type: str
    state: str
    version: int
    source: str
    priority: int
    title_en: str
    title_zh: str
    opened_at: datetime
    fault_at: datetime
    failure_mode: str | None
    component: str | None
    hold_reason: str | None
    device_uid: str | None
    model: str | None
    site: str
    customer: str
    customer_id: int
    timezone: str
    technician_id: int | None
    technician: str | None
    visit_id: int | None
    visit_state: str | None
    planned_start: datetime | None
    standard_hours: Decimal
    sla_kind: str | None
    sla_due_at: datetime | None
    sla_state: str


class Order(OrderRow):
    """The order itself."""

    device_id: int | None
    site_id: int
    description: str
    description_zh: str
    provider_id: int | None
    cause_code: str | None
    remedy_code: str | None
    note: str
    repeat_of: int | None
    skill: str | None
    needs_signature: bool
    needs_codes: bool
    needs_checklist: bool


class Site(Row):
    """Where it is."""

    id: int
    name: str
    address: str
    latitude: float
    longitude: float
    timezone: str
    contact: str | None
    phone: str | None


class Entitlement(Row):
    """Who pays a line, decided at the fault time."""

    line: str
    payer: str
    covered_pct: Decimal
    rule: str
    reason_en: str
    reason_zh: str
    evidence: dict[str, Any]
    decided_at: datetime


class SlaClock(Row):
    """A promise and how it stands."""

    kind: str
    minutes: int
    started_at: datetime
    due_at: datetime
    stopped_at: datetime | None
    late: bool
    warned: int


class OrderPart(Row):
    """A part of the order."""

    part_id: int
    sku: str
    name_en: str
    name_zh: str
    returns_old: bool
    serialised: bool
    expected: Decimal
    reserved: Decimal
    consumed: Decimal
    old_returned: Decimal
    reserved_at: str | None


class ChecklistItem(Row):
    """A line to tick."""

    position: int
    text_en: str
    text_zh: str
    done: bool


class Visit(Row):
    """One trip of one engineer, with what they need to know of the order and the site."""

    id: int
    order_id: int
    number: str
    order_state: str
    type: str
    priority: int
    title_en: str
    title_zh: str
    device_uid: str | None
    site: str
    address: str
    latitude: float
    longitude: float
    timezone: str
    phone: str | None
    contact: str | None
    customer: str
    technician_id: int
    technician: str
    state: str
    version: int
    travel_start: datetime
    planned_start: datetime
    planned_end: datetime
    travel_minutes: float
    distance_km: float
    planned_by: str
    explanation: dict[str, Any]
    standard_hours: Decimal
    confirmed_at: datetime | None
    traveling_at: datetime | None
    on_site_at: datetime | None
    site_distance_m: float | None
    working_at: datetime | None
    ended_at: datetime | None
    worked_minutes: float
    decline_reason: str | None
    actions: list[str] = Field(description="what you may do with it now")


class Event(Row):
    """A line of the log."""

    id: int
    visit_id: int | None
    at: datetime
    actor: str
    actor_name: str
    action: str
    subject: str
    from_state: str | None
    to_state: str
    reason: str | None
    data: dict[str, Any]


class Driver(Row):
    """A metric that drove a detection."""

    metric: str | None
    name_en: str | None
    name_zh: str | None
    unit: str
    value: float | None
    baseline: float | None
    limit: float | None
    z: float | None
    ts: Any = None


class Signal(Row):
    """A detection that had to do with the order, and what became of it."""

    detection_id: int
    device_uid: str
    ts: datetime
    kind: str
    rule: str
    rule_version: int
    failure_mode: str
    severity: int
    score: float
    drivers: list[Driver]
    codes: list[Any]
    telemetry_from: datetime
    telemetry_to: datetime
    telemetry_hash: str
    outcome: str
    decided_by: str
    decided_at: datetime


class Recovery(Row):
    """Whether the signal of a failure mode came back to normal after the order's repair."""

    failure_mode: str
    failure_en: str | None
    failure_zh: str | None
    state: str = Field(description="watching, recovered, not_recovered, recurred, unknown or superseded")
    repaired_at: datetime
    within_hours: float = Field(description="operating hours within which it must come back")
    run_hours: float | None = Field(description="operating hours from the repair to the verdict")
    decided_at: datetime | None
    figures: dict[str, Any] = Field(
        description="by metric: its names and unit, its mean after the repair and the level it had to reach"
    )
    repeat_id: int | None
    repeat_number: str | None


class OrderDetail(Row):
    """Everything about one order."""

    order: Order
    site: Site
    entitlement: list[Entitlement]
    sla: list[SlaClock]
    parts: list[OrderPart]
    checklist: list[ChecklistItem]
    visits: list[Visit]
    events: list[Event]
    evidence: list[Signal]
    recovery: list[Recovery]
    settlement: Settlement | None
    report: Report | None
    actions: list[str] = Field(description="moves of the order you may make now")


class Duplicate(Row):
    """An open order that may be about the same trouble."""

    id: int
    number: str
    state: str
    title_en: str
    title_zh: str
    because: str


class Opened(OrderDetail):
    """The new order, and what may be its double: proposed, not merged."""

    duplicates: list[Duplicate]


class Candidate(Row):
    """An engineer who could go, or why not."""

    technician_id: int
    name: str
    feasible: bool
    start: datetime | None
    end: datetime | None
    travel_minutes: float | None
    distance_km: float | None
    reasons: list[Any]
