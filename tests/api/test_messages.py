"""What people read of errors and of refused messages is there in both languages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.messages import _names, _pairs, chinese  # the files themselves are looked at
from api.text import catalogue
from ingest.counters import Counter, explain
from ingest.message import Refused, Row, Spoilt
from ingest.payload import telemetry
from ingest.reasons import REASONS

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "api" / "messages").glob("*.toml"))
RAISED = {"Invalid", "NotFound", "Forbidden", "Conflict", "StaleVersion", "NotReady", "Unauthenticated",
          "TooManyRequests", "Unavailable", "MeantimeError"}  # fmt: skip
REFUSED = {"Refused", "Bad", "Spoilt"}
NOT_FOR_READERS = (
    # What only a log, the command line's start, or another programmer meets.
    "ingest/log", "ingest/mapping.py", "analytics/streams", "analytics/prediction", "analytics/definitions.py",
    "analytics/state.py", "analytics/limits.py", "analytics/recovery/settings.py", "analytics/reliability/many.py",
    "analytics/engine.py", "kit/migrations.py",
)  # fmt: skip


def sentences() -> Iterator[tuple[str, str]]:
    """(where, sentence) of every error and refusal with a text of its own; what varies is a number in brackets."""
    for package in ("kit", "ingest", "analytics", "fsm_core", "api"):
        for path in sorted((ROOT / package).rglob("*.py")):
            where = path.relative_to(ROOT).as_posix()
            if where.startswith(NOT_FOR_READERS):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                for text in _texts(node):
                    yield f"{where}:{getattr(node, 'lineno', 0)}", text


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in RAISED and node.args:
            yield from _text(node.args[0])
        elif node.func.id in REFUSED and node.args:
            yield from _text(node.args[-1])
    elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "detail":
        yield from _text(node.value)


def _text(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        pieces = [
            str(part.value) if isinstance(part, ast.Constant) else f"<{at}>"
            for at, part in enumerate(node.values)
        ]
        if any(re.search("[a-z]", piece) for piece in pieces if not piece.startswith("<")):
            yield "".join(pieces)


@pytest.mark.parametrize(("where", "sentence"), list(sentences()))
def test_a_refusal_is_there_in_chinese_with_all_its_values(where: str, sentence: str) -> None:
    translated = chinese(sentence)
    assert translated != sentence, f"api/messages has no Chinese for it: {where}"
    assert set(re.findall(r"<\d+>", sentence)) == set(re.findall(r"<\d+>", translated))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_both_sides_of_a_pair_have_the_same_places(path: Path) -> None:
    for english, translated in _pairs(path):
        assert sorted(_names(english)) == sorted(set(_names(translated))), english


@pytest.mark.parametrize("payload", [
    b"", b"{", b"[]", b"7", b"\xff", b"{}", b'{"values": {}}', b'{"values": {"a": 1}, "values": {"a": 2}}',
    b'{"ts": "noon", "values": {"a": 1}}', b'{"ts": "2026-11-25T10:00:00", "values": {"a": 1}}',
    b'{"seq": -1, "values": {"a": 1}}', b'[{"values": {"a": 1}}, {"values": 3}]',
    b'{"values": {"a": "x", "b": true, "": 1, "c": 1e999}}', b'{"units": 3, "values": {"a": 1}}',
])  # fmt: skip
def test_what_the_codec_says_of_a_bad_payload_is_there_in_chinese(payload: bytes) -> None:
    details = _refusals(payload)
    assert details
    assert [detail for detail in details if chinese(detail) == detail] == []


def _refusals(payload: bytes) -> list[str]:
    try:
        items = telemetry(payload)
    except Refused as error:
        return [error.detail]
    spoilt = [item.detail for item in items if isinstance(item, Spoilt)]
    return spoilt + [bad.detail for item in items if isinstance(item, Row) for bad in item.bad]


def test_codes_within_a_refusal_become_words() -> None:
    text = (
        "It is on_hold: check in is possible only from confirmed or traveling. Now possible: release, cancel."
    )
    told = chinese(text)
    assert "已挂起" in told or "挂起" in told
    assert not re.search("[a-z_]{4,}", told)


def test_a_reason_within_a_refusal_is_put_into_chinese_as_well() -> None:
    assert chinese("Item 2 of 3: values holds no reading.") == "第 2 项（共 3 项）：values 中没有读数。"
    assert chinese("Not JSON: Expecting value: line 1 column 41 (char 40).") == (
        "不是 JSON：第 1 行第 41 列（第 40 个字符）缺少值。"
    )
    assert chinese("body.limit: Field required") == "body.limit：必填"
    assert chinese("Li Wei: Other visits leave no room.") == "Li Wei：与其他上门任务冲突。"


def test_what_no_file_knows_stays_as_it_is() -> None:
    assert chinese("The engineer wrote this himself") == "The engineer wrote this himself"


@pytest.mark.parametrize("kind", ["unexplained", "faster", "backwards"])
def test_why_run_hours_were_not_counted_is_there_in_chinese(kind: str) -> None:
    told = chinese(explain(kind, 3_600_000_000, 7.5, Counter(0, 100.0, 0.0)))  # type: ignore[arg-type]
    assert "the counter" not in told
    assert "7.5" in told


def test_every_reason_has_a_text_in_each_language() -> None:
    for reason in REASONS.values():
        assert re.search("[一-鿿]", reason.text_zh)
        assert reason.text_en
        assert not re.search("[一-鿿]", reason.text_en)
    assert "permission.orders.open" in catalogue("zh")
