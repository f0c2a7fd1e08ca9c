"""What a report's hash is of, and which signatures are accepted."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from fsm_core.reports.rules import LONGEST_SIGNATURE, canonical, check_name, check_signature, digest
from kit.errors import Invalid

leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
words = st.text(max_size=6)
nested = st.lists(leaves, max_size=3) | st.dictionaries(words, leaves, max_size=3)
bodies = st.dictionaries(words, leaves | nested | st.dictionaries(words, nested, max_size=2), max_size=5)


@given(bodies)
def test_the_hash_does_not_depend_on_the_order_of_keys(body: dict[str, object]) -> None:
    assert digest(body) == digest(dict(reversed(body.items())))


def test_the_hash_changes_with_any_word() -> None:
    assert digest({"note": "replaced"}) != digest({"note": "Replaced"})
    assert canonical({"b": 1, "a": "轴承"}) == '{"a":"轴承","b":1}'


def test_a_float_has_no_single_spelling_and_is_refused() -> None:
    with pytest.raises(TypeError, match=r"0\.1"):
        canonical({"parts": [{"quantity": 0.1}]})


@pytest.mark.parametrize(
    "path",
    [
        "M10 10L60 30",
        " M 1,2 3,4 ",
        "m.5-1.5l1e1,2z",
        "M0 0C1 2 3 4 5 6",
        "M0 0A1 1 0 0 1 5 5",
        "M 1 2 H 9 V 3 Z",
    ],
)
def test_strokes_are_signatures(path: str) -> None:
    assert check_signature(path) == path.strip()


@pytest.mark.parametrize(
    "path",
    [
        "", "   ", "M 10 10", "M 1 2 Z", "L 1 2", "1 2", "M 1 L 2 3", "M 1 2 L 3", "M 1 2 X 3 4", "Z", "M 1 2 Z 3",
        "M 1 2 L <script>", "M 1 2 L url(x)", 'M 1 2"/><image href="x', "M 1 2 L Infinity 3", "M 1 2 L 3 4;",
    ],
)  # fmt: skip
def test_anything_else_is_not(path: str) -> None:
    with pytest.raises(Invalid, match="signature"):
        check_signature(path)


def test_a_signature_has_a_longest_length() -> None:
    stroke = "M 0 0" + " L 1 1" * LONGEST_SIGNATURE
    with pytest.raises(Invalid, match="at most 20000"):
        check_signature(stroke)


@given(st.text(max_size=60))
def test_any_text_is_either_a_signature_or_refused_and_never_holds_markup(text: str) -> None:
    try:
        accepted = check_signature(text)
    except Invalid:
        return
    assert not set(accepted) & set("<>\"'&;()")


def test_who_signs_has_a_name() -> None:
    assert check_name(" Wang 王 ") == "Wang 王"
    for wrong in ("", "  ", "x" * 121):
        with pytest.raises(Invalid, match="1 to 120"):
            check_name(wrong)
