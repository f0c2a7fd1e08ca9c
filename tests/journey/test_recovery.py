"""A repair that holds and one that does not, from MQTT telemetry to the repeat order, through real processes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from analytics.block import Block
from analytics.definitions import DAY
from analytics.store import moment
from ingest import registry
from kit import clock
from kit.database import Conn, rows, scalar
from kit.settings import Settings
from meantime import device_types
from meantime.in_step import InStep
from meantime.supervisor import Supervisor, free_port
from simulators.replay.sender import Message, Where, connected
from tests.analytics.machines import START
from tests.analytics.stored import MODEL
from tests.analytics.test_recovery import REPAIR, fleet
from tests.journey.killing import until

METRICS = ("bearing_temperature", "current", "flow", "pressure", "vibration")
HELD, FAILED = "P-0", "P-2"  # as `fleet` makes them: whole after the repair, and as worn as before
NAMES = ("endpoint", "storage", "analytics", "fsm")
END = START + 18 * DAY
PIECE = DAY // 2


class Plant:
    """Pumps at an end point with the processes behind it, and the clock that goes with what they send."""

    def __init__(self, conn: Conn, family: Supervisor, where: Where, tokens: dict[str, str]) -> None:
        self.conn, self.family, self.where, self.tokens = conn, family, where, tokens
        self.ids = dict(conn.execute("select uid, id from ingest.device").fetchall())
        self.block = fleet([self.ids[uid] for uid in sorted(self.ids)])

    def send(self, first: int, last: int) -> None:
        """Publish what was measured in [first, last) µs, half a day at a time; back when all is acknowledged."""
        for at in range(first, last, PIECE):
            end = min(at + PIECE, last)
            clock.set_rate(self.conn, 0.0, sim=moment(end))
            part = self.block.take(np.flatnonzero((self.block.ts >= at) & (self.block.ts < end)))
            asyncio.run(self._publish(list(self._messages(part))))

    async def _publish(self, messages: list[Message]) -> None:
        async with connected(self.where, self.tokens) as sender:
            await sender.send(messages)

    def _messages(self, part: Block) -> Iterator[Message]:
        for uid, device in self.ids.items():
            readings = [
                {"ts": int(part.ts[at]) // 1000, "seq": int(part.seq[at]), "values": self._values(part, at)}
                for at in np.flatnonzero(part.device == device).tolist()
            ]
            yield Message(uid, "telemetry", json.dumps(readings).encode(), len(readings))

    def _values(self, part: Block, at: int) -> dict[str, float]:
        told = dict(zip(METRICS, part.values[at].tolist(), strict=True)) | {"state": float(part.state[at])}
        return {name: value for name, value in told.items() if np.isfinite(value)}

    def kill_analytics(self) -> None:
        """No goodbye; the family's supervisor starts another."""
        child = self.family.children["analytics"]
        dead = child.process.pid
        child.process.kill()
        self.wait(lambda: child.process.pid != dead, "another analytics process")

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Mend the family until a condition holds."""

        def holds() -> bool:
            self.family.mend()
            return condition()

        until(holds, what, seconds=120)

    def orders(self, uid: str) -> list[dict[str, object]]:
        return rows(
            self.conn,
            """select o.id, o.type, o.state, o.failure_mode, o.repeat_of from fsm.work_order o
               where o.device_id = %s and o.component = 'bearing' order by o.id""",
            (self.ids[uid],),
        )

    def check(self, uid: str) -> str | None:
        found: str | None = scalar(
            self.conn, "select state from analytics.recovery where device_id = %s", (self.ids[uid],)
        )
        return found


@pytest.fixture
def plant(db: Conn, dsn: str, tmp_path: Path) -> Iterator[Plant]:
    clock.set_rate(db, 0.0, sim=moment(START))
    with db.transaction():
        device_types.load_shipped(db)
        made = [registry.provision(db, f"P-{at}", MODEL, moment(START)) for at in range(4)]
    InStep(db, Settings()).registered({one.uid: one.device_id for one in made}, moment(START))
    port = free_port("127.0.0.1", 0)
    family = Supervisor(dsn, {"endpoint__port": port, "endpoint__host": "127.0.0.1"}, tmp_path / "logs")
    family.start(NAMES)
    try:
        until(lambda: listens(db), "the end point", seconds=60)
        yield Plant(db, family, Where("127.0.0.1", port), {one.uid: one.token for one in made})
    finally:
        family.stop()


def listens(conn: Conn) -> bool:
    return bool(scalar(conn, "select exists (select from kit.process where name = 'endpoint')"))


def repair(plant: Plant, uids: tuple[str, ...], at: datetime) -> None:
    """An engineer finishes the orders of these bearings."""
    InStep(plant.conn, Settings()).replaced(at, [(uid, "bearing") for uid in uids])


@pytest.mark.slow
def test_a_repair_that_did_not_hold_opens_a_repeat_order_and_one_that_held_does_not_though_analytics_is_killed(
    plant: Plant,
) -> None:
    plant.send(START, START + 9 * DAY)
    plant.kill_analytics()
    plant.send(START + 9 * DAY, REPAIR)
    plant.wait(lambda: all(plant.orders(uid) for uid in (HELD, FAILED)), "orders for both bearings")
    repair(plant, (HELD, FAILED), moment(REPAIR))
    for uid in (HELD, FAILED):
        assert [order["state"] for order in plant.orders(uid)] == ["work_done"]

    plant.send(REPAIR, REPAIR + 2 * DAY)
    plant.kill_analytics()
    plant.send(REPAIR + 2 * DAY, END)
    plant.wait(lambda: plant.check(HELD) == "recovered", "the repair that held")
    plant.wait(lambda: len(plant.orders(FAILED)) == 2, "the repeat order")

    first, again = plant.orders(FAILED)
    assert plant.check(FAILED) == "not_recovered"
    assert (again["type"], again["repeat_of"], again["failure_mode"]) == (
        "repeat",
        first["id"],
        "bearing_wear",
    )
    (held,) = plant.orders(HELD)
    assert held["type"] == "condition"
    assert scalar(plant.conn, "select count(*) from kit.failed_fact") == 0
    sent = scalar(plant.conn, "select count(*) from ingest.telemetry")
    assert sent == len(plant.block), "every row is stored once"
