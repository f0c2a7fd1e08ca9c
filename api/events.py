"""The live stream: whoever watches a board hears of every move of an order that exists for them.

One LISTEN connection a process; NOTIFY only wakes, the rows are read from the log. A burst a watcher cannot
take in time becomes one `resync`: the page reloads its list.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from api.accounts import User
from kit import logs

log = logs.get(__name__)
CHANNEL = "fsm.work_order_event"
QUEUE, WINDOW = 200, 500
HEARTBEAT_SECONDS = 15.0
POLL_SECONDS = 5.0

# A lower id may commit after a higher one: look a window back and remember what was sent.
_NEW = """
    select e.id, e.order_id, o.number, o.state, o.customer_id, e.visit_id, e.action, e.to_state, e.at,
           array(select v.technician_id from fsm.visit v where v.order_id = o.id) as technicians,
           array(select t.provider_id from fsm.visit v join fsm.technician t on t.id = v.technician_id
                 where v.order_id = o.id and t.provider_id is not null) || o.provider_id as providers
    from fsm.work_order_event e join fsm.work_order o on o.id = e.order_id
    where e.id > %s order by e.id
"""


@dataclass(eq=False)
class Watcher:
    """One open stream."""

    user: User
    queue: asyncio.Queue[str | None] = field(default_factory=lambda: asyncio.Queue(QUEUE))

    def offer(self, event: dict[str, Any]) -> None:
        """Hand over an event that exists for this user; when they are too slow, one `resync` instead."""
        if not visible(self.user, event):
            return
        shown = {key: event[key] for key in ("id", "order_id", "number", "state", "visit_id", "action")}
        text = f"id: {event['id']}\nevent: order\ndata: {json.dumps(shown | {'at': event['at'].isoformat()})}\n\n"
        if self.queue.full():
            while not self.queue.empty():
                self.queue.get_nowait()
            text = "event: resync\ndata: {}\n\n"
        self.queue.put_nowait(text)


def visible(user: User, event: dict[str, Any]) -> bool:
    """Whether the order of an event exists for a user (api.scope, in Python)."""
    match user.role:
        case "engineer":
            return user.technician_id in event["technicians"]
        case "provider":
            return user.provider_id in event["providers"]
        case "customer":
            return bool(user.customer_id == event["customer_id"])
        case _:
            return True


class Hub:
    """Reads new events once and hands them to all watchers."""

    def __init__(self, dsn: str, role: str) -> None:
        self._dsn, self._role = dsn, role
        self._watchers: set[Watcher] = set()
        self._closed = asyncio.Event()
        self.listening = asyncio.Event()

    @property
    def watching(self) -> int:
        """How many streams are open."""
        return len(self._watchers)

    async def run(self) -> None:
        """Listen until cancelled; reconnect when the database was away."""
        while True:
            try:
                await self._listen()
            except psycopg.OperationalError as error:
                self.listening.clear()
                log.warning("event stream lost the database", error=str(error).strip())
                await asyncio.sleep(1.0)

    async def _listen(self) -> None:
        options = f"-c timezone=UTC -c role={self._role}"
        async with await psycopg.AsyncConnection.connect(
            self._dsn, autocommit=True, options=options, application_name="api.events"
        ) as conn:
            await conn.execute(f'listen "{CHANNEL}"')
            newest, sent = await self._newest(conn), deque[int](maxlen=WINDOW * 2)
            sent.extend(row["id"] for row in await self._rows(conn, newest - WINDOW))
            self.listening.set()
            while True:
                async for _ in conn.notifies(timeout=POLL_SECONDS, stop_after=1):
                    pass
                for event in await self._rows(conn, newest - WINDOW):
                    if event["id"] not in sent:
                        sent.append(event["id"])
                        newest = max(newest, event["id"])
                        self._publish(event)

    async def _newest(self, conn: psycopg.AsyncConnection[Any]) -> int:
        found = await (await conn.execute("select coalesce(max(id), 0) from fsm.work_order_event")).fetchone()
        return int(found[0]) if found else 0

    async def _rows(self, conn: psycopg.AsyncConnection[Any], after: int) -> list[dict[str, Any]]:
        return await (await conn.cursor(row_factory=dict_row).execute(_NEW, (after,))).fetchall()

    def _publish(self, event: dict[str, Any]) -> None:
        for watcher in self._watchers:
            watcher.offer(event)

    def close(self) -> None:
        """End all streams, so that the server can stop."""
        self._closed.set()
        for watcher in self._watchers:
            with contextlib.suppress(asyncio.QueueFull):
                watcher.queue.put_nowait(None)

    async def stream(self, user: User) -> AsyncIterator[str]:
        """Server-sent events for a user, until they go or the server stops."""
        watcher = Watcher(user)
        self._watchers.add(watcher)
        try:
            yield "retry: 2000\nevent: hello\ndata: {}\n\n"
            while not self._closed.is_set():
                try:
                    text = await asyncio.wait_for(watcher.queue.get(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    text = ": still here\n\n"
                if text is None:
                    return
                yield text
        finally:
            self._watchers.discard(watcher)
