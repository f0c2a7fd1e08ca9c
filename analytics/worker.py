"""The streaming worker: follows committed batches and repairs, writes detections and state in one transaction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from analytics import evidence, partitions, store, switched_off
from analytics.days import Fact, days_of
from analytics.definitions import DAY
from analytics.detectors.protocol import Finding
from analytics.engine import Engine
from analytics.fleet import Fleet
from analytics.prediction.jobs import jobs as prediction_jobs
from analytics.reader import Reader
from analytics.recovery import store as recoveries
from analytics.recovery import worker as recovery
from analytics.store import Position, moment
from analytics.whatif.worker import job as backtest_job
from kit import follow, logs
from kit.database import Conn
from kit.errors import Invalid
from kit.process import Job, Worker
from kit.settings import Settings
from kit.shares import Shares

log = logs.get(__name__)
NAME = "analytics"
SNAPSHOT_DAYS = 7
PACE = 0.05  # small batches are left to gather for so many seconds: below 100 rows a step costs as much as with them
FEW = 100


class Partition:
    """Engines of all device types for a share of the devices."""

    def __init__(self, partition: int, partitions: int) -> None:
        self.partition, self.partitions = partition, partitions
        self.batches = follow.Follower(f"analytics.batch.{partition}", "ingest.batch", self.take, limit=200)
        self._resets = follow.Follower(
            f"analytics.reset.{partition}", "analytics.reset", self.know, limit=500
        )
        self._retune = follow.Follower(f"analytics.tuning.{partition}", "analytics.tuning", self.retune)
        self._known: tuple[int, str] | None = None  # step and signature that this memory stands for
        self._engines: dict[str, Engine] = {}
        self._layouts: dict[str, int] = {}
        self._tuning: int | None = None
        self._reader = Reader({}, {})
        self._dirty: dict[str, set[int]] = {}

    @property
    def followers(self) -> list[follow.Follower]:
        """Repairs and changed rules first: those that are known count for the batches that come."""
        return [self._resets, self._retune, self.batches]

    def know(self, conn: Conn, facts: list[dict[str, Any]]) -> None:
        """Take note of repairs, from where the batches stand."""
        ours = [fact for fact in facts if fact["device_id"] % self.partitions == self.partition]
        store.know_resets(conn, ours, self._stand(conn))
        recovery.begin(conn, [fact["id"] for fact in ours], self.partition)

    def _stand(self, conn: Conn) -> Position:
        """How far the batches have been processed."""
        xid, batch = follow.position(conn, self.batches)
        return Position(int(xid), batch)

    def retune(self, conn: Conn, facts: list[dict[str, Any]]) -> None:
        """Take up changed rules now, however long the devices are silent: what a rule that is off now had left open
        is closed."""
        self._stand(conn)  # the lock of the batches comes before that of the step, as in `take`
        self.take(conn, [])

    def take(self, conn: Conn, facts: list[dict[str, Any]]) -> None:
        """Step through committed batches."""
        number, day = store.take_step(conn, self.partition)
        signature = store.signature(conn)
        known, self._known, self._dirty = self._known, None, {}  # memory is ahead of the database from here …
        if known != (number, signature):
            self._load(conn)
        for group, new_day in days_of(facts, day):
            self._step(conn, group)
            if new_day is not None:
                day = new_day
                self._learn_fleets(conn, _position(group[-1]), day)
        self._check_repairs(conn)
        for model, devices in self._dirty.items():
            store.save_states(conn, self._layouts[model], self._engines[model].dump_all(sorted(devices)))
        store.end_step(conn, self.partition, number + 1, day)
        self._known = (number + 1, signature)  # … to here

    def _load(self, conn: Conn) -> None:
        """Read definitions, tuning, states and fleets; close what switched-off rules have left open."""
        definitions = store.definitions(conn)
        self._tuning, rules = store.tuning(conn)
        stand = self._stand(conn)
        store.use_tuning(conn, self.partition, stand, self._tuning)
        self._reader = Reader(definitions, store.state_metrics(conn))
        self._engines = {model: Engine(definition, rules) for model, definition in definitions.items()}
        self._layouts = {
            model: store.layout_id(conn, engine.layout) for model, engine in self._engines.items()
        }
        layouts = store.layouts(conn)
        closed: list[tuple[int, Finding]] = []
        for device, model, layout, state in store.states(conn, self.partition, self.partitions):
            if (engine := self._engines.get(model)) is None:
                continue
            try:
                engine.load(device, state, layouts[layout])
            # One device's spoilt state must not keep the others from being watched.
            except Invalid as refusal:
                log.error("state refused, starting anew", device=device, error=str(refusal))
                continue
            left = switched_off.closings(
                engine.definition, state, layouts[layout], rules.detectors, stand.batch
            )
            if left:
                self._dirty.setdefault(model, set()).add(device)
                closed += [(device, finding) for finding in left]
        evidence.save_detections(conn, closed, self._tuning, self.partition)
        _report(closed)
        for model, engine in self._engines.items():
            if known := store.fleets(conn, self.partition, model):
                engine.baseline.fleet = Fleet.from_json(known[-1][1], engine.definition.axis("metric"))

    def _step(self, conn: Conn, facts: Sequence[Fact]) -> None:
        blocks, events = self._reader.batches(conn, facts, self.partition, self.partitions)
        for model in sorted(blocks.keys() | events.keys()):
            engine, its = self._engines[model], events.get(model, [])
            block = blocks[model] if model in blocks else engine.nothing()
            devices = set(block.device.tolist()) | {event.device for event in its}
            done = engine.step(block, its, store.open_resets(conn, devices))
            self._dirty.setdefault(model, set()).update(done.touched.tolist())
            if done.applied:
                store.mark_applied(conn, done.applied, _position(facts[-1]))
            if done.findings:
                evidence.save_detections(conn, done.findings, self._tuning, self.partition)
                _report(done.findings)

    def _check_repairs(self, conn: Conn) -> None:
        """After the detections of these batches: whether the signals of repaired devices have come back."""
        for watch in recoveries.watched(conn, self.partition, self.partitions):
            engine = self._engines.get(watch["model"])
            if engine is not None and watch["device_id"] in self._dirty.get(watch["model"], ()):
                until = moment(engine.newest(watch["device_id"]))
                if until > watch["look_at"]:
                    recovery.look(conn, self._reader, engine.definition, watch, until, self.partition)

    def _learn_fleets(self, conn: Conn, at: Position, day: int) -> None:
        """At the beginning of a day of event time: the priors of new devices, and some devices' snapshots."""
        recoveries.give_up(conn, moment(day * DAY) - recovery.GIVE_UP, self.partition, self.partitions)
        for model, engine in self._engines.items():
            if not engine.devices:
                continue
            store.save_fleet(
                conn, self.partition, model, at, engine.refresh_fleet(), engine.definition.axis("metric")
            )
            due = [device for device in engine.devices if device % SNAPSHOT_DAYS == day % SNAPSHOT_DAYS]
            store.save_snapshots(conn, self._layouts[model], at, engine.dump_all(due))


