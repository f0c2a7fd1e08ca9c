"""The subscriber to an existing broker: what it acknowledges is committed, what it has not the broker still has.

The session at the broker is persistent (`clean_start` false, a long but finite expiry), so nothing is missed while
the collector is away, within what the broker itself keeps. Several collectors share the load when a group is set;
each needs its own client id, which `suffix` makes.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from typing import Any

from ingest import formats, sessions, tls
from ingest.chunks import Chunk
from ingest.link import KEEP_ALIVE, MAX_PACKET, Link
from ingest.log import front
from ingest.log.choice import chosen
from ingest.log.offsets import COMMANDS
from ingest.mqtt import packets as p
from ingest.mqtt.packets import V5
from ingest.pipeline import ROLE, calm_collector
from ingest.pulse import Pulse
from ingest.sparkplug import names
from ingest.sparkplug.host import Host
from kit import logs
from kit.database import url
from kit.errors import Misconfigured
from kit.settings import Settings

log = logs.get(__name__)

DOOR = "collector"
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0
STOP_SECONDS = 1.5


def run(settings: Settings, stop: threading.Event, *, suffix: str = "") -> None:
    """Collect from the broker until `stop` is set; `suffix` tells several collectors of one group apart."""
    calm_collector()
    asyncio.run(Collector(settings, suffix=suffix).serve(stop))


def filters(settings: Settings, suffix: str) -> tuple[str, ...]:
    """What to subscribe to. Of a group each message goes to one member, which loses the order between them; an edge
    node's order must hold, so Sparkplug goes to the first member alone."""
    group = settings.collector.group
    own = formats.filters(settings.ingest)
    sparkplug = names.FILTERS if _reads_sparkplug(settings, suffix) else ()
    return tuple(f"$share/{group}/{name}" if group else name for name in own) + sparkplug


def host(settings: Settings, suffix: str, now: int) -> Host | None:
    """The Sparkplug host application that a connection made `now` (ms since the epoch) speaks for, or None.

    Raises:
        Misconfigured: one is set, but Sparkplug is not collected.
    """
    name = settings.collector.sparkplug_host
    if name is not None and not settings.collector.sparkplug:
        raise Misconfigured(
            "MEANTIME_COLLECTOR__SPARKPLUG_HOST is set, but MEANTIME_COLLECTOR__SPARKPLUG is false: edge nodes would "
            "publish to a host that does not listen."
        )
    return Host(name, now) if name is not None and _reads_sparkplug(settings, suffix) else None


def _reads_sparkplug(settings: Settings, suffix: str) -> bool:
    first = suffix in ("", "-1")
    return settings.collector.sparkplug and (first or not settings.collector.group)


