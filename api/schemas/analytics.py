"""Rules, costs, backtests, the honesty of alarms, learned models."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, Field

from api.schemas.common import Row, Shape

RulesIn = Annotated[
    str | dict[str, Any],
    Field(description="TOML text or the same as JSON: all that differs from the defaults"),
]


class SettingOut(Row):
    """One number of a rule."""

    name: str
    name_en: str
    name_zh: str
    kind: str
    value: float
    default: float
    unit_en: str
    unit_zh: str
    low: float
    high: float
    text_en: str
    text_zh: str


class RuleOut(Row):
    """A rule and its numbers; `off` is null where it cannot be switched off."""

    rule: str
    off: bool | None
    on_by_default: bool
    settings: list[SettingOut]


class RuleChange(Row):
    """Who changed the rules to what, when and why."""

    id: int
    rules: dict[str, dict[str, Any]]
    changed_by: str
    changed_at: datetime
    note: str


class RulesOut(Row):
    """What is in force; `version` is the newest change (0: none), to be sent as `based_on`."""

    version: int
    rules: list[RuleOut]
    differing: dict[str, dict[str, Any]]
    toml: str
    taken_up: bool
    changes: list[RuleChange]


class ChangeRules(Shape):
    """Put rules in force."""

    rules: RulesIn
    note: str = Field("", max_length=500)
    based_on: int | None = Field(
        None, description="`version` as you read it; somebody else's change answers 409"
    )


class RevertRules(Shape):
    """Put the rules of an earlier change in force again; 0 is the defaults."""

    change: int = Field(ge=0)
    based_on: int | None = None


class Price(Shape):
    """What one event costs, in any one unit; null all three: the defaults."""

    failure: float = Field(gt=0)
    visit: float = Field(gt=0)
    needless: float = Field(gt=0)


class CostsOut(Row):
    """Of a device type: in force, and the newest change."""

    model: str
    name_en: str
    name_zh: str
    failure: float
    visit: float
    needless: float
    level: float
    changed_by: str | None
    changed_at: datetime | None
    note: str | None


class ChangeCosts(Shape):
    """`costs` null goes back to the defaults."""

    costs: Price | None
    note: str = Field("", max_length=500)


class NewBacktest(Shape):
    """A period, the rules to try, and what events cost where it is not as stored (by device type)."""

    start: AwareDatetime = Field(alias="from")
    end: AwareDatetime = Field(alias="to")
    rules: RulesIn = Field(default_factory=dict)
    costs: dict[str, Price] = Field(default_factory=dict)
    train_from: AwareDatetime | None = Field(
        None, description="failure models are learned from then until `from`, and order on the tried side"
    )
    title: str = Field("", max_length=200)


class BacktestRow(Row):
    """A backtest without its result."""

    id: int
    created_by: str
    created_at: datetime
    title: str
    period_from: datetime
    period_to: datetime
    rules: dict[str, dict[str, Any]]
    costs: dict[str, Any]
    train_from: datetime | None
    state: str
    progress: float
    attempts: int
    cancelled_by: str | None
    finished_at: datetime | None
    seconds: float | None
    error: str | None
    counts: dict[str, int] | None = None
    cost_difference: float | None = None


class BacktestOut(BacktestRow):
    """A backtest with its result: outcomes of the rules in force (`live`) and of the tried ones (`changed`), by device
    type, the orders that appear, vanish or stay, and the recorded failures."""

    result: dict[str, Any] | None


class ApplyBacktest(Shape):
    """Put the rules of a backtest in force."""

    based_on: int | None = None


class ScoreOut(Row):
    """A rule on a model, by the engineers' cause codes; precision with its 90 % interval."""

    model: str
    rule: str
    right: int
    false: int
    other: int
    undecided: int
    precision: float | None
    precision_low: float | None
    precision_high: float | None
    failures: int
    announced: int
    recall: float | None
    lead_hours: tuple[float, float, float] | None


class ActorOut(Row):
    """A device and rule with many alarms."""

    device_uid: str
    rule: str
    failure_mode: str
    raises: int
    share: float
    chattering: int


class LoadOut(Row):
    """The alarms as a stream, in the terms of ISA-18.2."""

    raises: int
    per_device_day: float
    per_day: float
    chattering: int
    fleeting: int
    stale: int
    floods: list[datetime]
    bad_actors: list[ActorOut]


class ProposalOut(Row):
    """A limit that would have been better, with what it rests on; nothing changes by itself. `try_rules` is the
    proposal with all else that is in force, for a backtest."""

    model: str
    rule: str
    factor: float
    rules: dict[str, dict[str, float]]
    decided: int
    precision_now: float
    precision_then: float
    avoided: int
    delayed: int
    text_en: str
    text_zh: str
    orders: list[tuple[int, str, float]]
    try_rules: dict[str, dict[str, Any]]


class DayOut(Row):
    """Raises of a day."""

    day: datetime
    raises: int


class HonestyOut(Row):
    """How far the alarms of a period can be trusted."""

    start: datetime
    end: datetime
    model: str | None
    devices: int
    scores: list[ScoreOut]
    load: LoadOut
    daily: list[DayOut]
    proposals: list[ProposalOut]


class DriftOut(Row):
    """Whether a version's live error has grown."""

    state: str
    judged: int
    error: float | None


class VersionOut(Row):
    """A learned model: from when to when it learned, how it fared on a later time, and why it was promoted or not."""

    id: int
    kind: str
    model: str
    component: str
    data_from: datetime
    data_to: datetime
    scores: dict[str, Any]
    cost: float
    trained_at: datetime
    promoted_at: datetime | None
    retired_at: datetime | None
    verdict: str
    reason: dict[str, Any] = Field(default_factory=dict, description="the verdict as a code with its values")
    status: str
    drift: DriftOut | None = None


class Explained(Row):
    """One detection of an order, worked out again from the stored rows."""

    detection_id: int
    outcome: str
    ok: bool
    text_en: str
    text_zh: str
    detection: dict[str, Any]
    recomputed: dict[str, Any] | None
    telemetry_hash: str


class ExplanationOut(Row):
    """Whether an order follows from the stored rows; `ok` is true when every detection behind it does."""

    order_id: int
    ok: bool
    detections: list[Explained]
