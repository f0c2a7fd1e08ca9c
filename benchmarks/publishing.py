"""A fast MQTT publisher in a process of its own: frames made beforehand, raw sockets, acknowledgements counted.

`Load` says what to send; `publish` sends it as fast as the other side takes it, `paced` at a rate and with the time
each message took until its acknowledgement.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import psutil

from ingest.mqtt import packets as p
from ingest.mqtt.encode import encode
from ingest.mqtt.packets import V311

_VALUES = [repr(n / 100) for n in range(10_000)]
BLOCK = 100  # messages sent in one piece
ACK_BYTES = 4


@cache
def _template(k: int) -> str:
    return json.dumps({"ts": 0, "values": {f"m{j}": 0 for j in range(k)}}).replace(": 0", ": %s")


@dataclass(frozen=True)
class Load:
    """Messages of `k` readings from many devices.

    Attributes:
        uids: who publishes; message n is from device n modulo their number.
        first: number of the first message: two loads with other numbers have other time stamps.
        repeats: share of messages that are sent twice.
    """

    count: int
    k: int
    uids: Sequence[str]
    start_ms: int
    first: int = 0
    repeats: float = 0.0

    def message(self, n: int) -> tuple[str, bytes]:
        """Topic and payload of the nth message."""
        uid = self.uids[n % len(self.uids)]
        ts = self.start_ms + (self.first + n) // len(self.uids)
        values = [_VALUES[(n * 7919 + j * 104_729) % len(_VALUES)] for j in range(self.k)]
        return f"meantime/{uid}/telemetry", (_template(self.k) % (ts, *values)).encode()

    def frames(self, mine: range) -> list[bytes]:
        """QoS 1 frames of some messages; a repeat follows soon after its original."""
        rng, out = random.Random(1), list[bytes]()
        for n in mine:
            topic, body = self.message(n)
            for _ in range(2 if rng.random() < self.repeats else 1):
                packet_id = (len(out) % 65_535 + 1).to_bytes(2, "big")
                out.append(encode(V311, p.Publish(topic, body, 1, False, packet_id)))
        return out


@dataclass
class Line:
    """One connection: blocks to send, what is on its way."""

    sock: socket.socket
    blocks: list[tuple[bytes, int]]
    sent: int = 0
    acked: int = 0
    rest: memoryview = field(default_factory=lambda: memoryview(b""))
    half: int = 0
    due: list[float] = field(default_factory=list)


def connect(port: int, uid: str, token: str | None) -> socket.socket:
    """CONNECT and wait for the answer."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    password = token.encode() if token is not None else None
    user = uid if token is not None else None
    sock.sendall(encode(V311, p.Connect(V311, f"bench-{uid}", True, 600, user, password)))
    answer = sock.recv(4)
    if answer[:1] != b"\x20" or answer[3:4] != b"\0":
        raise RuntimeError(f"refused: {answer!r}")
    sock.setblocking(False)
    return sock


@dataclass(frozen=True)
class Sent:
    """What came of a load: seconds from the first byte to the last acknowledgement, and CPU seconds spent meanwhile
    by each process that was watched."""

    seconds: float
    acked: int
    cpu: tuple[float, ...] = ()


