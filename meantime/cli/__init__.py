"""The `meantime` command. Exit codes: 0 done, 1 it did not work (the reason is on stderr), 2 wrong usage."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from kit.errors import MeantimeError
from meantime.cli import output

MODULES = {
    "run": ("demo", "up", "run", "migrate", "doctor", "version", "forget", "config"),
    "devices": ("device", "device-type", "dead-letters", "storage"),
    "operate": ("explain", "backtest", "invariants", "user", "dashboards", "replay"),
    "reliability": ("reliability",),
}
"""Which module registers which commands: only the one that is asked for is imported, so that a command starts at
once and a process of the family does not carry the others' libraries."""


def build(words: Sequence[str] = ()) -> typer.Typer:
    """The command line; with the words of one, only what that one needs (all when in doubt)."""
    app = typer.Typer(
        help="From a device's telemetry to a settled work order.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(options)
    command = next((word for word in words if not word.startswith("-")), None)
    for name, commands in MODULES.items():
        if command in commands or not any(command in each for each in MODULES.values()):
            importlib.import_module(f"meantime.cli.{name}").register(app)
    return app


def options(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")
    ] = False,
) -> None:
    """Options of every command."""
    output.use_json(as_json)


def main() -> None:
    """Run the command; a known error is one sentence, not a traceback."""
    try:
        build(sys.argv[1:])(prog_name="meantime")
    except MeantimeError as error:
        output.error(error)
        sys.exit(1)
