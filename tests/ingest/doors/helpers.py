"""A small raw MQTT client for the tests: it says exactly what the test says, and waits with a deadline."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.mqtt import Stream
from ingest.mqtt import packets as p
from ingest.mqtt.encode import encode
from ingest.mqtt.packets import V311

DEADLINE = 15.0


def until(condition: Callable[[], Any], what: str = "the condition", *, seconds: float = DEADLINE) -> Any:
    """The first true result of `condition`; fails after the deadline."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"{what} did not come about within {seconds} s"
        time.sleep(0.01)
    return found


def reading(number: int, *, of: str = "vibration") -> bytes:
    """A telemetry payload that is the `number`th of a device: its time stamp and value tell which."""
    ts = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=5) + timedelta(milliseconds=50 * number)
    return json.dumps({"ts": ts.isoformat(), "seq": number, "values": {of: 1.0 + number % 50}}).encode()


class Raw:
    """One TCP connection that speaks MQTT."""

    def __init__(self, port: int, *, version: int = V311, context: ssl.SSLContext | None = None) -> None:
        self.version = version
        plain = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.socket = context.wrap_socket(plain, server_hostname="localhost") if context else plain
        self._stream = Stream(version=version)
        self._inbox: list[p.Packet] = []

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *packets: p.Packet) -> None:
        self.socket.sendall(b"".join(encode(self.version, packet) for packet in packets))

    def receive(self) -> p.Packet | None:
        """The next packet; None when the other side has hung up."""
        while not self._inbox:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self._inbox += self._stream.feed(data)
        return self._inbox.pop(0)

    def connect(self, uid: str, token: str | None, **changes: Any) -> p.ConnAck:
        """CONNECT with those credentials; returns the answer."""
        given = {"client_id": uid, "username": uid, "password": token.encode() if token is not None else None}
        self.send(p.Connect(self.version, **(given | changes)))
        answer = self.receive()
        assert isinstance(answer, p.ConnAck), answer
        return answer

    def publish(
        self, topic: str, payload: bytes, number: int = 1, qos: int = 1, *, retain: bool = False
    ) -> None:
        packet_id = (number % 65535 + 1).to_bytes(2, "big") if qos else b""
        self.send(p.Publish(topic, payload, qos, retain, packet_id))
