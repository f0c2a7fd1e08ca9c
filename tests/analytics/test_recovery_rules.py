"""Whether a signal came back after a repair: the pure decision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.definitions import DAY, HOUR
from analytics.recovery import settings
from analytics.recovery.rules import Policy, Rows, Signal, Target, judge, targets
from kit.errors import Invalid

REPAIRED = 1_780_272_000_000_000
POLICY = Policy()
SIGNAL = Signal("vibration", 7.0, 2.0, 4.0, 3)


def rows(level: float, hours: int, *, start: int = REPAIRED, every: float = 1.0, seed: int = 1) -> Rows:
    """Hourly rows at full load, with a little noise."""
    rng = np.random.default_rng(seed)
    ts = start + (np.arange(1, int(hours / every) + 1) * every * HOUR).astype(np.int64)
    return Rows(ts, np.full(len(ts), 3), rng.normal(level, 0.1, (len(ts), 1)))


BEFORE = rows(6.0, 48, start=REPAIRED - 2 * DAY)
WANTED = targets([SIGNAL], BEFORE, POLICY)


def test_a_metric_must_come_back_to_half_of_what_it_deviated_before_the_repair() -> None:
    (target,) = WANTED
    assert target.level == pytest.approx(4.0, abs=0.1)
    assert target.sign == 1


def test_a_repaired_machine_has_recovered_when_one_window_is_full() -> None:
    verdict = judge(REPAIRED, WANTED, rows(2.0, 60), None, POLICY)
    assert (verdict.state, verdict.run_hours) == ("recovered", POLICY.window)
    assert verdict.ts == REPAIRED + 12 * HOUR
    assert verdict.means["vibration"] == pytest.approx(2.0, abs=0.2)


def test_one_that_is_as_before_has_not_recovered_after_the_hours_and_not_earlier() -> None:
    assert judge(REPAIRED, WANTED, rows(6.0, 47), None, POLICY).state == "watching"
    verdict = judge(REPAIRED, WANTED, rows(6.0, 60), None, POLICY)
    assert (verdict.state, verdict.run_hours) == ("not_recovered", POLICY.hours)


def test_hours_in_which_it_stands_do_not_count() -> None:
    after = rows(6.0, 90)
    stands = replace(after, regime=np.where(np.arange(90) < 45, 0, 3))
    assert judge(REPAIRED, WANTED, stands, None, POLICY).state == "watching"
    assert judge(REPAIRED, WANTED, after, None, POLICY).state == "not_recovered"


def test_a_silence_counts_as_two_hours_at_most() -> None:
    sparse = rows(6.0, 240, every=10.0)
    assert judge(REPAIRED, WANTED, sparse, None, POLICY).run_hours == 24 * 2.0


def test_an_alarm_raised_again_before_it_recovered_says_so() -> None:
    again = REPAIRED + 5 * HOUR
    verdict = judge(REPAIRED, WANTED, rows(2.0, 60), again, POLICY)
    assert (verdict.state, verdict.ts) == ("recurred", again)
    assert judge(REPAIRED, WANTED, rows(2.0, 60), REPAIRED + 20 * HOUR, POLICY).state == "recovered"


def test_without_a_metric_it_has_recovered_when_nothing_was_raised_within_the_hours() -> None:
    assert judge(REPAIRED, [], rows(6.0, 47), None, POLICY).state == "watching"
    assert judge(REPAIRED, [], rows(6.0, 48), None, POLICY).state == "recovered"
    assert judge(REPAIRED, [], rows(6.0, 48), REPAIRED + HOUR, POLICY).state == "recurred"


def test_a_machine_that_never_runs_in_the_regime_of_the_alarm_is_not_judged() -> None:
    idle = replace(rows(6.0, 300), regime=np.ones(300, np.int64))
    assert judge(REPAIRED, WANTED, idle, None, POLICY).state == "unknown"


def test_stuck_missing_or_hardly_deviating_metrics_prove_nothing() -> None:
    stuck = replace(rows(6.0, 300), values=np.full((300, 1), 6.0))
    assert judge(REPAIRED, WANTED, stuck, None, POLICY).state == "unknown"
    missing = replace(stuck, values=np.full((300, 1), np.nan))
    assert judge(REPAIRED, WANTED, missing, None, POLICY).state == "unknown"
    assert targets([replace(SIGNAL, baseline=5.95)], BEFORE, POLICY) == []
    assert targets([SIGNAL], rows(6.0, 0), POLICY) == []


def test_a_fixed_limit_must_be_kept() -> None:
    (target,) = targets([replace(SIGNAL, baseline=None, limit=5.0)], BEFORE, POLICY)
    assert judge(REPAIRED, [target], rows(5.5, 60), None, POLICY).state == "not_recovered"
    assert judge(REPAIRED, [target], rows(4.5, 60), None, POLICY).state == "recovered"


@given(
    level=st.floats(1.0, 8.0), hours=st.integers(1, 250), cut=st.integers(0, 250),
    raised=st.none() | st.integers(1, 250), seed=st.integers(0, 5), idle=st.floats(0, 0.9),
)  # fmt: skip
def test_looked_at_piece_by_piece_or_at_once_the_verdict_is_the_same(
    level: float, hours: int, cut: int, raised: int | None, seed: int, idle: float
) -> None:
    after = rows(level, hours, seed=seed)
    after = replace(after, regime=np.where(np.random.default_rng(seed).random(hours) < idle, 0, 3))
    again = None if raised is None or raised > hours else REPAIRED + raised * HOUR
    whole = judge(REPAIRED, WANTED, after, again, POLICY)
    part = Rows(after.ts[:cut], after.regime[:cut], after.values[:cut])
    early = again if again is not None and len(part) and again <= part.ts[-1] else None
    first = judge(REPAIRED, WANTED, part, early, POLICY)
    if first.state != "watching":
        assert first == whole
    assert whole.run_hours <= hours
    assert all(np.isfinite(mean) for mean in whole.means.values())


@given(level=st.floats(-5, 15), direction=st.sampled_from([1.0, -1.0]))
def test_recovery_does_not_depend_on_the_direction_of_the_fault(level: float, direction: float) -> None:
    target = Target("x", 0, 3, direction, direction * 4.0, direction * 6.0)
    after = rows(level, 60)
    verdict = judge(REPAIRED, [target], replace(after, values=direction * after.values), None, POLICY)
    mirrored = judge(REPAIRED, [replace(target, sign=1.0, level=4.0)], after, None, POLICY)
    assert verdict.state == mirrored.state


def test_recovery_times_of_a_device_type_are_checked() -> None:
    modes = ["bearing_wear", "seal_leak"]
    assert settings.check("pump", modes, [{"failure_mode": "seal_leak", "hours": 24}]) == {
        ("seal_leak", ""): 24.0
    }
    for wrong in ({"failure_mode": "x", "hours": 1}, {"failure_mode": "seal_leak", "hours": 0},
                  {"failure_mode": "seal_leak", "hours": True},
                  {"failure_mode": "seal_leak", "rule": "shaft", "hours": 1},
                  {"failure_mode": "seal_leak", "hour": 1}):  # fmt: skip
        with pytest.raises(Invalid, match=r"pump, \[\[recovery\]\] 1"):
            settings.check("pump", modes, [wrong])
