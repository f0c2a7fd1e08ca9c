"""The learning process: failures and remaining lives of one device type, `python -m analytics.prediction.learn MODEL`.

A module of its own, because what the worker watches the live error with (river) takes seconds to import.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from analytics.prediction import failure, life_train, train
from analytics.prediction.train import Trained
from kit import clock, logs, settings
from kit.database import connect, url
from kit.process import die_with_parent

log = logs.get("analytics.prediction.learn")  # not __main__, which it is
ROLE = "meantime_analytics"


def main(model: str, parent: int | None = None, iterations: int | None = None) -> None:
    """The learning process."""
    of_failures, of_lives = failure.Settings(), life_train.SETTINGS
    if iterations is not None:
        of_failures = replace(of_failures, iterations=iterations)
        of_lives = replace(of_lives, iterations=iterations)
    if parent is not None:
        die_with_parent(parent)
    os.nice(10)
    found = settings.load()
    logs.configure(found, "learn")
    dsn = url(found)
    with connect(dsn, role=ROLE, application="analytics.learn", autocommit=True) as conn:
        conn.execute("set idle_in_transaction_session_timeout = 0")
        conn.execute("set statement_timeout = 0")  # a year of a large fleet's hours is read at once
        with conn.transaction():
            learned = train.train(conn, model, clock.now(conn), settings=of_failures)
        _tell(model, train.KIND, learned)
        with conn.transaction():
            learned = life_train.learn(conn, model, clock.now(conn), of_lives)
        _tell(model, life_train.KIND, learned)


def _tell(model: str, kind: str, learned: Sequence[Trained]) -> None:
    for one in learned:
        log.info("learned", model=model, component=one.component, kind=kind, verdict=one.verdict)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:4]))
