"""One connection of the collector to its broker: MQTT 5, a session that outlives it, PUBACK when told to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ingest.chunks import OVERHEAD, READ_BYTES, Chunk
from ingest.message import Arrival, arrival_of
from ingest.mqtt import packets as p
from ingest.mqtt.encode import PINGREQ, encode, puback
from ingest.mqtt.packets import V5, Reason
from ingest.mqtt.stream import Stream
from ingest.pulse import Pulse
from kit import logs

log = logs.get(__name__)

KEEP_ALIVE = 30
# Stated in CONNECT: a broker skips a larger message instead of breaking the connection with it again and again.
MAX_PACKET = 4 << 20
MOST_TOPICS = 100_000  # one connection brings all devices
# Retain handling 1: no retained messages on a subscription that the session already has.
QOS_1_NEW_RETAINED = 0x11


class Link(asyncio.BufferedProtocol):
    """Lives from `connection_made` to `closed`.

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
    ) -> None:
        self.closed = asyncio.Event()
        self.joined = False
        self._hello, self._filters, self._pulse = hello, filters, pulse
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
            self._stream.allow(packet.topic)
            arrivals.append(Arrival(packet.topic, packet.payload, *who))
            if packet.packet_id:
                acks.append(puback(packet.packet_id))
        if arrivals:
            self._submit(Chunk(self, arrivals, acks, nbytes + OVERHEAD * len(arrivals)))
        if self._stream.error is not None:
            log.error("the broker sent something unusable", error=str(self._stream.error))
            self.close(self._stream.error.reason)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self.joined = False
        self.closed.set()

    def _control(self, packet: p.Packet) -> None:
        match packet:
            case p.ConnAck() if packet.reason:
                log.error("the broker refuses the collector", reason=packet.reason, text=packet.text)
                self.close()
            case p.ConnAck():
                self._connected(packet.session_present)
                self._write(
                    encode(V5, p.Subscribe(1, tuple((name, _options(name)) for name in self._filters)))
                )
            case p.SubAck():
                self._granted(packet.reasons)
            case p.Disconnect():
                log.warning("the broker says goodbye", reason=packet.reason, text=packet.text)
                self.close()

    def _granted(self, reasons: tuple[int, ...]) -> None:
        """The first filter is ours and must be granted; a broker may well refuse the others."""
        for name, reason in zip(self._filters, reasons, strict=False):
            if reason >= Reason.UNSPECIFIED:
                log.error("the broker refuses the subscription", filter=name, reason=reason)
        if reasons[0] >= Reason.UNSPECIFIED:
            self.close()
        else:
            self.joined = True

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

    def close(self, reason: int = Reason.SUCCESS) -> None:
        """Say goodbye; the session stays at the broker."""
        if self._transport is not None and not self._transport.is_closing():
            self._write(encode(V5, p.Disconnect(reason)))
            self._transport.close()


def _options(name: str) -> int:
    # On a shared subscription retained messages are never sent and handling 1 is an error for some brokers.
    return 1 if name.startswith("$share/") else QOS_1_NEW_RETAINED
