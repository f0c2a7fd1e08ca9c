"""One simulated device's MQTT connection: what waits to be said survives a lost line and goes out as a burst."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiomqtt
import msgspec

from kit import logs
from simulators.readings import encode

log = logs.get(__name__)
BURST = 50  # readings in one message
KEPT = 5_000  # readings kept while offline; the oldest give way


@dataclass(frozen=True)
class Account:
    """Where a device connects and as whom; topics lie below `<prefix>/<uid>/`."""

    host: str
    port: int
    uid: str
    token: str
    prefix: str
    keep_alive: int = 60


@dataclass
class Counts:
    """What all lines have done."""

    connects: int = 0
    lost: int = 0
    messages: int = 0
    readings: int = 0
    failed: int = 0


class Line:
    """A device's connection and its outbox. `run` is one task; the other methods are called on its loop.

    Args:
        now: the simulated present, for the time of status messages.
        twice: says of the n-th message whether the device repeats it, as real ones do after a doubtful PUBACK.
    """

    def __init__(
        self, account: Account, counts: Counts, now: Callable[[], datetime], twice: Callable[[int], bool]
    ) -> None:
        self.account, self.counts = account, counts
        self.connected = False
        self._now, self._twice = now, twice
        self._readings: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._others: deque[tuple[str, bytes]] = deque(maxlen=KEPT)
        self._changed = asyncio.Event()
        self._up = True
        self._abrupt = False
        self._sent = 0

    @property
    def waiting(self) -> int:
        """Readings and other messages not acknowledged yet."""
        return len(self._readings) + len(self._others)

    def say(self, readings: list[dict[str, Any]]) -> None:
        """Queue telemetry."""
        self._readings.extend(readings)
        self._changed.set()

    def send(self, suffix: str, payload: bytes) -> None:
        """Queue any other message for `<prefix>/<uid>/<suffix>`."""
        self._others.append((suffix, payload))
        self._changed.set()

    def cut(self, *, abrupt: bool) -> None:
        """Take the line down until `restore`; abruptly means without a goodbye, so that the will is published."""
        self._up, self._abrupt = False, abrupt
        self._changed.set()

    def restore(self) -> None:
        """Let it connect again."""
        self._up = True
        self._changed.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Connect, say what there is to say, connect again when the line is lost; until `stop`."""
        pause = 0.5
        while not stop.is_set():
            if not self._up:
                await self._wait(1.0)
                continue
            try:
                await self._session(stop)
                pause = 0.5
            except (aiomqtt.MqttError, OSError, TimeoutError) as error:
                self.counts.lost += self.connected
                log.debug("line lost", uid=self.account.uid, error=str(error), again_in=pause)
                await _sleep(stop, pause)
                pause = min(pause * 2, 15.0)
            finally:
                self.connected = False

    async def _session(self, stop: asyncio.Event) -> None:
        account = self.account
        will = aiomqtt.Will(self._topic("status"), _status(False, None, "will"), qos=1, retain=True)
        async with aiomqtt.Client(
            account.host, account.port, username=account.uid, password=account.token, identifier=account.uid,
            will=will, keepalive=account.keep_alive, timeout=20,
        ) as client:  # fmt: skip
            self.connected = True
            self.counts.connects += 1
            await self._state(client, True, "connected")
            while self._up and not stop.is_set():
                await self._flush(client)
                await self._wait(1.0)
            if self._abrupt and not self._up:
                _break(client)
            else:
                await self._state(client, False, "switched_off")

    async def _wait(self, seconds: float) -> None:
        """Until something is to be done, or for a while: a stop and a lost line are noticed in between."""
        if not self.waiting or not self.connected:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except TimeoutError:
                return

    async def _flush(self, client: aiomqtt.Client) -> None:
        """Publish what waits; it leaves the outbox when the endpoint has acknowledged it."""
        while self._readings and self._up:
            batch = [self._readings[at] for at in range(min(BURST, len(self._readings)))]
            await self._publish(client, "telemetry", encode(batch))
            for _ in batch:
                self._readings.popleft()
            self.counts.readings += len(batch)
        while self._others and self._up:
            suffix, payload = self._others[0]
            await self._publish(client, suffix, payload)
            self._others.popleft()

    async def _publish(self, client: aiomqtt.Client, suffix: str, payload: bytes) -> None:
        self._sent += 1
        for _ in range(2 if self._twice(self._sent) else 1):
            await client.publish(self._topic(suffix), payload, qos=1)
            self.counts.messages += 1

    async def _state(self, client: aiomqtt.Client, online: bool, reason: str) -> None:
        await client.publish(self._topic("status"), _status(online, self._now(), reason), qos=1, retain=True)

    def _topic(self, suffix: str) -> str:
        return f"{self.account.prefix}/{self.account.uid}/{suffix}"


def _status(online: bool, at: datetime | None, reason: str) -> bytes:
    """A will cannot know when it will be published: without `ts` the time of arrival counts."""
    body: dict[str, Any] = {"online": online, "reason": reason}
    return msgspec.json.encode(body if at is None else body | {"ts": at.isoformat()})


def _break(client: aiomqtt.Client) -> None:
    """Reset the TCP connection, as a device does whose power is cut: no DISCONNECT goes out."""
    sock = client._client.socket()  # aiomqtt has no public way to fall over
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)
    raise aiomqtt.MqttError("the line was cut")


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
