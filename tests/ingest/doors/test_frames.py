"""The MQTT frames: what is written is read, however the stream is cut; what is no MQTT is refused, never raised."""

from __future__ import annotations

import itertools

import mqtt5
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.mqtt import Stream
from ingest.mqtt import packets as p
from ingest.mqtt.encode import encode, puback
from ingest.mqtt.packets import V5, V311, Reason

relaxed = settings(deadline=None)  # the machine may be busy; time is not what is tested
versions = st.sampled_from([V311, V5])
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
topics = st.text(st.characters(exclude_characters="\0#+", exclude_categories=["Cs"]), min_size=1, max_size=40)
payloads = st.binary(max_size=300)
ids = st.integers(1, 65535)
reasons = st.sampled_from([int(reason) for reason in Reason])


@st.composite
def publishes(draw: st.DrawFn) -> p.Publish:
    qos = draw(st.integers(0, 2))
    packet_id = draw(ids).to_bytes(2, "big") if qos else b""
    return p.Publish(
        draw(topics), draw(payloads), qos, draw(st.booleans()), packet_id, bool(qos) and draw(st.booleans())
    )


wills = st.builds(p.Will, topics, payloads, st.integers(0, 2), st.booleans())


@st.composite
def connects(draw: st.DrawFn) -> p.Connect:
    version = draw(versions)
    username = draw(st.none() | texts)
    five = version == V5
    return p.Connect(
        version,
        draw(texts),
        draw(st.booleans()),
        draw(st.integers(0, 65535)),
        username,
        draw(st.none() | payloads) if five or username is not None else None,
        draw(st.none() | wills),
        draw(st.integers(0, 2**32 - 1)) if five else 0,
        draw(st.integers(1, 65535)) if five else 65535,
        draw(st.integers(0, 2**32 - 1)) if five else 0,
    )


acks = st.builds(p.Ack, st.sampled_from([p.PUBACK, p.PUBREC, p.PUBREL, p.PUBCOMP]), ids)
filters = st.lists(st.tuples(texts, st.integers(0, 2)), min_size=1, max_size=5).map(tuple)
both = st.one_of(
    publishes(),
    acks,
    st.builds(p.Subscribe, ids, filters),
    st.builds(p.SubAck, ids, st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1, max_size=5).map(tuple)),
    st.builds(p.Unsubscribe, ids, st.lists(texts, min_size=1, max_size=5).map(tuple)),
    st.builds(p.UnsubAck, ids),
    st.sampled_from([p.PingReq(), p.PingResp(), p.Disconnect()]),
)
only_5 = st.one_of(
    st.builds(p.Ack, st.sampled_from([p.PUBACK, p.PUBREC, p.PUBREL, p.PUBCOMP]), ids, reasons),
    st.builds(p.Disconnect, reasons, texts),
    st.builds(p.UnsubAck, ids, st.lists(reasons, max_size=5).map(tuple)),
    st.builds(p.Auth, reasons),
    st.builds(
        p.ConnAck,
        st.booleans(),
        reasons,
        st.none() | texts,
        st.none() | st.integers(0, 65535),
        st.integers(1, 65535),
        st.integers(0, 2**32 - 1),
        st.sampled_from([0, 1, 2]),
        st.none() | st.integers(0, 2**32 - 1),
        st.booleans(),
        st.booleans(),
        st.none() | texts,
    ),
)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """The data in pieces that end at the given places."""
    places = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(places)]


@relaxed
@given(versions, st.lists(both, max_size=8), st.lists(st.integers(0, 10**6), max_size=12))
def test_what_is_written_is_read_however_the_stream_is_cut(
    version: int, said: list[p.Packet], at: list[int]
) -> None:
    stream = Stream(version=version)
    data = b"".join(encode(version, packet) for packet in said)
    heard = [packet for piece in cut(data, at) for packet in stream.feed(piece)]
    assert heard == said
    assert stream.error is None
    assert stream.waiting == 0


@relaxed
@given(st.lists(only_5, max_size=8), st.lists(st.integers(0, 10**6), max_size=12))
def test_what_only_version_5_can_say_is_read_too(said: list[p.Packet], at: list[int]) -> None:
    stream = Stream(version=V5)
    data = b"".join(encode(V5, packet) for packet in said)
    assert [packet for piece in cut(data, at) for packet in stream.feed(piece)] == said


