"""NATS JetStream as the log: one stream a partition, so that the servers of a cluster share the partitions.

A record is acknowledged by the server when a majority of the replicas has it. A full stream refuses records instead of
dropping old ones: then the doors stop reading. JetStream writes through to the disk every two minutes by default: a
killed process loses nothing, all replicas losing power at once may (`sync_interval` in the server's configuration).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from kit import logs
from kit.errors import Misconfigured, Unavailable
from kit.settings import JetStream as Given

log = logs.get(__name__)
T = TypeVar("T")
TIMEOUT = 5.0
STALE = 2.0  # seconds without a record after which a reader is made anew


class JetStream:
    """A `seam.Log`. The client is asynchronous: it lives on a loop in a thread of its own.

    Raises:
        Misconfigured: the client library is not installed.
    """

    def __init__(self, settings: Given, *, name: str) -> None:
        try:
            import nats  # noqa: F401 - only those who use it need it
        except ImportError as error:
            raise Misconfigured(
                "MEANTIME_JETSTREAM__URL needs the extra: pip install 'meantime[jetstream]'."
            ) from error
        self._settings, self._name = settings, name
        self._client: Any = None
        self._closing = False
        self._streams: set[int] = set()
        self._readers: dict[int, tuple[int, Any]] = {}
        self._fed: dict[int, float] = {}  # when a reader last brought something, or was made
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"{name}-nats", daemon=True)
        self._thread.start()

    # --- the seam

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[int]:
        """See `seam.Log`."""
        return self._do(self._append(records), TIMEOUT * 2)

    def read(self, partition: int, after: int, limit: int, wait: float) -> list[tuple[int, bytes]]:
        """See `seam.Log`."""
        return self._do(self._read(partition, after, limit, wait), TIMEOUT * 2 + wait)

    def forget(self, partition: int, upto: int) -> None:
        """See `seam.Log`."""
        self._do(self._purge(partition, upto), TIMEOUT)

    def close(self) -> None:
        """Close the connection."""
        with suppress(Unavailable):
            self._do(self._close(), 2)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2)
        if not self._thread.is_alive():
            self._loop.close()

    # --- on the loop

    def _do(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        task = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return task.result(seconds)
        except TimeoutError as error:
            task.cancel()
            raise Unavailable("JetStream does not answer.") from error
        except (OSError, asyncio.CancelledError, _errors()) as error:
            raise Unavailable(f"JetStream: {error!r}") from error

    async def _connected(self) -> Any:
        import nats

        if self._client is None or self._client.is_closed:
            self._readers.clear()
            self._client = await nats.connect(
                [url.strip() for url in self._settings.url.split(",")] if self._settings.url else [],
                name=self._name, connect_timeout=2, max_reconnect_attempts=-1, reconnect_time_wait=0.2,
                ping_interval=5, max_outstanding_pings=2, error_cb=_said, disconnected_cb=self._gone,
                allow_reconnect=True,
            )  # fmt: skip
        return self._client.jetstream(timeout=TIMEOUT)

    def _stream(self, partition: int) -> str:
        return f"{self._settings.prefix}_{partition}"

    async def _prepared(self, js: Any, partition: int) -> None:
        """Make the stream of a partition when it is not there."""
        if partition in self._streams:
            return
        from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

        name = self._stream(partition)
        await js.add_stream(
            StreamConfig(
                name=name, subjects=[f"{name}.records"], retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE, num_replicas=self._settings.replicas, discard=DiscardPolicy.NEW,
                max_bytes=round(self._settings.gigabytes * 2**30), max_age=0,
            )
        )  # fmt: skip
        self._streams.add(partition)

    async def _append(self, records: Sequence[tuple[int, bytes]]) -> list[int]:
        js = await self._connected()
        for partition in {partition for partition, _ in records}:
            await self._prepared(js, partition)
        # Records of one partition one after the other, so that their order holds even when one of them fails.
        lines: dict[int, list[int]] = {}
        for number, (partition, _) in enumerate(records):
            lines.setdefault(partition, []).append(number)
        offsets = [0] * len(records)

        async def line(partition: int, numbers: list[int]) -> None:
            name = self._stream(partition)
            for number in numbers:
                done = await js.publish(f"{name}.records", records[number][1], stream=name, timeout=TIMEOUT)
                offsets[number] = done.seq

        await asyncio.gather(*(line(*item) for item in lines.items()))
        return offsets

    async def _read(self, partition: int, after: int, limit: int, wait: float) -> list[tuple[int, bytes]]:
        from nats.errors import TimeoutError as Nothing

        js = await self._connected()
        await self._prepared(js, partition)
        reader = await self._reader(js, partition, after)
        try:
            messages = await reader.fetch(limit, timeout=max(wait, 0.01))
        except (TimeoutError, Nothing):
            # A consumer lives on one server; when that is gone, asking it looks just like an empty partition.
            if time.monotonic() - self._fed.setdefault(partition, time.monotonic()) > STALE:
                await self._drop(partition)
            return []
        except Exception:
            await self._drop(partition)
            raise
        found = [(message.metadata.sequence.stream, message.data) for message in messages]
        self._fed[partition] = time.monotonic()
        whole = _unbroken(found)
        if found and found[0][0] != after + 1 and await self._there(js, partition, after + 1):
            whole = []
        if len(whole) < len(found):
            # What a consumer sent into a connection that just broke is not sent again: read it by a new one.
            await self._drop(partition)
        elif whole:
            self._readers[partition] = (whole[-1][0], reader)
        return whole

    async def _there(self, js: Any, partition: int, offset: int) -> bool:
        """Whether a record is in the log still, or has been removed with all before it."""
        info = await js.stream_info(self._stream(partition))
        return bool(info.state.first_seq <= offset)

    async def _reader(self, js: Any, partition: int, after: int) -> Any:
        """A consumer that stands behind `after`; the one at hand when it does."""
        at, reader = self._readers.get(partition, (-1, None))
        if reader is not None and at == after:
            return reader
        await self._drop(partition)
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        name = self._stream(partition)
        where = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=after + 1, ack_policy=AckPolicy.NONE,
            inactive_threshold=15.0,
        )  # fmt: skip
        reader = await js.pull_subscribe(f"{name}.records", stream=name, config=where)
        self._readers[partition] = (after, reader)
        return reader

    async def _drop(self, partition: int) -> None:
        self._fed.pop(partition, None)
        _, reader = self._readers.pop(partition, (-1, None))
        if reader is not None:
            with suppress(Exception):  # the server or its consumer may be gone: that is why
                await reader.unsubscribe()

    async def _purge(self, partition: int, upto: int) -> None:
        js = await self._connected()
        await js.purge_stream(self._stream(partition), seq=upto + 1)

    async def _gone(self) -> None:
        if not self._closing:
            log.warning("JetStream is away, connecting anew")

    async def _close(self) -> None:
        self._closing = True
        if self._client is not None:
            await self._client.close()


def _unbroken(found: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The records up to the first gap: a log has none, so what is missing was lost on the way."""
    for at, (offset, _) in enumerate(found):
        if offset != found[0][0] + at:
            return found[:at]
    return found


def _errors() -> type[Exception]:
    from nats.errors import Error

    found: type[Exception] = Error
    return found


async def _said(error: Exception) -> None:
    log.debug("nats", error=repr(error))
