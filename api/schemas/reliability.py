"""Reliability statistics. Hours are operating hours; shares and probabilities lie between 0 and 1; a bound that does
not exist is null."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.schemas.common import Row

Bounds = tuple[float, float]


class Reason(Row):
    """Why something cannot be told."""

    code: str
    text_en: str
    text_zh: str


class Mtbf(Row):
    """Pooled operating hours ÷ failures. Without failures only a (one-sided) lower bound."""

    hours: float
    failures: int
    value: float | None
    lower: float
    upper: float | None
    level: float


class Mttr(Row):
    """Hands-on hours of a repair."""

    repairs: int
    mean: float
    median: float
    lower: float | None
    upper: float | None
    level: float


class Figures(Row):
    """A group's figures."""

    key: str
    model: str | None = Field(description="of components, failure modes and codes")
    devices: int
    hours: float
    failures: int
    breakdowns: int
    mtbf: Mtbf | None = Field(description="null: no hours")
    mttr: Mttr | None = Field(description="null: no repair time is known")
    down_hours: float | None = Field(description="mean down time of a failure, with all waiting")
    inherent: float | None = Field(description="availability by MTBF and MTTR alone")
    operational: float | None = Field(description="share of the calendar time in which nothing was down")
    order_ids: list[int] = Field(description="the failures counted")


class Shape(Row):
    """The Weibull of a group's lives, in short; `/life` tells all of it."""

    shape: float
    shape_bounds: Bounds
    scale: float
    scale_bounds: Bounds


class Named(Row):
    """A group with its names."""

    figures: Figures
    weibull: Shape | None = Field(description="of components, modes and codes")
    reason: Reason | None = Field(description="why these have none")
    name_en: str
    name_zh: str
    model_en: str
    model_zh: str


class Table(Row):
    """All groups of a kind."""

    by: str
    since: datetime
    until: datetime
    level: float
    count: Literal["all", "breakdowns"]
    devices: int
    hours: float
    failures: int
    breakdowns: int
    unassigned: int = Field(description="failures whose component, mode or code is not known")
    items: list[Named]


class Weibull(Row):
    """R(t) = exp(-(t / scale) ** shape)."""

    shape: float
    shape_bounds: Bounds
    scale: float
    scale_bounds: Bounds
    mean: float
    b10: float
    b10_bounds: Bounds | None
    level: float
    log_likelihood: float
    straight: float | None = Field(
        description="squared correlation of the probability plot; 1 is a perfect fit"
    )
    constant_p: float = Field(description="p of a constant failure rate; small: age matters")


class SurvivalPoint(Row):
    """The share that survives a failure's age, with Greenwood's bounds (log-log)."""

    time: float
    at_risk: int
    failures: int
    survival: float
    lower: float | None
    upper: float | None


class Position(Row):
    """A failure on the probability plot."""

    time: float
    share: float


class Replacement(Row):
    """The age at which to replace at least cost; `age` null: run to failure is cheapest. Costs per operating hour."""

    age: float | None
    cost_rate: float
    run_to_failure_rate: float


class Lives(Row):
    """The population of a life analysis."""

    lives: int
    failed: int
    suspended: int
    running: int
    late: int = Field(description="watched from an age above 0 on (left-truncated)")
    hours: float


class Failure(Row):
    """A failure behind the figures."""

    order_id: int
    number: str
    uid: str
    kind: Literal["breakdown", "prevented"]
    at: datetime
    component: str | None
    failure_mode: str | None
    cause: str | None
    device_hours: float
    repair_hours: float | None


class Life(Row):
    """A group in full."""

    by: str
    key: str
    name_en: str
    name_zh: str
    since: datetime
    until: datetime
    figures: Figures
    lives: Lives | None
    weibull: Weibull | None
    reason: Reason | None = Field(description="why there is no Weibull")
    survival: list[SurvivalPoint]
    positions: list[Position]
    replacement: Replacement | None
    failures: list[Failure]


class Crow(Row):
    """Expected failures by pooled hours t: lam · t ** beta; beta below 1: failures become rarer."""

    beta: float
    beta_unbiased: float | None
    beta_bounds: Bounds
    lam: float
    mtbf_cumulative: float
    mtbf_instantaneous: float
    mtbf_bounds: Bounds
    level: float


class Trend(Row):
    """Tests of a constant rate; p two-sided. `laplace` below 0: failures become rarer."""

    laplace: float
    laplace_p: float
    military: float
    military_p: float


class McfPoint(Row):
    """Mean number of failures per device by its hours watched; bounds on the log scale."""

    time: float
    at_risk: int
    events: int
    mean: float
    error: float | None = Field(description="as the bounds: null where the devices show no spread")
    lower: float | None
    upper: float | None


class Growth(Row):
    """How failures recur."""

    hours: float
    times: list[float]
    crow: Crow | None
    trend: Trend | None
    reason: Reason | None = Field(description="why there is no trend")
    mean: list[McfPoint]
    note: Reason | None = Field(description="why the last of `mean` has no interval")


class Bar(Row):
    """A row of a Pareto."""

    key: str
    name_en: str
    name_zh: str
    weight: float
    share: float
    running: float
    devices: int | None


class Pareto(Row):
    """What weighs most, heaviest first."""

    of: str
    weight: str
    items: list[Bar]
