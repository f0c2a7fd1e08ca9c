"""The MQTT server end point: devices connect to Meantime itself, and PUBACK means that the message is committed.

It is no general broker. A device may publish below its own uid, at QoS 0 or 1, and hear what is said to it; nobody
else's messages pass through, no session outlives its connection, QoS 2 and shared subscriptions are refused. Whoever
needs a broker runs one and lets `ingest.collector` subscribe to it.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
import time
from typing import Any

from ingest import registry, sessions, tls
from ingest.chunks import READ_BYTES, Chunk
from ingest.connection import CONNECT_SECONDS, Connection
from ingest.customs import Customs
from ingest.doorkeeper import Doorkeeper
from ingest.greeting import Terms
from ingest.hatch import Hatch
from ingest.log import front
from ingest.log.choice import chosen
from ingest.log.offsets import COMMANDS
from ingest.mqtt.packets import Reason
from ingest.neighbours import REVOKED, TAKEN_ELSEWHERE, Neighbours
from ingest.pipeline import ROLE, calm_collector
from ingest.presence import Presence
from ingest.pulse import Pulse
from kit import logs
from kit.database import Conn, url
from kit.errors import Misconfigured
from kit.settings import Settings

log = logs.get(__name__)

DOOR = "endpoint"
# A door silent for this long is dead: its devices' wills are published by whoever notices.
GRACE_SECONDS = 15.0
STOP_SECONDS = 1.5


def run(settings: Settings, stop: threading.Event, *, suffix: str = "") -> None:
    """Serve devices until `stop` is set; then store what is buffered, acknowledge it and say goodbye. `suffix` tells
    several end points of one machine apart."""
    calm_collector()
    asyncio.run(Endpoint(settings, suffix=suffix).serve(stop))


class Endpoint:
    """The server: its connections, its buffer, its doorkeeper. Everything but the callbacks of pulse and pipeline
    runs on the loop."""

    def __init__(self, settings: Settings, *, grace: float = GRACE_SECONDS, suffix: str = "") -> None:
        self.limits, self.prefix = settings.endpoint, settings.ingest.topic_prefix
        self.terms = Terms(
            settings.endpoint.keep_alive_seconds,
            min(65_535, settings.ingest.buffer_messages),
            settings.endpoint.max_packet_bytes,
        )
        self.customs = Customs(settings.ingest)
        self.presence = Presence(self.prefix, self.submit)
        self.incoming = memoryview(bytearray(READ_BYTES))
        self.paused = self._stopping = False
        self.refused = self.malformed = self.turned_away = self.received = self.acked = 0
        self.port = 0  # until it listens
        self._numbers = itertools.count(1)
        self._connections: set[Connection] = set()
        self.clients: dict[tuple[str, str], Connection] = {}
        self.numbered: dict[int, Connection] = {}
        self.of_device: dict[str, set[Connection]] = {}
        self._loop: asyncio.AbstractEventLoop
        self._hatch = Hatch()
        dsn = url(settings)
        self.keeper = Doorkeeper(
            f"{socket.gethostname()}:{settings.endpoint.host}:{settings.endpoint.port}{suffix}",
            guests=settings.endpoint.anonymous and settings.ingest.unknown_devices == "register",
        )
        self.pulse = Pulse(dsn, DOOR + suffix, role=ROLE, detail=self.detail)
        self.pulse.ticks.append(self._beat_door)
        self.neighbours = Neighbours(self, grace)
        self.pipeline = front.pipeline(
            settings,
            DOOR,
            lambda chunks: self.soon(self._released, chunks),
            lambda commands: self.soon(self._command, commands),
        )
        self.pulse.waiters.append(self.pipeline.waiter)
        if chosen(settings) is not None:  # what is to be published comes from the workers behind the log
            self.pulse.channels[COMMANDS] = lambda told: self.soon(self._command, front.told(told))

    async def serve(self, stop: threading.Event, *, ready: threading.Event | None = None) -> None:
        """Listen until `stop` is set."""
        self._loop = asyncio.get_running_loop()
        self._hatch.open(self._loop)
        self.pulse.start()
        self.pipeline.start()
        server = await self._listen()
        self.port = server.sockets[0].getsockname()[1]
        log.info(
            "listening", host=self.limits.host, port=self.port, tls=self.limits.tls_certificate is not None
        )
        if ready is not None:
            ready.set()
        swept = 0.0
        while not stop.is_set():
            await asyncio.sleep(0.05)
            if time.monotonic() - swept > 1:
                swept = time.monotonic()
                self._sweep(swept)
        server.close()
        await self._goodbye()

    async def _listen(self) -> asyncio.Server:
        host, port, context = self.limits.host, self.limits.port, tls.context(self.limits)
        try:
            return await self._loop.create_server(
                lambda: Connection(self, next(self._numbers)), host, port, ssl=context, backlog=1024,
                reuse_port=self.limits.processes > 1 or None,
                ssl_handshake_timeout=CONNECT_SECONDS if context is not None else None,
            )  # fmt: skip
        except OSError as error:
            raise Misconfigured(f"The end point cannot listen on {host}:{port}: {error}") from error

    async def _goodbye(self) -> None:
        """Stop reading, store what is buffered, acknowledge it, disconnect."""
        self._stopping = True
        for connection in self._connections:
            connection.pause()
        if not await asyncio.to_thread(self.pipeline.close, STOP_SECONDS):
            log.warning(
                "stopped with messages neither stored nor acknowledged", messages=self.pipeline.buffer.count
            )
        await asyncio.sleep(0)  # lets the last released chunks send their acknowledgements
        for connection in list(self._connections):
            connection.close(Reason.SHUTTING_DOWN, "endpoint_stopped")
        await asyncio.sleep(0.05)
        for connection in list(self._connections):  # who does not take its last words
            connection.abort()
        await asyncio.to_thread(self.pulse.stop)
        log.info("stopped", stored=self.pipeline.counts.stored)

    # --- connections

    def arrived(self, connection: Connection) -> None:
        if self._stopping or len(self._connections) >= self.limits.max_connections:
            connection.refuse(Reason.SERVER_BUSY, "too many connections")
        self._connections.add(connection)
        if self.paused:
            connection.pause()

    def ask(self, connection: Connection) -> None:
        """Let the doorkeeper decide about a connection's CONNECT, off the loop."""
        knock = connection.knock
        assert knock is not None
        self.pulse.ask_together(
            self.keeper.admit, knock, lambda answer: self.soon(self._answered, connection, answer)
        )

    def _answered(self, connection: Connection, answer: registry.Device | Exception | None) -> None:
        if isinstance(answer, registry.Device):
            self._welcome(connection, answer)
        elif answer is None:
            connection.refuse(Reason.BAD_CREDENTIALS, "user name or password is wrong")
        else:
            connection.refuse(Reason.SERVER_UNAVAILABLE, "the database does not answer")

    def _welcome(self, connection: Connection, device: registry.Device) -> None:
        if not connection.open or not connection.admitted(device):
            self.presence.never_was(self._session(device.uid, connection))
            return
        key = (device.uid, connection.client_id)
        if (older := self.clients.get(key)) is not None:
            older.close(Reason.TAKEN_OVER, "taken_over")
        self.clients[key] = connection
        self.numbered[connection.number] = connection
        self.of_device.setdefault(device.uid, set()).add(connection)
        if connection.known:
            self.presence.online(device.uid, self.pulse.now())
        connection.begin()

    def introduced(self, connection: Connection) -> None:
        """A guest's first message is on its way, which registers it."""
        assert connection.device is not None
        self.presence.online(connection.device.uid, self.pulse.now())

    def _session(self, uid: str, connection: Connection) -> sessions.Ended:
        assert self.keeper.door is not None  # a session was committed, so the door is registered
        return sessions.Ended(uid, connection.client_id, self.keeper.door, connection.number)

    def left(self, connection: Connection) -> None:
        """A connection is gone: write that the device is offline, publish its will unless it said goodbye."""
        self._connections.discard(connection)
        device, knock = connection.device, connection.knock
        if device is None or knock is None:
            return
        self.numbered.pop(connection.number, None)
        key = (device.uid, connection.client_id)
        if self.clients.get(key) is connection:
            del self.clients[key]
        others = self.of_device.get(device.uid, set())
        others.discard(connection)
        if not others:
            self.of_device.pop(device.uid, None)
        # After a stop the session rows stay: the door falls silent, and who does not come back is an orphan. A client
        # that was taken over is still here, so its will would tell a lie.
        if connection.reason in ("endpoint_stopped", TAKEN_ELSEWHERE):
            return
        will = None if connection.reason in ("disconnected", "taken_over", REVOKED) else knock.will
        ended, at, last = (
            self._session(device.uid, connection),
            self.pulse.now(),
            not others and connection.known and connection.reason != REVOKED,
        )

        def gone(standing: tuple[bool, bool] | Exception) -> None:
            mine, elsewhere = standing if isinstance(standing, tuple) else (True, False)
            if mine or connection.reason == "taken_over":
                self.presence.gone(ended, connection.reason, at, will=will, last=last and not elsewhere)

        # Another end point may have taken the client over before this connection's end was noticed here.
        self.pulse.ask_together(sessions.standing, ended, lambda found: self.soon(gone, found))

    def _sweep(self, now: float) -> None:
        """Close what was silent for too long. While reading is paused nobody can be heard, so nobody is overdue."""
        if self.paused:
            return
        for connection in [each for each in self._connections if each.overdue(now)]:
            connection.close(Reason.KEEP_ALIVE_TIMEOUT, "keep_alive")

    # --- messages

    def submit(self, chunk: Chunk) -> None:
        """Queue a chunk; above the high-water mark every connection stops being read."""
        self.received += len(chunk.arrivals)
        if self.pipeline.submit(chunk) and not self.paused:
            self.paused = True
            for connection in self._connections:
                connection.pause()

    def _released(self, chunks: list[Chunk]) -> None:
        """Committed: send the acknowledgements, in receive order, on the connections the messages came from."""
        for chunk in chunks:
            if chunk.source is not None:
                self.acked += len(chunk.acks)
                chunk.source.release(chunk.acks)
            self._forward(chunk)
        if self.pipeline.done(chunks) and not self._stopping:
            self.paused = False
            for connection in self._connections:
                connection.resume()

    def _command(self, commands: list[tuple[str, bytes]]) -> None:
        """Tell an edge node that is connected here something; elsewhere it will be asked again."""
        for topic, payload in commands:
            for connection in self.of_device.get(self.customs.addressee(topic), ()):
                connection.deliver(topic, payload)

    def _forward(self, chunk: Chunk) -> None:
        """Tell a device's other connections what was said of it."""
        for effect in chunk.effects:
            if effect.write is sessions.retain:
                topic, payload = effect.value
                for connection in self.of_device.get(self.presence.uid_of(topic), ()):
                    if connection is not chunk.source:
                        connection.deliver(topic, payload)

    def send_retained(self, connection: Connection, topics: set[str]) -> None:
        """Send the retained messages of some topics to a connection that has just subscribed."""

        def send(found: list[tuple[str, bytes]] | Exception) -> None:
            for topic, payload in found if isinstance(found, list) else ():
                connection.deliver(topic, payload, retain=True)

        self.pulse.ask(lambda conn: sessions.retained(conn, topics), lambda found: self.soon(send, found))

    # --- what the pulse does every second

    def soon(self, call: Any, *args: Any) -> None:
        self._hatch.put(call, *args)

    def _beat_door(self, conn: Conn) -> None:
        if not sessions.beat(conn, self.keeper.open(conn)):
            self.keeper.door = None
            self.keeper.open(conn)

    def detail(self) -> dict[str, Any]:
        """The live figures of this door."""
        return {
            "connections": len(self._connections),
            "max_connections": self.limits.max_connections,
            "devices": len(self.of_device),
            "port": self.port,
            "paused": self.paused,
            "messages": self.received,
            "acked": self.acked,
            "refused": self.refused,
            "malformed": self.malformed,
            "turned_away": self.turned_away,
            "unknown": self.keeper.unknown,
        } | self.pipeline.detail()
