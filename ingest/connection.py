"""One device's connection to the end point: CONNECT, then messages in and acknowledgements out, until it ends."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

from ingest import greeting, registry, sessions
from ingest.chunks import OVERHEAD, Chunk, Effect
from ingest.doorkeeper import Knock
from ingest.message import Arrival, arrival_of
from ingest.mqtt import packets as p
from ingest.mqtt.encode import PINGRESP, encode, puback
from ingest.mqtt.packets import V5, Malformed, Reason
from ingest.mqtt.stream import Stream
from kit import logs

if TYPE_CHECKING:
    from ingest.endpoint import Endpoint

log = logs.get(__name__)

BEFORE_CONNECT_BYTES = 65_536
CONNECT_SECONDS = 10.0
CONNECT_BYTE = 0x10


class Connection(asyncio.BufferedProtocol):
    """Everything here runs on the end point's loop.

    Attributes:
        device: who it is, once admitted.
        seen: monotonic time of the last bytes.
        inflight: acknowledgements that wait for a commit.
    """

    def __init__(self, server: Endpoint, number: int) -> None:
        self.server, self.number = server, number
        self.stream = Stream(limit=min(BEFORE_CONNECT_BYTES, server.terms.max_packet))
        self.device: registry.Device | None = None
        self.known = False  # registered; a guest is so only after its first message
        self.knock: Knock | None = None
        self.client_id = ""
        self.seen = time.monotonic()
        self.keep_alive = 0.0
        self.inflight = 0
        self.filters: set[str] = set()
        self.reason = "connection_lost"
        self._transport: asyncio.Transport | None = None
        self._own = "\0"
        self._connect: p.Connect | None = None
        self._choked = False

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # A 3.1.1 device without keep-alive that vanished is noticed by TCP at last.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.server.arrived(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        # One for all connections: it is filled and emptied within one step of the loop. Its size is the most that
        # a read can bring, and so the most by which the buffer can pass its high-water mark.
        return self.server.incoming

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self.server.incoming[:nbytes])
        self.seen = time.monotonic()
        if self._connect is None and data[0] != CONNECT_BYTE and not self.stream.waiting:
            self._hang_up()  # no MQTT client begins like this: do not wait for the rest
            return
        self.stream.push(data)
        if self.device is not None:
            self._read(nbytes)
        elif self._connect is None and (packet := self.stream.next()) is not None:
            self._first(packet)  # what comes right behind CONNECT stays in the stream until `begin`
        elif self.knock is not None:
            self.pause()  # more than that waits outside; most devices wait for CONNACK, and are never paused
        if self.stream.error is not None:
            self._malformed(self.stream.error)

    def pause_writing(self) -> None:
        """The device does not read its acknowledgements: stop reading what would make more of them."""
        self._choked = True
        self.pause()

    def resume_writing(self) -> None:
        self._choked = False
        if not self.server.paused:
            self.resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self.server.left(self)

    # --- what the server asks of it

    @property
    def open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        waits_for_admission = self.knock is not None and self.device is None
        if self._transport is not None and not self._transport.is_closing() and not self._choked:
            self.seen = time.monotonic()
            if not waits_for_admission:
                self._transport.resume_reading()

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def release(self, acks: list[bytes]) -> None:
        """Their messages are committed."""
        self.inflight -= len(acks)
        if acks:
            self.write(b"".join(acks))

    def close(self, reason: Reason, why: str, text: str | None = None) -> None:
        """End the connection; `why` goes into the device's state, MQTT 5 is told the reason."""
        if not self.open:
            return
        self.reason = why
        if self.device is not None and self.stream.version == V5:
            self.write(encode(V5, p.Disconnect(reason, text)))
        assert self._transport is not None
        self._transport.close()

    def abort(self) -> None:
        """End the connection whatever is still to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def overdue(self, now: float) -> bool:
        """True when the device was silent longer than allowed."""
        if self.device is None:
            return self.knock is None and now - self.seen > CONNECT_SECONDS
        return self.keep_alive > 0 and now - self.seen > self.keep_alive

    # --- CONNECT

    def _first(self, packet: p.Packet) -> None:
        if not isinstance(packet, p.Connect):
            self.close(Reason.PROTOCOL_ERROR, "no_connect")
            return
        self._connect = packet
        if (objection := greeting.objection(packet)) is not None:
            self.refuse(*objection)
            return
        try:
            password = greeting.password_of(packet)
        except UnicodeDecodeError:
            self.refuse(Reason.BAD_CREDENTIALS, "the password is not UTF-8")
            return
        self.client_id = packet.client_id or f"anonymous-{self.number}"
        now = self.server.pulse.now()
        self.knock = Knock(self.client_id, packet.username, password, self.number, packet.will, now)
        self.server.ask(self)

    def refuse(self, reason: Reason, text: str) -> None:
        """Answer CONNECT with a refusal and hang up."""
        version = self._connect.version if self._connect is not None else self.stream.version
        self.server.turned_away += 1
        self.write(encode(version, p.ConnAck(reason=reason, text=text)))
        self._hang_up()

    def admitted(self, device: registry.Device) -> bool:
        """The doorkeeper let it in and its session is committed. Returns False when its will is not its own."""
        packet, terms = self._connect, self.server.terms
        assert packet is not None
        self._own = f"{self.server.prefix}/{device.uid}/"
        self.device = device
        if packet.will is not None and not self._may_say(packet.will.topic):
            self.device = None
            self.refuse(Reason.NOT_AUTHORIZED, f"a will belongs below {self._own}")
            return False
        self.known = device.id > 0
        self.stream.limit = terms.max_packet
        self.keep_alive = greeting.keep_alive(packet, terms) * 1.5
        self.write(greeting.said(packet.version, greeting.welcome(packet, self.client_id, terms)))
        return True

    def begin(self) -> None:
        """Read on, beginning with what came right behind CONNECT."""
        self._read(self.stream.waiting)
        if self.stream.error is not None:
            self._malformed(self.stream.error)
        if not self.server.paused:
            self.resume()

    # --- messages

    def _read(self, size: int) -> None:
        """Hand the messages in the stream to the pipeline, with the acknowledgements they wait for."""
        assert self.device is not None
        arrivals: list[Arrival] = []
        acks: list[bytes] = []
        effects: list[Effect] = []
        who = (self.device.uid, self.client_id, self.server.pulse.now())
        while self.open and (packet := self.stream.next(arrival_of, who, arrivals, acks)) is not None:
            if not isinstance(packet, p.Publish):
                self._control(packet)
            elif packet.qos != 2 and self.server.customs.ignores(packet.topic):
                acks += [puback(packet.packet_id)] if packet.packet_id else []
            elif packet.qos == 2 or not self._may_say(packet.topic):
                self._unwelcome(packet, acks)
            else:
                self.stream.allow(packet.topic)
                arrivals.append(Arrival(packet.topic, packet.payload, *who))
                if packet.packet_id:
                    acks.append(puback(packet.packet_id))
                if packet.retain and self.server.presence.keeps(packet.topic):
                    effects.append(Effect(sessions.retain, (packet.topic, packet.payload)))
        if arrivals or acks:
            self.inflight += len(acks)
            if self.stream.version == V5 and self.inflight > self.server.terms.receive_maximum:
                text = f"more than {self.server.terms.receive_maximum} messages in flight"
                self.close(Reason.RECEIVE_MAXIMUM_EXCEEDED, "receive_maximum", text)
            self.server.submit(Chunk(self, arrivals, acks, size + OVERHEAD * len(arrivals), tuple(effects)))
            if arrivals and not self.known:
                self.known = True
                self.server.introduced(self)

    def _may_say(self, topic: str) -> bool:
        assert self.device is not None
        return topic.startswith(self._own) or self.server.customs.may_say(self.device.uid, topic)

    def _unwelcome(self, packet: p.Publish, acks: list[bytes]) -> None:
        """A message that is not accepted. MQTT 5 can be told why; 3.1.1 only knows the end of the connection."""
        self.server.refused += 1
        five = self.stream.version == V5
        if packet.qos == 2:
            self.close(Reason.QOS_NOT_SUPPORTED, "protocol_error", "QoS 0 and 1 are accepted here")
        elif five and packet.qos == 1:
            acks.append(puback(packet.packet_id, Reason.NOT_AUTHORIZED))
        elif not five:
            self.close(Reason.NOT_AUTHORIZED, "not_authorized")
        log.debug(
            "message refused", uid=self.device and self.device.uid, topic=packet.topic[:200], qos=packet.qos
        )

    def _control(self, packet: p.Packet) -> None:
        match packet:
            case p.PingReq():
                self.write(PINGRESP)
            case p.Disconnect():
                # 0x04 asks for the will although the goodbye was said.
                self.reason = "will" if packet.reason == Reason.WITH_WILL else "disconnected"
                if self._transport is not None:
                    self._transport.close()
            case p.Subscribe():
                self._subscribe(packet)
            case p.Unsubscribe():
                known = [name in self.filters for name in packet.filters]
                self.filters.difference_update(packet.filters)
                reasons = tuple(0 if there else Reason.NO_SUBSCRIPTION for there in known)
                self.write(encode(self.stream.version, p.UnsubAck(packet.packet_id, reasons)))
            case p.Ack():
                pass  # we send at QoS 0 only; a stray acknowledgement does no harm
            case _:
                self.close(
                    Reason.PROTOCOL_ERROR, "protocol_error", f"{type(packet).__name__} is not expected here"
                )

    def _subscribe(self, packet: p.Subscribe) -> None:
        uid = self.device.uid if self.device is not None else ""
        answer, granted, topics = greeting.subscribe(
            packet, self._own, lambda wanted: self.server.customs.may_hear(uid, wanted)
        )
        self.filters.update(granted)
        self.write(encode(self.stream.version, answer))
        if topics:
            self.server.send_retained(self, topics)

    def deliver(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send a message to the device if it subscribed to it and can take one of that size."""
        most = self._connect.max_packet if self._connect is not None else 0
        data = encode(self.stream.version, p.Publish(topic, payload, 0, retain))
        if greeting.hears(self.filters, topic, self._own) and (not most or len(data) <= most):
            self.write(data)

    def _malformed(self, error: Malformed) -> None:
        if not self.open:
            return
        self.server.malformed += 1
        log.debug("malformed", uid=self.device and self.device.uid, error=str(error))
        if self.device is None and self._connect is None and error.reason == Reason.UNSUPPORTED_VERSION:
            self.refuse(error.reason, str(error))
        else:
            self.close(error.reason, "protocol_error", str(error))
            self._hang_up()

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()
