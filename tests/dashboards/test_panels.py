"""The dashboards: committed as generated, bilingual, and every panel's SQL answers on a real database."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from psycopg.rows import dict_row

from dashboards import build
from dashboards.panels import COLUMNS, Board, Panel, render
from kit.database import Conn
from tests.dashboards.life import END, START, lived
from tests.dashboards.macros import expand

PANELS = [(board, panel) for board in build.BOARDS for panel in board.panels]
IDS = [f"{board.uid}:{panel.en}" for board, panel in PANELS]
CJK = re.compile(r"[\u4e00-\u9fff]")


def test_what_is_committed_is_what_is_generated(tmp_path: Path) -> None:
    made = {path.name: path.read_text(encoding="utf-8") for path in build.write(tmp_path)}
    committed = {path.name: path.read_text(encoding="utf-8") for path in build.FOLDER.glob("*.json")}
    assert made == committed, "run `meantime dashboards build` and commit"


@pytest.mark.parametrize("board", build.BOARDS, ids=lambda board: board.uid)
def test_panels_have_their_own_ids_and_places(board: Board) -> None:
    panels = render(board)["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)), "panels overlap"
    assert max(x for x, _ in cells) < COLUMNS
    assert json.loads(json.dumps(render(board))) == render(board)


def test_dashboards_have_their_own_uids() -> None:
    assert len({board.uid for board in build.BOARDS}) == len(build.BOARDS)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=IDS)
def test_titles_and_definitions_are_in_both_languages(board: Board, panel: Panel) -> None:
    assert CJK.search(panel.zh)
    assert not CJK.search(panel.en)
    assert CJK.search(panel.what)
    assert re.search("[a-z]{3}", panel.what)
    assert CJK.search(board.zh)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=IDS)
def test_macros_are_written_as_grafana_reads_them(board: Board, panel: Panel) -> None:
    assert not re.search(r"\$__timeGroup\([^)]*\),", panel.sql), "a comma turns it into the alias form"
    assert not re.search(r"\$__\w+\([^)]*\(", panel.sql), "an argument ends at the first closing parenthesis"
    names = {variable.name for variable in board.variables}
    used = set(re.findall(r"\$(?!__)(\w+)", panel.sql))
    assert used <= names, "every variable has a choice above the panels"
    bucketed = expand(panel.sql, START, END, {name: ["x"] for name in names}, timescale=True)
    assert "$" not in bucketed


def test_every_panel_shows_something_with_grafanas_own_login(db: Conn, db_as: Callable[[str], Conn]) -> None:
    lived(db)
    conn = db_as("meantime_grafana")
    empty = []
    for board, panel in PANELS:
        found, columns = answer(conn, board, panel)
        if not found or all(value is None for row in found for value in row.values()):
            empty.append(panel.en)
        elif panel.kind == "timeseries":
            assert columns == ["time", "metric", "value"], panel.en
            assert all(
                isinstance(row["metric"], str) and isinstance(row["time"], int | float | Decimal)
                for row in found
            )
            times = [row["time"] for row in found]
            assert times == sorted(times), f"{panel.en}: a time series is in the order of time"
        elif panel.kind == "stat":
            assert (columns, len(found)) == (["value"], 1), panel.en
    assert empty == []


def answer(conn: Conn, board: Board, panel: Panel) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows and columns of a panel, with all values of its variables chosen."""
    chosen: dict[str, list[str]] = {}
    for variable in board.variables:
        query = expand(variable.sql, START, END, chosen)
        chosen[variable.name] = [row[0] for row in conn.execute(query).fetchall()]  # type: ignore[arg-type]
    cursor = conn.cursor(row_factory=dict_row).execute(expand(panel.sql, START, END, chosen))  # type: ignore[arg-type]
    return cursor.fetchall(), [column.name for column in cursor.description or ()]


def test_provisioning_names_the_source_that_the_panels_use_and_a_folder_that_exists() -> None:
    folder = build.FOLDER.parent / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources/meantime.yaml").read_text())["datasources"]
    used = {
        (p["datasource"]["type"], p["datasource"]["uid"])
        for board in build.BOARDS
        for p in render(board)["panels"]
    }
    assert used == {(source["type"], source["uid"])}
    assert source["user"] == "meantime_grafana"
    (provider,) = yaml.safe_load((folder / "dashboards/meantime.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "${GRAFANA_DASHBOARDS}"
