"""Commands that play recorded data through the product: replay azure-pdm, replay csv."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from kit import logs
from kit import settings as kit_settings
from kit.errors import Invalid, NotFound
from meantime.cli import output

HORIZON_HOURS = 72.0  # simulators.replay.score.HORIZON; here without its imports, a test compares
Keep = Annotated[
    bool, typer.Option("--keep", help="Go on in the database of the last replay instead of a new one.")
]


def commands() -> typer.Typer:
    """The sub-commands."""
    app = typer.Typer(
        help="Play recorded data through the product, in a database of its own.", no_args_is_help=True
    )
    app.command("azure-pdm")(azure_pdm)
    app.command("csv")(csv)
    return app


def azure_pdm(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="machines, telemetry, errors, maintenance, failures.")
    ],
    start: Annotated[
        str | None, typer.Option("--from", help="Play what became known from this date on.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="… and before this one.")] = None,
    train_from: Annotated[
        str | None,
        typer.Option(
            "--train-from", help="Learn failure models from what was known from this date until --from."
        ),
    ] = None,
    machines: Annotated[int | None, typer.Option(help="Only the first so many machines.")] = None,
    horizon: Annotated[
        float, typer.Option(help="A warning is right when its failure comes within so many hours.")
    ] = HORIZON_HOURS,
    keep: Keep = False,
) -> None:
    """Microsoft's predictive-maintenance sample: telemetry and error codes over MQTT with their own times."""
    from meantime import replaying  # heavy: scikit-learn

    settings = kit_settings.load()
    logs.configure(settings, "replay")
    with logs.quiet():
        report = replaying.azure_pdm(
            settings,
            folder,
            start=_day(start),
            end=_day(end),
            train_from=_day(train_from),
            machines=machines,
            horizon=timedelta(hours=_positive(horizon)),
            keep=keep,
            progress=_progress,
        )
    done, within = report.delivery, report.horizon / timedelta(hours=1)
    output.show({"machines": report.machines, "sent": done.sent, "acknowledged": done.acknowledged, "items": done.items,
                 "stored": done.stored, "refused": done.refused, "replacements": report.replacements,
                 "detections": report.detections, "orders": report.orders, "by_rule": report.by_rule,
                 "horizon_hours": within, "failures": report.failures, "warned": report.warned,
                 "false_per_machine_year": round(report.false_a_year, 2),
                 "seconds": round(done.seconds, 1)})  # fmt: skip
    output.table([{"component": name, **output.plain(one)} for name, one in report.components.items()])
    output.say(
        f"Right: the failure came within {within:g} h of the warning (--horizon). A backtest counts repairs within "
        "720 h unless told otherwise: compare the two at the same horizon only."
    )


def csv(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    map_file: Annotated[
        Path, typer.Option("--map", help="TOML that says what the columns are (docs/replay.md).")
    ],
    types: Annotated[
        list[Path] | None, typer.Option("--type", help="A device-type file; the shipped ones are there.")
    ] = None,
    keep: Keep = False,
) -> None:
    """Any CSV file, by a map of its columns to devices, times, metrics and fault codes."""
    for path in (file, map_file):
        if not path.is_file():
            raise NotFound(f"There is no file {path}.")
    from meantime import replaying  # heavy: scikit-learn

    settings = kit_settings.load()
    logs.configure(settings, "replay")
    with logs.quiet():
        report = replaying.csv(settings, file, map_file, types=types or (), keep=keep, progress=_progress)
    told, done = report.replay, report.replay.delivery
    output.show({"lines": told.lines, "skipped": told.skipped, "skipped_because": list(told.skipped_because),
                 "devices": told.devices, "sent": done.sent, "acknowledged": done.acknowledged, "stored": done.stored,
                 "refused": done.refused, "first": told.first, "last": told.last,
                 "detections": report.detections, "orders": report.orders})  # fmt: skip


def _positive(hours: float) -> float:
    if hours <= 0:
        raise Invalid(f"The horizon must be above 0 h, not {hours:g} h.")
    return hours


def _day(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as error:
        raise Invalid(f"{text!r} is no date; write 2015-07-01.") from error


_last = {"what": ""}


def _progress(what: str, done: int, total: int) -> None:
    month = what[:7]
    if sys.stderr.isatty() or month != _last["what"]:
        _last["what"] = month
        print(
            f"  {what}  {done:>9,} of {total:,} sent",
            end="\r" if sys.stderr.isatty() else "\n",
            file=sys.stderr,
        )
