"""The `meantime` command. Exit codes: 0 done, 1 it did not work (the reason is on stderr), 2 wrong usage."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from kit.errors import MeantimeError
from meantime.cli import output
from meantime.cli.devices import register as register_devices
from meantime.cli.operate import register as register_operating
from meantime.cli.run import register as register_running

app = typer.Typer(
    help="From a device's telemetry to a settled work order.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def options(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")
    ] = False,
) -> None:
    """Options of every command."""
    output.use_json(as_json)


for register in (register_running, register_devices, register_operating):
    register(app)


def main() -> None:
    """Run the command; a known error is one sentence, not a traceback."""
    try:
        app(prog_name="meantime")
    except MeantimeError as error:
        output.error(error)
        sys.exit(1)
