"""Sparkplug B payloads: bytes ↔ values. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from google.protobuf.message import DecodeError

from ingest.message import Refused, clean
from ingest.payload import MAX_BYTES
from ingest.sparkplug.schema import PayloadMessage


class Type(IntEnum):
    """Data types whose values are numbers, and text; the others (sets, templates, files, arrays) are no readings."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13


_SIGNED = {Type.INT8: 8, Type.INT16: 16, Type.INT32: 32, Type.INT64: 64}
_UNSIGNED = {Type.UINT8: 8, Type.UINT16: 16, Type.UINT32: 32}
_FIELDS = {
    Type.INT64: "long_value", Type.UINT64: "long_value", Type.DATETIME: "long_value", Type.FLOAT: "float_value",
    Type.DOUBLE: "double_value", Type.BOOLEAN: "boolean_value", Type.STRING: "string_value",
}  # fmt: skip
Scalar = int | float | bool | str | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of a payload.

    Attributes:
        name, alias: a birth has both; later one of them is enough.
        ts: ms since the Unix epoch.
        raw: as it is on the wire (integers unsigned); None: null, or no scalar.
        unit: the property `engUnit`.
        historical: recorded earlier, told now: it does not describe the present.
        transient: not meant to be stored.
        null: there is no value, and that is meant.
    """

    name: str | None = None
    alias: int | None = None
    ts: int | None = None
    datatype: int | None = None
    raw: Scalar = None
    unit: str | None = None
    historical: bool = False
    transient: bool = False
    null: bool = False

    def value(self, datatype: int | None) -> Scalar:
        """The value as its type (the metric's own, or that of its birth) means it."""
        kind = self.datatype or datatype
        if isinstance(self.raw, bool) or not isinstance(self.raw, int):
            return self.raw
        if kind in _SIGNED:
            bits = _SIGNED[Type(kind)]
            low = self.raw & (1 << bits) - 1
            return low - (1 << bits) if low >> bits - 1 else low
        return self.raw & (1 << _UNSIGNED[Type(kind)]) - 1 if kind in _UNSIGNED else self.raw


@dataclass(frozen=True, slots=True)
class Payload:
    """One message: `ts` in ms since the Unix epoch, `seq` 0 … 255 (none in NDEATH)."""

    ts: int | None
    seq: int | None
    metrics: tuple[Metric, ...]

    def find(self, name: str) -> Scalar:
        """The value of the metric with that name, or None."""
        return next((m.value(None) for m in self.metrics if m.name == name), None)


def decode(data: bytes) -> Payload:
    """A payload from its bytes.

    Raises:
        Refused: oversized, malformed, bad_sequence.
    """
    if len(data) > MAX_BYTES:
        raise Refused("oversized", f"{len(data)} bytes; at most {MAX_BYTES} are read.")
    try:
        found = PayloadMessage.FromString(data)
        metrics = tuple(_metric(metric) for metric in found.metrics)
    except (DecodeError, UnicodeDecodeError) as error:
        raise Refused("malformed", f"No Sparkplug B payload: {clean(str(error))}.") from None
    seq = found.seq if found.HasField("seq") else None
    if seq is not None and seq > 255:
        raise Refused("bad_sequence", f"seq {seq} is not within 0 … 255.")
    return Payload(found.timestamp if found.HasField("timestamp") else None, seq, metrics)


def _metric(found: Any) -> Metric:
    has = found.HasField
    field = found.WhichOneof("value")
    raw = getattr(found, field) if field is not None else None
    return Metric(
        found.name if has("name") else None,
        found.alias if has("alias") else None,
        found.timestamp if has("timestamp") else None,
        found.datatype if has("datatype") else None,
        f"<{field.removesuffix('_value')}>" if isinstance(raw, bytes) else raw,
        _unit(found.properties) if has("properties") else None,
        found.is_historical, found.is_transient, found.is_null or raw is None,
    )  # fmt: skip


def _unit(properties: Any) -> str | None:
    for key, value in zip(properties.keys, properties.values, strict=False):
        if key == "engUnit" and value.HasField("string_value"):
            return str(value.string_value) or None
    return None


def encode(payload: Payload) -> bytes:
    """The bytes of a payload: what edge nodes in tests and benchmarks send, and our commands."""
    message = PayloadMessage()
    if payload.ts is not None:
        message.timestamp = payload.ts
    if payload.seq is not None:
        message.seq = payload.seq
    for metric in payload.metrics:
        _put(message.metrics.add(), metric)
    return bytes(message.SerializeToString())


def _put(field: Any, metric: Metric) -> None:
    for name, given in (
        ("name", metric.name), ("alias", metric.alias), ("timestamp", metric.ts), ("datatype", metric.datatype),
        ("is_historical", metric.historical or None), ("is_transient", metric.transient or None),
        ("is_null", metric.null or None),
    ):  # fmt: skip
        if given is not None:
            setattr(field, name, given)
    if metric.unit is not None:
        field.properties.keys.append("engUnit")
        field.properties.values.add(type=Type.STRING, string_value=metric.unit)
    if metric.raw is not None and not metric.null:
        setattr(field, _field(metric), metric.raw)


def _field(metric: Metric) -> str:
    if metric.datatype in set(Type):
        return _FIELDS.get(Type(metric.datatype), "int_value")
    kinds: Iterable[tuple[type, str]] = (
        (bool, "boolean_value"), (str, "string_value"), (float, "double_value"), (int, "long_value"),
    )  # fmt: skip
    return next(name for kind, name in kinds if isinstance(metric.raw, kind))


def wire(value: int, datatype: Type) -> int:
    """A signed integer as the wire has it."""
    return value & (1 << _SIGNED[datatype]) - 1 if datatype in _SIGNED else value
