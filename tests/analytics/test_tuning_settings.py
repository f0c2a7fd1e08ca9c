"""Every setting says what it means and what it may be; a wrong one is refused with its key and range."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.rules import BASELINE, Rules, catalogue, differing, plain
from analytics.setting import UNITS, Setting
from kit.errors import Invalid

SETTINGS = [(one.rule, s) for one in catalogue() for s in one.settings.values()]


@pytest.mark.parametrize(("rule", "setting"), SETTINGS, ids=[f"{rule}.{s.name}" for rule, s in SETTINGS])
def test_every_setting_has_texts_a_unit_and_a_default_inside_its_range(rule: str, setting: Setting) -> None:
    assert setting.text_en
    assert setting.text_zh
    assert setting.unit in UNITS
    assert setting.low <= setting.default <= setting.high
    for wrong in (setting.low - 1, setting.high + 1, "much", True, float("nan"), None):
        with pytest.raises(
            Invalid, match=rf"{rule}\.{setting.name} must be .* from .* to .*, not"
        ) as refused:
            Rules.of({rule: {setting.name: wrong}})
        assert refused.value.details == {
            "key": f"{rule}.{setting.name}", "low": setting.low, "high": setting.high,
        }  # fmt: skip


def test_settings_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(
        Invalid, match=r"spike.least must be a whole number from 1 to spike.window \(5\), not 6"
    ):
        Rules.of({"spike": {"least": 6}})
    with pytest.raises(Invalid, match=r"spike\.off must be true or false, not 1"):
        Rules.of({"spike": {"off": 1}})
    with pytest.raises(Invalid, match=r"shift\.limit must be a number"):
        Rules.of({"shift": {"off": True, "limit": -1}})


def test_a_rule_that_is_off_keeps_its_settings_and_one_off_by_default_is_on_by_having_a_table() -> None:
    assert differing({"spike": {"off": True, "z": 9}}) == {"spike": {"off": True, "z": 9.0}}
    assert "spike" not in Rules.of({"spike": {"off": True, "z": 9}}).detectors
    assert differing({"joint": {}}) == {"joint": {"off": False}}
    assert differing({"joint": {"off": True, "limit": 3}}) == {"joint": {"off": True, "limit": 3.0}}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, dict[str, float | bool]]:
    """Some settings of some rules, each within its range."""
    found: dict[str, dict[str, float | bool]] = {}
    for rule, s in draw(st.lists(st.sampled_from(SETTINGS), max_size=8)):
        number = st.integers(int(s.low), int(s.high)) if s.kind is int else st.floats(s.low, s.high)
        found.setdefault(rule, {})[s.name] = draw(number)
    for rule in draw(st.lists(st.sampled_from(sorted({r for r, _ in SETTINGS} - {BASELINE})), max_size=3)):
        found.setdefault(rule, {})["off"] = draw(st.booleans())
    return found


@given(tables())
def test_what_differs_from_the_defaults_means_the_same_as_the_whole(
    table: dict[str, dict[str, float]],
) -> None:
    spike = table.get("spike", {})
    if spike.get("least", 3) > spike.get("window", 5):
        return
    assert Rules.of(differing(table)) == Rules.of(table)
    assert plain(differing(table)) == plain(table)
    assert differing(plain(table)) == differing(table)
