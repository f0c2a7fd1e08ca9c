"""What arrives at a door, and what the codecs make of it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import NamedTuple


class Arrival(NamedTuple):
    """One MQTT message as a door hands it over. A tuple, because a door makes one per message and nothing is cheaper.

    Attributes:
        uid: the device that logged in at the door; None behind a broker: then the topic tells.
        received_at: aware, by the product's clock (`kit.clock`); the time of readings that bring none.
    """

    topic: str
    payload: bytes
    uid: str | None
    client_id: str | None
    received_at: datetime


arrival_of: Callable[[tuple[str, bytes, str | None, str | None, datetime]], Arrival] = partial(
    tuple.__new__, Arrival
)
"""An arrival from the tuple of its fields, without a look at them."""


@dataclass(slots=True)
class Bad:
    """A single value that cannot be used; `reason` is a code of `ingest.reasons`."""

    item: str
    value: str
    reason: str
    detail: str


@dataclass(slots=True)
class Row:
    """Readings of one moment.

    Attributes:
        ts: µs since the Unix epoch; None: when it arrived.
        seq: the device's own number; None: a checksum of the values is made.
        bad: values that cannot be used.
        units: of those values that do not come in the unit of the device type.
        alone: makes a message of its topic that has this row alone, where that is not our JSON.
    """

    ts: int | None
    seq: int | None
    values: dict[str, float]
    bad: list[Bad] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    alone: Callable[[], bytes] | None = field(default=None, repr=False, compare=False)


@dataclass(slots=True)
class Fault:
    """A fault code raised (active) or cleared."""

    ts: int | None
    code: str
    active: bool


@dataclass(slots=True)
class State:
    """The device came online or went."""

    ts: int | None
    online: bool
    reason: str


@dataclass(slots=True)
class Spoilt:
    """An item of a batch that cannot be used while its neighbours can; `payload` is that item alone, as JSON."""

    payload: bytes
    reason: str
    detail: str


Item = Row | Fault | State | Spoilt
Codec = Callable[[bytes], list[Item]]


class Refused(Exception):
    """A whole message cannot be used.

    Args:
        reason: a code of `ingest.reasons`.
        detail: what was wrong, where, and what would be right.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(f"{reason}: {detail}")


def clean(text: str, limit: int = 200) -> str:
    """Text that PostgreSQL can hold, whatever a device sent: no NUL, no lone surrogate, not endless."""
    safe = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"
