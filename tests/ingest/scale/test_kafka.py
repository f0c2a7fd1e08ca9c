"""What Kafka alone can do to us: topics, logins, dying brokers. Beside `test_log`, which asks every log the same."""

from __future__ import annotations

import random
import ssl
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.log.kafka import Kafka as Client
from kit.database import Conn, rows
from kit.errors import Misconfigured, Unavailable
from kit.settings import Endpoint, Kafka, Settings
from tests.ingest.doors.helpers import until
from tests.ingest.doors.processes import Process
from tests.ingest.doors.test_faults import Publisher, free_port, numbers
from tests.ingest.scale.kafka_brokers import (
    FETCH,
    LEADER_NOT_AVAILABLE,
    NOT_ENOUGH_REPLICAS,
    NOT_LEADER,
    PRODUCE,
    TOPIC_AUTHORIZATION_FAILED,
    MockKafka,
    Tansu,
)
from tests.ingest.scale.kafka_gate import Gate
from tests.ingest.scale.test_log import read

pytestmark = [pytest.mark.slow, pytest.mark.kafka]


def name() -> str:
    return f"T{uuid.uuid4().hex[:8]}"


@pytest.fixture
def client() -> Iterator[Callable[..., Client]]:
    """`client(servers=…, topic=…, partitions=3)` is a log on Kafka, closed at the end."""
    opened: list[Client] = []

    def opens(**given: Any) -> Client:
        opened.append(Client(Kafka(**({"topic": name(), "partitions": 3} | given)), name="test"))
        return opened[-1]

    yield opens
    for each in opened:
        each.close()


@pytest.fixture
def log(kafka: MockKafka, client: Callable[..., Client]) -> Client:
    return client(servers=kafka.servers, topic=kafka.topic(name(), partitions=3))


def topic(log: Client) -> str:
    return log._settings.topic


def outcome(call: Callable[[], object]) -> object:
    """What a call returns, or None while Kafka is away."""
    try:
        return call()
    except Unavailable:
        return None


# --- the topic


@pytest.mark.parametrize(
    ("there", "wanted", "why"),
    [
        ({"partitions": 4}, {"partitions": 5}, "4 partitions, MEANTIME_KAFKA__PARTITIONS says 5"),
        ({"replicas": 1}, {"replicas": 2}, "1 replicas of a partition, MEANTIME_KAFKA__REPLICAS says 2"),
    ],
)
def test_a_topic_with_less_than_is_set_is_refused(
    kafka: MockKafka, client: Callable[..., Client], there: dict[str, int], wanted: dict[str, int], why: str
) -> None:
    log = client(servers=kafka.servers, topic=kafka.topic(name(), **there), **wanted)
    with pytest.raises(Misconfigured, match=why):
        log.append([(0, b"x")])


def test_a_kafka_that_makes_no_topic_for_us_is_told_to_the_operator_with_what_to_make(
    kafka: MockKafka, client: Callable[..., Client]
) -> None:
    log = client(servers=kafka.servers, topic="nobody", replicas=3)
    with pytest.raises(Misconfigured, match=r"3 partitions, 3 replicas, retention.ms=-1.*replicas=2"):
        log.read(0, 0, 1, 0.1)


def topic_settings(servers: str, topic: str) -> dict[str, str]:
    from confluent_kafka.admin import AdminClient, ConfigResource

    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": servers})
    (found,) = admin.describe_configs([resource]).values()
    return {key: entry.value for key, entry in found.result(10).items()}


@pytest.mark.tansu
def test_a_topic_that_is_not_there_is_made_so_that_nothing_in_it_grows_old(
    tansu: Tansu, client: Callable[..., Client]
) -> None:
    log = client(servers=tansu.servers, partitions=5, replicas=3)
    assert log.append([(4, b"a"), (4, b"b")]) == [1, 2]
    assert topic_settings(tansu.servers, topic(log)) == {
        "retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete", "min.insync.replicas": "2",
    }  # fmt: skip
    again = client(servers=tansu.servers, topic=topic(log), partitions=5, replicas=3)
    assert read(again, 4, 0, 2) == [(1, b"a"), (2, b"b")]


@pytest.mark.tansu
@pytest.mark.parametrize(
    ("setting", "value", "right"),
    [
        ("retention.ms", "604800000", "-1 is needed"),
        ("retention.bytes", "1000", "-1 is needed"),
        ("cleanup.policy", "compact", "delete is needed"),
        ("min.insync.replicas", "1", "at least 2 is needed"),
        ("max.message.bytes", "500000", "at least 1000000 is needed"),
    ],
)
def test_a_topic_that_would_lose_or_refuse_records_is_refused(
    tansu: Tansu, client: Callable[..., Client], setting: str, value: str, right: str
) -> None:
    from confluent_kafka.admin import AdminClient, NewTopic

    made = name()
    admin = AdminClient({"bootstrap.servers": tansu.servers})
    admin.create_topics([NewTopic(made, 3, 3, config={setting: value})])[made].result(10)
    with pytest.raises(Misconfigured, match=f"may lose.*{setting}={value} where {right}"):
        client(servers=tansu.servers, topic=made, replicas=3).append([(0, b"x")])


