"""One write: arrivals in, rows, events, states, run-hours, refusals and totals out, in the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import psycopg
from psycopg import pq

from ingest import facts, run_hours
from ingest.catalogue import Catalogue
from ingest.foresight import Foreseen, foresee
from ingest.formats import topics
from ingest.intake import Bounds, Group, Intake, Quarantined
from ingest.message import Arrival, Bad
from ingest.recent import Recent
from ingest.rows import Block, settle
from ingest.sound import Outlier
from ingest.sparkplug.translate import Translator
from ingest.table import Table
from ingest.topics import Format
from ingest.uniform import NO_SEQ, Part
from ingest.written import Columns, Written
from kit import logs
from kit.database import Conn
from kit.errors import Invalid, MeantimeError
from kit.settings import Ingest

__all__ = ["Columns", "Store", "Written"]

log = logs.get(__name__)


class Store:
    """Writes what a door receives. Keeps ids, models, shapes and recent keys; one per writer, not thread-safe.

    Args:
        door: endpoint, collector, replay or seed; totals and batches carry it.
        formats: further topics and payloads besides our own JSON, ThingsBoard's and the mappings of the settings.

    Attributes:
        meanwhile: called when the rows go to PostgreSQL: what takes long from there on needs no Python.
    """

    def __init__(self, settings: Ingest, *, door: str, formats: Sequence[Format] = ()) -> None:
        self._settings, self._door = settings, door
        self._catalogue = Catalogue(
            topics(settings, formats), register=settings.unknown_devices == "register"
        )
        self._translator = Translator(
            settings.topic_prefix, settings.sparkplug_uid, live=door not in ("replay", "seed")
        )
        self._recent = Recent()
        self._table = Table()
        self.meanwhile: Callable[[], None] = _nothing

    def foresee(self, arrivals: Sequence[Arrival]) -> Foreseen:
        """Decode messages as far as possible without the database. The one method that another thread may call
        while `write` is at work."""
        return foresee(self._catalogue, arrivals)

    def write(
        self,
        conn: Conn,
        arrivals: Sequence[Arrival],
        foreseen: Sequence[Foreseen] = (),
        *,
        whole: bool = False,
    ) -> Written:
        """Store a batch. What cannot be used goes to the dead letters or the quarantine and stops nothing.

        Args:
            foreseen: what `foresee` said of the first arrivals, piece by piece.
            whole: this write is the transaction: it begins it and commits it, which takes no waits of their own.

        Raises:
            psycopg.OperationalError: the database went away or chose this transaction in a deadlock: roll back,
                call `rolled_back`, try again with the same arrivals.
        """
        if not whole:
            in_transaction(conn)
        try:
            return self._write(conn, arrivals, foreseen=foreseen, whole=whole)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            conn.execute("rollback to savepoint meantime_write")
            log.warning("batch refused by the database, looking for the message", error=str(error).strip())
            self._forget()
        poison = frozenset(id(arrival) for arrival in self._poison(conn, arrivals))
        return self._write(conn, arrivals, poison, whole=whole)

    def write_rows(self, conn: Conn, columns: Columns) -> Written:
        """Store typed rows: no decoding, no recent-key filter; the same checks of values and times otherwise.

        Raises:
            Invalid: a metric is not one of the model, or a time stamp lies outside the accepted bounds.
        """
        in_transaction(conn)
        batch_id, now = self._catalogue.begin(conn)
        model = self._catalogue.model(conn, columns.model)
        if unknown := sorted(set(columns.metrics) - model.metrics.keys()):
            raise Invalid(f"{columns.model} has no metric {unknown[0]!r}.")
        bounds = self._bounds(now)
        for ts in (columns.ts.min(initial=bounds.high), columns.ts.max(initial=bounds.low)):
            if not bounds.low <= ts <= bounds.high:
                raise Invalid(bounds.refusal(int(ts)).detail)
        intake = Intake(conn, self._catalogue, bounds)
        group = intake.group(self._catalogue.layout(conn, model, columns.metrics))
        n = len(columns.ts)
        seq = np.full(n, NO_SEQ) if columns.seq is None else columns.seq
        received = columns.ts if columns.received is None else columns.received
        values = np.asarray(columns.values, np.float64)  # a recording's floats may be shorter
        group.parts.append(Part(columns.device, columns.ts, seq, received, values))
        return self._store(conn, batch_id, intake, messages=n, remember=False)

    def committed(self, written: Written) -> None:
        """The transaction of this write is committed: its rows need not be looked for again."""
        self._recent.add(written.seen)

    def rolled_back(self) -> None:
        """The transaction is undone, or nobody knows: whatever was learnt in it is forgotten."""
        self._forget()

    def _forget(self) -> None:
        self._catalogue.forget()
        self._translator.forget()
        self._table.forget()

    def _bounds(self, now: int) -> Bounds:
        return Bounds(now, self._settings.oldest_days, self._settings.future_seconds)

    def _poison(self, conn: Conn, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """The arrivals that the database refuses, found by halving."""
        try:
            with conn.transaction(force_rollback=True):
                self._write(conn, arrivals)
        except (psycopg.DataError, psycopg.IntegrityError):
            if len(arrivals) == 1:
                return list(arrivals)
            middle = len(arrivals) // 2
            return self._poison(conn, arrivals[:middle]) + self._poison(conn, arrivals[middle:])
        finally:
            self._forget()
        return []

    def _write(
        self,
        conn: Conn,
        arrivals: Sequence[Arrival],
        poison: frozenset[int] = frozenset(),
        foreseen: Sequence[Foreseen] = (),
        whole: bool = False,
    ) -> Written:
        batch_id, now = self._catalogue.begin(conn)
        intake = Intake(conn, self._catalogue, self._bounds(now))
        sound = arrivals
        if poison:
            for arrival in (each for each in arrivals if id(each) in poison):
                intake.refuse(arrival, "database_refused", "PostgreSQL refused the rows of this message.")
            sound = [arrival for arrival in arrivals if id(arrival) not in poison]
        if poison:
            foreseen = ()
        self._catalogue.resolve(conn, intake.unrouted(sound, foreseen))
        intake.take(sound, foreseen)
        commands = self._translate(conn, intake) if intake.foreign else []
        written = self._store(conn, batch_id, intake, messages=len(arrivals), remember=True, whole=whole)
        return replace(written, commands=commands) if commands else written

    def _translate(self, conn: Conn, intake: Intake) -> list[tuple[str, bytes]]:
        """Take in what speaks Sparkplug; returns what its edge nodes are to be told."""
        found = self._translator.translate(conn, intake.foreign)
        for arrival, error, uid in found.refused:
            intake.refuse(arrival, error.reason, error.detail, uid=uid)
        self._catalogue.resolve(conn, found.arrivals)
        intake.take(found.arrivals)
        return found.commands

    def _store(
        self, conn: Conn, batch_id: int, intake: Intake, *, messages: int, remember: bool, whole: bool = False
    ) -> Written:
        blocks = self._settle(conn, intake)
        count, seen = sum(map(len, blocks)), list[Block]()
        if remember:
            blocks, seen = self._recent.unseen(blocks)
        untouched = not intake.foreign and not self._catalogue.wrote
        told, hours = self._table.insert(conn, blocks, batch_id, untouched, lambda: self._meantime(blocks))
        quarantined = [*intake.quarantined, *(run_hours.report(conn, hours) if hours else ())]
        eventful = intake.faults or intake.states or quarantined or intake.letters
        # Usually nothing else happens: then all that follows goes out at once and nobody waits in between.
        with nullcontext() if eventful else conn.pipeline():
            if told.rows:
                facts.record(conn, told, hours and hours.counters, hours and hours.days)
            faults = facts.faults(conn, batch_id, intake.faults)
            states = facts.states(conn, intake.states)
            facts.quarantine(conn, quarantined)
            facts.dead_letters(conn, self._door, intake.letters)
            refused = Counter(letter.reason for letter in intake.letters) + Counter(
                q.bad.reason for q in quarantined
            )
            written = Written(
                batch_id, messages, told.rows, told.readings, faults, states,
                count - told.rows + len(intake.faults) - faults + len(intake.states) - states,
                dict(refused), told.first_ts, told.last_ts, seen,
            )  # fmt: skip
            facts.account(conn, self._door, written)
            conn.execute("commit" if whole else "release savepoint meantime_write")
        return written

    def _meantime(self, blocks: Sequence[Block]) -> None:
        """PostgreSQL has rows to store."""
        self._recent.prepare(blocks)
        self.meanwhile()

    def _settle(self, conn: Conn, intake: Intake) -> list[Block]:
        """Groups to blocks; rows with impossible values go on without those."""
        blocks = []
        while intake.groups:
            groups, intake.groups = list(intake.groups.values()), {}
            for group in groups:
                block, outliers = settle(group)
                blocks.append(block)
                for outlier in outliers:
                    self._without(conn, intake, group, outlier)
        return blocks

    def _without(self, conn: Conn, intake: Intake, group: Group, outlier: Outlier) -> None:
        model = group.layout.model
        for name, (value, low, high) in outlier.wrong.items():
            unit = model.metrics[name].unit
            bad = Bad(
                name, f"{value:g}", "out_of_range", f"{value:g} is not within {low:g} … {high:g} {unit}."
            )
            intake.quarantined.append(Quarantined(outlier.device, outlier.ts, bad, outlier.received))
        if outlier.rest:
            layout = self._catalogue.layout(conn, model, tuple(outlier.rest))
            intake.group(layout).add(outlier.device, outlier.ts, outlier.seq, outlier.received, outlier.rest)


def _nothing() -> None:
    """What a store without a pipeline does meanwhile."""


def in_transaction(conn: Conn) -> None:
    """Make sure that savepoints are savepoints: outside of a transaction they would commit on their own.

    Raises:
        MeantimeError: an autocommit connection without a transaction.
    """
    if conn.info.transaction_status != pq.TransactionStatus.IDLE:
        return
    if conn.autocommit:
        raise MeantimeError(
            "Store.write needs a transaction around it: `with conn.transaction(): store.write(…)`."
        )
    conn.execute("select")  # begins one
