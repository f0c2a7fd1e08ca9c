"""Stored telemetry and fault events as blocks of arrays, by device type. Never commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from analytics.block import Block, Event
from analytics.definitions import Definition, Floats, Ints
from analytics.store import microseconds
from kit.database import Conn

# device, event time, sequence, batch, shape, values
_ROWS = """select t.device_id, (extract(epoch from t.ts) * 1000000)::bigint, t.seq, t.batch_id, t.shape_id, t."values"
           from ingest.telemetry t """
_EVENTS = "select f.device_id, f.ts, f.code, f.active, f.batch_id from ingest.fault_event f "


class Reader:
    """Reads for a set of device types; remembers shapes and the devices' models."""

    def __init__(self, definitions: Mapping[str, Definition], state_metrics: Mapping[str, str]) -> None:
        self._definitions, self._state_metrics = definitions, state_metrics
        self._shapes: dict[int, list[str]] = {}
        self._models: dict[int, str] = {}

    def batches(
        self, conn: Conn, facts: Sequence[Mapping[str, Any]], partition: int, partitions: int
    ) -> tuple[dict[str, Block], dict[str, list[Event]]]:
        """Rows and events of consecutive facts of ingest.batch, by model; only a partition's devices."""
        order = {fact["id"]: at for at, fact in enumerate(facts)}
        first = min((f["first_ts"] for f in facts if f["first_ts"] is not None), default=None)
        last = max((f["last_ts"] for f in facts if f["last_ts"] is not None), default=None)
        params = {"ids": list(order), "first": first, "last": last, "p": partitions, "k": partition}
        found: list[tuple[Any, ...]] = []
        if first is not None:  # the range lets the server skip partitions of the table
            found = conn.cursor(binary=True).execute(
                _ROWS + "where t.batch_id = any(%(ids)s) and t.ts between %(first)s and %(last)s"
                " and t.device_id %% %(p)s = %(k)s", params,
            ).fetchall()  # fmt: skip
        events = conn.execute(
            _EVENTS + "where f.batch_id = any(%(ids)s) and f.device_id %% %(p)s = %(k)s", params
        ).fetchall()
        return self._split(conn, found, events, order)

    def device(
        self, conn: Conn, device: int, after: tuple[int, int], through: tuple[int, int]
    ) -> tuple[dict[str, Block], dict[str, list[Event]], list[tuple[int, int]]]:
        """All rows and events of one device from batches after one position (xid, id) through another, and the
        positions of those batches; `order` counts in them."""
        params = {
            "device": device,
            "x0": str(after[0]),
            "b0": after[1],
            "x1": str(through[0]),
            "b1": through[1],
        }
        condition = """ where device_id = %(device)s and (b.xid, b.id) > (%(x0)s::text::xid8, %(b0)s)
                        and (b.xid, b.id) <= (%(x1)s::text::xid8, %(b1)s)"""
        found = conn.cursor(binary=True).execute(
            _ROWS + "join ingest.batch b on b.id = t.batch_id" + condition, params
        ).fetchall()  # fmt: skip
        events = conn.execute(
            _EVENTS + "join ingest.batch b on b.id = f.batch_id" + condition, params
        ).fetchall()
        ids = list({row[3] for row in found} | {row[4] for row in events})
        batches = conn.execute(
            "select xid::text::bigint, id from ingest.batch where id = any(%s) order by xid, id", (ids,)
        ).fetchall()
        order = {batch: at for at, (_, batch) in enumerate(batches)}
        return *self._split(conn, found, events, order), batches

    def span(self, conn: Conn, device: int, after: datetime, through: datetime) -> dict[str, Block]:
        """All rows of one device in an interval of event time (after, through], by its model."""
        found = conn.cursor(binary=True).execute(
            _ROWS + "where t.device_id = %s and t.ts > %s and t.ts <= %s order by t.ts, t.seq", (device, after, through)
        ).fetchall()  # fmt: skip
        return self._split(conn, found, [], dict.fromkeys({row[3] for row in found}, 0))[0]

    def _split(
        self,
        conn: Conn,
        found: Sequence[tuple[Any, ...]],
        events: Sequence[tuple[Any, ...]],
        order: Mapping[int, int],
    ) -> tuple[dict[str, Block], dict[str, list[Event]]]:
        self._learn(conn, {row[0] for row in found} | {row[0] for row in events}, {row[4] for row in found})
        by_model: dict[str, list[tuple[Any, ...]]] = {}
        for row in found:
            by_model.setdefault(self._models[row[0]], []).append(row)
        blocks = {
            model: self._block(self._definitions[model], its, order)
            for model, its in sorted(by_model.items())
            if model in self._definitions
        }
        by_type: dict[str, list[Event]] = {}
        for device, ts, code, active, batch in events:
            if self._models[device] in self._definitions:
                event = Event(order[batch], device, microseconds(ts), code, active, batch)
                by_type.setdefault(self._models[device], []).append(event)
        return blocks, by_type

    def _learn(self, conn: Conn, devices: set[int], shapes: set[int]) -> None:
        if missing := list(devices - self._models.keys()):
            found = conn.execute("select id, model from ingest.device where id = any(%s)", (missing,))
            self._models.update(found.fetchall())
        if missing := list(shapes - self._shapes.keys()):
            found = conn.execute("select id, metrics from ingest.shape where id = any(%s)", (missing,))
            self._shapes.update(found.fetchall())

    def _block(
        self, definition: Definition, found: Sequence[tuple[Any, ...]], order: Mapping[int, int]
    ) -> Block:
        device, ts, seq, batch, shape = (np.array([row[at] for row in found], np.int64) for at in range(5))
        values = np.full((len(found), len(definition.metrics)), np.nan)
        state = np.full(len(found), np.nan)
        for one in np.unique(shape).tolist():
            rows = np.flatnonzero(shape == one)
            self._place(definition, one, rows, [found[row][5] for row in rows.tolist()], values, state)
        batches, which = np.unique(batch, return_inverse=True)
        place = np.array([order[one] for one in batches.tolist()], np.int64)[which]
        return Block(place, device, ts, seq, batch, values, state)

    def _place(
        self,
        definition: Definition,
        shape: int,
        rows: Ints,
        sent: list[list[float]],
        values: Floats,
        state: Floats,
    ) -> None:
        """Put the values of rows of one shape where their metrics are."""
        names, metrics = self._shapes[shape], definition.axis("metric")
        table = np.array(sent, dtype=float).reshape(len(rows), len(names))
        for at, name in enumerate(names):
            if name in metrics:
                values[rows, metrics.index(name)] = table[:, at]
            elif name == self._state_metrics.get(definition.model):
                state[rows] = table[:, at]
