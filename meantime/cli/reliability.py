"""Commands on reliability: the table of groups, and one group in full."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, get_args

import typer

from analytics.reliability.lives import Origin
from analytics.reliability.record import ITEMS, By
from analytics.reliability.terms import Count
from kit.errors import Invalid
from meantime.cli import output, target


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(reliability)


def reliability(
    by: Annotated[str, typer.Option(help=f"Group by: {', '.join(get_args(By))}.")] = "component",
    key: Annotated[
        str, typer.Option(help="One group in full, e.g. pump-p100/bearing: lives, Weibull, trend.")
    ] = "",
    model: Annotated[str, typer.Option(help="Only this model's devices.")] = "",
    component: Annotated[str, typer.Option(help="Only failures of this component.")] = "",
    mode: Annotated[str, typer.Option(help="Only failures of this mode.")] = "",
    device: Annotated[str, typer.Option(help="Only this device (uid).")] = "",
    site: Annotated[int | None, typer.Option(help="Only this site's devices (number).")] = None,
    customer: Annotated[int | None, typer.Option(help="Only this customer's devices (number).")] = None,
    start: Annotated[str | None, typer.Option("--from", help="ISO date or time, UTC; default: all.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="ISO date or time, UTC; default: now.")] = None,
    confidence: Annotated[float, typer.Option(help="Two-sided, e.g. 0.9.")] = 0.9,
    count: Annotated[str, typer.Option(help="all, or breakdowns: without those prevented in time.")] = "all",
    origin: Annotated[
        str, typer.Option(help="original: count components never replaced on record; observed: do not.")
    ] = "original",
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines for programs.")] = False,
) -> None:
    """MTBF with its interval, MTTR and availability, in operating hours; with --key the lives of one group."""
    from api.queries import reliability as queries  # heavy: SciPy
    from api.queries.reliability_record import Ask

    if as_json:
        output.use_json(True)
    ask = Ask(
        _one_of("by", by, get_args(By)), model, site, customer, device, component, mode, "", _moment(start),
        _moment(end), confidence, _one_of("count", count, get_args(Count)),
        _one_of("origin", origin, get_args(Origin)),
    )  # fmt: skip
    with target.transaction("meantime_reports") as conn:
        if key:
            found = queries.group(conn, None, ask, key)
            recurring = None if ask.by == "period" else queries.growth(conn, None, ask, key, found.record)
            output.show(
                _row(found.figures, found.name[0])
                | _life(found.analysis)
                | _growth(recurring)
                | _mean(recurring)
            )
        else:
            table = queries.table(conn, None, ask)
            output.table(
                [_row(item.figures, item.name_en) | _shape(ask, item.weibull) for item in table.items]
            )
            output.say(
                f"{table.devices} devices, {table.hours:,.0f} operating hours, {table.failures} failures "
                f"({table.breakdowns} breakdowns), {table.since:%Y-%m-%d} to {table.until:%Y-%m-%d}; "
                f"intervals {100 * ask.level:g} %."
            )


def _row(of: Any, name: str) -> dict[str, Any]:
    rate, repair = of.mtbf, of.mttr
    return {
        "key": of.key, "name": name, "devices": of.devices, "hours": _round(of.hours), "failures": of.failures,
        "breakdowns": of.breakdowns, "mtbf_h": _round(rate and rate.value), "lower_h": _round(rate and rate.lower),
        "upper_h": _round(rate and rate.upper), "mttr_h": _round(repair and repair.mean, 2),
        "down_h": _round(of.down_hours, 2), "inherent": _round(of.inherent, 6),
        "operational": _round(of.operational, 6),
    }  # fmt: skip


def _shape(ask: Any, fit: Any) -> dict[str, Any]:
    """A column only where groups have lives."""
    if ask.by not in ITEMS:
        return {}
    return {"shape": _round(fit and fit.shape, 2), "scale_h": _round(fit and fit.scale)}


def _life(found: Any) -> dict[str, Any]:
    """Of an item; nothing of groups of machines."""
    if found is None:
        return {}
    counts = {
        "lives": found.lives,
        "suspended": found.suspended,
        "running": found.running,
        "entered_late": found.late,
    }
    fit = found.fit
    if fit is None:
        return counts | {"no_weibull": found.reason.text_en}
    age, bounds = found.b10
    return counts | {
        "shape": _round(fit.shape, 4), "shape_bounds": [_round(bound, 4) for bound in fit.shape_bounds],
        "scale_h": _round(fit.scale), "scale_bounds_h": [_round(bound) for bound in fit.scale_bounds],
        "b10_h": _round(age), "b10_bounds_h": [_round(bound) for bound in bounds] if bounds else None,
        "constant_rate_p": _round(found.constant_p, 4),
    }  # fmt: skip


def _growth(found: Any) -> dict[str, Any]:
    if found is None:
        return {}
    if found.crow is None:
        return {"no_trend": found.reason.text_en}
    return {
        "growth_beta": _round(found.crow.beta, 4),
        "growth_bounds": [_round(bound, 4) for bound in found.crow.beta_bounds],
        "mtbf_at_end_h": _round(found.crow.mtbf_instantaneous),
        "mtbf_at_end_bounds_h": [_round(bound) for bound in found.crow.mtbf_bounds],
        "laplace_p": _round(found.trend.laplace_p, 4),
    }


def _mean(found: Any) -> dict[str, Any]:
    """The mean cumulative function at the last failure: failures per device, their interval or why there is none."""
    if found is None or not found.mean:
        return {}
    last = found.mean[-1]
    told = {"failures_per_device": _round(last.mean, 4), "within_h": _round(last.time)}
    if found.note is not None:
        return told | {"no_interval": found.note.text_en}
    return told | {"failures_per_device_bounds": [_round(last.lower, 4), _round(last.upper, 4)]}


def _round(value: float | None, digits: int = 0) -> float | None:
    if value is None:
        return None
    return round(value, digits) if digits else round(value)


def _one_of(name: str, value: str, allowed: tuple[Any, ...]) -> Any:
    if value not in allowed:
        raise Invalid(f"--{name} is one of {', '.join(allowed)}; not {value!r}.")
    return value


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no time; write 2026-11-01 or 2026-11-01T06:00.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
