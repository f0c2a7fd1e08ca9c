"""The state machine of an edge node, by property: losses, redeliveries, restarts anywhere in the stream."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.sparkplug.codec import Metric, Payload
from ingest.sparkplug.node import Node


def born(bd_seq: int = 1) -> Node:
    node = Node()
    node.birth(Payload(0, 0, (Metric("bdSeq", raw=bd_seq), Metric("Level", 1))), 1000)
    return node


@given(st.integers(1, 600))
def test_an_unbroken_stream_is_always_next(length: int) -> None:
    node = born()
    assert all(node.follow(n % 256, 2000 + n) == "next" for n in range(1, length))
    assert node.born


@given(st.integers(1, 600), st.integers(2, 200))
def test_any_loss_is_a_gap_and_no_alias_is_believed_until_the_next_birth(before: int, lost: int) -> None:
    node = born()
    for n in range(1, before):
        node.follow(n % 256, 2000 + n)
    assert node.follow((before + lost - 1) % 256, 99) == "gap"
    assert not node.born
    assert node.device("").known(Metric(None, 1)) is None
    assert node.device("").known(Metric("Level", 1)) is not None
    assert node.follow((before + lost) % 256, 100) == "next"
    node.birth(Payload(0, 0, (Metric("Level", 1),)), 1001)
    assert node.device("").known(Metric(None, 1)) is not None


@given(st.integers(2, 600), st.data())
def test_redelivery_of_the_last_messages_is_seen_as_such_and_moves_nothing(
    length: int, data: st.DataObject
) -> None:
    node = born()
    for n in range(1, length):
        node.follow(n % 256, 2000 + n)
    for n in range(max(1, length - data.draw(st.integers(1, 200))), length):
        assert node.follow(n % 256, 2000 + n) == "again"
    assert node.follow(length % 256, 5) == "next"
    assert node.born


def test_the_will_of_an_older_connection_kills_nobody() -> None:
    node = born(bd_seq=7)
    assert node.death(Payload(0, None, (Metric("bdSeq", raw=6),))) is None
    assert node.born
    assert node.death(Payload(0, None, (Metric("bdSeq", raw=7),))) == [""]
    assert node.death(Payload(0, None, (Metric("bdSeq", raw=7),))) == []
    assert not node.born


def test_a_birth_makes_only_its_own_device_believed() -> None:
    node = born()
    node.device_born("a", Payload(0, 1, (Metric("X", 5),)))
    node.device_born("b", Payload(0, 2, (Metric("Y", 6),)))
    node.lost()
    node.device_born("a", Payload(0, 1, (Metric("X", 5),)))
    assert node.device("a").known(Metric(None, 5)) is not None
    assert node.device("b").known(Metric(None, 6)) is None
    assert node.device("a").known(Metric(None, 6)) is None
