"""Remaining life of turbofan engines (C-MAPSS): learned on the training units, one prediction per test unit.

    python -m benchmarks.cmapss --data DIR --subset FD001

DIR holds train_, test_ and RUL_ files (.txt or .txt.gz). Prints one JSON object a line. The interval is held against
min(true, 125): at 125 the product says "125 or more".
"""

from __future__ import annotations

import argparse
import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from analytics.definitions import Floats
from analytics.prediction import remaining_life
from analytics.prediction.regimes import Run
from benchmarks._files import emit
from kit.errors import Invalid

SETTINGS = 3
UNITS = {
    "rmse_capped": "cycles",
    "rmse_true": "cycles",
    "phm": "score, less is better",
    "coverage80": "share of units",
    "interval_width": "cycles",
    "rmse_held_out": "cycles, training units",
    "regimes": "count",
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the set")
    parser.add_argument("--subset", default="FD001", help="FD001 … FD004")
    given = parser.parse_args()
    try:
        figures = run(given.data, given.subset, remaining_life.Settings())
    except Invalid as refusal:
        raise SystemExit(str(refusal)) from None
    for name, value in figures.items():
        emit(f"cmapss.{given.subset}.{name}", value, UNITS[name], {})


def run(folder: Path, subset: str, settings: remaining_life.Settings) -> dict[str, float]:
    """Fit on the training file, predict the test file; the figures by name."""
    learned = _runs(_table(folder, f"train_{subset}"), failed=True)
    asked = _runs(_table(folder, f"test_{subset}"), failed=False)
    truth = _table(folder, f"RUL_{subset}")[:, 0]
    if len(truth) != len(asked):
        raise Invalid(
            f"RUL_{subset} has {len(truth)} lines, test_{subset} has {len(asked)} units; one a unit."
        )
    model = remaining_life.fit(learned, settings)
    life = model.predict(asked)
    return score(life, truth, settings.cap) | {
        "rmse_held_out": round(model.held_out["rmse"], 3),
        "regimes": len(model.regimes.mean),
    }


def score(life: remaining_life.Life, truth: Floats, cap: float) -> dict[str, float]:
    """RMSE against the true and the capped life, PHM score, coverage and mean width of the interval."""
    capped, off = np.minimum(truth, cap), life.expected - truth
    inside = (life.low <= capped) & (capped <= life.high)
    figures = {
        "rmse_capped": np.sqrt(np.mean((life.expected - capped) ** 2)),
        "rmse_true": np.sqrt(np.mean(off**2)),
        "phm": np.sum(np.where(off < 0, np.exp(-off / 13), np.exp(off / 10)) - 1),
        "coverage80": inside.mean(),
        "interval_width": (life.high - life.low).mean(),
    }
    return {name: round(float(value), 3) for name, value in figures.items()}


def _table(folder: Path, name: str) -> Floats:
    for path, opener in ((folder / f"{name}.txt", open), (folder / f"{name}.txt.gz", gzip.open)):
        if path.exists():
            return _read(path, opener)
    raise Invalid(f"There is neither {name}.txt nor {name}.txt.gz in {folder}.")


def _read(path: Path, opener: Callable[..., Any]) -> Floats:
    try:
        with opener(path, "rt") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty file: refused below
            table = np.loadtxt(file, ndmin=2)
    except (OSError, EOFError, ValueError) as error:
        raise Invalid(f"{path} cannot be read as a table of numbers: {error}") from error
    if not table.size or not np.isfinite(table).all():
        raise Invalid(f"{path} must hold numbers in all its lines; it is empty or some are missing.")
    return table


def _runs(table: Floats, *, failed: bool) -> list[Run]:
    """Columns: unit, cycle, three settings, sensors. Units in the order of their numbers."""
    if table.shape[1] < 3 + SETTINGS:
        raise Invalid(
            f"A row must hold unit, cycle, {SETTINGS} settings and sensors; the table is {table.shape}."
        )
    found = []
    for unit in np.unique(table[:, 0]):
        rows = table[table[:, 0] == unit]
        rows = rows[np.argsort(rows[:, 1], kind="stable")]
        found.append(Run(rows[:, 2 : 2 + SETTINGS], rows[:, 2 + SETTINGS :], failed))
    return found


if __name__ == "__main__":
    main()
