"""One connection of the collector to its broker: MQTT 5, a session that outlives it, PUBACK when told to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from ingest.chunks import OVERHEAD, READ_BYTES, Chunk
from ingest.message import Arrival, arrival_of
from ingest.mqtt import packets as p
from ingest.mqtt.encode import PINGREQ, encode, puback
from ingest.mqtt.packets import V5, Reason
from ingest.mqtt.stream import Stream
from ingest.pulse import Pulse
from ingest.sparkplug import names
from ingest.sparkplug.host import Host, denied_at
from kit import logs

log = logs.get(__name__)

KEEP_ALIVE = 30
# Stated in CONNECT: a broker skips a larger message instead of breaking the connection with it again and again.
MAX_PACKET = 4 << 20
MOST_TOPICS = 100_000  # one connection brings all devices
# Retain handling 1: no retained messages on a subscription that the session already has.
QOS_1_NEW_RETAINED = 0x11
SUBSCRIBE_ID = 1
LEAVE_SECONDS = 0.5  # for each of the broker's two answers


class Link(asyncio.BufferedProtocol):
    """Lives from `connection_made` to `closed`. With `host` it says that this host application is online once the
    broker has granted what Sparkplug publishes, says so again to whoever denies it, and takes it back at the end.

    Attributes:
        closed: set when the connection has ended, whoever ended it.
        joined: true once the broker has granted the subscription.
    """

    def __init__(
        self,
        hello: p.Connect,
        filters: tuple[str, ...],
        *,
        pulse: Pulse,
        submit: Callable[[Chunk], None],
        connected: Callable[[bool], None],
        host: Host | None = None,
    ) -> None:
        self.closed = asyncio.Event()
        self.joined = False
        self._hello, self._filters, self._pulse = hello, filters, pulse
        self._host, self._online, self._last_id = host, False, SUBSCRIBE_ID
        self._leaving, self._heard = False, asyncio.Event()
        self._submit, self._connected = submit, connected
        self._stream = Stream(version=V5, limit=MAX_PACKET, topics=MOST_TOPICS)
        self._transport: asyncio.Transport | None = None
        self._seen = self._said = time.monotonic()
        self._paused = False
        self._incoming = memoryview(bytearray(READ_BYTES))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._write(encode(V5, self._hello))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._incoming

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._incoming[:nbytes])
        self._seen = time.monotonic()
        arrivals: list[Arrival] = []
        acks: list[bytes] = []
        who = (None, None, self._pulse.now())
        self._stream.push(data)
        while (packet := self._stream.next(arrival_of, who, arrivals, acks)) is not None:
            if not isinstance(packet, p.Publish):
                self._control(packet)
                continue
            if packet.topic.startswith(names.STATE):
                self._state(packet)
                continue
            self._stream.allow(packet.topic)
            arrivals.append(Arrival(packet.topic, packet.payload, *who))
            if packet.packet_id:
                acks.append(puback(packet.packet_id))
        if arrivals and not self._leaving:
            self._submit(Chunk(self, arrivals, acks, nbytes + OVERHEAD * len(arrivals)))
        if self._stream.error is not None:
            log.error("the broker sent something unusable", error=str(self._stream.error))
            self.close(self._stream.error.reason)

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:
            log.warning("the connection to the broker broke", error=str(error) or repr(error))
        self._transport = None
        self.joined = self._online = False
        self.closed.set()

    def _control(self, packet: p.Packet) -> None:
        match packet:
            case p.ConnAck() if packet.reason:
                log.error("the broker refuses the collector", reason=packet.reason, text=packet.text)
                self.close()
            case p.ConnAck():
                self._connected(packet.session_present)
                self._write(
                    encode(
                        V5, p.Subscribe(SUBSCRIBE_ID, tuple((name, _options(name)) for name in self._filters))
                    )
                )
            case p.SubAck():
                self._granted(packet.reasons)
            case p.Ack(p.PUBACK, _, reason):
                self._heard.set()
                if reason >= Reason.UNSPECIFIED:
                    log.error("the broker refuses the state of the Sparkplug host", reason=reason)
            case p.Disconnect():
                log.warning("the broker says goodbye", reason=packet.reason, text=packet.text)
                self.close()

    def _granted(self, reasons: tuple[int, ...]) -> None:
        """The first filter is ours and must be granted; a broker may well refuse the others. But who cannot read what
        Sparkplug publishes is no host that edge nodes should wait for."""
        answers = dict(zip(self._filters, reasons, strict=False))
        refused = [name for name, reason in answers.items() if reason >= Reason.UNSPECIFIED]
        for name in refused:
            log.error("the broker refuses the subscription", filter=name, reason=answers[name])
        if self._filters[0] in refused:
            self.close()
            return
        self.joined = True
        if self._host is not None and not any(name.startswith(names.PREFIX) for name in refused):
            self._online = True
            self._say(self._host, self._host.birth())
            log.info("online as Sparkplug host", host=self._host.name)

    def _state(self, packet: p.Publish) -> None:
        """Somebody, or the will of a connection before this one, has spoken of this host; of another one when the
        session still has the subscription of an earlier setting."""
        if packet.packet_id:
            self._write(puback(packet.packet_id))
        if self._host is None or packet.topic != self._host.topic:
            return
        if self._online and (denied := denied_at(packet.payload)) is not None:
            log.warning("said to be offline as Sparkplug host, saying the opposite", host=self._host.name)
            self._host = self._host.answering(denied)
            self._say(self._host, self._host.birth())

    def _say(self, host: Host, state: bytes) -> None:
        self._heard.clear()
        self._last_id = self._last_id % 0xFFFF + 1
        self._write(encode(V5, p.Publish(host.topic, state, 1, True, self._last_id.to_bytes(2, "big"))))

    def publish(self, topic: str, payload: bytes) -> None:
        """Send a message at QoS 0."""
        self._write(encode(V5, p.Publish(topic, payload, 0)))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._said = time.monotonic()
            self._transport.write(data)

    def release(self, acks: list[bytes]) -> None:
        """Acknowledge on this connection; when it is gone the broker sends the messages again on the next one."""
        if acks:
            self._write(b"".join(acks))

    def pause(self) -> None:
        self._paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        self._paused = False
        self._seen = time.monotonic()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def tick(self) -> None:
        """Keep the connection alive, or end it when the broker is silent; called now and then."""
        now = time.monotonic()
        if now - self._said > KEEP_ALIVE / 2:
            self._write(PINGREQ)
        if not self._paused and now - self._seen > KEEP_ALIVE * 1.5:
            log.warning("the broker is silent, connecting anew")
            self.close()

    async def leave(self) -> None:
        """Close, and if this is a host's connection do so in peace: to hang up on what the broker still has to say
        makes it take the connection as broken, and publish the will after all. What comes meanwhile is not
        acknowledged, so the broker keeps it."""
        if self._online and self._host is not None and self._transport is not None:
            self._leaving, self._online = True, False
            self._say(self._host, self._host.death(time.time_ns() // 1_000_000))
            self.resume()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._heard.wait(), LEAVE_SECONDS)
            self._write(encode(V5, p.Disconnect()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.closed.wait(), LEAVE_SECONDS)
            if self._transport is not None:
                self._transport.close()
        self.close()

    def close(self, reason: int = Reason.SUCCESS) -> None:
        """Say goodbye; the session stays at the broker, which drops the will."""
        if self._transport is not None and not self._transport.is_closing():
            if self._host is not None and self._online:
                self._online = False
                self._say(self._host, self._host.death(time.time_ns() // 1_000_000))
            self._write(encode(V5, p.Disconnect(reason)))
            self._transport.close()


def _options(name: str) -> int:
    # On a shared subscription retained messages are never sent and handling 1 is an error for some brokers.
    return 1 if name.startswith("$share/") else QOS_1_NEW_RETAINED
