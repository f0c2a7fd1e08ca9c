"""Payload codecs: bytes in, rows, faults and states out. Pure.

`quick` decodes the usual telemetry message with typed C code and says None to anything unusual; `telemetry` and
its neighbours decode carefully and name what is wrong. Another format (Sparkplug B, a mapping) is one more
`message.Codec`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from ingest.message import Bad, Fault, Item, Refused, Row, Spoilt, State, clean

MAX_BYTES = 1 << 20
MAX_NAME = 63
_MAX_SEQ = (1 << 63) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Telemetry(msgspec.Struct, gc=False):
    """Our telemetry message, well-formed."""

    values: dict[str, float]
    ts: datetime | int | float | None = None
    seq: int | None = None


_decode = msgspec.json.Decoder(Telemetry).decode
_TS_QUOTES = {int: 2, float: 2, type(None): 0, datetime: 4}


def quick(payload: bytes) -> Telemetry | None:
    """A single well-formed telemetry message of ours, or None: then `telemetry` has to look closer.

    The decoder takes the last of two equal keys and skips unknown ones; counting the quotes finds both.
    """
    try:
        message = _decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    quotes = 2 + 2 * len(message.values) + _TS_QUOTES[type(message.ts)] + (message.seq is not None) * 2
    if payload.count(b'"') != quotes or not message.values or len(payload) > MAX_BYTES:
        return None
    if message.seq is not None and not 0 <= message.seq <= _MAX_SEQ:
        return None
    return None if type(message.ts) is datetime and message.ts.tzinfo is None else message


def micros(ts: Any) -> int:
    """A time stamp as µs since the Unix epoch: epoch milliseconds or ISO 8601 with a zone.

    Raises:
        Refused: bad_time.
    """
    if isinstance(ts, str):
        try:
            ts = datetime.fromisoformat(ts)
        except ValueError:
            raise Refused(
                "bad_time", f"ts {clean(ts, 60)!r} is neither ISO 8601 nor epoch milliseconds."
            ) from None
    if isinstance(ts, datetime):
        if ts.tzinfo is None:
            raise Refused("bad_time", f"ts {ts.isoformat()} has no zone: end it with Z or +08:00.")
        return (ts - _EPOCH) // _MICROSECOND
    if isinstance(ts, bool) or not isinstance(ts, int | float) or not math.isfinite(ts):
        raise Refused("bad_time", f"ts {_show(ts)} is neither ISO 8601 nor epoch milliseconds.")
    return ts * 1000 if isinstance(ts, int) else round(ts * 1000)


def telemetry(payload: bytes) -> list[Item]:
    """Our JSON: `{"ts", "seq", "values", "units"}` (all but values optional) or an array of such objects."""
    return _each(document(payload), _row)


def thingsboard(payload: bytes) -> list[Item]:
    """ThingsBoard's device API: `{"key": value}`, `{"ts": ms, "values": {…}}`, or arrays of either. As there, a text
    that is a number counts as one; true and false are 1 and 0."""
    return _each(
        document(payload), lambda found: _row(found if "values" in found else {"values": found}, loose=True)
    )


def faults(payload: bytes) -> list[Item]:
    """`{"ts", "code", "active"}` or an array."""
    return _each(document(payload), _fault)


def states(payload: bytes) -> list[Item]:
    """`{"online", "ts", "reason"}` or an array."""
    return _each(document(payload), _state)


class Doubled(dict[str, Any]):
    """A JSON object in which the keys `names` appear more than once."""

    names: frozenset[str] = frozenset()


def document(payload: bytes) -> Any:
    """Parse JSON; objects with a key twice become `Doubled`, NaN and Infinity become floats.

    Raises:
        Refused: empty, oversized, bad_utf8 or malformed.
    """
    if not payload.strip():
        raise Refused("empty", "The payload holds no byte.")
    if len(payload) > MAX_BYTES:
        raise Refused("oversized", f"{len(payload)} bytes; at most {MAX_BYTES} are read.")
    try:
        text = payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused("bad_utf8", f"Byte {error.start} is not UTF-8.") from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer)
    except RecursionError:
        raise Refused("malformed", "The JSON is nested too deeply.") from None
    except ValueError as error:
        raise Refused("malformed", f"Not JSON: {clean(str(error))}.") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    doubled = Doubled(found)
    doubled.names = frozenset(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
    return doubled


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= 20 else float(text)


def _each(found: Any, decode: Callable[[dict[str, Any]], Item]) -> list[Item]:
    if not isinstance(found, list):
        return [decode(_checked(found))]
    if not found:
        raise Refused("empty", "The array holds no item.")
    items: list[Item] = []
    for number, item in enumerate(found, 1):
        try:
            items.append(decode(_checked(item)))
        except Refused as error:
            if len(found) == 1:
                raise
            detail = f"Item {number} of {len(found)}: {error.detail}"
            items.append(Spoilt(json.dumps(item).encode(), error.reason, detail))
    return items


def _checked(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise Refused("bad_fields", f"Expected a JSON object, found {_show(found)}.")
    return found


def _single(found: dict[str, Any], *fields: str) -> None:
    if isinstance(found, Doubled) and (twice := found.names & set(fields)):
        raise Refused("duplicate_key", f"{min(twice)!r} appears twice: which one counts?")


def _time(found: dict[str, Any]) -> int | None:
    return None if found.get("ts") is None else micros(found["ts"])


def _row(found: dict[str, Any], *, loose: bool = False) -> Row:
    _single(found, "ts", "seq", "values", "units")
    values = found.get("values")
    if not isinstance(values, dict):
        raise Refused("bad_fields", 'Expected {"ts": …, "values": {"name": number, …}}; values is missing.')
    if not values:
        raise Refused("empty", "values holds no reading.")
    good, bad = sort_values(values, loose=loose)
    return Row(_time(found), sequence(found.get("seq")), good, bad, _units(found.get("units")))


def _units(given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict) or not all(isinstance(unit, str) for unit in given.values()):
        raise Refused("bad_fields", f'units {_show(given)} is not {{"name": "unit", …}}.')
    return dict(given)


def sequence(seq: Any) -> int | None:
    """A device's sequence number.

    Raises:
        Refused: bad_sequence.
    """
    if seq is None:
        return None
    if isinstance(seq, bool) or not isinstance(seq, int) or not 0 <= seq <= _MAX_SEQ:
        raise Refused("bad_sequence", f"seq {_show(seq)} is not an integer from 0 to {_MAX_SEQ}.")
    return seq


def number(value: Any) -> Any:
    """What other formats mean by a number: true and false, and a text such as `"21.5"`. Anything else as it is."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and len(value) <= MAX_NAME and _NUMBER.fullmatch(value.strip()):
        return float(value)
    return value


