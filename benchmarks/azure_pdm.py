"""Failures of 100 machines foreseen per component (Azure predictive-maintenance sample).

    python -m benchmarks.azure_pdm --data DIR --train-until 2015-07-01 --test-until 2015-10-01

Learns from what was known before --train-until, decides row by row until --test-until, and scores the orders: right
if that component fails within the next 72 h. Prints one JSON object a line.

A part of the set may hold other machines or months: what is scored are the machines of machines.csv that have
telemetry, until their telemetry ends; what was left out for that is said on standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from analytics.definitions import HOUR, Floats, Ints
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


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the set")
    parser.add_argument("--train-until", required=True, help="date; nothing later is learned from")
    parser.add_argument("--test-until", help="date; default: when the telemetry ends")
    given = parser.parse_args(argv)
    try:
        _run(given.data, instant(given.train_until), given.test_until and instant(given.test_until))
    except Invalid as refusal:
        raise SystemExit(str(refusal)) from None


def _run(folder: Path, first: int, last: int | None) -> None:
    history, failures = load(folder)
    end = int(history.known[-1])
    last = end if last is None else last
    if first < end < last:
        _note(f"The telemetry ends on {np.datetime64(end, 'us')}; the test ends there.")
        last = end
    results = foresee(history, failures, first, last, Policy({}))
    years = len(history.devices) * (last - first) / HOUR / YEAR_HOURS
    for name, result in results.items():
        _emit_component(name, result, years)
    for name, value in totals(results.values(), years).items():
        emit(f"azure_pdm.{name}", value, UNITS[name], {})


def foresee(history: History, failures: Log, first: int, last: int, policy: Policy) -> dict[str, Result]:
    """Learn before `first`, decide in [first, last): both µs. `failures`: kind is the component. A component with
    too few failures to learn from gets no orders: each of its failures is missed.

    Raises:
        Invalid: no telemetry before `first` or after it, or no component that can be learned.
    """
    if history.known[-1] <= first:
        ends = np.datetime64(int(history.known[-1]), "us")
        raise Invalid(f"The telemetry ends on {ends}; --train-until must lie before that.")
    if not (history.known[0] < first < last):
        raise Invalid("Telemetry from before --train-until is needed, and --test-until must lie after it.")
    past = history.until(first)
    learned = features.build(past)
    table = features.build(history.until(last), first)
    results, refused = {}, []
    for kind, component in enumerate(history.components):
        broken = failures.only(kind)
        orders: list[decision.Order] = []
        try:
            model = failure.fit(component, learned, broken.until(first), past.repairs.only(kind), first)
        except Invalid as refusal:
            refused.append(str(refusal))
        else:
            p = model.probability(table)
            repairs = history.repairs.only(kind)
            orders = decision.decide(p, table.device, table.ts, repairs, policy, component)
        results[component] = score(orders, broken, first, last)
    if len(refused) == len(results):
        raise Invalid(" ".join(refused))
    for text in refused:
        _note(text)
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
    """The fleet's past and, apart from it, its failures (kind: component).

    Raises:
        Invalid: a file or a column is missing, a time is none, or no machine has telemetry.
    """
    machines = _csv(folder, "machines", ("machineID",))
    errors = _csv(folder, "errors", ("datetime", "machineID", "errorID"))
    replaced = _csv(folder, "maint", ("datetime", "machineID", "comp"))
    failed = _csv(folder, "failures", ("datetime", "machineID", "failure"))
    path = folder / "telemetry_3h.parquet"
    telemetry = _columns(
        _read(path, pyarrow.parquet.read_table),
        path,
        ("datetime", "machineID", *(f"{metric}_mean_3" for metric in METRICS)),
    )
    ids = np.intersect1d(machines["machineID"].to_numpy(), telemetry["machineID"].to_numpy())
    if not len(ids):
        raise Invalid(f"No machine of {folder / 'machines.csv'} has telemetry in {path}.")
    codes = _kinds(errors["errorID"])
    components = _kinds(replaced["comp"], failed["failure"])
    known, values = _telemetry(_of(telemetry, ids, path.name), ids)
    names, traits = _traits(machines, ids)
    history = History(
        metrics=METRICS,
        codes=codes,
        components=components,
        devices=ids,
        known=known,
        step_hours=STEP_HOURS,
        values=values,
        faults=_log(_of(errors, ids, "errors.csv"), "errorID", codes, ids),
        repairs=_log(_of(replaced, ids, "maint.csv"), "comp", components, ids),
        trait_names=names,
        traits=traits,
    )
    return history, _log(_of(failed, ids, "failures.csv"), "failure", components, ids)


def _csv(folder: Path, name: str, columns: Sequence[str]) -> pa.Table:
    path = folder / f"{name}.csv"
    return _columns(_read(path, pyarrow.csv.read_csv), path, columns)


def _read(path: Path, reader: Any) -> pa.Table:
    try:
        return reader(path)
    except (OSError, pa.ArrowException) as error:
        raise Invalid(f"{path} cannot be read: {error}") from error


def _columns(table: pa.Table, path: Path, columns: Sequence[str]) -> pa.Table:
    missing = [column for column in columns if column not in table.column_names]
    if missing:
        raise Invalid(f"{path} has no column {', '.join(missing)}; it has {', '.join(table.column_names)}.")
    if "datetime" in columns and len(table) and not pa.types.is_timestamp(table["datetime"].type):
        raise Invalid(
            f"{path}: datetime holds {table['datetime'][0]}, no time stamp like 2015-01-01 06:00:00."
        )
    return table


def _of(table: pa.Table, ids: Ints, name: str) -> pa.Table:
    """The rows of these machines."""
    keep = np.isin(table["machineID"].to_numpy(), ids)
    if not keep.all():
        _note(
            f"{name}: {int((~keep).sum())} rows of machines without telemetry or without a line in machines.csv."
        )
    return table.filter(pa.array(keep))


def _traits(machines: pa.Table, ids: Ints) -> tuple[tuple[str, ...], Floats]:
    """Model and age, as far as machines.csv tells them: names, [machine, trait]."""
    at = np.unique(machines["machineID"].to_numpy(), return_index=True)
    row = at[1][np.searchsorted(at[0], ids)]
    found = {}
    if "model" in machines.column_names:
        models = np.array([str(model) for model in machines["model"].to_pylist()])
        found["model"] = np.unique(models, return_inverse=True)[1][row].astype(np.float64)
    if "age" in machines.column_names:
        found["age"] = machines["age"].to_numpy()[row].astype(np.float64)
    return tuple(found), np.array(list(found.values()), np.float64).reshape(len(found), len(ids)).T


def _telemetry(table: pa.Table, ids: Ints) -> tuple[Ints, Floats]:
    """When each step was known, and [machine, step, metric]; the row stamped t is known at t + 3 h."""
    ts = _micros(table["datetime"]) + STEP_HOURS * HOUR
    known = np.arange(int(ts.min()), int(ts.max()) + 1, STEP_HOURS * HOUR)
    step = (ts - known[0]) // (STEP_HOURS * HOUR)
    values = np.full((len(ids), len(known), len(METRICS)), np.nan)
    machine = np.searchsorted(ids, table["machineID"].to_numpy())
    for at, metric in enumerate(METRICS):
        values[machine, step, at] = table[f"{metric}_mean_3"].to_numpy()
    return known, values


def _kinds(*columns: Any) -> tuple[str, ...]:
    return tuple(sorted({str(name) for column in columns for name in column.to_pylist()}))


def _log(table: pa.Table, column: str, kinds: tuple[str, ...], ids: Ints) -> Log:
    kind = np.array([kinds.index(str(name)) for name in table[column].to_pylist()], np.int64)
    return Log.of(np.searchsorted(ids, table["machineID"].to_numpy()), _micros(table["datetime"]), kind)


def _micros(column: Any) -> Ints:
    found: Ints = column.to_numpy().astype("datetime64[us]").astype(np.int64)
    return found


def _note(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    main()
