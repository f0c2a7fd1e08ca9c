"""What a row costs on the streaming engine, all default triggers on, against river's models in the same run.

    python -m benchmarks.detect [--quick]

Rows of eight metrics in micro-batches, each of a random choice of the devices, as they arrive from a live fleet; the
machines change their regime, lose single readings and have been running for long enough that every baseline is
warm. A batch has 2,000 rows, or one of every device where there are fewer (a transaction of ingest brings up to
5,000); what batches of 1,000 and of 200 rows cost is in the context. One process, one core, CPU time: the best of
the slices and the median, for on a shared machine the neighbours are measured, too. JSON lines, µs per row and bytes
per device.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy as np

from analytics.block import Block
from analytics.definitions import HOUR, Code, Definition, Floats, Ints, Limit, Metric, Mode, Symptom
from analytics.detectors import discover
from analytics.engine import Engine
from analytics.rules import Rules

BATCH = 2000
SMALLER = (1000, 200)
SLICE = 10_000  # rows that are timed together
METRICS = 8
NAMES = tuple(f"metric_{at}" for at in range(METRICS))
MODES = tuple(f"mode_{at}" for at in range(4))
EIGHT = Definition(
    "eight",
    tuple(Metric(name, "1", -1000, 1000) for name in NAMES),
    tuple(Mode(mode, f"part_{mode}", 2) for mode in MODES),
    tuple(
        Symptom(MODES[at % 4], name, ("up", "down")[at // 4], 1.0 - 0.1 * (at // 4))
        for at, name in enumerate(NAMES)
    ),
    (Code("E1", 2, "mode_0"),),
    (Limit("metric_0", "high", 900.0, "mode_0", 1, 10.0, 5.0),),
)
BEGIN = 1_780_272_000_000_000
EVERY = HOUR // 60  # between two rows of a device in the part that is timed


class Machines:
    """So many healthy machines and their next rows."""

    def __init__(self, devices: int, seed: int = 1) -> None:
        self._rng = np.random.default_rng(seed)
        self._level = self._rng.uniform(20, 200, (devices, METRICS))
        self._ts = np.full(devices, BEGIN) + self._rng.integers(0, HOUR, devices)

    def __len__(self) -> int:
        return len(self._ts)

    def rows(self, which: Ints, step: int) -> Block:
        """The next row of some devices, so long after their last."""
        self._ts[which] += step
        ts, n = self._ts[which], len(which)
        state = np.where((ts // (6 * HOUR) + which) % 3 == 0, 2.0, 3.0)
        values: Floats = self._level[which] * np.where(state == 2, 0.8, 1.0)[:, None]
        values += 0.01 * values * self._rng.standard_normal(values.shape)
        values[self._rng.random(values.shape) < 0.004] = np.nan
        zero = np.zeros(n, np.int64)
        return Block(zero, which, ts, np.arange(n), zero, values, state)

    def some(self, batch: int) -> Ints:
        """A batch's devices: each once."""
        return self._rng.permutation(len(self))[:batch]


def warm(devices: int, rules: Rules | None = None) -> tuple[Engine, Machines]:
    """An engine that has seen nine days of rows of every machine, one in two hours."""
    engine, machines = Engine(EIGHT, rules), Machines(devices)
    everybody = np.arange(devices)
    for _ in range(9 * 12 + 1):  # ends two hours into a phase: everything has settled
        engine.step(machines.rows(everybody, 2 * HOUR))
    engine.refresh_fleet()
    return engine, machines


@dataclass(frozen=True)
class Cost:
    """µs of CPU time a row in one slice after the other, and how many findings there were."""

    spent: list[float]
    found: int

    @property
    def best(self) -> float:
        """The best slice, as `timeit` does."""
        return min(self.spent)

    @property
    def median(self) -> float:
        return float(np.median(self.spent))


