"""The topic of the log: made when it is not there, else looked at, and refused when it would lose records."""

from __future__ import annotations

from typing import Any

from ingest.log.seam import MOST_BYTES
from kit import logs
from kit.errors import Misconfigured
from kit.settings import Kafka

log = logs.get(__name__)
FOREVER = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
"""Kafka drops what is old, stored or not: so nothing is ever old. What is stored is removed by `Kafka.forget`."""
LARGEST = MOST_BYTES + 100_000  # bytes: a message of the largest size with its topic, as a record


def see_to(admin: Any, given: Kafka, timeout: float) -> None:
    """Make the topic, or check it.

    Raises:
        Misconfigured: it can't be made, or what is there would not keep the promise; says what would be right.
        confluent_kafka.KafkaException: the cluster does not answer.
    """
    # All topics are listed: by asking for one a cluster that makes topics by itself would make it, as it pleases.
    if given.topic not in admin.list_topics(timeout=timeout).topics:
        _make(admin, given, timeout)
    _check_parts(admin.list_topics(timeout=timeout).topics[given.topic], given)
    _check_settings(_settings(admin, given, timeout), given)


def _make(admin: Any, given: Kafka, timeout: float) -> None:
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import NewTopic

    wanted = FOREVER | {"min.insync.replicas": str(in_sync(given))}
    topic = NewTopic(given.topic, given.partitions, given.replicas, config=wanted)
    try:
        admin.create_topics([topic], operation_timeout=timeout, request_timeout=timeout)[given.topic].result()
        log.info("made the topic", topic=given.topic, partitions=given.partitions, replicas=given.replicas)
    except KafkaException as error:
        code = error.args[0].code()
        if code == KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was quicker
            return
        if code in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.REQUEST_TIMED_OUT):
            raise
        settings = ", ".join(f"{name}={value}" for name, value in wanted.items())
        raise Misconfigured(
            f"Kafka does not make the topic {given.topic!r}: {error.args[0].str()}. Mend that, or make it "
            f"yourself with {given.partitions} partitions, {given.replicas} replicas, {settings}."
        ) from error


def in_sync(given: Kafka) -> int:
    """How many replicas must have a record before it counts: all but one, so that one may fail."""
    return max(1, given.replicas - 1)


def _check_parts(topic: Any, given: Kafka) -> None:
    partitions, replicas = topic.partitions, [len(each.replicas) for each in topic.partitions.values()]
    if len(partitions) < given.partitions:
        raise Misconfigured(
            f"The topic {given.topic!r} has {len(partitions)} partitions, MEANTIME_KAFKA__PARTITIONS says "
            f"{given.partitions}. Add partitions to the topic before it is first used, or set fewer."
        )
    if min(replicas) < given.replicas:
        raise Misconfigured(
            f"The topic {given.topic!r} has {min(replicas)} replicas of a partition, MEANTIME_KAFKA__REPLICAS says "
            f"{given.replicas}. Reassign the topic's partitions to more brokers, or set fewer."
        )


def _settings(admin: Any, given: Kafka, timeout: float) -> dict[str, str]:
    """The topic's settings as far as the cluster tells them."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import ConfigResource

    resource = ConfigResource(ConfigResource.Type.TOPIC, given.topic)
    try:
        (found,) = admin.describe_configs([resource], request_timeout=timeout).values()
        return {name: entry.value for name, entry in found.result().items()}
    except KafkaException as error:
        untold = (
            KafkaError._UNSUPPORTED_FEATURE,
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        )
        if error.args[0].code() not in untold:
            raise
        log.warning(
            "this Kafka does not tell how long it keeps the topic: it must keep it for ever",
            topic=given.topic, error=error.args[0].str(),
        )  # fmt: skip
        return {}


def _check_settings(found: dict[str, str], given: Kafka) -> None:
    """What the cluster does not tell is taken to be right."""
    wrong = [
        f"{name}={found[name]} where {right} is needed"
        for name, right in FOREVER.items()
        if found.get(name, right) != right
    ]
    least = {"min.insync.replicas": in_sync(given), "max.message.bytes": LARGEST}
    wrong += [
        f"{name}={found[name]} where at least {right} is needed"
        for name, right in least.items()
        if int(found.get(name, right)) < right
    ]
    if wrong:
        raise Misconfigured(
            f"The topic {given.topic!r} may lose what was acknowledged, or refuse it: {'; '.join(wrong)}. "
            "Change the topic's settings."
        )
