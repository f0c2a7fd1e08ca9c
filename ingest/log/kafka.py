"""Kafka as the log: one topic, whose partitions are the log's.

A record is acknowledged when all replicas in sync have it (`acks=all`), which must be all but one (`kafka_topic`).
Kafka drops what is old instead of refusing what is new, so the topic must have no time limit and no size limit:
records go when they are stored (`forget`). The offsets of the consumer group are not used: the database has them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from ingest.log import kafka_topic
from ingest.log.kafka_client import Said, config, made
from kit import logs
from kit.errors import Misconfigured
from kit.settings import Kafka as Given

log = logs.get(__name__)
TIMEOUT = 5.0
STASH = 200  # records read ahead of a partition that nobody asks for, before it is let go
KEPT_BYTES = 16_384  # kB that the client fetches ahead, all partitions together


class Kafka:
    """A `seam.Log`. The seam's offsets begin with 1, Kafka's with 0.

    Raises:
        Misconfigured: the client library is not installed, or a setting cannot be; with the first call: the topic is
            not as it must be.
    """

    def __init__(self, settings: Given, *, name: str) -> None:
        try:
            import confluent_kafka  # noqa: F401 - only those who use it need it
        except ImportError as error:
            raise Misconfigured(
                "MEANTIME_KAFKA__SERVERS needs the extra: pip install 'meantime[kafka]'."
            ) from error
        self._settings = settings
        self._said = Said(settings)
        self._common = config(settings, name, self._said)
        self._producer: Any = None
        self._consumer: Any = None
        self._admin: Any = None
        self._checked = self._keeps = False
        self._stash: dict[int, deque[tuple[int, bytes]]] = {}
        self._next: dict[int, int] = {}  # the seam's offset behind which the stash or the consumer goes on
        self._doubted: set[tuple[int, int]] = (
            set()
        )  # where records seem to be missing, and were read for once more

    # --- the seam

    def append(self, records: Sequence[tuple[int, bytes]]) -> list[int]:
        """See `seam.Log`."""
        self._prepare()
        lines: dict[int, list[int]] = {}
        for number, (partition, _) in enumerate(records):
            lines.setdefault(partition, []).append(number)
        offsets = [0] * len(records)
        # Records of one partition one after the other, so that their order holds even when one of them fails.
        for numbers in zip_longest(*lines.values()):
            self._send(records, [number for number in numbers if number is not None], offsets)
        return offsets

    def read(self, partition: int, after: int, limit: int, wait: float) -> list[tuple[int, bytes]]:
        """See `seam.Log`."""
        self._prepare()
        if self._next.get(partition) != after:
            self._go(partition, after)
        stash = self._stash[partition]
        if not stash:
            self._fetch(limit, wait)
        found = [stash.popleft() for _ in range(min(limit, len(stash)))]
        if found and found[0][0] > after + 1 and self._missed(partition, after):
            return []
        if found:
            self._next[partition] = found[-1][0]
        return found

    def forget(self, partition: int, upto: int) -> None:
        """See `seam.Log`. A cluster that does not let us delete records keeps them for ever."""
        from confluent_kafka import KafkaError, KafkaException

        if self._keeps:
            return
        place, refused = self._place(partition, upto), (
            KafkaError._UNSUPPORTED_FEATURE, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.POLICY_VIOLATION,
        )  # fmt: skip
        try:
            for done in self._administrator().delete_records([place], request_timeout=TIMEOUT).values():
                done.result()
        except KafkaException as error:
            if error.args[0].code() not in refused:
                raise self._said.failure(error) from error
            self._keeps = True
            log.warning("this Kafka deletes no records for us: watch its disk", error=error.args[0].str())

    def close(self) -> None:
        """Close the connections."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(1)
        self._start_anew()
        self._producer = self._admin = None

    # --- the client

    def _administrator(self) -> Any:
        from confluent_kafka.admin import AdminClient

        if self._admin is None:
            self._admin = made(AdminClient, self._common)
        return self._admin

    def _prepare(self) -> None:
        """See to the topic, once."""
        from confluent_kafka import KafkaException

        if self._checked:
            return
        try:
            kafka_topic.see_to(self._administrator(), self._settings, TIMEOUT)
        except KafkaException as error:
            self._admin.poll(0)  # so that what was said of the connections is heard
            self._admin = None  # it would knock for ever, twenty times a second
            raise self._said.failure(error) from error
        self._checked = True

    def _send(self, records: Sequence[tuple[int, bytes]], numbers: list[int], offsets: list[int]) -> None:
        """One record of each partition; returns when all are durable."""
        from confluent_kafka import KafkaException, Producer

        if self._producer is None:
            more = {"acks": "all", "enable.idempotence": True, "linger.ms": 0, "compression.type": "lz4"}
            timeout = {"message.timeout.ms": round(TIMEOUT * 1000)}
            self._producer = made(Producer, self._common | more | timeout)
        done: list[tuple[int, Any, Any]] = []
        try:
            for number in numbers:
                partition, data = records[number]
                self._producer.produce(
                    self._settings.topic, value=data, partition=partition,
                    on_delivery=lambda error, message, number=number: done.append((number, error, message)),
                )  # fmt: skip
            self._producer.flush(TIMEOUT * 2)
        except (KafkaException, BufferError) as error:
            self._producer = None
            raise self._said.failure(error) from error
        failed = [error for _, error, _ in done if error is not None]
        if failed or len(done) < len(numbers):
            self._producer = None  # what was given to it shall not come after what is given to the next one
            raise self._said.failure(failed[0] if failed else "no answer")
        for number, _, message in done:
            offsets[number] = message.offset() + 1

    def _place(self, partition: int, offset: int) -> Any:
        from confluent_kafka import TopicPartition

        return TopicPartition(self._settings.topic, partition, offset)

    def _go(self, partition: int, after: int) -> None:
        """Let the consumer go on behind an offset of a partition."""
        from confluent_kafka import Consumer, KafkaException

        if self._consumer is None:
            fetching = {"fetch.wait.max.ms": 100, "queued.max.messages.kbytes": KEPT_BYTES}
            group = {"group.id": self._settings.topic, "enable.auto.commit": False}
            begin = {"auto.offset.reset": "earliest", "enable.auto.offset.store": False}
            self._consumer = made(Consumer, self._common | fetching | group | begin)
        try:
            self._leave(partition)
            self._consumer.incremental_assign([self._place(partition, after)])
        except KafkaException as error:
            self._start_anew()
            raise self._said.failure(error) from error
        self._stash[partition], self._next[partition] = deque(), after

    def _leave(self, partition: int) -> None:
        if self._stash.pop(partition, None) is not None:
            del self._next[partition]
            self._consumer.incremental_unassign([self._place(partition, -1001)])

    def _fetch(self, limit: int, wait: float) -> None:
        """Take what has come, of whichever partition."""
        from confluent_kafka import KafkaException

        try:
            came = self._consumer.consume(1, timeout=wait)
            came += self._consumer.consume(limit - 1, timeout=0) if came and limit > 1 else []
            for message in came:
                if message.error() is not None:
                    raise KafkaException(message.error())
        except KafkaException as error:
            self._start_anew()  # what came beside the error must come again
            raise self._said.failure(error) from error
        for message in came:
            stash = self._stash.get(message.partition())
            if stash is not None:
                stash.append((message.offset() + 1, message.value()))
        for partition in [each for each, stash in self._stash.items() if len(stash) > max(STASH, limit)]:
            self._leave(partition)

    def _missed(self, partition: int, after: int) -> bool:
        """Records behind `after` did not come: whether they are there still. Then they are read for once more; what
        does not come that time either is gone, which is the caller's to say."""
        from confluent_kafka import KafkaException

        if (partition, after) in self._doubted:
            self._doubted.discard((partition, after))
            return False
        try:
            oldest, _ = self._consumer.get_watermark_offsets(self._place(partition, after), timeout=TIMEOUT)
        except KafkaException as error:
            self._start_anew()
            raise self._said.failure(error) from error
        if oldest > after:
            return False
        self._start_anew()
        self._doubted.add((partition, after))
        return True

    def _start_anew(self) -> None:
        """Drop the consumer with all that it has read ahead."""
        self._stash.clear()
        self._next.clear()
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
