"""Reliability: MTBF tables, lives, growth, Pareto. docs/reliability.md says how to read them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query

from analytics.reliability.record import By
from api.accounts import User
from api.deps import Tx
from api.permissions import require
from api.queries import reliability
from api.queries import reliability_ranking as ranks
from api.queries.reliability import Group
from api.queries.reliability_ranking import Of, Weight
from api.queries.reliability_record import Ask
from api.schemas import reliability as shapes
from kit.errors import Invalid

router = APIRouter(prefix="/api/reliability", tags=["reliability"])
Reader = Annotated[User, Depends(require("reliability"))]
Text = Annotated[str, Query(max_length=100)]
Number = Annotated[int | None, Query(ge=1, le=2**31 - 1)]


def _asked(
    by: By = "component",
    model: Text = "",
    site_id: Number = None,
    customer_id: Number = None,
    device: Text = "",
    component: Text = "",
    failure_mode: Text = "",
    fault_code: Text = "",
    since: Annotated[
        datetime | None, Query(alias="from", description="event time; default: all there is")
    ] = None,
    until: Annotated[datetime | None, Query(alias="to", description="default: now")] = None,
    confidence: Annotated[float, Query(description="two-sided, e.g. 0.9")] = 0.9,
    count: Annotated[
        Literal["all", "breakdowns"], Query(description="with failures prevented in time, or without")
    ] = "all",
    origin: Annotated[
        Literal["original", "observed"],
        Query(description="a component never replaced on record: as old as its device, or left out"),
    ] = "original",
) -> Ask:
    return Ask(
        by, model, site_id, customer_id, device, component, failure_mode, fault_code, _utc(since), _utc(until),
        confidence, count, origin,
    )  # fmt: skip


def _utc(at: datetime | None) -> datetime | None:
    """A time without a zone is UTC, as everywhere in the API."""
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at


Asked = Annotated[Ask, Depends(_asked)]
Key = Annotated[str, Query(max_length=200, description="of a group, e.g. pump-p100/bearing")]
Cost = Annotated[
    float | None, Query(gt=0, le=1e12, description="with the other one: an optimal replacement age")
]


@router.get("", response_model=shapes.Table)
def table(conn: Tx, user: Reader, ask: Asked) -> dict[str, Any]:
    """MTBF with its interval, MTTR and availability of every group."""
    found = reliability.table(conn, user, ask)
    return {"by": ask.by, "level": ask.level, "count": ask.count} | {
        name: getattr(found, name) for name in shapes.Table.model_fields if hasattr(found, name)
    }


@router.get("/life", response_model=shapes.Life)
def life(
    conn: Tx, user: Reader, ask: Asked, key: Key, planned_cost: Cost = None, failure_cost: Cost = None
) -> dict[str, Any]:
    """A group's figures and, of a component, mode or code, its lives: Weibull, survival, replacement age."""
    return told(reliability.group(conn, user, ask, key, costs(planned_cost, failure_cost)))


def costs(planned: float | None, failure: float | None) -> tuple[float, float] | None:
    """Of a replacement policy: both or neither.

    Raises:
        Invalid: only one.
    """
    if (planned is None) != (failure is None):
        raise Invalid("A replacement age needs both costs: planned_cost and failure_cost.")
    return None if planned is None or failure is None else (planned, failure)


def told(found: Group) -> dict[str, Any]:
    """See api.schemas.reliability.Life."""
    all_of = found.analysis
    fit = all_of.fit if all_of else None
    return {
        "by": found.ask.by, "key": found.key, "name_en": found.name[0], "name_zh": found.name[1],
        "since": found.since, "until": found.until, "figures": found.figures, "lives": all_of,
        "weibull": None if fit is None or all_of is None or all_of.b10 is None else {
            "shape": fit.shape, "shape_bounds": fit.shape_bounds, "scale": fit.scale, "mean": fit.mean(),
            "scale_bounds": fit.scale_bounds, "b10": all_of.b10[0], "b10_bounds": all_of.b10[1], "level": fit.level,
            "log_likelihood": fit.log_likelihood, "straight": all_of.straight, "constant_p": all_of.constant_p,
        },
        "reason": all_of.reason if all_of else reliability.why_no_lives(),
        "survival": all_of.survival if all_of else [],
        "positions": [{"time": at, "share": share} for at, share in all_of.positions] if all_of else [],
        "replacement": all_of.replacement if all_of else None,
        "failures": [
            {"order_id": event.order_id, "number": event.number, "uid": found.uids[event.device],
             "kind": event.kind, "at": event.at, "component": event.component, "failure_mode": event.mode,
             "cause": event.cause, "device_hours": event.age, "repair_hours": event.repair_hours}
            for event in found.failures
        ],
    }  # fmt: skip


@router.get("/growth", response_model=shapes.Growth)
def growth(conn: Tx, user: Reader, ask: Asked, key: Key = "") -> Any:
    """Crow-AMSAA, trend tests and the mean cumulative function of a group; without a key, of everything asked for."""
    return reliability.growth(conn, user, ask, key)


@router.get("/pareto", response_model=shapes.Pareto)
def ranking(
    conn: Tx, user: Reader, ask: Asked, of: Of = "failure_mode", weight: Weight = "failures"
) -> dict[str, Any]:
    """What fails most, or costs most hours; of fault codes: what is raised most, without chatter."""
    return {"of": of, "weight": weight, "items": ranks.ranking(conn, user, ask, of, weight)}
