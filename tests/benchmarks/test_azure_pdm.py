"""Azure PdM: the loading by hand, and the command on a slice of the shared part."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest

from analytics.definitions import HOUR
from benchmarks import azure_pdm
from benchmarks.azure_pdm import instant
from kit.errors import Invalid


def slice_of(data: Path, folder: Path, machines: int, until: str) -> Path:
    """The first machines of the set, cut off at a date."""
    end = datetime.fromisoformat(until)
    for name in ("machines", "errors", "maint", "failures"):
        table = pyarrow.csv.read_csv(data / "azure-pdm" / f"{name}.csv").to_pylist()
        keep = [r for r in table if r["machineID"] <= machines and r.get("datetime", end) <= end]
        pyarrow.csv.write_csv(pyarrow.Table.from_pylist(keep), folder / f"{name}.csv")
    table = pyarrow.parquet.read_table(data / "azure-pdm" / "telemetry_3h.parquet")
    there = (table["machineID"].to_numpy() <= machines) & (table["datetime"].to_numpy() <= np.datetime64(end))
    pyarrow.parquet.write_table(table.filter(there), folder / "telemetry_3h.parquet")
    return folder


@pytest.mark.data
def test_a_row_of_telemetry_is_known_three_hours_after_its_stamp(shared_data: Path, tmp_path: Path) -> None:
    history, failures = azure_pdm.load(slice_of(shared_data, tmp_path, 2, "2015-02-01"))
    stamps = pyarrow.parquet.read_table(tmp_path / "telemetry_3h.parquet")["datetime"].to_numpy()
    assert history.known[0] == stamps.min().astype("datetime64[us]").astype(int) + 3 * HOUR
    assert not np.isnan(history.values).any()
    assert history.components == ("comp1", "comp2", "comp3", "comp4")
    assert failures.ts.max() <= instant("2015-02-01")


@pytest.mark.data
@pytest.mark.slow
def test_what_comes_after_the_test_changes_nothing(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "short").mkdir()
    (tmp_path / "long").mkdir()
    first, last = instant("2015-05-01"), instant("2015-05-20")
    found = []
    for name, until in (("short", "2015-05-24"), ("long", "2015-06-10")):
        history, failures = azure_pdm.load(slice_of(shared_data, tmp_path / name, 25, until))
        bearing = history.components[1]
        only = azure_pdm.History(**{**vars(history), "components": (bearing,), "repairs": history.repairs.of(
            history.repairs.only(1).device, history.repairs.only(1).ts, history.repairs.only(1).kind * 0)})  # fmt: skip
        broken = failures.only(1)
        log = azure_pdm.Log.of(broken.device, broken.ts, broken.kind * 0)
        found.append(azure_pdm.foresee(only, log, first, last, azure_pdm.Policy({})))
    assert found[0] == found[1]
    assert found[0]["comp2"].orders > 0


@pytest.mark.data
@pytest.mark.slow
def test_the_command_prints_its_figures(shared_data: Path, tmp_path: Path) -> None:
    folder = slice_of(shared_data, tmp_path, 40, "2015-05-08")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.azure_pdm", "--data", folder, "--train-until", "2015-05-01",
         "--test-until", "2015-05-08"],
        check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    figures = {line["name"]: line["value"] for line in map(json.loads, done.stdout.splitlines())}
    names = ["recall", "false_orders_per_machine_year", "lead_h_p10", "lead_h_p50", "lead_h_p90"]
    assert {f"azure_pdm.{name}" for name in names} <= figures.keys()
    assert {f"azure_pdm.component.comp{n}" for n in range(1, 5)} <= figures.keys()
    assert 0 <= figures["azure_pdm.recall"] <= 1


@pytest.mark.data
def test_a_test_without_a_past_is_refused(shared_data: Path, tmp_path: Path) -> None:
    history, failures = azure_pdm.load(slice_of(shared_data, tmp_path, 2, "2015-02-01"))
    with pytest.raises(Invalid, match="before --train-until"):
        azure_pdm.foresee(
            history, failures, instant("2014-12-01"), instant("2015-02-01"), azure_pdm.Policy({})
        )


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(Invalid, match="no date"):
        instant("yesterday")


def part(folder: Path, machines: str = "machineID,model,age\n1,model1,3\n2,model2,5\n") -> Path:
    """A tiny part of a set: two machines over a week, one failure."""
    hours = np.datetime64("2015-01-01", "us") + np.arange(56) * np.timedelta64(3, "h")
    columns = {"machineID": np.repeat([1, 2], 56), "datetime": np.tile(hours, 2)}
    columns |= {f"{metric}_mean_3": np.tile(np.arange(56.0), 2) for metric in azure_pdm.METRICS}
    pyarrow.parquet.write_table(pyarrow.table(columns), folder / "telemetry_3h.parquet")
    (folder / "machines.csv").write_text(machines)
    (folder / "errors.csv").write_text("datetime,machineID,errorID\n2015-01-02 06:00:00,9,error1\n")
    (folder / "maint.csv").write_text("datetime,machineID,comp\n2015-01-02 06:00:00,1,comp1\n")
    (folder / "failures.csv").write_text("datetime,machineID,failure\n2015-01-03 06:00:00,2,comp3\n")
    return folder


def test_machines_without_telemetry_or_unknown_ones_are_left_out_and_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = "machineID,model,age\n5,model1,3\n2,model2,5\n1,model3,7\n"
    history, failures = azure_pdm.load(part(tmp_path, lines))
    assert history.devices.tolist() == [1, 2]
    assert history.traits[:, history.trait_names.index("age")].tolist() == [7.0, 5.0]
    assert not len(history.faults)  # the only code is of machine 9
    assert "errors.csv: 1 rows of machines without" in capsys.readouterr().err
    assert [history.components[kind] for kind in failures.kind] == [
        "comp3"
    ]  # never replaced, yet a component


def test_a_part_without_model_and_age_is_read(tmp_path: Path) -> None:
    history, _ = azure_pdm.load(part(tmp_path, "machineID\n1\n2\n"))
    assert history.trait_names == ()
    assert history.traits.shape == (2, 0)
    assert azure_pdm.features.build(history).x.shape[0] > 0


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("maint.csv", None, r"maint\.csv cannot be read"),
        ("errors.csv", "datetime,machineID,code\n", r"errors\.csv has no column errorID; it has datetime"),
        ("failures.csv", "datetime,machineID,failure\nsoon,1,comp1\n", "datetime holds soon, no time stamp"),
        ("machines.csv", "machineID\n77\n", "No machine of .* has telemetry"),
        ("telemetry_3h.parquet", "no parquet", r"telemetry_3h\.parquet cannot be read"),
    ],
)
def test_a_part_that_cannot_be_used_is_refused_with_its_reason(
    tmp_path: Path, name: str, text: str | None, message: str
) -> None:
    part(tmp_path)
    (tmp_path / name).unlink()
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit, match=message):
        azure_pdm.main(["--data", str(tmp_path), "--train-until", "2015-01-05", "--test-until", "2015-01-07"])


@pytest.mark.parametrize(
    ("first", "message"), [("2015-02-01", "The telemetry ends on 2015-01-08"), ("2015-01-05", "censored")]
)
def test_a_part_that_nothing_can_be_learned_from_is_refused(tmp_path: Path, first: str, message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        azure_pdm.main(["--data", str(part(tmp_path)), "--train-until", first, "--test-until", "2015-03-01"])
    with pytest.raises(SystemExit, match=message):  # the default: until the telemetry ends
        azure_pdm.main(["--data", str(tmp_path), "--train-until", first])
