"""Any other JSON: a TOML file tells which topics carry which readings, where in the JSON, and in which units. Pure.

[[mapping]]
topic = "plant/{line}/{unit}/data"     # {name} stands for one level of the topic
uid = "{line}-{unit}"                  # the device; default "{uid}"
items = "batch[*].samples[*]"          # optional: one row per element of these arrays
ts = "meta.time"                       # optional; default: when it arrived
ts_unit = "s"                          # iso (default), s, ms, us, ns
seq = "$.n"                            # optional

[[mapping.value]]
metric = "vibration"
path = "sensors[0].rms"                # from the item on; from the message on when it begins with $
unit = "in/s"                          # optional; converted to the unit of the device type

A text that is a number counts as one, in values and times; true and false are 1 and 0; null says nothing.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ingest import units
from ingest.message import Item, Refused, Row, Spoilt
from ingest.payload import document, micros, number, sequence, sort_values
from ingest.topics import Target
from kit.errors import Invalid

_SCALE = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_MISSING = object()
_ROOT = "$"
_EACH = "[*]"
MAX_ITEMS = 100_000
Steps = tuple[str | int, ...]


class Where(NamedTuple):
    """A path; `root`: from the message on, not from the item."""

    steps: Steps
    root: bool = False

    def of(self, message: Any, item: Any) -> Any:
        """What is there, or `_MISSING`."""
        return reach(message if self.root else item, self.steps)


@dataclass(frozen=True)
class Value:
    """Where a metric is found; `unit` None: the one of the device type."""

    metric: str
    path: Where
    unit: str | None


@dataclass(frozen=True)
class Mapping:
    """One entry of the file, ready to use: it is a `topics.Format`. `filter`: what to subscribe to at a broker;
    `items`: the way from one array to the next."""

    topic: re.Pattern[str]
    filter: str
    uid: str
    values: tuple[Value, ...]
    items: tuple[Steps, ...] | None
    ts: Where | None
    ts_unit: str
    seq: Where | None

    def target(self, topic: str, login: str | None) -> Target | None:
        """The device that the topic names, or None when it is not of this mapping."""
        found = self.topic.fullmatch(topic)
        return None if found is None else Target(self.uid.format(**found.groupdict()), self.rows)

    def rows(self, payload: bytes) -> list[Item]:
        """The codec of this mapping."""
        message = document(payload)
        if self.items is None:
            return [self._row(message, message)]
        many = [item for _, item in zip(range(MAX_ITEMS + 1), _each(message, self.items), strict=False)]
        if not many:
            raise Refused("bad_fields", "The mapping's items are no array, or an empty one.")
        if len(many) > MAX_ITEMS:
            raise Refused("oversized", f"More than {MAX_ITEMS} items.")
        return [self._item(n, message, item, len(many)) for n, item in enumerate(many, 1)]

    def _item(self, number: int, message: Any, item: Any, of: int) -> Item:
        alone = partial(self._alone, message, item)
        try:
            row = self._row(message, item)
        except Refused as error:
            return Spoilt(alone(), error.reason, f"Item {number} of {of}: {error.detail}")
        row.alone = alone
        return row

    def _alone(self, message: Any, item: Any) -> bytes:
        """A message of this mapping with that item alone, and what else the mapping reads."""
        found: Any = item
        for steps in reversed(self.items or ()):
            found = _planted(None, steps, [found])
        wanted = (self.ts, self.seq, *(value.path for value in self.values))
        for path in wanted:
            if path is not None and path.root and isinstance(found, dict):
                there = reach(message, path.steps)
                found = found if there is _MISSING else _planted(found, path.steps, there)
        return json.dumps(found).encode()

    def _row(self, message: Any, item: Any) -> Row:
        found = {value.metric: value.path.of(message, item) for value in self.values}
        values = {name: value for name, value in found.items() if value is not _MISSING and value is not None}
        if not values:
            raise Refused("bad_fields", "None of the mapping's paths is in the message.")
        good, bad = sort_values(values, loose=True)
        known = {
            value.metric: value.unit
            for value in self.values
            if value.unit is not None and value.metric in good
        }
        seq = None if self.seq is None else _given(self.seq.of(message, item))
        return Row(self._time(message, item), sequence(seq), good, bad, known)

    def _time(self, message: Any, item: Any) -> int | None:
        given = None if self.ts is None else _given(self.ts.of(message, item))
        if given is None or self.ts_unit == "iso":
            return None if given is None else micros(given)
        if isinstance(given, str) and given.strip().isascii() and given.strip().isdigit():
            found: Any = int(given) if len(given) <= 20 else None  # whole: ns since 1970 are no float
        else:
            found = given if isinstance(given, bool) else number(given)
        if isinstance(found, bool) or not isinstance(found, int | float) or not abs(found) < 1e20:
            raise Refused("bad_time", f"The time must be a number of {self.ts_unit}.")
        scale = _SCALE[self.ts_unit]
        return found * scale // 1000 if isinstance(found, int) else round(found * (scale / 1000))


def _each(found: Any, arrays: tuple[Steps, ...]) -> Iterator[Any]:
    """The elements of arrays within arrays; whoever is no array has none."""
    inner = reach(found, arrays[0])
    for element in inner if isinstance(inner, list) else ():
        if len(arrays) == 1:
            yield element
        else:
            yield from _each(element, arrays[1:])


def _planted(tree: Any, steps: Steps, value: Any) -> Any:
    """The tree with a value at that path, what is there besides kept as far as it is of the same kind."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, str):
        known = tree if isinstance(tree, dict) else {}
        return known | {step: _planted(known.get(step), tuple(rest), value)}
    row = list(tree) if isinstance(tree, list) else []
    row += [None] * (step + 1 - len(row))
    row[step] = _planted(row[step], tuple(rest), value)
    return row


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
    entries = data.get("mapping", [])
    if not isinstance(entries, list) or data.keys() - {"mapping"}:
        raise Invalid(f"A mapping file has [[mapping]] tables and nothing else, not {sorted(data)}.")
    return [_mapping(f"mapping {number}", entry) for number, entry in enumerate(entries, 1)]