# --- the login


@pytest.fixture(scope="module")
def gated() -> Iterator[Callable[..., tuple[str, str]]]:
    """`gated(context)` → (servers, topic) of a broker that asks for a login, behind TLS if a context is given."""
    gates: list[Gate] = []
    clusters: list[MockKafka] = []

    def behind(context: ssl.SSLContext | None = None) -> tuple[str, str]:
        cluster = MockKafka(1)
        gate = Gate(int(cluster.servers.rpartition(":")[2]), "meantime", "right", context)
        cluster.behind(gate.port)
        clusters.append(cluster)
        gates.append(gate)
        return f"127.0.0.1:{gate.port}", cluster.topic(name(), replicas=1)

    yield behind
    for gate in gates:
        gate.stop()


@pytest.fixture(scope="module")
def asking(gated: Callable[..., tuple[str, str]]) -> tuple[str, str]:
    return gated()


MECHANISMS = pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])


@MECHANISMS
def test_records_go_in_and_out_with_a_login(
    asking: tuple[str, str], client: Callable[..., Client], mechanism: str
) -> None:
    servers, there = asking
    log = client(servers=servers, topic=there, username="meantime", password="right", mechanism=mechanism)
    (offset,) = log.append([(0, mechanism.encode())])
    assert read(log, 0, offset - 1, 1) == [(offset, mechanism.encode())]


@MECHANISMS
def test_a_wrong_password_is_called_that_and_written_nowhere(
    asking: tuple[str, str],
    client: Callable[..., Client],
    mechanism: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("ingest.log.kafka.TIMEOUT", 0.7)
    servers, there = asking
    secret = "tr0ub4dor"
    log = client(servers=servers, topic=there, username="meantime", password=secret, mechanism=mechanism)
    with pytest.raises(
        Unavailable, match=f"login 'meantime' by {mechanism} is refused.*the login is wrong"
    ) as told:
        log.append([(0, b"x")])
    printed = capfd.readouterr()
    assert secret not in printed.out + printed.err + str(told.value)


def test_a_cluster_that_wants_a_login_is_not_there_without_one(
    asking: tuple[str, str], client: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.log.kafka.TIMEOUT", 0.3)
    with pytest.raises(Unavailable):
        client(servers=asking[0], topic=asking[1]).append([(0, b"x")])


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_a_login_by_tls_wants_a_certificate_that_the_client_trusts(
    gated: Callable[..., tuple[str, str]],
    client: Callable[..., Client],
    certificate: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    servers, there = gated(context)
    login = {"servers": servers, "topic": there, "username": "meantime", "password": "right", "tls": True}
    assert client(tls_ca=certificate[0], **login).append([(0, b"x")]) == [1]
    monkeypatch.setattr("ingest.log.kafka.TIMEOUT", 0.7)
    with pytest.raises(Unavailable, match=r"TLS fails: .*certificate verify failed"):
        client(**login).append([(0, b"x")])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"username": "u"}, "PASSWORD is not"),
        ({"password": "p"}, "USERNAME is not"),
        ({"tls_ca": __file__}, "TLS_CA is set, but MEANTIME_KAFKA__TLS is not"),
        ({"tls": True, "tls_ca": "nowhere.pem"}, "TLS_CA cannot be read"),
        ({"tls": True, "tls_certificate": __file__}, "belong together"),
    ],
)
def test_half_a_login_is_refused_at_once(
    client: Callable[..., Client], given: dict[str, Any], why: str
) -> None:
    with pytest.raises(Misconfigured, match=why):
        client(servers="nobody:1", **given)


def test_a_file_that_is_no_certificate_is_a_wrong_setting(client: Callable[..., Client]) -> None:
    log = client(servers="127.0.0.1:1", tls=True, tls_ca=__file__)
    with pytest.raises(Misconfigured, match="refuses the MEANTIME_KAFKA__"):
        log.append([(0, b"x")])


# --- brokers that fail


