"""NAB: the scoring by hand and against the published detector; the command on two tiny files."""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest

from analytics.streams.scorer import LIMIT
from benchmarks import nab
from benchmarks._nab_scoring import Labelled, Profile, best_limit, evaluate, probation, worth
from tests.conftest import shared_folder


def sigma(y: float) -> float:
    return 2.0 / (1.0 + math.exp(5.0 * y)) - 1.0


def labelled(rows: int, windows: tuple[tuple[int, int], ...], *detections: int) -> Labelled:
    scores = np.zeros(rows)
    scores[list(detections)] = 1.0
    return Labelled(rows, windows, scores)


def score(*files: Labelled, profile: Profile | None = None) -> float | None:
    return evaluate(files, 0.5, profile or Profile()).score


def test_nothing_detected_is_zero_and_everything_at_once_is_a_hundred() -> None:
    assert score(labelled(100, ((40, 49), (70, 79)))) == pytest.approx(0.0)
    assert score(labelled(100, ((40, 49), (70, 79)), 40, 70)) == pytest.approx(100.0)


def test_a_late_detection_earns_less_and_only_the_best_of_a_window_counts() -> None:
    late = sigma(-(49 - 45 + 1) / 10) / sigma(-1.0)
    assert score(labelled(100, ((40, 49),), 45)) == pytest.approx(100 * (late + 1) / 2)
    assert score(labelled(100, ((40, 49),), 45, 47, 49)) == pytest.approx(100 * (late + 1) / 2)


def test_a_false_detection_costs_more_the_farther_it_is_behind_its_window() -> None:
    near = 0.11 * sigma((52 - 49) / 9)
    assert score(labelled(100, ((40, 49),), 40, 52)) == pytest.approx(100 * (1 + near + 1) / 2)
    assert score(labelled(100, ((40, 49),), 40, 90)) == pytest.approx(100 * (1 - 0.11 + 1) / 2)
    assert score(labelled(100, ((40, 49),), 40, 20)) == pytest.approx(100 * (1 - 0.11 + 1) / 2)


def test_three_window_widths_are_the_last_place_near_a_window() -> None:
    value, window = worth(100, [(40, 49)])
    assert value[49 + 27] == pytest.approx(sigma(3.0))
    assert value[49 + 28] == -1.0
    assert (window >= 0).sum() == 10


def test_the_next_window_ends_the_reach_of_the_one_before() -> None:
    value, window = worth(100, [(60, 69), (40, 49)])
    assert value[59] == pytest.approx(sigma(10 / 9))
    assert value[70] == pytest.approx(sigma(1 / 9))
    assert window[40] == 0
    assert window[60] == 1


def test_a_window_of_one_row_is_found_or_not() -> None:
    assert score(labelled(100, ((40, 40),), 40)) == pytest.approx(100.0)
    assert score(labelled(100, ((40, 40),), 41)) == pytest.approx(100 * (-0.11) / 2)


def test_rows_on_probation_neither_earn_nor_cost() -> None:
    assert probation(100) == 15
    assert probation(1243) == 186
    assert probation(20_000) == 750
    assert score(labelled(100, ((40, 49),), 40, *range(15))) == pytest.approx(100.0)


def test_profiles_weigh_what_is_missed_and_what_is_false() -> None:
    missed = labelled(100, ((40, 49),), 90)
    assert score(missed, profile=Profile(fp=0.22)) == pytest.approx(100 * -0.22 / 2)
    assert score(missed, profile=Profile(fn=2.0)) == pytest.approx(100 * -0.11 / 3)


def test_files_without_windows_only_cost_and_alone_have_no_score() -> None:
    quiet = labelled(100, (), 50, 60)
    assert score(quiet) is None
    assert score(quiet, labelled(100, ((40, 49),), 40)) == pytest.approx(100 * (1 - 0.22 + 1) / 2)


def test_the_best_limit_is_found_with_and_without_windows() -> None:
    scores = np.zeros(100)
    scores[[40, 90]] = 0.9, 0.6
    assert best_limit([Labelled(100, ((40, 49),), scores)], (0.5, 0.7, 0.95)) == 0.7
    assert best_limit([Labelled(100, (), scores)], (0.5, 0.7, 0.95)) == 0.95


@pytest.mark.data
@pytest.mark.slow
def test_the_published_detections_score_what_was_published() -> None:
    folder = shared_folder() / "nab"
    table = parquet.read_table(folder / "windowedGaussian_scores.parquet").to_pydict()
    names, given = np.array(table["file"]), np.array(table["anomaly_score"])
    files = [Labelled(len(file.values), file.windows, given[names == file.name]) for file in nab.read(folder)]
    limit = best_limit(files, (0.9, 0.99, 1.0))
    assert evaluate(files, limit).score == pytest.approx(36.7, abs=0.05)


