"""Devices and what they say."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from api.schemas.common import Row, Shape


class DeviceRow(Row):
    """A device in a list."""

    id: int
    uid: str
    model: str
    model_en: str
    model_zh: str
    kind: str
    status: str
    serial: str | None
    site: str | None
    customer: str | None
    online: bool
    online_at: datetime | None
    last_ts: datetime | None
    messages: int
    run_hours: float | None
    health: str = Field(description="good, watch or bad, by what the models hold raised now")
    alarm_modes: list[str] | None
    order_id: int | None
    order_number: str | None
    order_state: str | None


class Metric(Row):
    """What a model may say."""

    name: str
    name_en: str
    name_zh: str
    unit: str
    low: float
    high: float
    role: str


class Fault(Row):
    """A fault code raised or cleared."""

    ts: datetime
    code: str
    active: bool
    severity: int | None
    text_en: str | None
    text_zh: str | None


class Detection(Row):
    """What a model found."""

    id: int
    ts: datetime
    kind: str
    rule: str
    failure_mode: str
    severity: int
    score: float
    evidence: dict[str, Any]
    outcome: str | None
    order_id: int | None


class InstalledPart(Row):
    """A part with its own warranty."""

    component: str
    sku: str
    name_en: str
    name_zh: str
    serial: str | None
    installed_at: datetime
    warranty_until: datetime


class RunHoursDay(Row):
    """Hours run on a UTC day."""

    day: date
    hours: float


class RemainingLife(Row):
    """What is left of a component's life, in operating hours; in days at the device's usage of the last two weeks."""

    component: str
    state: str = Field(
        description="known, wide (from nothing to the furthest that is told: nothing follows), young (nothing said "
        "yet), not_learned (the last try gave no model), or, never tried: "
        "waiting (for its turn), held (a past is being brought in), too_few (failures)"
    )
    ts: datetime | None = Field(description="event time at which it was known")
    low: float | None = Field(description="10 % quantile")
    median: float | None
    high: float | None = Field(description="90 % quantile")
    most: float | None = Field(description="nothing further away is told")
    or_more: bool | None
    low_days: float | None
    median_days: float | None
    high_days: float | None
    version_id: int | None
    data_from: datetime | None = Field(description="the model was learned from what was known in this window")
    data_to: datetime | None
    scores: dict[str, Any] | None = Field(
        description="of its trial on later lives: pinball loss, coverage, …"
    )
    verdict: str | None = Field(description="what came of learning it the last time …")
    reason: dict[str, Any] | None = Field(description="… as a code with its values")
    tried_at: datetime | None
    failures: int | None = Field(
        description="without a model: known failures of the device type's component that failed most …"
    )
    enough: int | None = Field(description="… and from how many on learning begins")
    learn_at: datetime | None = Field(description="without a model: when the next learning is due")


class Device(DeviceRow):
    """One device."""

    installed_on: date | None
    warranty_until: date | None
    warranty_hours: float | None
    criticality: int | None
    provisioned_at: datetime
    run_hours_at: datetime | None
    metrics: list[Metric]
    faults: list[Fault]
    detections: list[Detection]
    installed_parts: list[InstalledPart]
    run_hours_days: list[RunHoursDay]
    remaining_life: list[RemainingLife]


class Point(Row):
    """A reading, or an hour of them."""

    ts: datetime
    value: float
    low: float
    high: float
    n: int


class Series(Row):
    """Readings of a metric, oldest first."""

    metric: str
    unit: str
    level: Literal["raw", "hour"]
    points: list[Point]


class Provision(Shape):
    """A device to let in."""

    uid: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$")
    model: str


class ProvisionCsv(Shape):
    """Devices to let in."""

    csv: str = Field(max_length=5_000_000, description="the file's text; its first line names uid and model")


class Credentials(Row):
    """What the device shows at the door; the token is shown once."""

    device_id: int
    uid: str
    token: str


class DeadLetter(Row):
    """A message that could not be used."""

    id: int
    door: str
    topic: str
    client_id: str | None
    device_uid: str | None
    size: int
    reason: str
    reason_en: str
    reason_zh: str
    detail: str
    detail_zh: str
    received_at: datetime
    replayed_at: datetime | None
    payload: str = Field(description="the first 2,000 bytes, as text")


class Quarantined(Row):
    """A value that was refused."""

    id: int
    device_uid: str
    ts: datetime
    item: str
    item_en: str | None = Field(description="the metric's name, where it is one")
    item_zh: str | None
    value: str | None
    reason: str
    reason_en: str
    reason_zh: str
    detail: str
    detail_zh: str
    received_at: datetime


class UnknownDevice(Row):
    """A uid that knocked without being provisioned."""

    uid: str
    door: str
    first_seen: datetime
    last_seen: datetime
    messages: int
    last_topic: str | None


class Chosen(Shape):
    """Dead letters by id or by reason."""

    ids: list[int] = Field(default_factory=list)
    reason: str | None = None
    after: int = Field(
        0, ge=0, description="replay: only letters with a greater id, the `last` of the call before"
    )
