"""Commands that play recorded data through the product: replay azure-pdm, replay csv."""

from __future__ import annotations

import typer


def commands() -> typer.Typer:
    """The sub-commands."""
    return typer.Typer(help="Play recorded data through the product.", no_args_is_help=True)
