"""SKAB: the counting by hand, and the command on two tiny files."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from benchmarks import skab
from benchmarks.skab import SENSORS, TRAINING_ROWS, Recording, Tally, tally
from tests.conftest import shared_folder


def recording(anomalous: range, rows: int = 10) -> Recording:
    anomaly = np.zeros(TRAINING_ROWS + rows, bool)
    anomaly[[TRAINING_ROWS + n for n in anomalous]] = True
    ts = np.arange(len(anomaly)) * 2
    return Recording("valve1/0.csv", ts, np.zeros((len(anomaly), len(SENSORS))), anomaly)


def alarm(*rows: int) -> np.ndarray:
    found = np.zeros(10, bool)
    found[list(rows)] = True
    return found


def test_rows_episodes_and_delay_are_counted_on_the_test_rows() -> None:
    counted = tally(recording(range(4, 8)), alarm(0, 1, 6, 7, 8))
    assert (counted.tp, counted.fp, counted.fn, counted.tn) == (2, 3, 2, 3)
    assert counted.false_episodes == 1  # rows 0–1; the other episode has anomalous rows
    assert counted.delays == (4.0,)  # two rows of two seconds
    figures = counted.figures()
    assert figures["skab.f1"][0] == pytest.approx(2 / (2 + 5 / 2))
    assert figures["skab.far"][0] == pytest.approx(50.0)
    assert figures["skab.mar"][0] == pytest.approx(50.0)
    assert figures["skab.false_episodes_per_hour"][0] == pytest.approx(3600 / 6)


def test_counts_of_files_add_up() -> None:
    both = tally(recording(range(4, 8)), alarm(4)) + tally(recording(range(0)), alarm())
    assert (both.tp, both.fp, both.fn, both.tn) == (1, 0, 3, 16)
    assert both.files_with_anomaly == 1
    assert both.figures()["skab.files_found"][0] == 1


def test_a_limit_with_many_false_episodes_is_worth_less_than_one_with_few() -> None:
    calm, restless = Tally(8, 1, 2, 7200, 1), Tally(8, 1, 2, 7200, 9)
    merits = skab._merit({"a": calm}, ["a"]), skab._merit({"a": restless}, ["a"])
    assert merits[0] == calm.figures()["skab.f1"][0]  # within FAR and episodes nothing is taken off
    assert merits[1] < merits[0]


def test_what_cannot_be_said_is_null() -> None:
    figures = tally(recording(range(0)), alarm()).figures()
    assert figures["skab.f1"][0] is None
    assert figures["skab.median_delay_s"][0] is None
    assert Tally().figures()["skab.far"][0] is None


@pytest.mark.data
def test_the_published_predictions_score_what_was_published() -> None:
    folder = shared_folder() / "skab"
    table = parquet.read_table(folder / "t2q_predictions.parquet").to_pydict()
    names, given = np.array(table["file"]), np.array(table["prediction"]) > 0
    total = sum((tally(one, given[names == one.name]) for one in skab.read(folder)), Tally())
    figures = total.figures()
    assert figures["skab.f1"][0] == pytest.approx(0.723, abs=0.0006)
    assert figures["skab.far"][0] == pytest.approx(35.3, abs=0.06)
    assert figures["skab.mar"][0] == pytest.approx(26.0, abs=0.06)


def write_recording(folder: Path, name: str, seed: int, fault: range, rows: int = 800) -> None:
    generator = np.random.default_rng(seed)
    level = np.array([0.03, 0.04, 1.0, 0.1, 70.0, 25.0, 230.0, 32.0])
    values = level * (1 + 0.01 * generator.standard_normal((rows, len(SENSORS))))
    values[list(fault), 7] *= 0.9
    start = datetime(2026, 3, 9, 10, 0)  # noqa: DTZ001  SKAB's stamps have no zone
    lines = [";".join(("datetime", *SENSORS, "anomaly", "changepoint"))]
    for n, row in enumerate(values):
        stamp = start + timedelta(seconds=n)
        lines.append(";".join((str(stamp), *map(repr, map(float, row)), f"{float(n in fault)}", "0.0")))
    path = folder / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt") as file:
        file.write("\n".join(lines) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_recording(tmp_path, "valve1/0.csv.gz", 1, range(550, 700))
    write_recording(tmp_path, "other/3.csv.gz", 2, range(500, 650))
    return tmp_path


def test_the_command_prints_the_six_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skab.main(["--data", str(folder)])
    figures = {f["name"]: f for f in map(json.loads, capsys.readouterr().out.splitlines())}
    assert list(figures) == [
        "skab.f1", "skab.far", "skab.mar", "skab.false_episodes_per_hour",
        "skab.files_found", "skab.median_delay_s",
    ]  # fmt: skip
    assert figures["skab.files_found"]["value"] == 2
    assert figures["skab.f1"]["value"] > 0.85
    assert figures["skab.false_episodes_per_hour"]["value"] == 0
    assert 0 < figures["skab.median_delay_s"]["value"] < 20
    assert figures["skab.f1"]["context"]["files"] == 2


def test_folds_add_the_figures_of_each_folder_held_out(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skab.main(["--data", str(folder), "--folds"])
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    held = {f["context"]["held_out"] for f in figures if f["name"] == "skab.f1.held_out"}
    assert held == {"valve1", "other", "each folder in turn, pooled"}


def test_a_stuck_and_a_missing_sensor_still_give_figures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "data/other/3.csv.gz"
    with gzip.open(path, "rt") as file:
        lines = file.read().splitlines()
    cells = [line.split(";") for line in lines[1:]]
    spoiled = [";".join((*cell[:3], "0.0", "", *cell[5:])) for cell in cells]
    with gzip.open(path, "wt") as file:
        file.write("\n".join((lines[0], *spoiled)) + "\n")
    skab.main(["--data", str(folder)])
    figures = {f["name"]: f["value"] for f in map(json.loads, capsys.readouterr().out.splitlines())}
    assert figures["skab.files_found"] == 2
    assert figures["skab.f1"] > 0.85


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: [p.unlink() for p in f.glob("data/*/*")], "has no data/"),
        (lambda f: (f / "data/other/3.csv.gz").write_bytes(b"no gzip"), "cannot be read"),
        (
            lambda f: (f / "data/other/3.csv.gz").write_bytes(gzip.compress(b"datetime;Current\n")),
            "has no column Accelerometer1RMS",
        ),
        (
            lambda f: [
                write_recording(f, n, 2, range(0), rows=400) for n in ("other/3.csv.gz", "valve1/0.csv.gz")
            ],
            "has no data/<folder>/.* with labels and over 400 rows",
        ),
    ],
)
def test_data_that_cannot_be_used_is_refused_with_its_reason(
    folder: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folder)
    with pytest.raises(SystemExit, match=message):
        skab.main(["--data", str(folder)])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="There is no folder"):
        skab.main(["--data", str(tmp_path / "nowhere")])


def test_other_folders_are_read_and_recordings_that_cannot_be_scored_are_left_out_and_said_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    skab.main(["--data", str(folder)])
    (folder / "data/valve1").rename(folder / "data/pump7")
    write_recording(folder, "other/4.csv.gz", 2, range(0), rows=400)
    unlabelled = folder / "data/anomaly-free/anomaly-free.csv"
    unlabelled.parent.mkdir()
    with gzip.open(folder / "data/other/3.csv.gz", "rt") as file:
        unlabelled.write_text("".join(f"{line.rsplit(';', 2)[0]}\n" for line in file))
    skab.main(["--data", str(folder)])
    said = capsys.readouterr()
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert lines[:6] == lines[6:]
    assert "anomaly-free/anomaly-free.csv has no column anomaly: left out" in said.err
    assert "other/4.csv has 400 rows" in said.err
