"""Commands on what the product has decided: explain, backtest, invariants, user, dashboards, replay."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pwdlib import PasswordHash

from fsm_core import invariants as checks
from fsm_core.actors import ROLES
from kit.database import rows
from kit.errors import Invalid, NotFound
from meantime.cli import output, replays, target


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(explain)
    app.command()(backtest)
    app.command()(invariants)
    people = typer.Typer(help="Accounts.", no_args_is_help=True)
    people.command("add")(add_user)
    app.add_typer(people, name="user")
    panels = typer.Typer(help="Grafana dashboards.", no_args_is_help=True)
    panels.command("build")(build)
    panels.command("push")(push)
    app.add_typer(panels, name="dashboards")
    app.add_typer(replays.commands(), name="replay")


def explain(
    order: Annotated[str, typer.Argument(help="Number of an automatic order, e.g. WO-000017.")],
) -> None:
    """Recompute why an order was opened from the stored rows; exit 0 when it follows from them, else 1."""
    from analytics import explain as explanations  # heavy: scikit-learn

    with target.transaction("meantime_reports") as conn:
        found = rows(
            conn,
            """select s.detection_id, s.outcome, s.rule
               from fsm.episode_signal s join fsm.work_order o on o.id = s.order_id
               where o.number = %s and s.outcome in ('opened', 'reopened', 'attached') order by s.detection_id""",
            (order,),
        )
        if not found:
            raise NotFound(f"{order} was not opened by a detection, or there is no such order.")
        told = [explanations.explain(conn, row["detection_id"]) for row in found]
    for row, one in zip(found, told, strict=True):
        output.show({"detection": row["detection_id"], "outcome": row["outcome"], "ok": one.ok, "text": one.text_en,
                     "failure_mode": one.detection["failure_mode"], "rule": one.detection["rule"],
                     "ts": one.detection["ts"], "score": one.detection["score"],
                     "drivers": one.detection["evidence"].get("drivers", [])})  # fmt: skip
    raise typer.Exit(0 if all(one.ok for one in told) else 1)


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
    with target.transaction("meantime_reports") as conn:
        costs = {model: replace(stored, **given) for model, stored in stored_costs.for_all(conn).items()}
        report = backtests.run(
            conn, _moment(start), _moment(end), _toml(rules), costs=costs,
            train_from=None if train_from is None else _moment(train_from),
        )  # fmt: skip
        found = results.of(conn, report)
    orders = found.pop("orders")
    if output.is_json():
        output.show(found | {"raises_live": len(report.live), "raises_changed": len(report.changed)})
    else:
        _told(found)
    if orders:
        output.table([_order(order) for order in orders])


def _told(found: dict[str, Any]) -> None:
    """A backtest's figures for people: both sides next to each other, then what came of learning."""
    sides = {"in force": found["live"], "tried": found["changed"]}
    output.table(
        [{"": key} | {side: _figure(of[key]) for side, of in sides.items()} for key in found["live"]]
    )
    output.show({"": f"cost difference {found['cost_difference']:g}; {found['rows']:,} rows"})
    for one in found["learned"]:
        why = one["verdict"].removeprefix(f"{one['component']}: ")
        output.show({"": f"{one['model']} {one['component']}: {why}"})


def _figure(value: Any) -> str:
    if isinstance(value, list):  # the 10th, 50th and 90th percentile
        return " / ".join(f"{one:.1f}" for one in value)
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _order(order: dict[str, Any]) -> dict[str, Any]:
    """One line of the table of orders."""
    side = order["live"] or order["changed"]
    drivers, codes = side["evidence"].get("drivers") or [], side["evidence"].get("codes") or []
    return {
        "status": order["status"], "device": order["device_uid"], "failure_mode": order["failure_mode"],
        "live": order["live"] and order["live"]["ts"], "changed": order["changed"] and order["changed"]["ts"],
        "rule": side["rule"], "verdict": side["verdict"],
        "evidence": drivers[0]["metric"] if drivers else ", ".join(str(code) for code in codes),
        "order": order["order"] and order["order"]["number"],
    }  # fmt: skip


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


def invariants() -> None:
    """Check stock, money, SLA, episodes and the order log on the live database; exit 1 when something is off."""
    with target.transaction("meantime_reports") as conn:
        found = checks.check(conn)
    if found:
        output.table(found, ("code", "text_en", "detail"))
    else:
        output.show({"invariants": "hold"})
    raise typer.Exit(1 if found else 0)


def add_user(
    login: str,
    name: Annotated[str, typer.Option(help="As people see it.")],
    role: Annotated[str, typer.Option(help="One of the roles.")],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
    language: str = "en",
) -> None:
    """Make an account."""
    if role not in ROLES or role == "system":
        raise Invalid(f"Role {role!r}: one of {', '.join(one for one in ROLES if one != 'system')}.")
    if len(password) < 10:
        raise Invalid("The password is too short: use 10 characters or more.")
    with target.transaction("meantime_fsm") as conn:
        made = conn.execute(
            """insert into fsm.user_account (login, name, password_hash, role, language) values (%s, %s, %s, %s, %s)
               on conflict (login) do nothing returning id""",
            (login, name, PasswordHash.recommended().hash(password), role, language),
        ).fetchone()
        if made is None:
            raise Invalid(f"There is an account {login!r} already.")
    output.show({"login": login, "role": role})


def build() -> None:
    """Write the generated Grafana JSON anew."""
    from dashboards import build as builder

    output.show({"written": [str(path) for path in builder.write()]})


def push() -> None:
    """Publish the dashboards to the Grafana of MEANTIME_GRAFANA__URL and __TOKEN."""
    from dashboards import push as pusher
    from kit import settings

    output.show({"published": pusher.push(settings.load())})
