"""No benchmark looks ahead: what is said of a moment stays the same when everything after it is cut off."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.definitions import HOUR
from analytics.prediction import decision, failure, features
from benchmarks import azure_pdm, nab, skab
from benchmarks.azure_pdm import METRICS, instant

BEGIN = np.datetime64("2015-01-01T06:00:00", "us")
LEARN, END = instant("2015-04-01"), instant("2015-05-10")


def metric(rows: int = 1200) -> nab.Series:
    """A daily rhythm at five minutes with a gap, missing values, a spike and a shift."""
    rng = np.random.default_rng(11)
    at = np.arange(rows)
    values = 20 + 5 * np.sin(2 * np.pi * at / 288) + rng.normal(0, 0.5, rows)
    values[700:704] += 30
    values[900:] += 8
    values[400:410] = np.nan
    ts = at * 300 + np.where(at > 500, 7200, 0)
    return nab.Series("kind/one.csv", [str(t) for t in ts], ts, values, ((700, 720),))


def rig(rows: int = 700) -> skab.Recording:
    rng = np.random.default_rng(12)
    values = 10 + 0.1 * rng.standard_normal((rows, len(skab.SENSORS)))
    values[450:520, 2] += 1.0
    values[600:, 7] -= 0.6
    values[550:560] = np.nan
    anomaly = np.zeros(rows, bool)
    anomaly[450:520] = True
    return skab.Recording("valve1/0.csv", np.arange(rows), values, anomaly)


METRIC, RIG = metric(), rig()
SCORES, ALARMS = nab.score(METRIC), skab.judge(RIG)


@settings(max_examples=8, deadline=None)
@given(st.integers(1, len(METRIC.values)), st.floats(-1e6, 1e6))
def test_scores_of_a_metric_do_not_depend_on_what_follows(rows: int, next_value: float) -> None:
    assert SCORES.max() > nab.LIMIT  # there is something to tell apart
    values = METRIC.values.copy()
    values[rows:] = next_value
    cut = replace(METRIC, ts=METRIC.ts[:rows], values=values[:rows], windows=None)
    assert np.array_equal(nab.score(cut), SCORES[:rows])
    assert np.array_equal(nab.score(replace(METRIC, values=values))[:rows], SCORES[:rows])


@settings(max_examples=20, deadline=None)
@given(st.integers(skab.TRAINING_ROWS + 1, len(RIG.values)), st.floats(-1e6, 1e6))
def test_alarms_of_a_rig_do_not_depend_on_what_follows_or_on_the_labels(rows: int, next_value: float) -> None:
    assert 0 < ALARMS.sum() < len(ALARMS)
    judged, values = rows - skab.TRAINING_ROWS, RIG.values.copy()
    values[rows:] = next_value
    assert np.array_equal(skab.judge(replace(RIG, values=RIG.values[:rows])), ALARMS[:judged])
    other = replace(RIG, values=values, anomaly=~RIG.anomaly)
    assert np.array_equal(skab.judge(other)[:judged], ALARMS[:judged])


def machines(folder: Path, until: int, machines: int = 6) -> Path:
    """A made-up part of the set, known until a moment: every machine's comp1 fails every 19 to 24 days after two days
    of rising vibration and a code; with a later cut there are codes and components that nobody had seen before."""
    hours = np.arange(0, 130 * 24, 3)
    ts = BEGIN + hours * np.timedelta64(1, "h")
    rng = np.random.default_rng(13)
    readings, errors, done, failed = [], [], [], []
    for machine in range(1, machines + 1):
        vibration = 40 + rng.standard_normal(len(hours))
        fails = np.arange(300 + 30 * machine, hours[-1], 24 * (18 + machine))
        for at in fails:
            vibration[(hours > at - 48) & (hours <= at)] += 12
            errors.append((BEGIN + (at - 27) * np.timedelta64(1, "h"), machine, "error2"))
            failed.append((BEGIN + at * np.timedelta64(1, "h"), machine, "comp1"))
            done.append((BEGIN + at * np.timedelta64(1, "h"), machine, "comp1"))
        errors.append((np.datetime64("2015-05-01", "us"), machine, "error9"))
        done.append((np.datetime64("2015-05-01", "us"), machine, "comp4"))
        others = [100 + rng.standard_normal(len(hours)) for _ in METRICS[1:]]
        readings.append((machine, ts, [*others, vibration]))
    end = np.datetime64(until, "us")
    folder.mkdir()
    columns = {
        "machineID": np.concatenate([np.full(len(ts), machine) for machine, ts, _ in readings]),
        "datetime": np.concatenate([ts for _, ts, _ in readings]),
    }
    for at, name in enumerate(METRICS):
        columns[f"{name}_mean_3"] = np.concatenate([values[at] for _, _, values in readings])
    table = pyarrow.table(columns)
    known = columns["datetime"] + np.timedelta64(3, "h") <= end
    pyarrow.parquet.write_table(table.filter(pyarrow.array(known)), folder / "telemetry_3h.parquet")
    for name, column, rows in (
        ("errors", "errorID", errors), ("maint", "comp", done), ("failures", "failure", failed)
    ):  # fmt: skip
        kept = [row for row in rows if row[0] <= end]
        lists = [np.array([r[0] for r in kept], "datetime64[us]"), [r[1] for r in kept], [r[2] for r in kept]]
        pyarrow.csv.write_csv(
            pyarrow.table(dict(zip(("datetime", "machineID", column), lists, strict=True))),
            folder / f"{name}.csv",
        )
    lines = [f"{n},model{n % 3},{n}" for n in range(1, machines + 1)]
    (folder / "machines.csv").write_text("\n".join(("machineID,model,age", *lines, "")))
    return folder


@dataclass(frozen=True)
class Said:
    """Of comp1: orders as (device, ts), features and probability by (device, ts)."""

    orders: list[tuple[int, int]]
    rows: dict[tuple[int, int], tuple[float, ...]]
    p: dict[tuple[int, int], float]


def say(folder: Path) -> Said:
    """As the command works it out, with smaller trees."""
    history, failures = azure_pdm.load(folder)
    kind = history.components.index("comp1")
    past = history.until(LEARN)
    learned, table = features.build(past), features.build(history.until(END), LEARN)
    smaller = failure.Settings(iterations=15)
    model = failure.fit("comp1", learned, failures.only(kind), past.repairs.only(kind), LEARN, smaller)
    p = model.probability(table)
    policy = decision.Policy({})
    found = decision.decide(p, table.device, table.ts, history.repairs.only(kind), policy, "comp1")
    known = [at for at, name in enumerate(table.names) if not name.startswith(("error9", "comp4"))]
    keys = list(zip(table.device.tolist(), table.ts.tolist(), strict=True))
    rows = {
        key: tuple(np.nan_to_num(x[known], nan=-9.0).tolist()) for key, x in zip(keys, table.x, strict=True)
    }
    return Said([(o.device, o.ts) for o in found], rows, dict(zip(keys, p.tolist(), strict=True)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Said:
    return say(machines(tmp_path_factory.mktemp("azure") / "whole", END + 240 * HOUR))


@pytest.mark.parametrize("days", [14, 25])
def test_features_predictions_and_orders_of_machines_do_not_depend_on_what_follows(
    whole: Said, tmp_path: Path, days: int
) -> None:
    cut = LEARN + days * 24 * HOUR
    short = say(machines(tmp_path / "cut", cut))
    assert len(whole.orders) > len(short.orders) > 2
    assert short.orders == [order for order in whole.orders if order[1] <= cut]
    assert len(short.rows) < len(whole.rows)
    assert all(whole.rows[key] == row for key, row in short.rows.items())
    assert all(whole.p[key] == pytest.approx(value, abs=1e-12) for key, value in short.p.items())