class Collector:
    """Connects, and connects again; its buffer and writer outlive every connection."""

    def __init__(self, settings: Settings, *, suffix: str = "") -> None:
        if settings.collector.host is None:
            raise Misconfigured("No broker to collect from: set MEANTIME_COLLECTOR__HOST.")
        self._settings, self._broker, self._suffix = settings, settings.collector, suffix
        self._tls = tls.client(settings.collector)
        host(settings, suffix, 0)
        self.host, self.client_id = settings.collector.host, settings.collector.client_id + suffix
        self.filters = filters(settings, suffix)
        self.paused = self._stopping = False
        self.received = self.acked = self.connects = self.sessions_lost = 0
        self._link: Link | None = None
        self._loop: asyncio.AbstractEventLoop
        dsn = url(settings)
        self.pulse = Pulse(dsn, DOOR + suffix, role=ROLE, detail=self.detail)
        self.pipeline = front.pipeline(
            settings,
            DOOR,
            lambda chunks: self._soon(self._released, chunks),
            lambda commands: self._soon(self._command, commands),
        )
        self.pulse.waiters.append(self.pipeline.waiter)
        if chosen(settings) is not None:  # what is to be published comes from the workers behind the log
            self.pulse.channels[COMMANDS] = lambda told: self._soon(self._command, front.told(told))

    async def serve(self, stop: threading.Event) -> None:
        """Collect until `stop` is set."""
        self._loop = asyncio.get_running_loop()
        self.pulse.start()
        self.pipeline.start()
        pause = FIRST_PAUSE
        while not stop.is_set():
            try:
                if await self._one_connection(stop):
                    pause = FIRST_PAUSE
            except (OSError, ssl.SSLError, TimeoutError) as error:
                log.warning(
                    "no broker", host=self.host, error=str(error) or repr(error), again_in_seconds=pause
                )
            await self._sleep(pause, stop)
            pause = min(pause * 2, LONGEST_PAUSE)
        await self._goodbye()

    async def _one_connection(self, stop: threading.Event) -> bool:
        """Stay connected as long as it goes. Returns whether the broker had granted the subscription."""
        speaks_for = host(self._settings, self._suffix, time.time_ns() // 1_000_000)
        link = Link(
            self._hello(speaks_for.will if speaks_for is not None else None),
            self.filters + ((speaks_for.topic,) if speaks_for is not None else ()),
            pulse=self.pulse,
            submit=self._submit,
            connected=self._connected,
            host=speaks_for,
        )
        async with asyncio.timeout(10):
            await self._loop.create_connection(lambda: link, self.host, self._broker.port, ssl=self._tls)
        self._link = link
        self.connects += 1
        if self.paused:
            link.pause()
        granted = False
        while not stop.is_set() and not link.closed.is_set():
            await asyncio.sleep(0.05)
            link.tick()
            granted = granted or link.joined
        return granted

    async def _sleep(self, seconds: float, stop: threading.Event) -> None:
        end = self._loop.time() + seconds
        while not stop.is_set() and self._loop.time() < end:
            await asyncio.sleep(0.05)

    async def _goodbye(self) -> None:
        """Stop reading, store what is buffered, acknowledge it; the session stays at the broker."""
        self._stopping = True
        if self._link is not None:
            self._link.pause()
        if not await asyncio.to_thread(self.pipeline.close, STOP_SECONDS):
            log.warning(
                "stopped with messages not stored; the broker keeps them", messages=self.pipeline.buffer.count
            )
        await asyncio.sleep(0)
        if self._link is not None:
            await self._link.leave()
        await asyncio.sleep(0.05)
        await asyncio.to_thread(self.pulse.stop)
        log.info("stopped", stored=self.pipeline.counts.stored)

    def _hello(self, will: p.Will | None) -> p.Connect:
        password = self._broker.password
        return p.Connect(
            V5,
            self.client_id,
            clean_start=False,
            keep_alive=KEEP_ALIVE,
            username=self._broker.username,
            password=password.get_secret_value().encode() if password is not None else None,
            will=will,
            session_expiry=self._broker.session_expiry_seconds,
            max_packet=MAX_PACKET,
        )

    def _connected(self, present: bool) -> None:
        """The broker has accepted; `present`: it still knows the session."""
        log.info("connected", host=self.host, session_present=present, filter=self.filters[0])
        broker = f"{self.host}:{self._broker.port}"
        self.pulse.ask(
            lambda conn: sessions.broker_session(conn, broker, self.client_id, present=present),
            self._session_known,
        )

    def _session_known(self, lost: bool | Exception) -> None:
        if lost is True:
            self.sessions_lost += 1
            log.error(
                "the broker has lost the session: messages that waited there are gone",
                client_id=self.client_id,
                advice="check its persistence, queue limit and session expiry",
            )

    def _submit(self, chunk: Chunk) -> None:
        self.received += len(chunk.arrivals)
        if self.pipeline.submit(chunk) and not self.paused:
            self.paused = True
            if self._link is not None:
                self._link.pause()

    def _released(self, chunks: list[Chunk]) -> None:
        """Committed: acknowledge, in receive order, on the connection each message came from."""
        for chunk in chunks:
            self.acked += len(chunk.acks)
            chunk.source.release(chunk.acks)
        if self.pipeline.done(chunks) and not self._stopping:
            self.paused = False
            if self._link is not None:
                self._link.resume()

    def _command(self, commands: list[tuple[str, bytes]]) -> None:
        for topic, payload in commands if self._link is not None else ():
            assert self._link is not None
            self._link.publish(topic, payload)

    def _soon(self, call: Any, *args: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *args)

    def detail(self) -> dict[str, Any]:
        """The live figures of this door."""
        link = self._link
        return {
            "connections": int(link is not None and link.joined),
            "connects": self.connects,
            "sessions_lost": self.sessions_lost,
            "paused": self.paused,
            "messages": self.received,
            "acked": self.acked,
            "refused": 0,
        } | self.pipeline.detail()
