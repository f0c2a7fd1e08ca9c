"""Commands about messages that could not be used: dead-letters list, replay, purge."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Annotated

import typer

from ingest import dead_letters
from ingest.store import Store
from kit import clock
from kit import settings as kit_settings
from kit.errors import Invalid
from meantime.cli import output, target

ROLE = "meantime_ingest"
CHUNK = 1000  # letters in one transaction
COLUMNS = ("id", "received_at", "door", "device_uid", "topic", "size", "reason", "detail")


def commands() -> typer.Typer:
    """The sub-commands."""
    app = typer.Typer(help="Messages that could not be used, with their reasons.", no_args_is_help=True)
    app.command("list")(listing)
    app.command("show")(show)
    app.command("replay")(replay)
    app.command("purge")(purge)
    return app


def listing(reason: str | None = None, uid: str | None = None, limit: int = 50) -> None:
    """The latest first; replayed ones are left out."""
    with target.transaction(ROLE) as conn:
        found = dead_letters.listing(conn, reason=reason, uid=uid, limit=limit)
    output.table(found, COLUMNS)


def show(number: Annotated[int, typer.Argument(help="The letter's id.")]) -> None:
    """One letter with its payload: as text where it is one, else in hexadecimal."""
    with target.transaction(ROLE) as conn:
        found = dead_letters.letter(conn, number)
    payload = found.pop("payload")
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = f"0x{payload.hex()}"
    output.show(found | {"payload": text})


def replay(
    ids: Annotated[list[int] | None, typer.Argument(help="Letters to take in again.")] = None,
    reason: Annotated[str | None, typer.Option(help="All of one reason instead.")] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many, the oldest; else all.")] = None,
) -> None:
    """Take letters in again after a fix; what is refused again stays."""
    if bool(ids) == bool(reason):
        raise Invalid("Name letters by id, or a --reason; one of the two.")
    store = Store(kit_settings.load().ingest, door="replay")
    stored, refused, after = 0, dict[int, str](), 0
    while limit is None or stored + len(refused) < limit:
        most = CHUNK if limit is None else min(CHUNK, limit - stored - len(refused))
        with target.transaction(ROLE) as conn:  # each piece for itself: what is stored stays stored
            done = dead_letters.replay(conn, reason or ids or [], store, limit=most, after=after)
        if done.last is None:
            break
        stored, after = stored + len(done.stored), done.last
        refused |= done.refused
    output.show({"stored": stored, "refused_again": refused if ids else Counter(refused.values())})


def purge(
    ids: Annotated[list[int] | None, typer.Argument(help="These letters.")] = None,
    older_than_days: Annotated[float | None, typer.Option(help="Received longer ago than this.")] = None,
    reason: str | None = None,
) -> None:
    """Delete letters for good."""
    if older_than_days is None and reason is None and not ids:
        raise Invalid("Say which: letters by id, --older-than-days, --reason, or the last two together.")
    with target.transaction(ROLE) as conn:
        before = None if older_than_days is None else clock.now(conn) - timedelta(days=older_than_days)
        count = dead_letters.purge(conn, before=before, reason=reason, ids=ids or [])
    output.show({"purged": count})
