"""Devices of the fault runs: numbered messages, a window in flight, everything unacknowledged sent again."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ingest.mqtt import Stream
from ingest.mqtt import packets as p
from ingest.mqtt.encode import encode
from ingest.mqtt.packets import V5

SILENCE = 2.0  # seconds without an answer after which a device connects anew
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=30)


def reading(number: int, start: datetime = START) -> bytes:
    """The `number`th message of a device: its time and sequence number tell which."""
    ts = round((start + timedelta(milliseconds=100 * number)).timestamp() * 1000)
    return json.dumps({"ts": ts, "seq": number, "values": {"vibration": 1.0 + number % 50}}).encode()


class Line:
    """One blocking MQTT 5 connection."""

    def __init__(self, port: int, name: str, token: str | None, *, client_id: str | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=SILENCE)
        self._stream, self._inbox = Stream(version=V5), list[p.Packet]()
        password = token.encode() if token is not None else None
        self.send(p.Connect(V5, client_id or name, keep_alive=60, username=name, password=password))
        answer = self.receive()
        if not isinstance(answer, p.ConnAck) or answer.reason:
            self.socket.close()
            raise ConnectionError(f"not admitted: {answer}")

    def send(self, *packets: p.Packet) -> None:
        self.socket.sendall(b"".join(encode(V5, packet) for packet in packets))

    def receive(self) -> p.Packet:
        """The next packet.

        Raises:
            OSError: the other side has hung up, or is silent.
        """
        while not self._inbox:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("hung up")
            self._inbox += self._stream.feed(data)
        return self._inbox.pop(0)


@dataclass
class Device(threading.Thread):
    """Publishes until `halt` is set, then until everything is acknowledged.

    Attributes:
        pause: seconds between two messages when the window is not full.
        when: number → monotonic time of its acknowledgement.
    """

    port: int
    uid: str
    token: str | None
    window: int = 100
    pause: float = 0.001
    make: Callable[[int], bytes] = reading
    topic: str = ""
    sent: int = 0
    connects: int = 0
    when: dict[int, float] = field(default_factory=dict)
    halt: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._open: OrderedDict[int, bytes] = OrderedDict()
        self.topic = self.topic or f"meantime/{self.uid}/telemetry"

    __hash__ = object.__hash__  # a thread is itself, whatever it holds

    def run(self) -> None:
        while not self.halt.is_set() or self._open:
            try:
                line = Line(self.port, self.uid, self.token)
            except OSError:
                time.sleep(0.02)
                continue
            self.connects += 1
            try:
                self._publish(line)
            except OSError:
                time.sleep(0.02)
            finally:
                line.socket.close()

    def _publish(self, line: Line) -> None:
        line.send(*(self._packet(number, payload) for number, payload in self._open.items()))
        while not self.halt.is_set() or self._open:
            while len(self._open) < self.window and not self.halt.is_set():
                self.sent += 1
                self._open[self.sent] = payload = self.make(self.sent)
                line.send(self._packet(self.sent, payload))
                if self.pause:
                    time.sleep(self.pause)
                    if len(self._open) >= self.window // 2:
                        break
            if self._open:
                self._acknowledged(line.receive())

    def _packet(self, number: int, payload: bytes) -> p.Publish:
        return p.Publish(self.topic, payload, 1, False, (number % 65535 + 1).to_bytes(2, "big"))

    def _acknowledged(self, answer: p.Packet) -> None:
        if not isinstance(answer, p.Ack) or answer.reason >= 0x80:
            raise ConnectionError(f"not acknowledged: {answer}")
        for number in self._open:  # a broker may acknowledge in any order; ours is the first
            if number % 65535 + 1 == answer.packet_id:
                del self._open[number]
                self.when[number] = time.monotonic()
                return
