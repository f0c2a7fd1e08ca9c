"""What comes with a change of an order or a visit."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import Field

from api.schemas.common import Shape


class Act(Shape):
    """What comes with a move."""

    reason: str | None = Field(None, max_length=500)
    version: int | None = Field(None, description="the version you saw; an older one is refused with 409")
    latitude: float | None = Field(None, ge=-90, le=90)
    longitude: float | None = Field(None, ge=-180, le=180)
    qr_token: str | None = Field(None, description="check-in by the device's QR code instead of the position")


class Assign(Shape):
    """Whom to send; without `start`, as early as they can."""

    technician_id: int
    start: datetime | None = None


class Consume(Shape):
    """A part used."""

    part_id: int
    quantity: Decimal = Field(gt=0)
    serial: str | None = None


class ReturnOld(Shape):
    """A replaced part handed back."""

    part_id: int
    quantity: Decimal = Field(gt=0)


class Tick(Shape):
    """A checklist item."""

    done: bool


class Codes(Shape):
    """How the repair is filed (ISO 14224)."""

    cause: str
    remedy: str
    note: str = Field("", max_length=4000)


class Signature(Shape):
    """Who signed, and the drawing as SVG path data."""

    signed_by: str = Field(min_length=1, max_length=100)
    signature: str = Field(min_length=2, max_length=200_000)


class NewOrder(Shape):
    """A request by desk, telephone or website."""

    type: str = "repair"
    source: str = Field("desk", pattern="^(desk|website|telephone|wechat)$")
    device_uid: str | None = Field(None, description="null: explicitly no device; then `site_id` is needed")
    site_id: int | None = None
    failure_mode: str | None = None
    priority: int | None = Field(None, ge=1, le=4, description="default: by the failure mode or the kind")
    title: str = Field(min_length=3, max_length=200)
    description: str = Field("", max_length=4000)
    fault_at: datetime | None = Field(None, description="when it began; default: now")