@relaxed
@given(connects(), publishes())
def test_a_connect_sets_the_version_for_what_follows_in_the_same_read(
    hello: p.Connect, then: p.Publish
) -> None:
    stream = Stream()
    assert stream.feed(encode(hello.version, hello) + encode(hello.version, then)) == [hello, then]


@relaxed
@given(
    versions,
    st.lists(st.one_of(publishes(), both), max_size=10),
    st.lists(st.integers(0, 10**6), max_size=12),
)
def test_the_short_way_for_messages_says_the_same_as_the_long_one(
    version: int, said: list[p.Packet], at: list[int]
) -> None:
    stream = Stream(version=version)
    heard: list[p.Packet] = []
    for piece in cut(b"".join(encode(version, packet) for packet in said), at):
        stream.push(piece)
        while True:
            messages: list[tuple[str, bytes, int, int, int]] = []
            acks: list[bytes] = []
            packet = stream.next(lambda fields: fields, (1, 2, 3), messages, acks)
            assert all(message[2:] == (1, 2, 3) for message in messages)
            ids = [ack[2:] for ack in acks]
            assert all(ack == puback(ack[2:]) for ack in acks)
            for topic, payload, *_ in messages:
                # A QoS 0 message leaves no acknowledgement; which it was is told by what was said.
                wanted = said[len(heard)]
                assert isinstance(wanted, p.Publish)
                heard.append(p.Publish(topic, payload, wanted.qos, False, ids.pop(0) if wanted.qos else b""))
            assert not ids
            if packet is None:
                break
            heard.append(packet)
            if isinstance(packet, p.Publish):
                stream.allow(packet.topic)
    assert heard == said
    assert stream.error is None


