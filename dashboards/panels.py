"""Dashboards as data: a panel is a kind, a bilingual title and SQL; the Foundation SDK turns it into Grafana's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import barchart, common, dashboard, stat, table, timeseries
from grafana_foundation_sdk.cog import builder as cog
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.models import common as common_model
from grafana_foundation_sdk.models import dashboard as model

SOURCE: Final = model.DataSourceRef(type_val="grafana-postgresql-datasource", uid="meantime")
COLUMNS: Final = 24
_BUILDERS: Final = {
    "stat": stat.Panel,
    "timeseries": timeseries.Panel,
    "barchart": barchart.Panel,
    "table": table.Panel,
}


class Sql(variants.Dataquery):  # type: ignore[misc]  # the SDK is seen as untyped
    """A raw SQL target; the SDK has no builder for PostgreSQL."""

    def __init__(self, sql: str, format: str) -> None:
        self.sql, self.format = sql, format

    def to_json(self) -> dict[str, object]:
        """As Grafana stores it."""
        return {
            "refId": "A",
            "datasource": SOURCE.to_json(),
            "editorMode": "code",
            "rawQuery": True,
            "rawSql": self.sql,
            "format": self.format,
        }


class _Target(cog.Builder[variants.Dataquery]):  # type: ignore[misc]
    def __init__(self, sql: Sql) -> None:
        self._sql = sql

    def build(self) -> variants.Dataquery:
        return self._sql


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        kind: stat, timeseries, barchart or table.
        en, zh: its title.
        sql: what it shows; a time series has columns time, metric (text), value.
        what: the definition of the figure, shown at the panel's (i).
        unit: Grafana's name of the unit, e.g. "h" or "percentunit".
        width, height: of the 24 columns, and rows.
        stacked: a time series whose series are parts of a whole.
    """

    kind: str
    en: str
    zh: str
    sql: str
    what: str
    unit: str | None = None
    width: int = 12
    height: int = 8
    decimals: int | None = None
    stacked: bool = False

    @property
    def title(self) -> str:
        """Both languages."""
        return f"{self.en} {self.zh}"


@dataclass(frozen=True)
class Variable:
    """A choice above the panels; its values come from SQL."""

    name: str
    en: str
    zh: str
    sql: str
    multi: bool = True


@dataclass(frozen=True)
class Board:
    """One dashboard; `since` is how far it looks back when opened."""

    uid: str
    en: str
    zh: str
    variables: Sequence[Variable]
    panels: Sequence[Panel]
    since: str = "now-30d"


def render(board: Board) -> dict[str, Any]:
    """The dashboard in Grafana's classic JSON."""
    built = (
        dashboard.Dashboard(f"{board.en} {board.zh}")
        .uid(board.uid)
        .tags(["meantime"])
        .time(board.since, "now")
        .refresh("1m")
        .timezone("browser")
        .editable()
    )
    for variable in board.variables:
        built = built.with_variable(_variable(variable))
    for number, (panel, position) in enumerate(zip(board.panels, _layout(board.panels), strict=True), 1):
        built = built.with_panel(_panel(panel, number, position))
    # Grafana fills the id and counts versions itself.
    return {
        key: _plain(value) for key, value in built.build().to_json().items() if key not in ("id", "version")
    }


def _layout(panels: Sequence[Panel]) -> list[model.GridPos]:
    """Left to right, wrapping at 24 columns."""
    positions: list[model.GridPos] = []
    x = y = tallest = 0
    for panel in panels:
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        positions.append(model.GridPos(h=panel.height, w=panel.width, x=x, y=y))
        x, tallest = x + panel.width, max(tallest, panel.height)
    return positions


def _panel(panel: Panel, number: int, position: model.GridPos) -> Any:
    # Ids default to 0, which makes Grafana mix the panels up.
    built: Any = _BUILDERS[panel.kind]()
    built = built.title(panel.title).description(panel.what).id(number).grid_pos(position).datasource(SOURCE)
    built = built.with_target(
        _Target(Sql(panel.sql, "time_series" if panel.kind == "timeseries" else "table"))
    )
    if panel.unit is not None:
        built = built.unit(panel.unit)
    if panel.decimals is not None:
        built = built.decimals(panel.decimals)
    if panel.kind == "timeseries":
        built = _drawn(built, panel.stacked)
    if panel.kind == "stat":
        built = built.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields(""))
    return built


def _drawn(built: Any, stacked: bool) -> Any:
    if not stacked:
        return built.show_points(common_model.VisibilityMode.AUTO)
    mode = common.StackingConfig().mode(common_model.StackingMode.NORMAL)
    return built.draw_style(common_model.GraphDrawStyle.BARS).fill_opacity(60).stacking(mode)


def _variable(variable: Variable) -> Any:
    built = (
        dashboard.QueryVariable(variable.name)
        .label(f"{variable.en} {variable.zh}")
        .datasource(SOURCE)
        .query(variable.sql)
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
        .multi(variable.multi)
        .include_all(variable.multi)
    )
    if variable.multi:
        built = built.current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
    return built


def _plain(value: Any) -> Any:
    """Objects of the SDK as the JSON they stand for."""
    if hasattr(value, "to_json"):
        return _plain(value.to_json())
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
