"""The command `backtest`: a stored period again under other rules, both sides next to each other."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit import settings as kit_settings
from kit.errors import Invalid
from meantime.cli import output, target
from meantime.cli.progress import Progress

if TYPE_CHECKING:
    from api.text import Words

HORIZON_HOURS = 720.0  # analytics.episodes.HORIZON; here without its imports, a test compares


def backtest(
    start: Annotated[str, typer.Option("--from", help="ISO date or time, UTC.")],
    end: Annotated[str, typer.Option("--to", help="ISO date or time, UTC.")],
    rules: Annotated[
        Path | None, typer.Option(help="TOML with changed tuning; default: the shipped one.")
    ] = None,
    train_from: Annotated[
        str | None,
        typer.Option(
            "--train-from", help="Learn failure models from then until --from, and let them order as well."
        ),
    ] = None,
    horizon: Annotated[
        float, typer.Option(help="An order is right when its component is repaired within so many hours.")
    ] = HORIZON_HOURS,
    failure: Annotated[float | None, typer.Option(help="Cost of a failure nobody foresaw.")] = None,
    visit: Annotated[float | None, typer.Option(help="Cost of a visit in time.")] = None,
    needless: Annotated[float | None, typer.Option(help="Cost of a needless visit.")] = None,
) -> None:
    """Rerun a stored period: which orders would appear, vanish or stay under other rules, against the recorded repairs.
    Failure models order as they were in force at the time. Costs that are not given are those stored for each device
    type."""
    from analytics import backtest as backtests  # heavy: scikit-learn
    from analytics import costs as stored_costs
    from analytics.whatif import result as results

    given = {name: value for name, value in (("failure", failure), ("visit", visit), ("needless", needless))
             if value is not None}  # fmt: skip
    with target.transaction("meantime_reports") as conn, Progress() as progress:
        costs = {model: replace(stored, **given) for model, stored in stored_costs.for_all(conn).items()}
        report = backtests.run(
            conn, _moment(start), _moment(end), _toml(rules), costs=costs, horizon=timedelta(hours=horizon),
            train_from=None if train_from is None else _moment(train_from), progress=progress,
        )  # fmt: skip
        found = results.of(conn, report)
        names = _names(conn)
    orders = found.pop("orders")
    if output.is_json():
        output.show(found | {"raises_live": len(report.live), "raises_changed": len(report.changed)})
        output.table([_order(order) for order in orders])
    else:
        _say(found, orders, names)


def _names(conn: Any) -> dict[tuple[str, str], Any]:
    from api.queries import analytics as reads

    return reads.names(conn)


def _say(found: dict[str, Any], orders: list[dict[str, Any]], names: dict[tuple[str, str], Any]) -> None:
    """Both sides next to each other, then what holds for them, then the orders."""
    from api.console.format import number, span
    from api.console.real_orders import concluded
    from api.text import words

    t = words(kit_settings.load().language)
    within = span(timedelta(hours=found["horizon_hours"]), t.language)
    sides = {t("whatif.in_force"): found["live"], t("whatif.tried"): found["changed"]}
    keys = ("orders", "right", "false", "undecided", "failures", "recall", "precision", "lead", "cost")
    output.table(
        [{"": t(f"whatif.{key}", within=within) if key == "right" else t(f"whatif.{key}")}
         | {side: _figure(key, of) for side, of in sides.items()} for key in keys]
    )  # fmt: skip
    print()
    print(t("whatif.horizon", within=within, hours=number(found["horizon_hours"])))
    change = found["cost_difference"]
    word = t("whatif.same" if change == 0 else "whatif.cheaper" if change < 0 else "whatif.dearer")
    print(f"{t('whatif.difference')}: {number(abs(change)) + ' ' if change else ''}{word}")
    print(t("whatif.rows_read", rows=number(found["rows"])))
    print(t("whatif.real_counts", **found["real"]), *concluded(t, found["real"]))
    for one in found["differences"]:
        print(t.pick(one, "text"))
    for one in found["learned"]:
        of = f"{one['model']} {t.or_raw('component', one['component'])}".strip()
        print(f"{of}: {_why(t, one)}")
    if orders:
        print()
        output.table([_order_in_words(t, order, names) for order in orders])


def _why(t: Words, one: dict[str, Any]) -> str:
    """What came of learning, by its code; as it was written where there is none."""
    code = (one.get("reason") or {}).get("code")
    told = t.or_none("verdict", code) if code else None
    if told is None:
        return str(one["verdict"]).removeprefix(f"{one['component']}: ")
    values = dict(one["reason"])
    if since := values.get("since"):
        values["since"] = str(since)[:10]
    return told.format(**values)


def _figure(key: str, of: dict[str, Any]) -> str:
    from api.console.format import NOTHING, number

    if key == "lead":
        return NOTHING if of["lead_hours"] is None else " · ".join(number(one, 0) for one in of["lead_hours"])
    if key in ("recall", "precision"):
        return NOTHING if of[key] is None else f"{number(100 * of[key], 0)} %"
    return number(of[key])


def _order(order: dict[str, Any]) -> dict[str, Any]:
    """One line of the table of orders, for programs."""
    side = order["live"] or order["changed"]
    drivers, codes = side["evidence"].get("drivers") or [], side["evidence"].get("codes") or []
    return {
        "status": order["status"], "device": order["device_uid"], "failure_mode": order["failure_mode"],
        "live": order["live"] and order["live"]["ts"], "changed": order["changed"] and order["changed"]["ts"],
        "rule": side["rule"], "verdict": side["verdict"],
        "evidence": drivers[0]["metric"] if drivers else ", ".join(str(code) for code in codes),
        "order": order["order"] and order["order"]["number"],
    }  # fmt: skip


def _order_in_words(t: Words, order: dict[str, Any], names: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """One line of the table of orders, for people; times are UTC, as the command's are."""
    side = order["live"] or order["changed"]
    verdict = t(f"whatif.verdict_{side['verdict']}", hours=f"{side['lead_hours'] or 0:.0f}")
    drivers, codes = side["evidence"].get("drivers") or [], side["evidence"].get("codes") or []
    why = [_name(t, names, order["model"], one["metric"]) for one in drivers[:1]]
    why += [str(code.get("code") if isinstance(code, dict) else code) for code in codes]
    return {
        t("whatif.outcome"): t(f"whatif.{order['status']}"), t("whatif.device"): order["device_uid"],
        t("whatif.failure_mode"): _name(t, names, order["model"], order["failure_mode"]),
        t("whatif.when_live"): _short(order["live"]), t("whatif.when_changed"): _short(order["changed"]),
        t("analytics.rule"): t.or_raw("rule", side["rule"]), t("whatif.verdict"): verdict,
        t("whatif.why"): ", ".join(why), t("whatif.real"): (order["order"] or {}).get("number", "–"),
    }  # fmt: skip


def _name(t: Words, names: dict[tuple[str, str], Any], model: str, code: str) -> str:
    known = names.get((model, code))
    return t.pick(known, "name") if known else code.replace("_", " ")


def _short(side: dict[str, Any] | None) -> str:
    return "–" if side is None else str(side["ts"])[:16].replace("T", " ")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"{text!r} is no time; write 2026-11-01 or 2026-11-01T06:00.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _toml(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Invalid(f"{path} cannot be used: {error}.") from error
