"""Features look back, never ahead, and the way they are computed does not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.definitions import DAY, HOUR
from analytics.prediction import features
from analytics.prediction.history import Log
from kit.errors import Invalid
from tests.prediction.machines import START, fleet

HISTORY, FAILURES = fleet(devices=4, days=70)
TABLE = features.build(HISTORY)


@settings(max_examples=15, deadline=None)
@given(day=st.integers(5, 65), seed=st.integers(0, 1000))
def test_changing_the_future_changes_no_feature(day: int, seed: int) -> None:
    now = START + day * DAY
    rng = np.random.default_rng(seed)
    later = HISTORY.known > now
    values = HISTORY.values.copy()
    values[:, later] = rng.normal(0, 100, values[:, later].shape)

    def another_future(log: Log) -> Log:
        past = log.until(now)
        device, kind = rng.integers(0, 4, 30), rng.integers(0, 2, 30)
        ts = now + 1 + rng.integers(0, 20 * DAY, 30)
        return Log.of(np.r_[past.device, device], np.r_[past.ts, ts], np.r_[past.kind, kind])

    changed = replace(
        HISTORY, values=values, faults=another_future(HISTORY.faults), repairs=another_future(HISTORY.repairs)
    )
    known = TABLE.ts <= now
    np.testing.assert_array_equal(features.build(changed).x[known], TABLE.x[known])
    np.testing.assert_array_equal(features.build(HISTORY.until(now)).x, TABLE.x[known])


@pytest.mark.parametrize("day", [1, 20, 33, 50])
def test_a_piece_gives_the_same_features_as_the_whole(day: int) -> None:
    first = START + day * DAY
    piece = features.build(HISTORY, first)
    there = TABLE.ts >= first
    np.testing.assert_array_equal(piece.ts, TABLE.ts[there])
    np.testing.assert_array_equal(piece.x, TABLE.x[there])
    # … also when what lies before the look-back is not there at all
    begin = first - (features.LOOKBACK_DAYS + features.RECENT_DAYS) * DAY
    steps = HISTORY.known > begin
    cut = replace(HISTORY, known=HISTORY.known[steps], values=HISTORY.values[:, steps])
    np.testing.assert_array_equal(features.build(cut, first).x, piece.x)


def test_a_device_is_held_against_its_own_past() -> None:
    shifted = replace(HISTORY, values=HISTORY.values * 3 + np.arange(4)[:, None, None] * 50)
    at = [n for n, name in enumerate(TABLE.names) if name.startswith(("vibration.", "current."))]
    # float32 of a rounded quartile: equal but for the last digits
    np.testing.assert_allclose(features.build(shifted).x[:, at], TABLE.x[:, at], atol=1e-3)


def test_codes_and_ages_count_from_the_moment_they_were_known() -> None:
    code, repair = int(HISTORY.faults.only(0).ts[0]), int(HISTORY.repairs.ts[0])
    device = int(HISTORY.faults.only(0).device[0])
    mine = TABLE.take(TABLE.device == device)
    count = mine.x[:, TABLE.names.index("E1.count_24h")]
    since = mine.x[:, TABLE.names.index("E1.hours_since")]
    assert (count[(mine.ts >= code) & (mine.ts < code + 24 * HOUR)] >= 1).all()
    assert (since[mine.ts < code] == features.LONG_AGO_DAYS * 24).all()
    age = mine.x[:, TABLE.names.index("bearing.age_days")]
    after = int(np.flatnonzero(mine.ts >= repair)[0])
    assert age[after - 1] == features.LONG_AGO_DAYS
    assert age[after] == pytest.approx((mine.ts[after] - repair) / DAY, abs=1e-4)


def test_stuck_missing_and_absurd_readings_give_bounded_features() -> None:
    values = HISTORY.values.copy()
    values[0, :, 0] = 7.0  # stuck
    values[1, :, 0] = np.nan  # never sent
    values[2, 300:, 0] = 1e12  # absurd
    x = features.build(replace(HISTORY, values=values)).x
    at = TABLE.names.index("vibration.day")
    by_device = x[:, at].reshape(4, -1)
    assert np.isnan(by_device[1]).all()
    assert (by_device[0][80:] == 0).all()
    assert np.nanmax(np.abs(by_device[2])) == features.FAR
    assert not np.isinf(x).any()


def test_an_empty_population_is_refused() -> None:
    with pytest.raises(Invalid, match="population is empty"):
        replace(HISTORY, devices=np.empty(0, np.int64), values=HISTORY.values[:0], traits=HISTORY.traits[:0])
    with pytest.raises(Invalid, match="Nothing was known"):
        HISTORY.until(START - DAY)
