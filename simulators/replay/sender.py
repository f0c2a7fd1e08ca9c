"""Publishes recorded messages through the real end point, as fast as it acknowledges them.

One connection a device, as the end point demands. Messages of a device stay in order; at most `WINDOW` wait for
their PUBACK over all devices, so that the end point's back pressure reaches the reader of the file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiomqtt

from kit import logs
from kit.database import Conn, rows, scalar
from kit.errors import Unavailable

log = logs.get(__name__)
WINDOW = 1_000
Progress = Callable[[str, int, int], None]
"""`progress(what, done, total)`; total 0 when it is not known."""


@dataclass(frozen=True)
class Where:
    """The end point and the prefix of its topics."""

    host: str
    port: int
    prefix: str = "meantime"


@dataclass(frozen=True)
class Message:
    """One publication of a device: `<prefix>/<uid>/<suffix>`; `readings` is how many it carries."""

    uid: str
    suffix: str
    payload: bytes
    readings: int


@dataclass
class Delivery:
    """What was sent, and what the database made of it.

    Attributes:
        sent, acknowledged: messages published, and those whose PUBACK came (which means: committed).
        items: readings and fault events in them.
        stored: new telemetry rows and fault events in the database.
        refused: reason -> how many messages, readings or single values.
        seconds: real time from the first message to the last acknowledgement.
    """

    sent: int = 0
    acknowledged: int = 0
    items: int = 0
    stored: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class Sender:
    """Connections of the devices; `send` takes messages in order and returns when it may take more."""

    def __init__(self, clients: dict[str, aiomqtt.Client], prefix: str, delivery: Delivery) -> None:
        self._clients, self._prefix, self.delivery = clients, prefix, delivery
        self._window = asyncio.Semaphore(WINDOW)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    async def send(self, messages: Iterable[Message]) -> None:
        """Publish; waits only while the window is full.

        Raises:
            Unavailable: the end point went away or did not acknowledge in time.
        """
        for message in messages:
            await self._window.acquire()
            self._check()
            task = asyncio.create_task(self._publish(message))
            self._tasks.add(task)
            task.add_done_callback(self._done)
            self.delivery.sent += 1
            self.delivery.items += message.readings

    async def acknowledged(self) -> None:
        """Return when everything sent so far is acknowledged; raises as `send`."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        self._check()

    async def _publish(self, message: Message) -> None:
        topic = f"{self._prefix}/{message.uid}/{message.suffix}"
        await self._clients[message.uid].publish(topic, message.payload, qos=1, timeout=60)
        self.delivery.acknowledged += 1

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._window.release()
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()

    def _check(self) -> None:
        if self._failure is not None:
            raise Unavailable(
                f"The end point stopped acknowledging after {self.delivery.acknowledged} messages "
                f"({self._failure}). Play again when it is back: what is stored already is recognised."
            ) from self._failure


@asynccontextmanager
async def connected(where: Where, tokens: dict[str, str]) -> AsyncIterator[Sender]:
    """Open a connection for each device (uid -> token).

    Raises:
        Unavailable: a device is not let in, or nobody listens there.
    """
    async with AsyncExitStack() as stack:
        clients = {}
        for uid, token in tokens.items():
            client = aiomqtt.Client(
                where.host, where.port, username=uid, password=token, identifier=f"replay-{uid}",
                max_inflight_messages=200, timeout=30,
            )  # fmt: skip
            client.pending_calls_threshold = WINDOW  # it would warn of what the window intends
            try:
                clients[uid] = await stack.enter_async_context(client)
            except aiomqtt.MqttError as error:
                raise Unavailable(f"{where.host}:{where.port} does not let {uid} in: {error}") from error
        sender, began = Sender(clients, where.prefix, Delivery()), time.monotonic()
        yield sender
        await sender.acknowledged()
        sender.delivery.seconds = time.monotonic() - began


def heard(conn: Conn, *, seconds: float = 5.0) -> None:
    """Wait until the end point has surely seen a change of the clock: two of its beats later. Returns at the
    latest after `seconds`, when it runs elsewhere or not at all; the connection will tell."""
    beats: set[object] = set()
    end = time.monotonic() + seconds
    while len(beats) < 3 and time.monotonic() < end:
        beats.add(scalar(conn, "select beat_at from kit.process where name = 'endpoint'"))
        time.sleep(0.05)


def stored(conn: Conn, device_ids: list[int]) -> int:
    """Telemetry rows and fault events of some devices."""
    found: int = scalar(
        conn,
        """select (select count(*) from ingest.telemetry where device_id = any(%(ids)s))
                + (select count(*) from ingest.fault_event where device_id = any(%(ids)s))""",
        {"ids": device_ids},
    )
    return found


def refused(conn: Conn) -> dict[str, int]:
    """Reason -> count, over all doors."""
    found = rows(
        conn,
        """select substr(name, 9) as reason, sum(value)::bigint as count from ingest.total
           where name like 'refused:%%' group by 1""",
        (),
    )
    return {row["reason"]: row["count"] for row in found}


def difference(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What was added, without the reasons that were not."""
    return {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
