"""Device types from their TOML files."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

import meantime
from ingest import device_types
from ingest.store import Store
from kit.database import Conn, scalar
from kit.errors import Conflict, Invalid
from tests.ingest.core.conftest import PUMP, arrival, take

FILES = sorted((Path(meantime.__file__).parent / "device_types").glob("*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_shipped_device_types_load_twice(writer: Conn, path: Path) -> None:
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    for _ in range(2):
        code = device_types.load(writer, data)
    (found,) = [m for m in device_types.models(writer) if m["code"] == code]
    assert found["metrics"] == len(data["metric"])
    assert found["failure_modes"] == len(data["failure_mode"])
    assert found["fault_codes"] == len(data["fault_code"])


def test_a_changed_file_changes_the_model(writer: Conn) -> None:
    changed = copy.deepcopy(PUMP)
    changed["metric"] = [*changed["metric"][:2], changed["metric"][2] | {"high": 150}]
    changed["failure_mode"] = []
    changed["fault_code"] = [changed["fault_code"][1]]
    device_types.load(writer, changed)
    assert scalar(writer, "select high from ingest.metric where name = 'temperature'") == 150
    assert scalar(writer, "select count(*) from ingest.metric where model = 'pump'") == 3
    assert scalar(writer, "select count(*) from ingest.failure_mode where model = 'pump'") == 0


def test_a_fault_code_that_was_reported_stays(writer: Conn, store: Store) -> None:
    take(writer, store, [arrival("meantime/P-1/fault", {"code": "W1"})])
    with pytest.raises(Conflict, match="W1"):
        device_types.load(writer, PUMP | {"fault_code": PUMP["fault_code"][:1]})


def broken(path: list[Any], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(PUMP)
    at: Any = data
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (["model"], None, "model"),
        (["model", "name_zh"], "", "name_zh"),
        (["metric"], [], "at least one"),
        (["metric", 1, "name"], "Bad Name", "lower-case"),
        (["metric", 1, "name"], "flow", "twice"),
        (["metric", 1, "low"], 100, "below high"),
        (["metric", 1, "high"], "60", "number"),
        (["metric", 1, "unit"], "furlong", "unknown"),
        (["metric", 1, "role"], "other", "role"),
        (["metric", 1, "role"], "run_hours", "counted in h"),
        (["metric", 0, "rolls_at"], 0, "positive"),
        (["failure_mode", 0, "priority"], 5, "priority"),
        (["failure_mode", 0, "symptoms"], [{"metric": "x", "direction": "up"}], "no metric"),
        (["failure_mode", 0, "symptoms"], [{"metric": "flow", "direction": "left"}], "direction"),
        (["fault_code", 0, "severity"], True, "severity"),
        (["fault_code", 0, "failure_mode"], "x", "no failure mode"),
        (["fault_code", 1, "code"], "E1", "twice"),
    ],
)
def test_a_wrong_file_is_refused_naming_what_is_wrong(path: list[Any], value: Any, says: str) -> None:
    with pytest.raises(Invalid, match=says):
        device_types.check(broken(path, value))
