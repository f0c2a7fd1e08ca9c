"""What failure models said while rows and codes came late, a what-if says again: it knows no more than they did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from analytics.definitions import DAY, HOUR
from analytics.prediction import jobs, scoring, store, train
from analytics.prediction import stored as pasts
from analytics.prediction.decision import Costs, Policy
from analytics.prediction.failure import Settings
from analytics.prediction.history import History
from analytics.store import microseconds, moment
from analytics.whatif import foreseen, past
from ingest import rollup, storage
from kit import clock, logs
from kit.database import Conn, rows, scalar
from tests.prediction import stored
from tests.prediction.machines import START, fleet
from tests.prediction.stored import MODEL

STEP = scoring.STEP
FROM, TO = START + 57 * DAY, START + 62 * DAY
POLICY = {MODEL: Policy({}, Costs())}


@dataclass
class Live:
    """The end of a fleet's history as raw rows and codes that come when they come, scored at every step."""

    conn: Conn
    history: History
    ids: list[int]
    rng: np.random.Generator

    def run(self) -> None:
        waiting = [*self._rows(), *self._codes()]
        shape = scalar(
            self.conn,
            "insert into ingest.shape (metrics) values (%s) returning id",
            (list(self.history.metrics),),
        )
        storage.ensure_range(self.conn, moment(FROM), moment(TO))
        for step in range(FROM + STEP, TO + 1, STEP):
            now = step + microseconds(moment(0) + jobs.SETTLE)
            clock.set_rate(self.conn, 0, sim=moment(now))
            self._commit([one for one in waiting if one[0] <= now], shape)
            waiting = [one for one in waiting if one[0] > now]
            self._repair(step)
            jobs.score(self.conn)
        clock.set_rate(self.conn, 0, sim=moment(TO + 30 * DAY))
        self._commit(waiting, shape)

    def _late(self, device: int, ts: int) -> int:
        """When something of that time comes: some hours late in each device's two bad times."""
        rng = np.random.default_rng(100 + device)
        for begin in FROM + rng.integers(0, 40, 2) * STEP:
            end = int(begin) + int(rng.integers(4, 30)) * HOUR
            if begin <= ts < end:
                return end + int(self.rng.integers(0, HOUR))
        return ts + int(self.rng.integers(0, HOUR // 10))

    def _rows(self) -> list[tuple[int, int, int, object]]:
        """(came, device, ts, values), two a step."""
        found: list[tuple[int, int, int, object]] = []
        for at, known in enumerate(self.history.known.tolist()):
            for device in range(len(self.ids)):
                for hours, off in ((2, 0.2), (1, -0.2)):
                    ts = known - hours * HOUR
                    values = self.history.values[device, at] + off
                    if FROM < known <= TO:
                        found.append((self._late(device, ts), device, ts, values.tolist()))
        return found

    def _codes(self) -> list[tuple[int, int, int, object]]:
        """The same of fault codes; those of every other device come hours after its rows."""
        log = self.history.faults
        return [
            (self._late(device, ts) + device % 2 * 8 * HOUR, device, ts, self.history.codes[kind])
            for device, ts, kind in zip(log.device.tolist(), log.ts.tolist(), log.kind.tolist(), strict=True)
            if FROM < ts <= TO
        ]

    def _commit(self, came: list[tuple[int, int, int, object]], shape: int) -> None:
        if not came:
            return
        times = [moment(ts) for _, _, ts, _ in came]
        batch = scalar(
            self.conn,
            """insert into ingest.batch (door, messages, rows, readings, duplicates, first_ts, last_ts)
               values ('test', 0, 0, 0, 0, %s, %s) returning id""",
            (min(times), max(times)),
        )
        values = [one for one in came if isinstance(one[3], list)]
        self.conn.cursor().executemany(
            """insert into ingest.telemetry (batch_id, ts, device_id, seq, shape_id, "values", received_at)
               values (%s, %s, %s, 0, %s, %s, %s)""",
            [(batch, moment(ts), self.ids[d], shape, v, moment(at)) for at, d, ts, v in values],
        )
        self.conn.cursor().executemany(
            "insert into ingest.rollup_dirty values (%s, date_trunc('hour', %s), date_trunc('hour', %s))",
            [(self.ids[d], moment(ts), moment(ts)) for _, d, ts, _ in values],
        )
        self.conn.cursor().executemany(
            """insert into ingest.fault_event (batch_id, device_id, ts, code, active, received_at)
               values (%s, %s, %s, %s, true, %s) on conflict do nothing""",
            [(batch, self.ids[d], moment(ts), c, moment(at)) for at, d, ts, c in came if isinstance(c, str)],
        )
        with self.conn.transaction():
            rollup.step(self.conn)

    def _repair(self, step: int) -> None:
        log = self.history.repairs
        due = (log.ts > step - STEP) & (log.ts <= step)
        for device, ts in zip(log.device[due].tolist(), log.ts[due].tolist(), strict=True):
            self.conn.execute(
                "insert into analytics.reset (device_id, component, ts, reason) values (%s, 'bearing', %s, 'x')",
                (self.ids[device], moment(ts)),
            )


@pytest.fixture
def live(db: Conn) -> Live:
    history, failures = fleet(devices=10, days=66)
    written = stored.write(db, history.until(FROM), failures.until(FROM))
    clock.set_rate(db, 0, sim=moment(FROM))
    with db.transaction():
        train.train(db, MODEL, moment(FROM), settings=Settings(iterations=20))
    assert set(store.in_force(db, "failure", MODEL)) == {"bearing"}
    made = Live(db, history, written.devices.tolist(), np.random.default_rng(1))
    with logs.quiet():
        made.run()
    return made


def said(conn: Conn) -> list[tuple[object, ...]]:
    """What live scoring raised and cleared."""
    found = rows(
        conn, "select * from analytics.detection where rule = 'prediction' order by device_id, ts, kind"
    )
    return [
        (r["device_id"], r["ts"], r["kind"], r["failure_mode"], round(r["score"], 9))
        + ((r["evidence"],) if r["kind"] == "raise" else ())
        for r in found
    ]


def again(conn: Conn) -> list[tuple[object, ...]]:
    """What a what-if makes of the same time."""
    sources = foreseen.known_then(conn, MODEL, moment(FROM), moment(TO))
    found = foreseen.foresee(conn, sources, moment(FROM), moment(TO), POLICY).found
    told = [(d, moment(f.ts), f.kind, f.mode, f) for d, f in found]
    return [
        (*one[:4], round(one[4].score, 9) if one[2] == "raise" else 0.0)
        + ((one[4].evidence(),) if one[2] == "raise" else ())
        for one in sorted(told, key=lambda one: one[:3])
    ]


def a_part_of_the_devices_has_the_past_that_the_scoring_reads(db: Conn) -> None:
    names = past.names(db, MODEL, moment(TO))
    assert names is not None
    some = names.devices[2:5]
    whole = pasts.history(db, MODEL, moment(FROM - 20 * DAY), moment(TO))
    part = past.load(db, names, some, moment(FROM - 20 * DAY), moment(TO))
    assert whole is not None
    assert part is not None
    assert np.array_equal(part.history.values, whole.values[2:5], equal_nan=True)
    assert part.history.known.tolist() == whole.known.tolist()
    for log, its in ((whole.faults, part.history.faults), (whole.repairs, part.history.repairs)):
        ours = (log.device >= 2) & (log.device < 5)
        assert (log.device[ours] - 2).tolist() == its.device.tolist()
        assert (log.ts[ours].tolist(), log.kind[ours].tolist()) == (its.ts.tolist(), its.kind.tolist())
    late = part.hidden(FROM)
    assert late, "something came late"
    step, (devices, _) = next((step, both) for step, both in late.items() if len(both[0]))
    assert any(len(codes) for _, codes in late.values()), "and a code alone did"
    then = part.at(step, devices)
    assert int(then.known[-1]) == step
    before = part.history.values[devices][:, : then.values.shape[1]]
    assert not np.array_equal(then.values, before, equal_nan=True)


def test_rows_and_codes_that_came_late_are_late_again(live: Live) -> None:
    db, there = live.conn, said(live.conn)
    assert len([one for one in there if one[2] == "raise"]) >= 3
    assert again(db) == there
    a_part_of_the_devices_has_the_past_that_the_scoring_reads(db)
    # Had everything come in time, it would have been said otherwise: the comparison can fail.
    db.execute("update ingest.telemetry set received_at = ts")
    db.execute("update ingest.fault_event set received_at = ts")
    assert again(db) != there


def test_what_counts_as_in_time_is_what_the_job_waits_for() -> None:
    assert past.SETTLE == jobs.SETTLE