def us_per_row(devices: int, slices: int) -> dict[int, Cost]:
    """What a row costs, by the size of the batch; the sizes take turns, so that all meet the same neighbours."""
    engine, machines = warm(devices)
    sizes = [min(BATCH, devices), *(size for size in SMALLER if size < min(BATCH, devices))]
    costs = {size: Cost([], 0) for size in sizes}
    for at in range(slices):
        for size in sizes if at % 4 == 0 else sizes[:1]:
            blocks = [machines.rows(machines.some(size), EVERY) for _ in range(SLICE // size)]
            before = time.process_time()
            found = sum(len(engine.step(block).findings) for block in blocks)
            spent = (time.process_time() - before) / SLICE * 1e6
            costs[size] = Cost([*costs[size].spent, spent], costs[size].found + found)
    return costs


def bytes_per_device(rules: Rules | None = None) -> int:
    """Length of a saved state."""
    engine, machines = Engine(EIGHT, rules), Machines(1)
    engine.step(machines.rows(np.array([0]), HOUR))
    return len(engine.dump(0))


def with_rule(rule: str, devices: int = 200) -> tuple[float, int]:
    """µs per row and bytes per device with a rule switched on that is off by default."""
    rules = Rules.of({rule: {}})
    engine, machines = warm(devices, rules)
    spent = []
    for _ in range(10):
        block = machines.rows(machines.some(devices), EVERY)
        before = time.process_time()
        engine.step(block)
        spent.append((time.process_time() - before) / devices * 1e6)
    return min(spent), bytes_per_device(rules)


def timed(step: Callable[[dict[str, float]], None], rows: list[dict[str, float]], count: int) -> float:
    """µs of CPU time per row, the best of ten slices."""
    source, spent = cycle(rows), []
    for _ in range(10):
        part = list(islice(source, count // 10))
        before = time.process_time()
        for row in part:
            step(row)
        spent.append((time.process_time() - before) / len(part) * 1e6)
    return min(spent)


def river_costs(count: int) -> dict[str, float]:
    """µs per row of river's models for one device: adaptive mean, variance and Page-Hinkley for each metric; a
    forest of ten half-space trees of height eight."""
    from river import anomaly, drift, stats

    rows = [dict(zip(NAMES, row, strict=True)) for row in np.random.default_rng(2).random((1000, METRICS))]
    models = {name: (stats.EWMean(0.05), stats.EWVar(0.05), drift.PageHinkley()) for name in NAMES}

    def watch(row: dict[str, float]) -> None:
        for name, value in row.items():
            mean, variance, page_hinkley = models[name]
            mean.update(value)
            variance.update(value)
            page_hinkley.update(value)

    trees = anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=250, seed=1)

    def isolate(row: dict[str, float]) -> None:
        trees.score_one(row)
        trees.learn_one(row)

    isolate(rows[0])  # the trees are grown at the first row
    return {"ew_page_hinkley": timed(watch, rows, count), "half_space_trees": timed(isolate, rows, count)}


def line(name: str, value: float, **context: Any) -> None:
    """One figure as a JSON line."""
    print(json.dumps({"name": name, "value": value, "context": context}), flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer batches, no fleet of 100,000 devices")
    quick = parser.parse_args().quick
    costs: dict[int, float] = {}
    for devices in (1_000, 20_000) if quick else (1_000, 20_000, 100_000):
        (batch, cost), *smaller = us_per_row(devices, 20 if quick else 100).items()
        costs[devices] = cost.best
        line(
            f"detect.us_per_row.{devices}", round(cost.best, 3), unit="us", metrics=METRICS, batch=batch,
            median=round(cost.median, 3), slices=len(cost.spent), findings=cost.found,
            smaller_batches={size: round(its.best, 3) for size, its in smaller},
        )  # fmt: skip
    line("detect.bytes_per_device", bytes_per_device(), unit="bytes", metrics=METRICS, modes=len(MODES))
    for rule in [detector.rule for detector in discover() if not detector.on]:
        cost_with, size = with_rule(rule)
        line(
            f"detect.us_per_row.with_{rule}", round(cost_with, 2), unit="us", bytes_per_device=size, batch=200
        )
    river = river_costs(5_000 if quick else 20_000)
    total = sum(river.values())
    line(
        "detect.river_us_per_row", round(total, 2), unit="us",
        **{name: round(cost, 2) for name, cost in river.items()},
        ratio=round(total / costs[20_000], 1),
        ratio_ew_page_hinkley=round(river["ew_page_hinkley"] / costs[20_000], 1),
    )  # fmt: skip


if __name__ == "__main__":
    main()
