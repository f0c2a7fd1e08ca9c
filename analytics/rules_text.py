"""Rules as people write them: TOML text, there and back. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from analytics.rules import differing
from kit.errors import Invalid

MOST_CHARACTERS = 20_000


def read(given: str | Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """What differs from the defaults, from TOML text or a parsed table; nothing is the defaults.

    Raises:
        Invalid: the text is no TOML (it says where), or see `Rules.of`.
    """
    if not isinstance(given, str):
        return differing(given)
    if len(given) > MOST_CHARACTERS:
        raise Invalid(
            f"The rules have {len(given)} characters; at most {MOST_CHARACTERS} are read.", key="rules"
        )
    try:
        return differing(tomllib.loads(given))
    except tomllib.TOMLDecodeError as error:
        raise Invalid(f"The rules are no TOML: {error}.", key="rules") from error


def write(rules: Mapping[str, Mapping[str, Any]]) -> str:
    """As a TOML file.

    >>> print(write({"shift": {"limit": 6.5}, "spike": {"off": True}}), end="")
    [shift]
    limit = 6.5
    <BLANKLINE>
    [spike]
    off = true
    """
    tables = [
        "\n".join([f"[{rule}]", *(f"{name} = {_value(value)}" for name, value in table.items())]) + "\n"
        for rule, table in rules.items()
    ]
    return "\n".join(tables)


def _value(value: float | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
