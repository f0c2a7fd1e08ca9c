"""Who is here and who is not: tokens that are replaced, wills, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ingest import registry, sessions
from ingest.chunks import Chunk
from ingest.mqtt import packets as p
from ingest.mqtt.packets import V5, Reason
from ingest.presence import Presence
from kit.database import Conn, scalar
from tests.ingest.core.conftest import NOW
from tests.ingest.doors.conftest import Running
from tests.ingest.doors.helpers import Raw, until

Start = Callable[..., Running]
ENDED = sessions.Ended("G:E", "edge", 1, 1)


def test_a_device_whose_token_was_replaced_is_put_out_and_is_offline_until_it_has_the_new_one(
    start: Start, db: Conn, devices: dict[str, str]
) -> None:
    running = start()
    online = "select online from ingest.device_status"
    with Raw(running.port, version=V5) as device:
        device.connect("p-1", devices["p-1"])
        until(lambda: scalar(db, online))
        new = registry.rotate(db, "p-1").token
        assert device.receive() == p.Disconnect(Reason.NOT_AUTHORIZED)
    until(lambda: scalar(db, online) is False)
    reason = "select reason from ingest.device_state order by ts desc, id desc limit 1"
    assert scalar(db, reason) == "token_outdated"
    with Raw(running.port, version=V5) as device:
        assert device.connect("p-1", new).reason == Reason.SUCCESS
        until(lambda: scalar(db, online))


@pytest.mark.parametrize(
    ("topic", "last", "said"),
    [
        ("spBv1.0/G/NDEATH/E", True, b""),  # this connection has ended, whatever number it would say
        ("spBv1.0/G/NDEATH/E", False, b"will"),  # another one is here: the number tells which has ended
        ("spBv1.0/G/NDATA/E", True, b"will"),
        ("spBv1.0/nonsense", True, b"will"),
        ("meantime/G:E/status", True, b"will"),
    ],
)
def test_at_the_end_point_an_edge_nodes_death_is_its_connections(topic: str, last: bool, said: bytes) -> None:
    queued: list[Chunk] = []
    will = p.Will(topic, b"will", 1, False)
    Presence("meantime", queued.append).gone(ENDED, "connection_lost", NOW, will=will, last=last)
    ((arrival, *_),) = [chunk.arrivals for chunk in queued]
    assert arrival.payload == said


@pytest.mark.parametrize(
    ("topic", "kept"),
    [
        ("meantime/p-1/status", 1), ("meantime/p-1/command", 1), ("meantime/p-1/anything", 0), ("elsewhere/status", 0),
        ("meantime/p-1/7/status", 0),  # a device could make any number of these
        ("meantime/status", 0),
    ],
)  # fmt: skip
def test_of_retained_wills_only_those_are_kept_that_somebody_may_hear(topic: str, kept: int) -> None:
    queued: list[Chunk] = []
    will = p.Will(topic, b"{}", 1, True)
    Presence("meantime", queued.append).gone(ENDED, "connection_lost", NOW, will=will, last=True)
    (chunk,) = queued
    assert sum(effect.write is sessions.retain for effect in chunk.effects) == kept
