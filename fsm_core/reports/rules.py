"""The service report as a document: its canonical form and hash, and what a signature may look like. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from kit.errors import Invalid

LONGEST_SIGNATURE: Final = 20_000
LONGEST_NAME: Final = 120
MAY_SIGN: Final = frozenset({"admin", "manager", "engineer", "customer", "system"})
MAY_DRAFT: Final = frozenset({"admin", "manager", "dispatcher", "engineer", "provider", "system"})

_ARITY: Final = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}
_TOKEN: Final = re.compile(
    r"[\s,]*(?:(?P<command>[MLHVCSQTAZmlhvcsqtaz])|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?))"
)


def canonical(body: Mapping[str, Any]) -> str:
    """The one spelling of a body that is hashed: sorted keys, no spaces, no floats.

    Raises:
        TypeError: a value that JSON has no exact form for.
    """
    _exact(body)
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(body: Mapping[str, Any]) -> str:
    """sha256 of the canonical body, hexadecimal."""
    return hashlib.sha256(canonical(body).encode()).hexdigest()


def _exact(value: object) -> None:
    if isinstance(value, float):
        raise TypeError(f"{value!r}: a report holds integers and text, which have one spelling each")
    if isinstance(value, Mapping):
        for part in value.values():
            _exact(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _exact(part)


def check_signature(path: str) -> str:
    """An SVG path of commands and numbers, as the signature pad draws it; returned without outer blanks.

    Raises:
        Invalid: empty, too long, something else than path data, or a path that draws nothing.
    """
    path = path.strip()
    if len(path) > LONGEST_SIGNATURE:
        raise Invalid(f"the signature has {len(path)} characters; at most {LONGEST_SIGNATURE} are kept")
    segments = _segments(path)
    if not segments or segments[0][0] not in "Mm":
        raise Invalid("the signature is no SVG path: it must begin with M, such as 'M 10 10 L 60 30'")
    for command, numbers in segments:
        _check_segment(command, numbers)
    if not any(command not in "MmZz" or numbers > 2 for command, numbers in segments):
        raise Invalid("the signature is empty: it moves the pen but draws nothing")
    return path


def _segments(path: str) -> list[tuple[str, int]]:
    """Commands, each with how many numbers follow it."""
    found: list[tuple[str, int]] = []
    at = 0
    while at < len(path):
        token = _TOKEN.match(path, at)
        if token is None or (token["number"] and not found):
            raise Invalid(f"the signature is no SVG path: {path[at : at + 12]!r} at character {at}")
        at = token.end()
        if token["command"]:
            found.append((token["command"], 0))
        else:
            found[-1] = (found[-1][0], found[-1][1] + 1)
    return found


def _check_segment(command: str, numbers: int) -> None:
    arity = _ARITY[command.upper()]
    good = numbers == 0 if arity == 0 else numbers > 0 and numbers % arity == 0
    if not good:
        raise Invalid(
            f"the signature is no SVG path: {command} takes {arity} numbers at a time, not {numbers}"
        )


def check_name(name: str) -> str:
    """Who signs, without outer blanks.

    Raises:
        Invalid: empty or longer than a name is.
    """
    name = name.strip()
    if not 0 < len(name) <= LONGEST_NAME:
        raise Invalid(f"the name of who signs has 1 to {LONGEST_NAME} characters, not {len(name)}")
    return name
