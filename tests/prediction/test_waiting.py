"""Learning waits for a past that is being brought in."""

from __future__ import annotations

import subprocess

from analytics.definitions import DAY
from analytics.prediction import jobs, waiting
from analytics.store import moment
from kit import clock
from kit.database import Conn
from tests.prediction import stored
from tests.prediction.machines import START, fleet

END = moment(START + 75 * DAY)


def test_nothing_is_learned_from_half_of_a_past(db: Conn, dsn: str) -> None:
    stored.write(db, *fleet())
    clock.set_rate(db, 0, sim=END)
    started: list[str] = []

    def start(_: str, model: str) -> subprocess.Popen[bytes]:
        started.append(model)
        return None  # type: ignore[return-value]

    learner = jobs.Learner(dsn, start)
    waiting.hold(db, "a test")
    learner.look(db)
    waiting.release(db, "a test")
    db.execute(
        """insert into ingest.rollup_dirty select id, kit.now() - interval '40 days', kit.now() - interval '39 days'
           from ingest.device limit 1"""
    )
    learner.look(db)
    assert started == []
    db.execute("delete from ingest.rollup_dirty")
    learner.look(db)
    assert started == [stored.MODEL]
