"""Any other JSON: a TOML file tells which topics carry which readings, where in the JSON, and in which units. Pure.

[[mapping]]
topic = "plant/{line}/{unit}/data"     # {name} stands for one level of the topic
uid = "{line}-{unit}"                  # the device; default "{uid}"
items = "batch[*]"                     # optional: one row per element of this array
ts = "meta.time"                       # optional; default: when it arrived
ts_unit = "s"                          # iso (default), s, ms, us
seq = "n"                              # optional

[[mapping.value]]
metric = "vibration"
path = "sensors[0].rms"
unit = "in/s"                          # optional; converted to the unit of the device type
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest import units
from ingest.message import Item, Refused, Row, Spoilt
from ingest.payload import document, micros, sequence, sort_values
from ingest.topics import Target
from kit.errors import Invalid

_SCALE = {"s": 1_000_000, "ms": 1_000, "us": 1}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_MISSING = object()
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class Value:
    """Where a metric is found, relative to the item; `unit` None: the one of the device type."""

    metric: str
    path: Path_
    unit: str | None


@dataclass(frozen=True)
class Mapping:
    """One entry of the file, ready to use: it is a `topics.Format`. `filter`: what to subscribe to at a broker."""

    topic: re.Pattern[str]
    filter: str
    uid: str
    values: tuple[Value, ...]
    items: Path_ | None
    ts: Path_ | None
    ts_unit: str
    seq: Path_ | None

    def target(self, topic: str, login: str | None) -> Target | None:
        """The device that the topic names, or None when it is not of this mapping."""
        found = self.topic.fullmatch(topic)
        return None if found is None else Target(self.uid.format(**found.groupdict()), self.rows)

    def rows(self, payload: bytes) -> list[Item]:
        """The codec of this mapping."""
        found = document(payload)
        if self.items is None:
            return [self._row(found)]
        many = reach(found, self.items)
        if not isinstance(many, list) or not many:
            raise Refused("bad_fields", "The mapping's items are no array, or an empty one.")
        return [self._item(number, item, len(many)) for number, item in enumerate(many, 1)]

    def _item(self, number: int, item: Any, of: int) -> Item:
        try:
            return self._row(item)
        except Refused as error:
            return Spoilt(json.dumps(item).encode(), error.reason, f"Item {number} of {of}: {error.detail}")

    def _row(self, item: Any) -> Row:
        found = {value.metric: reach(item, value.path) for value in self.values}
        values = {metric: value for metric, value in found.items() if value is not _MISSING}
        if not values:
            raise Refused("bad_fields", "None of the mapping's paths is in the message.")
        good, bad = sort_values(values)
        known = {
            value.metric: value.unit
            for value in self.values
            if value.unit is not None and value.metric in good
        }
        seq = None if self.seq is None else _given(reach(item, self.seq))
        return Row(self._time(item), sequence(seq), good, bad, known)

    def _time(self, item: Any) -> int | None:
        given = None if self.ts is None else _given(reach(item, self.ts))
        if given is None or self.ts_unit == "iso":
            return None if given is None else micros(given)
        if isinstance(given, bool) or not isinstance(given, int | float) or abs(given) > 1e18:
            raise Refused("bad_time", f"The time must be a number of {self.ts_unit}.")
        return round(given * _SCALE[self.ts_unit])


def load(path: Path) -> list[Mapping]:
    """Read a mapping file.

    Raises:
        Invalid: it cannot be used; the message names the entry and what would be right.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Invalid(f"The mapping file {path} cannot be read: {error}") from error
    return parse(data)


def parse(data: dict[str, Any]) -> list[Mapping]:
    """The mappings of a TOML dictionary. Raises as `load`."""
    return [_mapping(f"mapping {number}", entry) for number, entry in enumerate(data.get("mapping", []), 1)]


def _mapping(where: str, entry: dict[str, Any]) -> Mapping:
    allowed = {"topic", "uid", "items", "ts", "ts_unit", "seq", "value"}
    if odd := sorted(entry.keys() - allowed):
        raise Invalid(f"{where}: {odd[0]!r} is none of {', '.join(sorted(allowed))}.")
    topic, uid, ts_unit = entry.get("topic"), entry.get("uid", "{uid}"), entry.get("ts_unit", "iso")
    if not isinstance(topic, str) or not topic:
        raise Invalid(f"{where}: topic must be a text such as plant/{{line}}/{{uid}}/data.")
    pattern = _pattern(where, topic)
    if missing := set(re.findall(r"\{(\w+)\}", uid)) - pattern.groupindex.keys():
        raise Invalid(f"{where}: uid names {{{min(missing)}}}, which is not in the topic {topic}.")
    if ts_unit not in ("iso", *_SCALE):
        raise Invalid(f"{where}: ts_unit {ts_unit!r} is none of iso, {', '.join(_SCALE)}.")
    values = tuple(_value(f"{where}, value {n}", value) for n, value in enumerate(entry.get("value", []), 1))
    if not values:
        raise Invalid(f"{where} has no [[mapping.value]].")
    items = entry.get("items")
    if items is not None and not items.endswith("[*]"):
        raise Invalid(f"{where}: items {items!r} must end in [*].")
    return Mapping(
        pattern, re.sub(r"\{\w+\}", "+", topic), uid, values,
        _optional(where, items and items.removesuffix("[*]"), empty=True),
        _optional(where, entry.get("ts")), ts_unit, _optional(where, entry.get("seq")),
    )  # fmt: skip


def _pattern(where: str, topic: str) -> re.Pattern[str]:
    levels = []
    for level in topic.split("/"):
        name = re.fullmatch(r"\{([a-z_]\w*)\}", level)
        if name is None and ("{" in level or "}" in level):
            raise Invalid(f"{where}: a {{name}} must be a whole level of the topic, not {level!r}.")
        levels.append(f"(?P<{name[1]}>[^/]+)" if name else re.escape(level))
    try:
        return re.compile("/".join(levels))
    except re.error as error:
        raise Invalid(f"{where}: topic {topic}: {error}.") from error


def _value(where: str, entry: dict[str, Any]) -> Value:
    metric, path, unit = entry.get("metric"), entry.get("path"), entry.get("unit")
    if not isinstance(metric, str) or not isinstance(path, str):
        raise Invalid(f"{where}: metric and path must be texts.")
    if unit is not None:
        units.check(where, unit)
    return Value(metric, path_of(where, path), unit)


def _optional(where: str, path: str | None, *, empty: bool = False) -> Path_ | None:
    if path is None:
        return None
    return () if empty and not path else path_of(where, path)


def path_of(where: str, path: str) -> Path_:
    """`sensors[0].rms` as steps.

    Raises:
        Invalid: it is not such a path.
    """
    bare = path.removeprefix("$").removeprefix(".")
    steps = [name or int(index) for name, index in _STEP.findall(bare)]
    written = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    if not steps or written.removeprefix(".") != bare:
        raise Invalid(f"{where}: path {path!r} is not like sensors[0].rms.")
    return tuple(steps)


def reach(found: Any, path: Path_) -> Any:
    """The value at a path, or `_MISSING`."""
    for step in path:
        if isinstance(step, str):
            found = found.get(step, _MISSING) if isinstance(found, dict) else _MISSING
        else:
            found = found[step] if isinstance(found, list) and step < len(found) else _MISSING
    return found


def _given(value: Any) -> Any:
    return None if value is _MISSING else value
