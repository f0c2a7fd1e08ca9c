"""Replay of a CSV file: its lines become messages of devices, sent through the real end point with their own times."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from ingest import registry, storage
from kit import clock
from kit.database import Conn, connect, scalar
from kit.errors import Conflict, Invalid
from kit.settings import Settings
from simulators.replay.mapping import Map, Mapped, parse
from simulators.replay.sender import (
    Delivery,
    Message,
    Progress,
    Where,
    connected,
    difference,
    heard,
    refused,
    stored,
)

BATCH = 50  # consecutive readings of a device in one message


@dataclass(frozen=True)
class Report:
    """What the replay did.

    Attributes:
        delivery: of messages, see there.
        lines, skipped: read; without a usable time or device.
        skipped_because: the first few reasons.
        devices, provisioned: that the file names; that were new.
        first, last: times of the readings; None when there were none.
    """

    delivery: Delivery
    lines: int
    skipped: int
    skipped_because: tuple[str, ...]
    devices: int
    provisioned: int
    first: datetime | None
    last: datetime | None


@dataclass
class _Reading:
    """A first pass over the file: who speaks, and when."""

    lines: int = 0
    skipped: int = 0
    because: tuple[str, ...] = ()
    first: datetime | None = None
    last: datetime | None = None


def replay(
    dsn: str,
    settings: Settings,
    file: Path,
    map_file: Path,
    *,
    where: Where | None = None,
    progress: Progress | None = None,
    registered: Callable[[dict[str, int], datetime], None] | None = None,
    move_clock: bool = False,
) -> Report:
    """Play a file. Lines that cannot be read are skipped and counted; values that cannot be are refused by ingest.

    Devices that are not there yet are provisioned with the map's model. A file whose times go beyond the product's
    present, or begin further back than it accepts, needs its clock elsewhere: the error says so; `move_clock` puts
    it to the file's end, in a database of the replay's own. `registered` is called once with uid -> device id.

    Raises:
        Invalid: the map is wrong, a column is missing, or the times do not fit the clock.
        Conflict: a device is provisioned with another model.
        Unavailable: no end point there.
    """
    where = where or Where(settings.endpoint.host, settings.endpoint.port, settings.ingest.topic_prefix)
    with connect(dsn, application="replay", autocommit=True) as conn:
        mapping = parse(map_file.read_text(encoding="utf-8"), _units(conn))
        seen = _Reading()
        uids = sorted({mapped.uid for mapped in _lines(file, mapping, seen)})
        if move_clock and seen.last is not None:
            clock.set_rate(conn, 0.0, sim=seen.last)
        _check_times(clock.now(conn), seen, settings)
        with conn.transaction():
            if seen.first is not None and seen.last is not None:
                storage.ensure_range(conn, seen.first, seen.last)
            tokens, new = _provision(conn, uids, mapping.model, seen.first)
        heard(conn)
        known = dict(
            conn.execute("select uid, id from ingest.device where uid = any(%s)", (uids,)).fetchall()
        )
        ids = list(known.values())
        if registered is not None and seen.first is not None:
            registered(known, seen.first)
        before, had = refused(conn), stored(conn, ids)
        delivery = asyncio.run(_play(file, mapping, where, tokens, seen.lines, progress))
        delivery.stored, delivery.refused = stored(conn, ids) - had, difference(before, refused(conn))
    return Report(delivery, seen.lines, seen.skipped, seen.because, len(uids), new, seen.first, seen.last)


def _units(conn: Conn) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for model, name, unit in conn.execute("select model, name, unit from ingest.metric"):
        found.setdefault(model, {})[name] = unit
    return found


def _lines(file: Path, mapping: Map, seen: _Reading) -> Iterator[Mapped]:
    """The usable lines, in the order of the file; counts in `seen`."""
    with file.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, delimiter=mapping.delimiter)
        if missing := sorted(mapping.columns - set(reader.fieldnames or ())):
            raise Invalid(
                f"{file.name} has no column {missing[0]!r}. It has {', '.join(reader.fieldnames or ())}."
            )
        for row in reader:
            seen.lines += 1
            try:
                mapped = mapping.line(row, reader.line_num)
            except Invalid as error:
                seen.skipped += 1
                seen.because = (*seen.because, error.message)[:5]
                continue
            seen.first = min(seen.first or mapped.at, mapped.at)
            seen.last = max(seen.last or mapped.at, mapped.at)
            yield mapped


def _check_times(now: datetime, seen: _Reading, settings: Settings) -> None:
    if seen.first is None or seen.last is None:
        raise Invalid("The file has no line whose time and device can be read.")
    ahead, back = (
        timedelta(seconds=settings.ingest.future_seconds),
        timedelta(days=settings.ingest.oldest_days),
    )
    if seen.last > now + ahead or seen.first < now - back:
        raise Invalid(
            f"The file goes from {seen.first:%Y-%m-%d %H:%M} to {seen.last:%Y-%m-%d %H:%M} UTC, the product's clock "
            f"shows {now:%Y-%m-%d %H:%M}: readings up to {back.days} days old and not of the future are accepted. "
            f"Play it into a database whose clock stands at the end of the file."
        )


def _provision(conn: Conn, uids: list[str], model: str, at: datetime | None) -> tuple[dict[str, str], int]:
    """uid -> token, and how many devices are new. Known ones get a further token; theirs stay good for a day."""
    tokens, new = {}, 0
    for uid in uids:
        known = scalar(conn, "select model from ingest.device where uid = %s", (uid,))
        if known is not None and known != model:
            raise Conflict(f"Device {uid!r} is a {known}; the map says {model}. Correct [device] model.")
        if known is None:
            tokens[uid], new = registry.provision(conn, uid, model, at).token, new + 1
        else:
            tokens[uid] = registry.rotate(conn, uid, keep=timedelta(days=1)).token
    return tokens, new


async def _play(
    file: Path, mapping: Map, where: Where, tokens: dict[str, str], total: int, progress: Progress | None
) -> Delivery:
    async with connected(where, tokens) as sender:
        done = _Reading()
        for messages in _messages(_lines(file, mapping, done)):
            await sender.send(messages)
            if progress is not None:
                progress(file.name, done.lines, total)
    return sender.delivery


def _messages(lines: Iterator[Mapped]) -> Iterator[list[Message]]:
    """Readings are gathered per device; a change of its fault code is sent after the readings before it."""
    waiting: dict[str, list[dict[str, object]]] = {}
    active: dict[str, str] = {}
    for line in lines:
        held = waiting.setdefault(line.uid, [])
        if line.values:
            held.append({"ts": _iso(line.at), "values": line.values})
        changes = _changes(line, active)
        if changes or len(held) >= BATCH:
            yield [*_gathered(line.uid, held), *changes]
            waiting[line.uid] = []
    for uid, held in waiting.items():
        yield _gathered(uid, held)


def _gathered(uid: str, held: list[dict[str, object]]) -> list[Message]:
    return [Message(uid, "telemetry", msgspec.json.encode(held), len(held))] if held else []


def _changes(line: Mapped, active: dict[str, str]) -> list[Message]:
    """The fault events by which a device's code column changes."""
    before, now = active.get(line.uid, ""), line.code
    if now is None or now == before:
        return []
    active[line.uid] = now
    said = [(code, raised) for code, raised in ((before, False), (now, True)) if code]
    body = [{"ts": _iso(line.at), "code": code, "active": raised} for code, raised in said]
    return [Message(line.uid, "fault", msgspec.json.encode(body), len(body))]


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