def sort_values(values: dict[str, Any], *, loose: bool = False) -> tuple[dict[str, float], list[Bad]]:
    """The usable values, and the others with their reasons; `loose`: what `number` takes for one is one."""
    twice = values.names if isinstance(values, Doubled) else frozenset()
    good: dict[str, float] = {}
    bad: list[Bad] = []
    for name, given in values.items():
        value = number(given) if loose else given
        found = _wrong(name, value, twice)
        if found is None:
            good[name] = float(value)
        else:
            bad.append(Bad(clean(name, MAX_NAME), _show(given), *found))
    return good, bad


def _wrong(name: str, value: Any, twice: frozenset[str]) -> tuple[str, str] | None:
    if name in twice:
        return "duplicate_value", "The name appears twice in the message: which one counts?"
    if not name or len(name) > MAX_NAME or "\0" in name or not name.isprintable():
        return "bad_name", f"A name is 1 to {MAX_NAME} printable characters."
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "not_a_number", f"Expected a JSON number, found {type(value).__name__}."
    if not math.isfinite(value):
        return "not_finite", "NaN, infinity or too large for a double."
    return None


def _fault(found: dict[str, Any]) -> Fault:
    _single(found, "ts", "code", "active")
    code, active = found.get("code"), found.get("active", True)
    if not isinstance(code, str) or not 0 < len(code) <= MAX_NAME or not code.isprintable():
        raise Refused(
            "bad_fields", f"code {_show(code)} is not a text of 1 to {MAX_NAME} printable characters."
        )
    if not isinstance(active, bool):
        raise Refused("bad_fields", f"active {_show(active)} is neither true nor false.")
    return Fault(_time(found), code, active)


def _state(found: dict[str, Any]) -> State:
    _single(found, "ts", "online", "reason")
    online, reason = found.get("online"), found.get("reason", "reported")
    if not isinstance(online, bool):
        raise Refused("bad_fields", f"online {_show(online)} is neither true nor false.")
    if not isinstance(reason, str):
        raise Refused("bad_fields", f"reason {_show(reason)} is not a text.")
    return State(_time(found), online, clean(reason, MAX_NAME))


def _show(value: Any) -> str:
    return clean(json.dumps(value, ensure_ascii=False, default=str), 80)
