"""What fits for a thousand groups cost, against SciPy's general fit on the same lives in the same run.

    python -m benchmarks.reliability [--groups 1000] [--seed 1]

A thousand groups of 10 to 100 lives each, right-censored, half of them entered late, shapes 0.5 to 6: first the
Weibull fits with all bounds, all together (`many.fit_groups`) and one by one (`weibull.fit`), then whole analyses
(fit, Kaplan-Meier, plotting positions, B10) and a table of MTBF with its chi-square bounds. SciPy cannot enter lives
late, so its general optimiser is timed, and compared, on the same groups without late entry. CPU time of one process.
JSON lines.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from analytics.reliability import analysis, many, rates, weibull
from analytics.reliability.inputs import Bools, Floats
from analytics.reliability.lives import Life
from analytics.reliability.weibull import Weibull
from kit.errors import Invalid


@dataclass(frozen=True)
class Lives:
    """Lives [n] of all groups."""

    times: Floats
    failed: Bools
    entries: Floats
    group: many.Ints
    groups: int


def lives(groups: int, seed: int, *, late: bool) -> Lives:
    """Random lives that were watched from `entries` until they failed or the watching ended."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), rng.integers(10, 101, groups))
    shape, scale = rng.uniform(0.5, 6, groups)[group], 10 ** rng.uniform(2.5, 4.5, groups)[group]
    entered = np.where(rng.random(group.size) < 0.5, scale * rng.uniform(0.05, 1, group.size), 0.0)
    entries = entered if late else np.zeros(group.size)
    # what a life that has survived its entry lives: by the conditional distribution's quantile
    survived = (entries / scale) ** shape
    life = scale * (survived + rng.exponential(size=group.size)) ** (1 / shape)
    ends = entries + scale * rng.uniform(0.2, 1.5, group.size)
    return Lives(np.minimum(life, ends), life <= ends, entries, group, groups)


def timed(act: Callable[[], Any], repeats: int = 5) -> tuple[float, Any]:
    """Seconds of CPU time, the best of some; and what it gave."""
    spent, given = [], None
    for _ in range(repeats):
        before = time.process_time()
        given = act()
        spent.append(time.process_time() - before)
    return min(spent), given


def together(of: Lives) -> list[Weibull | many.Unfit]:
    """All groups at once."""
    return many.fit_groups(of.times, of.failed, of.group, of.groups, 0.9, of.entries)


def one_by_one(of: Lives) -> list[Weibull | None]:
    """Each group with its own root search."""
    found: list[Weibull | None] = []
    for rows in split(of):
        try:
            found.append(weibull.fit(of.times[rows], of.failed[rows], 0.9, of.entries[rows]))  # type: ignore[arg-type]
        except Invalid:
            found.append(None)
    return found


def split(of: Lives) -> list[many.Ints]:
    """Rows of each group."""
    return list(np.split(np.arange(of.group.size), np.flatnonzero(np.diff(of.group)) + 1))


def scipy_fits(of: Lives, wanted: list[many.Ints]) -> list[tuple[float, float]]:
    """(shape, scale) by `scipy.stats.weibull_min.fit` on censored data, location fixed at 0; no bounds."""
    found = []
    for rows in wanted:
        failed = of.failed[rows]
        data = stats.CensoredData(uncensored=of.times[rows][failed], right=of.times[rows][~failed])
        shape, _, scale = stats.weibull_min.fit(data, floc=0)
        found.append((float(shape), float(scale)))
    return found


def analyses(of: Lives) -> int:
    """Everything the page shows of a group's lives; how many had a fit."""
    columns = zip(of.entries.tolist(), of.times.tolist(), of.failed.tolist(), strict=True)
    made = [
        Life(0, "", "", entry, end, "failed" if failed else "running", None) for entry, end, failed in columns
    ]
    groups = [made[rows[0] : rows[-1] + 1] for rows in split(of)]
    return sum(each.fit is not None for each in analysis.of_groups(groups, 0.9))


def line(name: str, value: float, **context: Any) -> None:
    """One figure as a JSON line."""
    print(json.dumps({"name": name, "value": value, "context": context}), flush=True)


def furthest(found: list[Weibull | many.Unfit], others: list[tuple[float, float] | None]) -> float:
    """The largest relative difference of a shape or scale."""
    worst = 0.0
    for one, other in zip(found, others, strict=True):
        if isinstance(one, Weibull) and other is not None:
            worst = max(worst, abs(one.shape / other[0] - 1), abs(one.scale / other[1] - 1))
    return worst


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    late = lives(asked.groups, asked.seed, late=True)
    seconds, found = timed(lambda: together(late))
    singly, singles = timed(lambda: one_by_one(late), 1)
    pairs = [None if one is None else (one.shape, one.scale) for one in singles]
    line(
        "reliability.fit_1000_groups_s", round(seconds, 4), unit="s", groups=asked.groups, lives=late.times.size,
        failures=int(late.failed.sum()), fitted=sum(isinstance(one, Weibull) for one in found),
    )  # fmt: skip
    line(
        "reliability.fit_one_by_one_s",
        round(singly, 4),
        unit="s",
        furthest=float(f"{furthest(found, pairs):.1e}"),
    )
    plain = lives(asked.groups, asked.seed, late=False)
    ours, fits = timed(lambda: together(plain))
    some = [at for at, one in enumerate(fits) if isinstance(one, Weibull)][:25]
    rows = split(plain)
    peer, theirs = timed(lambda: scipy_fits(plain, [rows[at] for at in some]), 1)
    scaled = peer / len(some) * asked.groups
    line(
        "reliability.scipy_fit_1000_groups_s", round(scaled, 2), unit="s", measured_groups=len(some),
        ratio=round(scaled / ours), furthest=float(f"{furthest([fits[at] for at in some], list(theirs)):.1e}"),
    )  # fmt: skip
    whole, fitted = timed(lambda: analyses(late), 1)
    line("reliability.analyse_1000_groups_s", round(whole, 3), unit="s", fitted=fitted)
    hours, failures = np.linspace(1e3, 1e6, asked.groups).tolist(), [at % 40 for at in range(asked.groups)]
    table, _ = timed(lambda: rates.mtbf_of(hours, failures, 0.9))
    line("reliability.mtbf_1000_groups_s", round(table, 5), unit="s")


if __name__ == "__main__":
    main()
