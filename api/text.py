"""The words of the interface: TOML files of each language (`*en.toml`), the same keys in each (a test compares)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

LANGUAGES: Final = ("en", "zh")
_FOLDER = Path(__file__).parent / "catalogue"


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """`{"orders.title": "Work orders", …}`"""
    files = sorted(_FOLDER.glob(f"*{language}.toml"))
    return dict(item for file in files for item in _flat(tomllib.loads(file.read_text(encoding="utf-8"))))


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, str(value)))
    return found


class Words:
    """The words in one language, for templates: `t("orders.title")`, `t.pick(row, "title")`."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else "en"
        self._texts = catalogue(self.language)

    def __call__(self, key: str, **values: Any) -> str:
        """The text of a key with `{names}` filled in.

        Raises:
            KeyError: there is no such key; the catalogue test finds it first.
        """
        text = self._texts[key]
        return text.format(**values) if values else text

    def or_raw(self, group: str, value: object) -> str:
        """The text of `group.value`, or the value itself where the set is open (rules, metrics, reasons)."""
        return self._texts.get(f"{group}.{value}", str(value).replace("_", " "))

    def or_none(self, group: str, value: object) -> str | None:
        """The text of `group.value`; None where there is none."""
        return self._texts.get(f"{group}.{value}")

    def named(self, group: str, *codes: str) -> str:
        """The name of the last of the codes, by the most special key that is there: `setting.shift.limit` before
        `setting.limit`; the code itself where there is none."""
        for at in range(len(codes)):
            if found := self._texts.get(".".join((group, *codes[at:]))):
                return found
        return codes[-1].replace("_", " ")

    def pick(self, row: Mapping[str, Any], name: str) -> str:
        """`name_en` or `name_zh` of a row; the other where one is empty."""
        other = "zh" if self.language == "en" else "en"
        return str(row.get(f"{name}_{self.language}") or row.get(f"{name}_{other}") or "")


@cache
def words(language: str) -> Words:
    """The words of a language; shared."""
    return Words(language)