def _mapping(where: str, entry: Any) -> Mapping:
    _only(where, entry, "topic", "uid", "items", "ts", "ts_unit", "seq", "value")
    topic, uid, ts_unit = entry.get("topic"), entry.get("uid", "{uid}"), entry.get("ts_unit", "iso")
    if not isinstance(topic, str) or not topic:
        raise Invalid(f"{where}: topic must be a text such as plant/{{line}}/{{uid}}/data.")
    pattern = _pattern(where, topic)
    _uid(where, uid, topic, pattern)
    if ts_unit not in ("iso", *_SCALE):
        raise Invalid(f"{where}: ts_unit {ts_unit!r} is none of iso, {', '.join(_SCALE)}.")
    values = tuple(_value(f"{where}, value {n}", value) for n, value in enumerate(entry.get("value", []), 1))
    if not values:
        raise Invalid(f"{where} has no [[mapping.value]].")
    names = [value.metric for value in values]
    if double := [name for name in names if names.count(name) > 1]:
        raise Invalid(f"{where}: metric {double[0]!r} appears twice.")
    return Mapping(
        pattern, re.sub(r"\{\w+\}", "+", topic), uid, values, _items(where, entry.get("items")),
        _optional(where, entry.get("ts")), ts_unit, _optional(where, entry.get("seq")),
    )  # fmt: skip


def _only(where: str, entry: Any, *allowed: str) -> None:
    if not isinstance(entry, dict):
        raise Invalid(f"{where} is no table.")
    if odd := sorted(entry.keys() - set(allowed)):
        raise Invalid(f"{where}: {odd[0]!r} is none of {', '.join(sorted(allowed))}.")


def _uid(where: str, uid: Any, topic: str, pattern: re.Pattern[str]) -> None:
    if not isinstance(uid, str) or re.sub(r"\{\w+\}", "", uid).strip("{}") != re.sub(r"\{\w+\}", "", uid):
        raise Invalid(f"{where}: uid must be a text such as {{line}}-{{unit}}, not {uid!r}.")
    if missing := set(re.findall(r"\{(\w+)\}", uid)) - pattern.groupindex.keys():
        raise Invalid(f"{where}: uid names {{{min(missing)}}}, which is not in the topic {topic}.")


def _items(where: str, items: Any) -> tuple[Steps, ...] | None:
    if items is None:
        return None
    if not isinstance(items, str) or not items.endswith(_EACH):
        raise Invalid(f"{where}: items {items!r} must end in {_EACH}.")
    ways = items.removeprefix(_ROOT).removesuffix(_EACH).split(_EACH)
    return tuple(path_of(where, way).steps if way.strip(".") else () for way in ways)


def _pattern(where: str, topic: str) -> re.Pattern[str]:
    levels = []
    for level in topic.split("/"):
        name = re.fullmatch(r"\{([a-z_]\w*)\}", level)
        if name is None and any(letter in level for letter in "{}+#"):
            raise Invalid(f"{where}: a {{name}} must be a whole level of the topic, not {level!r}.")
        levels.append(f"(?P<{name[1]}>[^/]+)" if name else re.escape(level))
    try:
        return re.compile("/".join(levels))
    except re.error as error:
        raise Invalid(f"{where}: topic {topic}: {error}.") from error


def _value(where: str, entry: Any) -> Value:
    _only(where, entry, "metric", "path", "unit")
    metric, path, unit = entry.get("metric"), entry.get("path"), entry.get("unit")
    if not isinstance(metric, str) or not isinstance(path, str):
        raise Invalid(f"{where}: metric and path must be texts.")
    if unit is not None:
        units.check(where, str(unit))
    return Value(metric, path_of(where, path), unit)


def _optional(where: str, path: Any) -> Where | None:
    if path is None:
        return None
    if not isinstance(path, str):
        raise Invalid(f"{where}: {path!r} is not a path like sensors[0].rms.")
    return path_of(where, path)


def path_of(where: str, path: str) -> Where:
    """`sensors[0].rms` as steps.

    Raises:
        Invalid: it is not such a path.
    """
    bare = path.removeprefix(_ROOT).removeprefix(".")
    steps = [name or int(index) for name, index in _STEP.findall(bare)]
    written = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    if not steps or written.removeprefix(".") != bare or any(s > 1000 for s in steps if isinstance(s, int)):
        raise Invalid(f"{where}: path {path!r} is not like sensors[0].rms.")
    return Where(tuple(steps), path.startswith(_ROOT))


def reach(found: Any, path: Steps) -> Any:
    """The value at a path, or `_MISSING`."""
    for step in path:
        if isinstance(step, str):
            found = found.get(step, _MISSING) if isinstance(found, dict) else _MISSING
        else:
            found = found[step] if isinstance(found, list) and step < len(found) else _MISSING
    return found


def _given(value: Any) -> Any:
    return None if value is _MISSING else value
