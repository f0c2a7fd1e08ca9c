"""C-MAPSS: the scores by hand, and the command on a slice of the shared part."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest

from analytics.prediction.remaining_life import Life, Settings
from benchmarks import cmapss
from kit.errors import Invalid


def test_scores_are_counted_as_published() -> None:
    life = Life(
        np.array([0.0, 100.0]), np.array([10.0, 110.0]), np.array([20.0, 125.0]), np.array([10.0, 120.0])
    )
    figures = cmapss.score(life, np.array([23.0, 130.0]), 125.0)
    assert figures["rmse_true"] == pytest.approx(math.sqrt((13**2 + 10**2) / 2), abs=1e-3)
    assert figures["rmse_capped"] == pytest.approx(math.sqrt((13**2 + 5**2) / 2), abs=1e-3)
    assert figures["phm"] == pytest.approx(math.exp(1) - 1 + math.exp(10 / 13) - 1, abs=1e-3)
    assert figures["coverage80"] == 0.5  # 23 lies outside, 125 "or more" inside


@pytest.mark.data
@pytest.mark.parametrize(("subset", "regimes"), [("FD001", 1), ("FD002", 6)])
@pytest.mark.slow
def test_a_slice_is_learned_and_predicted(
    shared_data: Path, tmp_path: Path, subset: str, regimes: int
) -> None:
    for kind, units in (("train", 16), ("test", 6)):
        with gzip.open(shared_data / "cmapss" / f"{kind}_{subset}.txt.gz", "rt") as file:
            lines = [line for line in file if int(line.split()[0]) <= units]
        (tmp_path / f"{kind}_{subset}.txt").write_text("".join(lines))
    with gzip.open(shared_data / "cmapss" / f"RUL_{subset}.txt.gz", "rt") as file:
        (tmp_path / f"RUL_{subset}.txt").write_text("".join(file.readlines()[:6]))
    figures = cmapss.run(tmp_path, subset, Settings(members=1, folds=2, iterations=20))
    assert figures["regimes"] == regimes
    assert {"rmse_capped", "rmse_true", "phm", "coverage80"} <= figures.keys()
    assert 0 < figures["rmse_capped"] < 42  # a constant gives 42
    assert 0 <= figures["coverage80"] <= 1


def test_a_folder_without_the_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"neither train_FD009\.txt nor train_FD009\.txt\.gz"):
        cmapss.run(tmp_path, "FD009", Settings())


def tiny(folder: Path) -> Path:
    """A set with far too few engines to learn from: what is wrong with a file must be said before that."""
    row = " ".join(str(n) for n in range(26))
    for name in ("train_FD003", "test_FD003"):
        (folder / f"{name}.txt").write_text(f"1 {row[4:]}\n2 {row[4:]}\n")
    (folder / "RUL_FD003.txt").write_text("112\n98\n")
    return folder


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("RUL_FD003.txt", None, r"neither RUL_FD003\.txt nor"),
        ("RUL_FD003.txt", "112\n", r"RUL_FD003 has 1 lines, test_FD003 has 2 units"),
        ("RUL_FD003.txt", "112\nsoon\n", r"RUL_FD003\.txt cannot be read as a table of numbers"),
        ("RUL_FD003.txt", "", r"RUL_FD003\.txt must hold numbers"),
        ("train_FD003.txt", "1 2 3\n1 2\n", r"train_FD003\.txt cannot be read as a table"),
        ("train_FD003.txt", "1 2 3\n", r"A row must hold unit, cycle, 3 settings and sensors"),
        ("test_FD003.txt", "1 1 0 0 0 nan 4\n", r"test_FD003\.txt must hold numbers in all its lines"),
        ("train_FD003.txt.gz", "no gzip", r"train_FD003\.txt\.gz cannot be read"),
        ("nothing", "", r"0 of 2 units failed after at least"),
    ],
)
def test_a_set_that_cannot_be_used_is_refused_before_anything_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None, message: str
) -> None:
    path = tiny(tmp_path) / name
    path.with_suffix("").unlink(missing_ok=True) if name.endswith(".gz") else path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr("sys.argv", ["cmapss", "--data", str(tmp_path), "--subset", "FD003"])
    with pytest.raises(SystemExit, match=message):
        cmapss.main()
