"""Commands on what the product has decided: explain, backtest, invariants, user, dashboards, replay."""

from __future__ import annotations

from typing import Annotated

import typer
from pwdlib import PasswordHash

from fsm_core import invariants as checks
from fsm_core.actors import ROLES
from kit.errors import Invalid
from meantime.cli import backtests, explaining, output, replays, target


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(explaining.explain)
    app.command()(backtests.backtest)
    app.command()(invariants)
    people = typer.Typer(help="Accounts.", no_args_is_help=True)
    people.command("add")(add_user)
    app.add_typer(people, name="user")
    panels = typer.Typer(help="Grafana dashboards.", no_args_is_help=True)
    panels.command("build")(build)
    panels.command("push")(push)
    app.add_typer(panels, name="dashboards")
    app.add_typer(replays.commands(), name="replay")


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
