"""mosquitto and what reads from it without storing: the limits that the collector is measured against."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from ingest.message import arrival_of
from ingest.mqtt import packets as p
from ingest.mqtt.encode import encode, puback
from ingest.mqtt.packets import V5
from ingest.mqtt.stream import Stream

FILTER = "meantime/#"
EXPIRY = 3600
_PATH = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"


def program(name: str) -> str | None:
    """Where a program is, or None."""
    return shutil.which(name, path=_PATH)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """mosquitto on a free port with a queue that holds the whole backlog."""

    def __init__(self, folder: Path) -> None:
        found = program("mosquitto")
        if found is None:
            raise FileNotFoundError("no mosquitto (Debian: apt-get install mosquitto mosquitto-clients)")
        self.port = free_port()
        file = folder / "mosquitto.conf"
        file.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 2000000\n"
            "max_inflight_messages 2000\npersistence false\nlog_type none\n"
        )
        self.process = subprocess.Popen([found, "-c", str(file)])
        wait_for_port(self.port)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def wait_for_port(port: int, seconds: float = 30) -> None:
    """Return once somebody listens there."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


class Reader(asyncio.BufferedProtocol):
    """The least a subscriber can do: reads messages and acknowledges them at once, keeps nothing."""

    def __init__(self, client_id: str, wanted: int) -> None:
        self.count, self.first = 0, 0.0
        self.joined, self.done = asyncio.Event(), asyncio.Event()
        self._client_id, self._wanted = client_id, wanted
        self._stream = Stream(version=V5, limit=4 << 20, topics=100_000)
        self._incoming = memoryview(bytearray(65_536))
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(encode(V5, p.Connect(V5, self._client_id, False, 0, session_expiry=EXPIRY)))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._incoming

    def buffer_updated(self, nbytes: int) -> None:
        messages: list[object] = []
        acks: list[bytes] = []
        self._stream.push(bytes(self._incoming[:nbytes]))
        while (packet := self._stream.next(arrival_of, (None, None, None), messages, acks)) is not None:
            if isinstance(packet, p.ConnAck):
                self._transport.write(encode(V5, p.Subscribe(1, ((FILTER, 1),))))
            elif isinstance(packet, p.SubAck):
                self.joined.set()
            elif isinstance(packet, p.Publish):
                self._stream.allow(packet.topic)
                messages.append(packet)
                acks.append(puback(packet.packet_id))
        self.first = self.first or (time.perf_counter() if messages else 0.0)
        self.count += len(messages)
        self._transport.write(b"".join(acks))
        if self.count >= self._wanted:
            self.done.set()

    def close(self) -> None:
        self._transport.write(encode(V5, p.Disconnect()))
        self._transport.close()


def subscribe(port: int, client_id: str) -> None:
    """Make a persistent session that subscribes to everything, and leave."""
    asyncio.run(_read(port, client_id, 0))


def read(port: int, client_id: str, count: int) -> tuple[float, float]:
    """Read and acknowledge `count` messages; seconds from the first message to the last, and CPU seconds."""
    cpu = time.process_time()
    took = asyncio.run(_read(port, client_id, count))
    return took, time.process_time() - cpu


async def _read(port: int, client_id: str, count: int) -> float:
    reader = Reader(client_id, count)
    await asyncio.get_running_loop().create_connection(lambda: reader, "127.0.0.1", port)
    await reader.joined.wait()
    if count:
        await reader.done.wait()
    took = time.perf_counter() - reader.first
    reader.close()
    await asyncio.sleep(0.05)
    return took


def sub_command(port: int, client_id: str, count: int) -> list[str]:
    """mosquitto_sub on a persistent session until it has `count` messages."""
    return [
        program("mosquitto_sub") or "mosquitto_sub", "-p", str(port), "-V", "5", "-i", client_id, "-c",
        "-x", str(EXPIRY), "-q", "1", "-t", FILTER, "-C", str(count),
    ]  # fmt: skip
