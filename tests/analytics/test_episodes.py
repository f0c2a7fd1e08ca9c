"""Findings open orders as the field service does, and orders are held against repairs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analytics.definitions import DAY, HOUR
from analytics.detectors.protocol import Finding
from analytics.episodes import COOL_DOWN, HORIZON, Episodes, Opened, Repair, outcome
from analytics.prediction.decision import Costs

RULES = ("shift", "spike")
STEPS = st.lists(st.tuples(st.integers(1, 200), st.sampled_from(RULES), st.booleans()), max_size=40)


def finding(ts: int, kind: str, rule: str = "shift", severity: int = 2) -> Finding:
    return Finding(0, ts, ts, kind, rule, 1, "wear", severity, 1.0, 0)


@given(STEPS)
def test_while_any_rule_has_it_raised_and_for_a_week_after_there_is_no_second_order(
    steps: list[tuple[int, str, bool]],
) -> None:
    episodes, raised, ts, quiet_since = Episodes(), set[str](), 0, -COOL_DOWN
    for hours, rule, toggle in steps:
        ts += hours * HOUR
        kind = "clear" if rule in raised else "raise"
        expected = kind == "raise" and not raised and ts >= quiet_since + COOL_DOWN
        rule = "reset" if toggle and kind == "clear" else rule
        assert (episodes.take(1, finding(ts, kind, rule)) is not None) == expected
        if kind == "raise":
            raised.add(rule)
        else:
            raised = set() if rule == "reset" else raised - {rule}
            quiet_since = quiet_since if raised else ts


def test_information_opens_nothing_and_devices_do_not_share_orders() -> None:
    episodes = Episodes()
    assert episodes.take(1, finding(0, "raise", severity=4)) is None
    assert episodes.take(1, finding(1, "raise")) is not None
    assert episodes.take(2, finding(2, "raise")) is not None


def test_an_order_is_right_false_or_not_decided_yet() -> None:
    orders = [Opened(1, "wear", at * DAY, "shift") for at in (0, 40, 80)] + [Opened(2, "leak", DAY, "limit")]
    repairs = [
        Repair(1, "bearing", 3 * DAY, ""),
        Repair(2, "*", 5 * DAY, ""),
        Repair(2, "motor", 6 * DAY, ""),
    ]
    component = {(1, "wear"): "bearing", (2, "leak"): "seal"}
    costs = Costs(failure=50.0, visit=10.0, needless=20.0)
    found = outcome(orders, repairs, component, 80 * DAY + HORIZON - 1, costs)
    assert (found.right, found.false, found.undecided) == (2, 1, 1)
    assert (found.repairs, found.announced, found.recall, found.precision) == (3, 2, 2 / 3, 2 / 3)
    assert found.lead_hours == (72.0, 96.0)
    assert found.cost == 2 * 10.0 + 50.0 + 20.0
    nothing = outcome([], [], {}, 0, costs)
    assert (nothing.recall, nothing.precision, nothing.cost) == (None, None, 0.0)