def write_series(folder: Path, name: str, values: list[float | str]) -> None:
    path = folder / "data" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    start = datetime(2026, 3, 1)  # noqa: DTZ001  NAB's stamps have no zone
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("timestamp", "value"))
        writer.writerows((start + timedelta(minutes=5 * n), value) for n, value in enumerate(values))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(4)
    values: list[float | str] = [float(v) for v in 10 + (np.arange(900) % 12) + generator.normal(0, 0.1, 900)]
    values[700] = 80.0
    write_series(tmp_path, "kind/spiked.csv", values)
    steady: list[float | str] = [float(n % 5) for n in range(900)]
    steady[300:310] = [""] * 10
    write_series(tmp_path, "other/steady.csv", steady)
    windows = {
        "kind/spiked.csv": [["2026-03-03 10:00:00.000000", "2026-03-03 12:30:00.000000"]],
        "other/steady.csv": [],
    }
    (tmp_path / "combined_windows.json").write_text(json.dumps(windows))
    return tmp_path


def test_the_command_writes_scores_as_nab_does_and_prints_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nab.main(["--data", str(folder), "--out", str(tmp_path / "out")])
    (line,) = capsys.readouterr().out.splitlines()
    figure = json.loads(line)
    assert figure["name"] == "nab.standard"
    assert figure["unit"] == "points"
    assert figure["context"]["windows_found"] == 1
    assert figure["value"] > 80
    with (tmp_path / "out/meantime/kind/meantime_spiked.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["timestamp", "value", "anomaly_score", "label"]
    assert len(rows) == 900
    assert float(rows[700]["anomaly_score"]) >= LIMIT
    assert [n for n, row in enumerate(rows) if row["label"] == "1"] == list(range(696, 727))
    with (tmp_path / "out/meantime/other/meantime_steady.csv").open() as file:
        steady = list(csv.DictReader(file))
    assert {row["anomaly_score"] for row in steady[300:310]} == {"0.000000"}
    assert not any("nan" in row["anomaly_score"] for row in steady)


def test_folds_add_the_score_of_each_kind_held_out(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nab.main(["--data", str(folder), "--out", str(tmp_path / "out"), "--folds"])
    figures = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    held = {f["context"]["held_out"] for f in figures if f["name"] == "nab.standard.held_out"}
    assert held == {"kind", "other", "each kind in turn, pooled"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "combined_windows.json").write_text("{"), "is not JSON"),
        (lambda f: (f / "combined_windows.json").write_text("[]"), "must be like"),
        (lambda f: (f / "combined_windows.json").write_text('{"kind/spiked.csv": [3]}'), "must be like"),
        (lambda f: (f / "data/kind/spiked.csv").write_text("timestamp,reading\n"), "has no column value"),
        (lambda f: (f / "data/kind/spiked.csv").write_text("timestamp,value\n"), "has no rows"),
        (lambda f: (f / "data/kind/spiked.csv").write_text("timestamp,value\nnoon,1\n"), "is no time stamp"),
    ],
)
def test_data_that_cannot_be_used_is_refused_with_its_reason(
    folder: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folder)
    with pytest.raises(SystemExit, match=message):
        nab.main(["--data", str(folder), "--out", str(tmp_path / "out")])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="There is no folder"):
        nab.main(["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")])


def windows(folder: Path, **changes: list[list[str]] | None) -> None:
    """Change what combined_windows.json says of kind/<name>.csv; None: nothing."""
    path = folder / "combined_windows.json"
    said = json.loads(path.read_text())
    said |= {f"kind/{name}.csv": pairs for name, pairs in changes.items()}
    path.write_text(json.dumps({name: pairs for name, pairs in said.items() if pairs is not None}))


@pytest.mark.parametrize(
    ("spoil", "labelled", "message"),
    [
        (
            lambda f: windows(f, spiked=None),
            1,
            "says nothing about kind/spiked.csv: it has no part in the score",
        ),
        (lambda f: (f / "combined_windows.json").unlink(), 0, "has no combined_windows.json: detections are"),
    ],
)
def test_files_that_nobody_labelled_get_detections_but_no_part_in_the_score(
    folder: Path, capsys: pytest.CaptureFixture[str],
    spoil: Callable[[Path], object], labelled: int, message: str,
) -> None:  # fmt: skip
    spoil(folder)
    nab.main(["--data", str(folder), "--out", str(folder / "out")])
    said = capsys.readouterr()
    (figure,) = map(json.loads, said.out.splitlines())
    assert message in said.err
    assert figure["value"] is None  # no window is left: there is nothing to find
    assert (figure["context"]["files"], figure["context"]["labelled"]) == (2, labelled)
    assert len((folder / "out/meantime/kind/meantime_spiked.csv").read_text().splitlines()) == 901


def test_windows_of_other_files_and_outside_of_a_series_change_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(folder), "--out", str(tmp_path / "out")]
    nab.main(arguments)
    spiked = json.loads((folder / "combined_windows.json").read_text())["kind/spiked.csv"]
    windows(folder, absent=spiked, spiked=[*spiked, ["2031-01-01 00:00:00", "2031-01-02 00:00:00"]])
    nab.main(arguments)
    said = capsys.readouterr()
    before, after = map(json.loads, said.out.splitlines())
    assert before == after
    assert "2031-01-02 00:00:00 holds no row of kind/spiked.csv; it is left out" in said.err


def test_a_file_that_is_there_packed_and_unpacked_counts_once(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "data/kind/spiked.csv"
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    nab.main(["--data", str(folder), "--out", str(tmp_path / "out")])
    (figure,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert figure["context"]["files"] == 2