@relaxed
@given(versions, topics, payloads, st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_a_wrong_byte_in_a_usual_message_never_raises_and_never_reaches_beyond_it(
    version: int, topic: str, payload: bytes, where: int, byte: int, acknowledged: bool
) -> None:
    said = p.Publish(topic, payload, int(acknowledged), False, b"\0\1" if acknowledged else b"")
    data = bytearray(encode(version, said))
    data[where % len(data)] = byte
    quick, slow = Stream(version=version), Stream(version=version)
    quick.allow(topic)
    messages: list[tuple[str, bytes]] = []
    quick.push(bytes(data) + encode(version, said))
    rest = []
    while (packet := quick.next(lambda fields: fields[:2], (1, 2, 3), messages, [])) is not None:
        rest.append(packet)
    long = slow.feed(bytes(data) + encode(version, said))
    assert len(messages) + len(rest) == len(long)
    assert (quick.error and quick.error.reason) == (slow.error and slow.error.reason)


@relaxed
@given(publishes())
def test_the_wheel_reads_our_publish_as_we_mean_it(said: p.Publish) -> None:
    heard, size = mqtt5.read(memoryview(encode(V5, said)))
    assert isinstance(heard, mqtt5.PublishPacket)
    assert (heard.topic, heard.payload, heard.qos, heard.retain) == (
        said.topic,
        said.payload,
        said.qos,
        said.retain,
    )
    assert (heard.packet_id or 0) == int.from_bytes(said.packet_id, "big")
    assert size == len(encode(V5, said))


@relaxed
@given(topics, payloads, ids, st.none() | topics, st.lists(st.tuples(texts, texts), max_size=3))
def test_we_read_the_wheels_publish_with_all_its_properties(
    topic: str, payload: bytes, number: int, response: str | None, user: list[tuple[str, str]]
) -> None:
    said = mqtt5.PublishPacket(
        topic,
        payload,
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        packet_id=number,
        message_expiry_interval=7,
        content_type="x",
        response_topic=response,
        correlation_data=b"c",
        user_properties=user,
    )
    stream = Stream(version=V5)
    assert (
        stream.feed(said.write() * 2) == [p.Publish(topic, payload, 1, False, number.to_bytes(2, "big"))] * 2
    )


@relaxed
@given(connects().filter(lambda hello: hello.version == V5))
def test_the_wheel_reads_our_connect_as_we_mean_it(said: p.Connect) -> None:
    heard, _ = mqtt5.read(memoryview(encode(V5, said)))
    assert isinstance(heard, mqtt5.ConnectPacket)
    assert (heard.client_id, heard.username, heard.password) == (said.client_id, said.username, said.password)
    assert (heard.keep_alive, heard.clean_start) == (said.keep_alive, said.clean_start)
    assert (heard.receive_max, heard.session_expiry_interval) == (said.receive_maximum, said.session_expiry)
    assert (heard.will is None) == (said.will is None)


@relaxed
@given(versions, st.binary(max_size=200), st.lists(st.integers(0, 10**6), max_size=5))
def test_noise_never_raises_and_a_broken_stream_stays_broken(
    version: int, noise: bytes, at: list[int]
) -> None:
    stream = Stream(version=version, limit=1000)
    for piece in cut(noise, at):
        stream.feed(piece)
    if stream.error is not None:
        assert stream.error.reason in set(Reason)
        assert stream.feed(encode(version, p.PingReq())) == []


@relaxed
@given(versions, both, st.integers(0, 10**6), st.integers(0, 255))
def test_a_packet_with_one_wrong_byte_never_raises(
    version: int, said: p.Packet, where: int, byte: int
) -> None:
    data = bytearray(encode(version, said))
    data[where % len(data)] = byte
    Stream(version=version).feed(bytes(data) * 2)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x00", Reason.MALFORMED),  # there is no packet type 0
        (b"\xc1\x00", Reason.MALFORMED),  # PINGREQ with flags
        (b"\xc0\x01\x00", Reason.MALFORMED),  # PINGREQ with a body
        (b"\x36\x07\x00\x03a/b\x00\x01", Reason.MALFORMED),  # QoS 3
        (b"\x38\x05\x00\x03a/b", Reason.MALFORMED),  # DUP at QoS 0
        (b"\x32\x07\x00\x03a/b\x00\x00", Reason.PROTOCOL_ERROR),  # packet identifier 0
        (b"\x30\x05\x00\x09a/b", Reason.MALFORMED),  # the topic is longer than the packet
        (b"\x30\x05\x00\x03a\xffb", Reason.MALFORMED),  # not UTF-8
        (b"\x30\x05\x00\x03a\x00b", Reason.MALFORMED),  # U+0000
        (b"\x30\x05\x00\x03a/#", Reason.TOPIC_NAME_INVALID),
        (b"\x30\x02\x00\x00", Reason.TOPIC_NAME_INVALID),
        (b"\x30\xff\xff\xff\xff\x01", Reason.MALFORMED),  # a length of five bytes
        (b"\x82\x02\x00\x01", Reason.PROTOCOL_ERROR),  # SUBSCRIBE to nothing
        (b"\x10\x07\x00\x04MQTT\x03", Reason.UNSUPPORTED_VERSION),
        (b"\x10\x0a\x00\x06MQIsdp\x03\x02", Reason.UNSUPPORTED_VERSION),
        (b"\x30\x80\x08", Reason.PACKET_TOO_LARGE),  # 1,024 bytes announced, none sent
        (b"\xf0\x00", Reason.MALFORMED),  # AUTH does not exist in 3.1.1
    ],
)
def test_what_is_no_mqtt_is_refused_with_its_reason(data: bytes, reason: Reason) -> None:
    stream = Stream(version=V311, limit=1000)
    assert stream.feed(data) == []
    assert stream.error is not None
    assert stream.error.reason == reason


def test_a_topic_alias_is_refused_because_none_was_allowed() -> None:
    stream = Stream(version=V5)
    said = mqtt5.PublishPacket("a", b"x", qos=mqtt5.QoS.AT_MOST_ONCE, topic_alias=1)
    stream.feed(said.write())
    assert stream.error is not None
    assert stream.error.reason == Reason.TOPIC_ALIAS_INVALID


def test_packets_before_a_broken_one_are_read() -> None:
    stream = Stream()
    assert stream.feed(encode(V311, p.PingReq()) + b"\x00\x00") == [p.PingReq()]
    assert stream.error is not None


@relaxed
@given(ids, versions)
def test_a_puback_for_the_bytes_of_the_wire_is_a_puback(number: int, version: int) -> None:
    assert puback(number.to_bytes(2, "big")) == encode(version, p.Ack(p.PUBACK, number))