def test_a_broker_that_goes_down_keeps_its_partitions_waiting_and_the_others_going(
    kafka: MockKafka, log: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.log.kafka.TIMEOUT", 3.0)  # a busy machine takes a second to connect
    assert log.append([(0, b"a"), (1, b"a"), (2, b"a")]) == [1, 1, 1]
    assert read(log, 1, 0, 1) == [(1, b"a")]
    kafka.shut(2)
    try:
        with pytest.raises(Unavailable):
            log.append([(1, b"b")])
        assert log.append([(0, b"b"), (2, b"b")]) == [2, 2]
        assert outcome(lambda: log.read(1, 1, 1, 0.1)) in ([], None)
    finally:
        kafka.start(2)
    until(lambda: outcome(lambda: log.append([(1, b"b")])), "the broker")
    found = until(lambda: outcome(lambda: log.read(1, 1, 50, 0.5)), "what it has")
    assert found[0] == (2, b"b")  # the one that was refused may be there too, a copy that keys absorb
    assert {data for _, data in found} == {b"b"}


def test_another_broker_that_takes_over_is_written_to_and_read_from(kafka: MockKafka, log: Client) -> None:
    assert log.append([(0, b"a")]) == [1]
    assert read(log, 0, 0, 1) == [(1, b"a")]
    kafka.shut(1)
    kafka.lead(topic(log), 0, 3)
    try:
        (offset,) = until(lambda: outcome(lambda: log.append([(0, b"b")])), "the new leader")
        found = until(lambda: outcome(lambda: log.read(0, 1, 50, 0.5)), "what it has")
        assert found[-1] == (offset, b"b")
        assert [at for at, _ in found] == list(range(2, offset + 1))
    finally:
        kafka.start(1)


def test_a_record_that_too_few_replicas_took_is_sent_until_they_have_it_and_is_there_once(
    kafka: MockKafka, log: Client
) -> None:
    kafka.answer(PRODUCE, NOT_ENOUGH_REPLICAS, NOT_LEADER, LEADER_NOT_AVAILABLE, NOT_ENOUGH_REPLICAS)
    assert log.append([(0, b"a")]) == [1]
    assert log.append([(0, b"b")]) == [2]
    assert read(log, 0, 0, 2) == [(1, b"a"), (2, b"b")]


@pytest.mark.parametrize("code", [NOT_LEADER, TOPIC_AUTHORIZATION_FAILED])
def test_a_read_that_fails_passes_over_nothing(kafka: MockKafka, log: Client, code: int) -> None:
    for n in range(60):
        log.append([(n % 3, b"%d" % n)])
    at, found = {0: 0, 1: 0, 2: 0}, 0
    for turn in range(400):
        if turn % 4 == 1:
            kafka.answer(FETCH, code)
        for partition in at:
            came = outcome(lambda p=partition: log.read(p, at[p], 2, 0.1)) or []  # type: ignore[misc]
            assert isinstance(came, list)
            for offset, _ in came:
                assert offset == at[partition] + 1
                at[partition], found = offset, found + 1
        if found == 60:
            break
    assert found == 60


def test_what_comes_with_a_gap_is_read_for_again_and_then_believed(log: Client) -> None:
    log.append([(0, b"a")])
    log.append([(0, b"b")])
    assert read(log, 0, 0, 1, limit=1) == [(1, b"a")]
    log._stash[0].clear()  # as if the client had lost it on the way
    log._stash[0].append((3, b"c"))
    assert log.read(0, 1, 50, 0.1) == []
    assert read(log, 0, 1, 1) == [(2, b"b")]


def test_a_kafka_that_deletes_no_records_keeps_them_and_goes_on(log: Client) -> None:
    log.append([(0, b"a")])
    log.append([(0, b"b")])
    log.forget(0, 1)  # the mock cluster does not know how to
    log.forget(0, 2)
    assert read(log, 0, 0, 2) == [(1, b"a"), (2, b"b")]


def test_what_a_door_acknowledges_is_stored_whichever_broker_door_or_worker_dies(
    dsn: str, db: Conn, devices: dict[str, str], kafka: MockKafka
) -> None:
    port, dice, there = free_port(), random.Random(5), kafka.topic(name(), partitions=3)
    given = Kafka(servers=kafka.servers, topic=there, partitions=3)
    settings = Settings(database_url=dsn, endpoint=Endpoint(port=port), kafka=given)
    door, worker = Process("ingest.endpoint", settings), Process("ingest.log.worker", settings)
    publisher = Publisher(port, "p-1", devices["p-1"], 5)

    def acknowledges_more() -> None:
        before = len(publisher.acknowledged)
        until(lambda: len(publisher.acknowledged) > before, "an acknowledgement", seconds=30)

    with door, worker:
        publisher.start()
        for number in range(6):
            acknowledges_more()
            time.sleep(dice.uniform(0, 0.2))
            if number % 3 == 0:
                broker = number // 3 + 1
                kafka.shut(broker)
                for partition in range(3):
                    kafka.lead(there, partition, broker % 3 + 1)
                acknowledges_more()
                kafka.start(broker)
            else:
                process = (door, worker)[number % 3 - 1]
                process.kill()
                process.start()
        publisher.halt.set()
        publisher.join(60)
        assert not publisher.is_alive()
        assert len(publisher.acknowledged) == publisher.sent
        until(lambda: len(numbers(db)) >= publisher.sent, "every row", seconds=60)
        assert numbers(db) == list(range(1, publisher.sent + 1))
        (offset,) = rows(db, """select log, sum("offset") > 0 as moved from ingest.log_offset group by log""")
        assert offset == {"log": f"kafka/{there}", "moved": True}
        assert worker.stop() == 0
        assert door.stop() == 0
