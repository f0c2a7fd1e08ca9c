"""Commands that run the product: demo, up, run, migrate, doctor, config, version, forget."""

from __future__ import annotations

import shutil
from importlib import metadata
from typing import Annotated, Any

import typer
from pydantic import SecretStr

from kit import logs
from kit import settings as kit_settings
from kit.errors import Misconfigured
from meantime import doctor as checks
from meantime import embedded, family, postgres, processes, schema
from meantime.cli import output


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(demo)
    app.command()(up)
    app.command(hidden=True)(run)
    app.command()(migrate)
    app.command()(doctor)
    app.command()(version)
    app.command()(forget)
    config = typer.Typer(help="Settings.", no_args_is_help=True)
    config.command("show")(config_show)
    app.add_typer(config, name="config")


def demo(
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over: forget the demo's data first.")] = False,
    until_settled: Annotated[
        bool, typer.Option("--until-settled", help="Without a browser: one JSON line per stage, then end.")
    ] = False,
    speed: Annotated[float | None, typer.Option(help="Simulated seconds per second (default 600).")] = None,
    timeout: Annotated[
        float, typer.Option(help="With --until-settled: give up after so many seconds.")
    ] = 180.0,
) -> None:
    """Run everything with a simulated fleet and staff; Ctrl-C stops it, the next start goes on where it was."""
    settings = kit_settings.load()
    if settings.production:
        raise Misconfigured(
            "The demo has accounts with known passwords: it does not run with MEANTIME_PRODUCTION set."
        )
    from meantime.demo import play, until  # heavy imports, and only here

    logs.configure(settings, "demo")
    if until_settled:
        raise typer.Exit(until.run(settings, speed, timeout))
    raise typer.Exit(play.run(settings, fresh=fresh, speed=speed))


def up() -> None:
    """Run the product: every process, on the embedded database or the one that is set. Ctrl-C stops it."""
    settings = kit_settings.load()
    logs.configure(settings, "up")
    raise typer.Exit(family.up(settings))


def run(name: str, parent: Annotated[int | None, typer.Option(hidden=True)] = None) -> None:
    """Be one process of the family (what `up` starts)."""
    if not processes.known(name):
        raise Misconfigured(f"There is no process {name!r}; there are {', '.join(processes.FAMILY)}.")
    processes.run(name, kit_settings.load(), parent=parent)


def migrate() -> None:
    """Bring the database up to date."""
    settings = kit_settings.load()
    logs.configure(settings, "migrate")
    done: list[str] = []
    if settings.database_url is not None:
        done = schema.migrate(settings.database_url)
    else:
        with embedded.server(settings) as server:
            schema.ensure_database(server.dsn("postgres"), "meantime")
            done = schema.migrate(server.dsn())
    output.show({"migrated": done, "up_to_date": True})


def doctor() -> None:
    """Say what is missing on this machine and how to mend it."""
    findings = checks.examine(kit_settings.load())
    output.table(
        [
            {"ok": "ok" if f.ok else ("missing" if f.needed else "note"), "check": f.name, "finding": f.text}
            for f in findings
        ]
    )
    raise typer.Exit(0 if all(f.ok or not f.needed for f in findings) else 1)


def version() -> None:
    """The versions of Meantime and of what it stands on."""
    names = ("meantime", "psycopg", "mqtt5", "ortools", "numpy", "scikit-learn", "river", "fastapi")
    output.show({name: metadata.version(name) for name in names})


def config_show() -> None:
    """Every setting with its value, secrets masked; set them as MEANTIME_<NAME>, nested with __."""
    output.table(
        [
            {"variable": name, "value": value}
            for name, value in _flat("MEANTIME", kit_settings.load().model_dump())
        ]
    )


def _flat(prefix: str, values: dict[str, Any], joint: str = "_") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        variable = f"{prefix}{joint}{name.upper()}"
        if isinstance(value, dict):
            found += _flat(variable, value, "__")
        elif name == "database_url" and value:
            found.append((variable, _without_password(str(value))))
        else:
            found.append(
                (
                    variable,
                    "********" if isinstance(value, SecretStr) else "" if value is None else str(value),
                )
            )
    return found


def _without_password(dsn: str) -> str:
    head, at, tail = dsn.rpartition("@")
    user = head.rpartition(":")[0] if head.count(":") > 1 else head
    return f"{user}{at}{tail}"


def forget(yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False) -> None:
    """Delete the embedded database and everything else that this folder's Meantime keeps."""
    settings = kit_settings.load()
    data = postgres.data_folder(settings.home)
    if not yes:
        typer.confirm(f"Delete {data} and {settings.home.resolve()}?", abort=True, err=True)
    with embedded.only_one(settings.home):
        postgres.remove(data)
    shutil.rmtree(settings.home, ignore_errors=True)
    output.show({"forgotten": str(data)})