def publish(
    port: int, load: Load, tokens: dict[str, str] | None, lines: int, window: int,
    warm: Load | None = None, watched: Sequence[int] = (), parents: Sequence[int] = (),
) -> Sent:  # fmt: skip
    """Send all, `warm` before the clock starts. With tokens each device has its own connection, without there are
    `lines` of them.

    Args:
        watched: processes whose CPU time is taken.
        parents: the same for the children of these.
    """
    each = max(BLOCK, window // lines)
    socks = [_connected(port, load, tokens, n) for n in range(lines)]
    made = [Line(sock, _blocks(load, n, lines)) for n, sock in enumerate(socks)]
    if warm is not None:
        _run([Line(sock, _blocks(warm, n, lines)) for n, sock in enumerate(socks)], each)
        time.sleep(1)
    before = [*map(cpu, watched), *map(cpu_of_children, parents)]
    began = time.perf_counter()
    _run(made, each)
    took = time.perf_counter() - began
    after = [*map(cpu, watched), *map(cpu_of_children, parents)]
    for sock in socks:
        sock.close()
    used = tuple(now - then for now, then in zip(after, before, strict=True))
    return Sent(took, sum(line.acked for line in made), used)


def _run(made: list[Line], window: int) -> None:
    with selectors.DefaultSelector() as selector:
        for line in made:
            selector.register(line.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, line)
        open_ = len(made)
        while open_:
            for key, mask in selector.select():
                line = key.data
                _step(line, mask, window)
                if not line.blocks and not line.rest and line.acked >= line.sent:
                    open_ -= 1
                    selector.unregister(line.sock)
                    continue
                idle = not line.rest and (not line.blocks or line.sent - line.acked >= window)
                want = selectors.EVENT_READ if idle else selectors.EVENT_READ | selectors.EVENT_WRITE
                if key.events != want:
                    selector.modify(line.sock, want, line)


def _connected(port: int, load: Load, tokens: dict[str, str] | None, n: int) -> socket.socket:
    uid = load.uids[n] if tokens is not None else f"publisher-{n}"
    return connect(port, uid, tokens[uid] if tokens is not None else None)


def _blocks(load: Load, n: int, lines: int) -> list[tuple[bytes, int]]:
    """The messages of one connection in pieces, the last first."""
    frames = load.frames(range(n, load.count, lines))
    pieces = (frames[at : at + BLOCK] for at in range(0, len(frames), BLOCK))
    return [(b"".join(piece), len(piece)) for piece in pieces][::-1]


def cpu(pid: int) -> float:
    """CPU seconds of a process so far, 0 when it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def cpu_of_children(pid: int) -> float:
    """The same for a process's children together."""
    return sum(cpu(child.pid) for child in psutil.Process(pid).children())


def _step(line: Line, mask: int, window: int) -> None:
    if mask & selectors.EVENT_READ:
        data = line.sock.recv(65_536)
        if not data:
            raise ConnectionError("the server hung up")
        line.acked, line.half = (
            line.acked + (line.half + len(data)) // ACK_BYTES,
            (line.half + len(data)) % ACK_BYTES,
        )
    if mask & selectors.EVENT_WRITE:
        if not line.rest and line.blocks and line.sent - line.acked < window:
            block, count = line.blocks.pop()
            line.rest = memoryview(block)
            line.sent += count
        if line.rest:
            line.rest = line.rest[line.sock.send(line.rest) :]


def paced(port: int, load: Load, tokens: dict[str, str] | None, lines: int, rate: float) -> list[float]:
    """Send at `rate` messages/s; returns the seconds from each sending to its acknowledgement."""
    made = [_single(port, load, tokens, n, lines) for n in range(lines)]
    times: list[float] = []
    began, sent = time.perf_counter(), 0
    with selectors.DefaultSelector() as selector:
        for line in made:
            selector.register(line.sock, selectors.EVENT_READ, line)
        while len(times) < load.count:
            now = time.perf_counter()
            while sent < load.count and now >= began + sent / rate:
                line = made[sent % lines]
                line.due.append(now)
                line.sock.send(line.blocks.pop()[0])
                sent += 1
            wait = began + sent / rate - time.perf_counter() if sent < load.count else 1.0
            for key, _ in selector.select(max(0.0, min(wait, 0.001))):
                line, data = key.data, key.fileobj.recv(65_536)  # type: ignore[union-attr]
                count = (line.half + len(data)) // ACK_BYTES
                line.half = (line.half + len(data)) % ACK_BYTES
                now = time.perf_counter()
                times += [now - at for at in line.due[:count]]
                del line.due[:count]
    return times


def _single(port: int, load: Load, tokens: dict[str, str] | None, n: int, lines: int) -> Line:
    frames = load.frames(range(n, load.count, lines))
    return Line(_connected(port, load, tokens, n), [(frame, 1) for frame in frames][::-1])


def elsewhere(call: Callable[..., Any], *args: Any) -> Any:
    """The result of a call in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(call, args)


class Background:
    """A call in another process, meanwhile; `ended` is when its result was there."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        self._pool = multiprocessing.get_context("spawn").Pool(1)
        self.ended = 0.0
        self._answer = self._pool.apply_async(call, args, callback=self._note)

    def _note(self, _: Any) -> None:
        self.ended = time.perf_counter()

    def result(self) -> Any:
        """Wait for it; raises what the call raised."""
        found = self._answer.get(300)
        self._pool.close()
        self._pool.join()
        return found
