"""The jobs of failure prediction and remaining life in the analytics worker: score each step, learn when it is time.

Learning takes minutes of computing, so it runs in a process of its own (`python -m analytics.prediction.learn MODEL`),
one at a time and at low priority; the worker only starts it and looks whether it has ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta

from analytics.prediction import (
    drift,
    failure,
    late,
    life_scoring,
    life_train,
    scoring,
    store,
    stored,
    train,
    waiting,
)
from analytics.prediction.schedule import ENOUGH, LEARN_AGAIN, RETRY
from analytics.store import microseconds
from kit import clock, logs, settings
from kit.database import EPOCH, Conn
from kit.process import Job

log = logs.get(__name__)
SCORE_SECONDS = 60.0
LEARN_SECONDS = 10.0  # is the one that learns ready? …
LOOK_SECONDS = 600.0  # … who is due? (at once after one that was ready)
MOST_SECONDS = 86_400.0  # between two tries of one that is killed each time
KEEP = timedelta(days=90)
SETTLE = timedelta(minutes=15)  # the last hour of a step must have been received and rolled up …
LAG_SECONDS = 10.0  # … which takes real time as well: where the clock runs fast, all would be late else


def jobs(dsn: str) -> list[Job]:
    """What the analytics worker does about predictions."""
    learner = Learner(dsn)
    return [
        Job("prediction.score", SCORE_SECONDS, score),
        Job("prediction.learn", LEARN_SECONDS, learner.look),
    ]


def score(conn: Conn) -> None:
    """Score every device type that has a model in force; what late rows made stale first."""
    now = settled(conn)
    late.notice(conn)
    for model in models(conn):
        with conn.transaction():
            late.revise(conn, model)
            scoring.score(conn, model, now)
        with conn.transaction():
            life_scoring.score(conn, model, now)
    with conn.transaction():
        store.drop_predictions(conn, KEEP)


def settled(conn: Conn) -> datetime:
    """Up to when everything should have been received and rolled up."""
    shown = clock.load(conn)
    return shown.now() - max(SETTLE, timedelta(seconds=LAG_SECONDS * shown.rate))


def models(conn: Conn) -> list[str]:
    """Device types that have devices."""
    return [model for (model,) in conn.execute("select distinct model from ingest.device order by 1")]


class Learner:
    """Starts a learning process when a device type is due and none is running."""

    def __init__(self, dsn: str, start: Callable[[str, str], subprocess.Popen[bytes]] | None = None) -> None:
        self._dsn = dsn
        self._start = start or start_process
        self._running: subprocess.Popen[bytes] | None = None
        self._model = ""  # that one's
        self._tried: dict[str, datetime] = {}
        self._killed: dict[str, tuple[int, float]] = {}  # how often in a row, and not again before
        self._next = 0.0

    def look(self, conn: Conn) -> None:
        """Start the next learning that is due."""
        if self._running is not None:
            if self._running.poll() is None:
                return
            self._ended(self._running.returncode)
            self._running = None
            self._next = 0.0
        if time.monotonic() < self._next or waiting.held(conn):
            return
        self._next = time.monotonic() + LOOK_SECONDS
        now = clock.now(conn)
        for model in models(conn):
            # What could not be learned from today's history can't be an hour later either.
            if now - self._tried.get(model, EPOCH) < RETRY:
                continue
            if time.monotonic() < self._killed.get(model, (0, 0.0))[1]:
                continue
            if waiting.behind(conn, model):
                self._next = 0.0
                continue
            if reason := due(conn, model, now):
                self._tried[model], self._model = now, model
                log.info("learning", model=model, reason=reason)
                self._running = self._start(self._dsn, model)
                return

    def _ended(self, code: int) -> None:
        """One that was killed has said nothing of what there is to learn: it is tried again soon, unless it is killed
        again and again, as it is where memory is short."""
        times, _ = self._killed.pop(self._model, (0, 0.0))
        if code < 0:
            pause = min(LOOK_SECONDS * 2**times, MOST_SECONDS)
            self._killed[self._model] = times + 1, time.monotonic() + pause
            del self._tried[self._model]
            log.error("learning was killed", model=self._model, signal=-code, again_in_seconds=pause)
        elif code:
            log.error("learning failed", model=self._model, code=code)


def due(conn: Conn, model: str, now: datetime) -> str | None:
    """Why a device type is to be learned now, or None; never without enough failures to learn from."""
    past = stored.population(conn, model)
    if past is None:
        return None
    devices, components = past
    failures = stored.failures(conn, model, now, devices, components)
    if max(Counter(failures.kind.tolist()).values(), default=0) < ENOUGH:
        return None
    last = store.last_trained(conn, train.KIND, model)
    if last is None:
        return "never learned"
    lives = store.last_tried(conn, life_train.KIND, model)
    if lives is None:
        return "remaining lives never learned"
    if lives < last:
        return "remaining lives not learned since"
    if now - last >= LEARN_AGAIN:
        return "a month has passed"
    if now - last < RETRY:
        return None
    position = {int(device): at for at, device in enumerate(devices)}
    for component, version in store.in_force(conn, train.KIND, model).items():
        said = [
            (position[device], microseconds(ts), p)
            for device, ts, p in store.predictions(conn, version.id, now)
        ]
        came = failures.only(components.index(component)) if component in components else failures.only(-1)
        if drift.grown(drift.errors(said, came, failure.Settings().horizon_hours, microseconds(now))):
            return f"the error for {component} has grown"
    return None


def start_process(dsn: str, model: str, *, iterations: int | None = None) -> subprocess.Popen[bytes]:
    """Learn one device type in a process of its own; `iterations` of boosting, by default as many as is good."""
    more = [] if iterations is None else [str(iterations)]
    return subprocess.Popen(
        [sys.executable, "-m", "analytics.prediction.learn", model, str(os.getpid()), *more],
        env=settings.environment(database_url=dsn) | {"OMP_NUM_THREADS": "1"},
    )
