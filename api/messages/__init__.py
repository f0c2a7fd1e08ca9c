"""What the packages below say in English (errors, details of refused messages), in Chinese.

An error or a detail is a sentence of the code with values in it. The TOML files here have the sentences, with
`{names}` for what varies, and the same in Chinese; a sentence is found again by its fixed words. Values that are codes
(`{state}`, `{action}`, `{role}` …) become the words of the interface, and a sentence within a sentence (`{error}`,
`{detail}`) is put into Chinese as well. What no file knows stays as it is: a test finds the sentences that are missing.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Final

from api.text import catalogue

_FOLDER: Final = Path(__file__).parent
_PLACE: Final = re.compile(r"{{|}}|{(\w+)}")
_WITHIN: Final = frozenset({"error", "detail", "reason", "what", "models"})
"""Places that may hold a sentence of their own."""
_GROUPS: Final = {
    "action": ("action",), "actions": ("action",), "state": ("state", "visit"), "states": ("state", "visit"),
    "visit_state": ("visit",), "role": ("role",), "roles": ("role",), "hold": ("hold",), "holds": ("hold",),
    "code_kinds": ("code_kind",), "job_state": ("job",), "permission": ("permission",), "skills": ("skill",),
    "component": ("component",), "group": ("group",), "json_type": ("json_type",), "number_kind": ("number_kind",),
}  # fmt: skip
"""Places that hold codes: the groups of the catalogue that name them."""
_SHAPES: Final = {"part": r"(?:body|query|path|header|cookie)(?:\.[\w-]+)*"}
"""Places that hold only what looks like this."""
_APART: Final = re.compile(r", | or | and no ")


def chinese(text: str) -> str:
    """The sentence in Chinese; as it is where no file knows it.

    >>> chinese("Device 'P-1' is revoked; reinstate it first.")
    "设备 'P-1' 已停用；请先恢复。"
    """
    for pattern, names, translated in _sentences():
        if found := pattern.fullmatch(text):
            values = dict(zip(names, map(_value, names, found.groups()), strict=True))
            return translated.format(**values)
    return text


def told(text: str, language: str) -> str:
    """The sentence in a language of the interface."""
    return chinese(text) if language == "zh" else text


@cache
def _sentences() -> list[tuple[re.Pattern[str], list[str], str]]:
    """(pattern, names of its places, Chinese), those with more fixed words first."""
    pairs = [pair for path in sorted(_FOLDER.glob("*.toml")) for pair in _pairs(path)]
    pairs.sort(key=lambda pair: len(_PLACE.sub("", pair[0])), reverse=True)
    return [(_pattern(english), _names(english), translated) for english, translated in pairs]


def _pairs(path: Path) -> list[tuple[str, str]]:
    return list(tomllib.loads(path.read_text(encoding="utf-8")).items())


def _names(sentence: str) -> list[str]:
    return [name for name in _PLACE.findall(sentence) if name]


def _pattern(sentence: str) -> re.Pattern[str]:
    pieces, at = [], 0
    for place in _PLACE.finditer(sentence):
        pieces.append(re.escape(sentence[at : place.start()]))
        pieces.append(
            f"({_SHAPES.get(place[1], '.*?')})" if place[1] else re.escape(place[0][0])
        )  # {{ stands for {
        at = place.end()
    return re.compile("".join([*pieces, re.escape(sentence[at:])]), re.DOTALL)


def _value(name: str, value: str) -> str:
    if name in _WITHIN:
        whole = chinese(value)
        return whole if whole != value else chinese(value.removesuffix(".") + ".").removesuffix("。")
    if groups := _GROUPS.get(name):
        return "、".join(_word(groups, code) for code in _APART.split(value))
    return value


def _word(groups: tuple[str, ...], code: str) -> str:
    key = code.strip("'").replace(" ", "_")
    known = (catalogue("zh").get(f"{group}.{key}") for group in groups)
    return next((word for word in known if word), code)
