"""What becomes of the orders that were really opened when their period is run again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from analytics.whatif.orders import Ordered, pair
from analytics.whatif.real import MOST_LISTED, Opened, held_against

T = datetime(2026, 6, 1, tzinfo=UTC)


def ordered(day: float, *, device: int = 1, mode: str = "wear", verdict: str = "undecided") -> Ordered:
    repaired = T + timedelta(days=day + 4) if verdict == "right" else None
    return Ordered(
        device, "pump", mode, "bearing", T + timedelta(days=day), "shift", 2, 1.0, {}, verdict, repaired,
        None if repaired is None else 96.0,
    )  # fmt: skip


def opened(number: int, day: float, *, device: int = 1, mode: str = "wear") -> Opened:
    return Opened(T + timedelta(days=day), number, f"WO-{number:06}", device, "pump", mode)


def fates(live: list[Ordered], changed: list[Ordered], *real: Opened) -> dict[str, tuple[str, str | None]]:
    found = held_against(pair(live, changed), real, {1: "P-1", 2: "P-2"})
    return {one["number"]: (one["fate"], one["verdict"]) for one in found["listed"]}


def test_an_order_stays_when_both_sides_open_it_and_vanishes_when_only_the_rules_in_force_do() -> None:
    live = [ordered(1, verdict="right"), ordered(1, device=2, verdict="false")]
    assert fates(live, [ordered(1.5, verdict="right")], opened(1, 1.2), opened(2, 1, device=2)) == {
        "WO-000001": ("stay", "right"),
        "WO-000002": ("vanish", "false"),
    }


def test_an_order_that_comes_later_but_before_the_same_repair_stays() -> None:
    late = ordered(1, verdict="right")
    later = Ordered(**vars(late) | {"ts": T + timedelta(days=4.9)})
    assert fates([late], [later], opened(1, 1)) == {"WO-000001": ("stay", "right")}


def test_an_order_that_not_even_the_rules_in_force_open_again_says_nothing_of_the_tried_ones() -> None:
    other_mode, too_far = ordered(1, mode="leak"), ordered(9)
    for changed in ([], [ordered(1)]):
        assert fates([other_mode, too_far], changed, opened(1, 1)) == {"WO-000001": ("missing", None)}


def test_fates_add_up_and_what_vanishes_is_counted_by_verdict() -> None:
    live = [ordered(1), ordered(1, device=2, verdict="false"), ordered(20, device=2, verdict="right")]
    real = [opened(1, 1), opened(2, 1, device=2), opened(3, 20, device=2), opened(4, 40)]
    found = held_against(pair(live, [ordered(1)]), real, {1: "P-1", 2: "P-2"})
    assert (found["orders"], found["again"], found["stay"], found["vanish"]) == (4, 3, 1, 2)
    assert found["missing"] == ["WO-000004"]
    assert found["vanish_verdicts"] == {"right": 1, "false": 1, "undecided": 0}
    assert [one["device_uid"] for one in found["listed"]] == ["P-2", "P-2", "P-1", "P-1"]


def test_of_many_orders_all_are_counted_and_the_first_are_listed() -> None:
    real = [opened(number, number) for number in range(1, MOST_LISTED + 6)]
    found = held_against([], real, {})
    assert (found["orders"], found["again"]) == (MOST_LISTED + 5, 0)
    assert [one["id"] for one in found["listed"]] == list(range(1, MOST_LISTED + 1))
