"""Kafka as the log: one topic, whose partitions are the log's.

A record is acknowledged when all replicas in sync have it (`acks=all`; a topic made here asks for all but one of them).
Kafka drops what is old instead of refusing what is new, so a topic made here has no time limit and no size limit:
records go when they are stored (`forget`). The offsets of the consumer group are not used: the database has them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from kit import logs
from kit.errors import Misconfigured, Unavailable
from kit.settings import Kafka as Given

log = logs.get(__name__)
TIMEOUT = 5.0
STASH = 200  # records read ahead of a partition that nobody asks for, before it is let go
KEPT_BYTES = 16_384  # kB that the client fetches ahead, all partitions together


class Kafka:
    """A `seam.Log`. The seam's offsets begin with 1, Kafka's with 0.

    Raises:
        Misconfigured: the client library is not installed, or the topic has fewer partitions than are set.
    """

    def __init__(self, settings: Given, *, name: str) -> None:
        try:
            import confluent_kafka  # noqa: F401 - only those who use it need it
        except ImportError as error:
            raise Misconfigured(
                "MEANTIME_KAFKA__SERVERS needs the extra: pip install 'meantime[kafka]'."
            ) from error
        self._settings, self._name = settings, name
        self._producer: Any = None
        self._consumer: Any = None
        self._admin: Any = None
        self._checked = self._keeps = False
        self._stash: dict[int, deque[tuple[int, bytes]]] = {}
        self._next: dict[int, int] = {}  # the seam's offset behind which the stash or the consumer goes on

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
        if found:
            self._next[partition] = found[-1][0]
        return found

    def forget(self, partition: int, upto: int) -> None:
        """See `seam.Log`. A cluster that cannot delete records keeps them as long as its topic says."""
        from confluent_kafka import KafkaError, KafkaException

        if self._keeps:
            return
        try:
            for done in self._administrator().delete_records([self._place(partition, upto)]).values():
                done.result(TIMEOUT)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._UNSUPPORTED_FEATURE:
                raise Unavailable(f"Kafka: {error}") from error
            self._keeps = True
            log.warning("this Kafka deletes no records; they stay as long as the topic's retention says")

    def close(self) -> None:
        """Close the connections."""
        if self._producer is not None:
            self._producer.purge()
            self._producer.flush(1)
        if self._consumer is not None:
            self._consumer.close()
        self._producer = self._consumer = self._admin = None

    # --- the client

    def _common(self) -> dict[str, Any]:
        given = self._settings
        common: dict[str, Any] = {
            "bootstrap.servers": given.servers, "client.id": self._name, "log_level": 2, "error_cb": _said,
            "reconnect.backoff.ms": 50, "reconnect.backoff.max.ms": 1000, "socket.keepalive.enable": True,
            "allow.auto.create.topics": False,
        }  # fmt: skip
        if given.username is not None:
            password = given.password.get_secret_value() if given.password else ""
            common |= {
                "sasl.mechanism": given.mechanism,
                "sasl.username": given.username,
                "sasl.password": password,
            }
        words = ("SASL_" if given.username is not None else "") + ("SSL" if given.tls else "PLAINTEXT")
        return common | {"security.protocol": words}

    def _administrator(self) -> Any:
        from confluent_kafka.admin import AdminClient

        if self._admin is None:
            self._admin = AdminClient(self._common())
        return self._admin

    def _prepare(self) -> None:
        """See to the topic, once."""
        from confluent_kafka import KafkaException

        if self._checked:
            return
        wanted, topic = self._settings.partitions, self._settings.topic
        try:
            there = self._administrator().list_topics(topic, timeout=TIMEOUT).topics[topic]
            if not there.partitions:
                self._create()
            elif len(there.partitions) < wanted:
                raise Misconfigured(
                    f"The topic {topic!r} has {len(there.partitions)} partitions, MEANTIME_KAFKA__PARTITIONS "
                    f"says {wanted}. Add partitions to the topic before it is first used, or set fewer."
                )
        except KafkaException as error:
            raise Unavailable(f"Kafka: {error}") from error
        self._checked = True

    def _create(self) -> None:
        from confluent_kafka import KafkaError, KafkaException
        from confluent_kafka.admin import NewTopic

        given = self._settings
        forever = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
        safe = {"min.insync.replicas": str(max(1, given.replicas - 1))}
        topic = NewTopic(given.topic, given.partitions, given.replicas, config=forever | safe)
        try:
            self._administrator().create_topics([topic], operation_timeout=TIMEOUT)[given.topic].result(
                TIMEOUT
            )
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was quicker
                raise

    def _send(self, records: Sequence[tuple[int, bytes]], numbers: list[int], offsets: list[int]) -> None:
        """One record of each partition; returns when all are durable."""
        from confluent_kafka import KafkaException, Producer

        if self._producer is None:
            self._producer = Producer(
                self._common()
                | {"acks": "all", "enable.idempotence": True, "linger.ms": 0, "compression.type": "lz4",
                   "message.timeout.ms": round(TIMEOUT * 1000)}
            )  # fmt: skip
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
            raise Unavailable(f"Kafka: {error}") from error
        failed = [error for _, error, _ in done if error is not None]
        if failed or len(done) < len(numbers):
            self._producer = None  # what was given to it shall not come after what is given to the next one
            raise Unavailable(f"Kafka: {failed[0] if failed else 'no answer'}")
        for number, _, message in done:
            offsets[number] = message.offset() + 1

    def _place(self, partition: int, offset: int) -> Any:
        from confluent_kafka import TopicPartition

        return TopicPartition(self._settings.topic, partition, offset)

    def _go(self, partition: int, after: int) -> None:
        """Let the consumer go on behind an offset of a partition."""
        from confluent_kafka import Consumer, KafkaException

        try:
            if self._consumer is None:
                self._consumer = Consumer(
                    self._common()
                    | {"group.id": self._settings.topic, "enable.auto.commit": False, "auto.offset.reset": "earliest",
                       "fetch.wait.max.ms": 100, "queued.max.messages.kbytes": KEPT_BYTES,
                       "enable.auto.offset.store": False}
                )  # fmt: skip
            self._leave(partition)
            self._consumer.incremental_assign([self._place(partition, after)])
        except KafkaException as error:
            raise Unavailable(f"Kafka: {error}") from error
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
        except KafkaException as error:
            raise Unavailable(f"Kafka: {error}") from error
        for message in came:
            if message.error() is not None:
                raise Unavailable(f"Kafka: {message.error()}")
            stash = self._stash.get(message.partition())
            if stash is not None:
                stash.append((message.offset() + 1, message.value()))
        for partition in [each for each, stash in self._stash.items() if len(stash) > max(STASH, limit)]:
            self._leave(partition)


def _said(error: Any) -> None:
    log.debug("kafka", error=str(error))
