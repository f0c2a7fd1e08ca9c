"""Failures of 100 machines foreseen per component (Azure predictive-maintenance sample).

    python -m benchmarks.azure_pdm --data DIR --train-until 2015-07-01 --test-until 2015-10-01

Learns from what was known before --train-until, decides row by row until --test-until, and scores the orders: right
if that component fails within the next 72 h. Prints one JSON object a line.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet

from analytics.definitions import HOUR, Ints
from analytics.prediction import decision, failure, features
from analytics.prediction.decision import Policy
from analytics.prediction.history import History, Log
from analytics.prediction.scores import Result, score
from benchmarks._files import emit
from kit.errors import Invalid

METRICS = ("volt", "rotate", "pressure", "vibration")
STEP_HOURS = 3
YEAR_HOURS = 8766
UNITS = {
    "recall": "share of failures warned of",
    "precision": "share of orders",
    "false_orders_per_machine_year": "1/year",
    "lead_h_p10": "h",
    "lead_h_p50": "h",
    "lead_h_p90": "h",
}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the set")
    parser.add_argument("--train-until", required=True, help="date; nothing later is learned from")
    parser.add_argument("--test-until", required=True, help="date")
    given = parser.parse_args()
    history, failures = load(given.data)
    first, last = instant(given.train_until), instant(given.test_until)
    results = foresee(history, failures, first, last, Policy({}))
    years = len(history.devices) * (last - first) / HOUR / YEAR_HOURS
    for name, result in results.items():
        _emit_component(name, result, years)
    for name, value in totals(results.values(), years).items():
        emit(f"azure_pdm.{name}", value, UNITS[name], {})


def foresee(history: History, failures: Log, first: int, last: int, policy: Policy) -> dict[str, Result]:
    """Learn before `first`, decide in [first, last): both µs. `failures`: kind is the component."""
    if not (history.known[0] < first < last):
        raise Invalid("Telemetry from before --train-until is needed, and --test-until must lie after it.")
    past = history.until(first)
    learned = features.build(past)
    table = features.build(history.until(last), first)
    results = {}
    for kind, component in enumerate(history.components):
        broken = failures.only(kind)
        model = failure.fit(component, learned, broken.until(first), past.repairs.only(kind), first)
        orders = decision.decide(
            model.probability(table), table.device, table.ts, history.repairs.only(kind), policy, component
        )
        results[component] = score(orders, broken, first, last)
    return results


def totals(results: Iterable[Result], years: float) -> dict[str, float | None]:
    """The figures over all components; None where there is nothing to say."""
    results = list(results)
    failed, false = sum(r.failures for r in results), sum(r.false for r in results)
    orders, leads = sum(r.orders for r in results), [lead for r in results for lead in r.leads]
    found: dict[str, float | None] = {
        "recall": len(leads) / failed if failed else None,
        "false_orders_per_machine_year": false / years,
        "precision": 1 - false / orders if orders else None,
    }
    for share in (10, 50, 90):
        found[f"lead_h_p{share}"] = float(np.percentile(leads, share)) if leads else None
    return found


def _emit_component(name: str, result: Result, years: float) -> None:
    figures = totals([result], years)
    context = {"failures": result.failures, "orders": result.orders, "false": result.false, **figures}
    emit(f"azure_pdm.component.{name}", figures["recall"], "share of failures warned of", context)


def instant(text: str) -> int:
    """A date or time as µs since the Unix epoch, UTC."""
    try:
        return int(np.datetime64(text, "us").astype(np.int64))
    except ValueError as error:
        raise Invalid(f"{text!r} is no date; write it as 2015-07-01.") from error


def load(folder: Path) -> tuple[History, Log]:
    """The fleet's past and, apart from it, its failures (kind: component)."""
    machines, errors, replaced, failed = (
        pyarrow.csv.read_csv(folder / f"{name}.csv") for name in ("machines", "errors", "maint", "failures")
    )
    order = np.argsort(machines["machineID"].to_numpy())
    ids = machines["machineID"].to_numpy()[order]
    models = np.array(machines["model"].to_pylist())[order]
    codes, components = _kinds(errors, "errorID"), _kinds(replaced, "comp")
    known, values = _telemetry(folder, ids)
    history = History(
        metrics=METRICS,
        codes=codes,
        components=components,
        devices=ids,
        known=known,
        step_hours=STEP_HOURS,
        values=values,
        faults=_log(errors, "errorID", codes, ids),
        repairs=_log(replaced, "comp", components, ids),
        trait_names=("model", "age"),
        traits=np.column_stack(
            [np.unique(models, return_inverse=True)[1], machines["age"].to_numpy()[order]]
        ).astype(np.float64),
    )
    return history, _log(failed, "failure", components, ids)


def _telemetry(folder: Path, ids: Ints) -> tuple[Ints, np.ndarray[Any, np.dtype[np.float64]]]:
    """When each step was known, and [machine, step, metric]; the row stamped t is known at t + 3 h."""
    table = pyarrow.parquet.read_table(folder / "telemetry_3h.parquet")
    ts = _micros(table["datetime"]) + STEP_HOURS * HOUR
    known = np.arange(int(ts.min()), int(ts.max()) + 1, STEP_HOURS * HOUR)
    step = (ts - known[0]) // (STEP_HOURS * HOUR)
    values = np.full((len(ids), len(known), len(METRICS)), np.nan)
    machine = np.searchsorted(ids, table["machineID"].to_numpy())
    for at, metric in enumerate(METRICS):
        values[machine, step, at] = table[f"{metric}_mean_3"].to_numpy()
    return known, values


def _kinds(table: Any, column: str) -> tuple[str, ...]:
    return tuple(sorted(set(table[column].to_pylist())))


def _log(table: Any, column: str, kinds: tuple[str, ...], ids: Ints) -> Log:
    kind = np.array([kinds.index(name) for name in table[column].to_pylist()], np.int64)
    return Log.of(np.searchsorted(ids, table["machineID"].to_numpy()), _micros(table["datetime"]), kind)


def _micros(column: Any) -> Ints:
    found: Ints = column.to_numpy().astype("datetime64[us]").astype(np.int64)
    return found


if __name__ == "__main__":
    main()
