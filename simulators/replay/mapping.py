"""How the columns of a CSV file become messages: the map.toml of `meantime replay csv`. Pure.

[time]
column = "time"
format = "%Y-%m-%d %H:%M:%S"    # or "iso", "epoch_s", "epoch_ms"
zone = "Asia/Shanghai"          # of times that say none; default UTC

[device]
column = "machine"              # or uid = "PUMP-7" for all rows
prefix = "F2-"                  # put before what the column says; default nothing
model = "pump-p100"             # its device type must be loaded

[metric.vibration]              # by the name in the device type
column = "vib in/s"
unit = "in/s"                   # default: that of the metric
scale = 1.0                     # value · scale + offset, before the unit is converted
offset = 0.0

[fault]                         # optional: a code that stands in a column while it is active
column = "alarm"
none = ["", "0"]                # what the column says when there is none

[csv]                           # optional
delimiter = ";"
decimal = ","
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ingest import units
from kit.errors import Invalid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECTIONS = {"time", "device", "metric", "fault", "csv"}


@dataclass(frozen=True)
class Column:
    """One metric's column: value · factor + offset is in the metric's unit."""

    metric: str
    column: str
    factor: float
    offset: float


@dataclass(frozen=True)
class Mapped:
    """What one line says; `code` None: the file has no fault column, "": no fault is active."""

    uid: str
    at: datetime
    values: dict[str, float]
    code: str | None


@dataclass(frozen=True)
class Map:
    """A checked map."""

    time_column: str
    time_format: str
    zone: tzinfo
    model: str
    metrics: tuple[Column, ...]
    device_column: str | None = None
    uid: str | None = None
    prefix: str = ""
    fault_column: str | None = None
    no_fault: frozenset[str] = field(default_factory=frozenset)
    delimiter: str = ","
    decimal: str = "."

    @property
    def columns(self) -> set[str]:
        """The columns that the file must have."""
        named = {
            self.time_column,
            *(one.column for one in self.metrics),
            self.device_column,
            self.fault_column,
        }
        return {name for name in named if name is not None}

    def line(self, row: Mapping[str, str | None], number: int) -> Mapped:
        """What a line says. Empty and non-numeric fields say nothing.

        Raises:
            Invalid: its time or its device cannot be read; the message names the line.
        """
        values = {}
        for one in self.metrics:
            value = self._number(row.get(one.column))
            if value is not None:
                values[one.metric] = value * one.factor + one.offset
        code = None
        if self.fault_column is not None:
            code = (row.get(self.fault_column) or "").strip()
            code = "" if code in self.no_fault else code
        return Mapped(self._device(row, number), self._time(row, number), values, code)

    def _number(self, text: str | None) -> float | None:
        try:
            value = float((text or "").strip().replace(self.decimal, "."))
        except ValueError:
            return None
        return value if value - value == 0 else None

    def _device(self, row: Mapping[str, str | None], number: int) -> str:
        if self.device_column is None:
            assert self.uid is not None
            return self.uid
        name = (row.get(self.device_column) or "").strip()
        if not name:
            raise Invalid(f"Line {number}: column {self.device_column!r} is empty; it names the device.")
        return self.prefix + name

    def _time(self, row: Mapping[str, str | None], number: int) -> datetime:
        text = (row.get(self.time_column) or "").strip()
        try:
            at = self._parse(text)
        except (ValueError, OverflowError) as error:
            raise Invalid(
                f"Line {number}: {text!r} in column {self.time_column!r} is no time of format {self.time_format!r}."
            ) from error
        return (at if at.tzinfo is not None else at.replace(tzinfo=self.zone)).astimezone(UTC)

    def _parse(self, text: str) -> datetime:
        match self.time_format:
            case "iso":
                return datetime.fromisoformat(text)
            case "epoch_s":
                return _EPOCH + timedelta(seconds=float(text))
            case "epoch_ms":
                return _EPOCH + timedelta(milliseconds=float(text))
            case pattern:
                return datetime.strptime(text, pattern)  # noqa: DTZ007 - the zone is the map's


def parse(text: str, metric_units: Mapping[str, Mapping[str, str]]) -> Map:
    """Read and check a map.

    Args:
        metric_units: model -> metric -> unit, of the loaded device types.

    Raises:
        Invalid: what is wrong, and what would be right.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"The map is no TOML: {error}") from error
    if unknown := sorted(set(data) - _SECTIONS):
        raise Invalid(f"The map has a section [{unknown[0]}]; known are {', '.join(sorted(_SECTIONS))}.")
    device, time, fault, layout = (data.get(name, {}) for name in ("device", "time", "fault", "csv"))
    model = _need(device, "model", "[device]")
    if model not in metric_units:
        known = ", ".join(sorted(metric_units)) or "none yet"
        raise Invalid(f"[device] model {model!r} is not loaded. Known: {known}.")
    if ("column" in device) == ("uid" in device):
        raise Invalid('[device] needs either column = "…" or uid = "…".')
    if not data.get("metric") and not fault:
        raise Invalid("The map has neither a [metric.…] nor a [fault] section: nothing would be sent.")
    return Map(
        time_column=_need(time, "column", "[time]"),
        time_format=time.get("format", "iso"),
        zone=_zone(time.get("zone", "UTC")),
        model=model,
        metrics=tuple(
            _column(name, one, metric_units[model], model) for name, one in data.get("metric", {}).items()
        ),
        device_column=device.get("column"),
        uid=device.get("uid"),
        prefix=device.get("prefix", ""),
        fault_column=_need(fault, "column", "[fault]") if fault else None,
        no_fault=frozenset(str(one) for one in fault.get("none", ("",))) | {""},
        delimiter=layout.get("delimiter", ","),
        decimal=layout.get("decimal", "."),
    )


def _column(name: str, one: Any, known: Mapping[str, str], model: str) -> Column:
    where = f"[metric.{name}]"
    if name not in known:
        raise Invalid(f"{where}: {model} has no such metric. It has {', '.join(sorted(known))}.")
    factor, offset = units.conversion(one.get("unit", known[name]), known[name])
    scale, shift = float(one.get("scale", 1.0)), float(one.get("offset", 0.0))
    return Column(name, _need(one, "column", where), scale * factor, shift * factor + offset)


def _need(table: Mapping[str, Any], key: str, where: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise Invalid(f'{where} needs {key} = "…".')
    return value


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise Invalid(f"[time] zone {name!r} is no IANA time zone, such as Asia/Shanghai.") from error