def _position(fact: Fact) -> Position:
    return Position(int(fact["xid"]), fact["id"])


def _report(findings: Sequence[tuple[int, Finding]]) -> None:
    for device, finding in findings:
        log.info("detection", device=device, kind=finding.kind, rule=finding.rule, mode=finding.mode)


def followers(settings: Settings) -> list[follow.Follower]:
    """Fresh followers of all partitions, for one process."""
    count = settings.analytics.shares
    return [f for at in range(count) for f in Partition(at, count).followers]


def make_worker(dsn: str, settings: Settings, *, suffix: str = "") -> Worker:
    """The process; `suffix` tells several apart, which share the partitions. What is done once for all is done by the
    one that has the first partition."""
    shares = Shares(
        partitions.WORK,
        NAME,
        agree=lambda conn: partitions.agree(conn, settings.analytics.shares),
        followers=lambda at, count: [_paced(follower) for follower in Partition(at, count).followers],
        sources=("ingest.batch", "analytics.reset", "analytics.tuning"),
    )
    jobs = [Job("forget", 3600, lambda conn: _forget(conn, settings.ingest.raw_retention_days))]
    jobs = [_led(job, shares) for job in [*jobs, *prediction_jobs(dsn), backtest_job(dsn)]]
    return Worker(NAME + suffix, dsn, "meantime_analytics", jobs=jobs, shares=shares)


def _led(job: Job, shares: Shares) -> Job:
    """The job, done only where the first partition is."""

    def run(conn: Conn) -> bool | None:
        return job.run(conn) if shares.leads else None

    return Job(job.name, job.seconds, run)


def _forget(conn: Conn, days: int) -> None:
    """Snapshots are of use only as long as the rows after them are kept."""
    with conn.transaction():
        store.drop_snapshots(conn, timedelta(days=days))


def _paced(follower: follow.Follower) -> follow.Follower:
    """Let small batches gather: facts that arrive one by one are then taken together by the next step."""
    if follower.source != "ingest.batch":
        return follower

    def handle(conn: Conn, facts: list[dict[str, Any]]) -> None:
        follower.handle(conn, facts)
        if sum(fact["rows"] for fact in facts) < FEW:
            time.sleep(PACE)

    return follow.Follower(follower.name, follower.source, handle, follower.limit, follower.where)
