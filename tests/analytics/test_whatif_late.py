"""With the rules in force a what-if gives what live gave, in whatever order the rows came."""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import backtest, worker
from analytics import partitions as shares
from analytics.block import Block
from analytics.definitions import DAY, HOUR, Ints
from analytics.store import moment
from analytics.whatif import result
from fsm_core.plans import worker as plans
from kit import clock, follow, logs
from kit.database import Conn, rows
from kit.settings import Analytics, Settings
from tests.analytics import machines, stored
from tests.analytics.machines import CURRENT, PRESSURE, START, VIBRATION, Fault
from tests.fsm_core import factory

DAYS = 12
FAULTS = ((VIBRATION, 7.0, 6.0), (PRESSURE, 8.0, -2.5), (CURRENT, 8.5, 60.0))  # metric, onset in days, size
CODE = START + 9 * DAY + 5 * HOUR


@pytest.fixture
def devices(db: Conn) -> list[int]:
    """Six pumps, each of a customer's site of its own."""
    found = stored.prepare(db, 6)
    factory.calendar(db)
    factory.sla_plan(db)
    customer = factory.customer(db)
    for device in found:
        db.execute(
            """insert into fsm.device (id, serial, site_id, installed_on, qr_token)
               values (%s, %s, %s, %s, %s)""",
            (device, f"S-{device}", factory.site(db, customer), date(2026, 1, 1), f"qr-{device}"),
        )
    return found


def forget(conn: Conn) -> None:
    conn.execute(
        """truncate ingest.telemetry, ingest.batch, ingest.fault_event, analytics.detection, analytics.reset,
               analytics.known_reset, analytics.recovery, analytics.device_state, analytics.fleet, analytics.step,
               analytics.snapshot, analytics.tuning_use, kit.follower, kit.state, fsm.work_order restart identity
           cascade"""
    )


def came(block: Block, rng: np.random.Generator) -> Ints:
    """When each row came, µs: most at once, some hours late one by one, some together after an outage."""
    found = block.ts + rng.integers(0, 60_000_000, len(block))
    alone = rng.random(len(block)) < 0.03
    found[alone] += rng.integers(1, 30 * HOUR, int(alone.sum()))
    for device in np.unique(block.device):
        for _ in range(rng.integers(0, 4)):
            begin = START + int(rng.integers(0, DAYS * DAY))
            end = begin + int(rng.integers(1, 40)) * HOUR
            out = (block.device == device) & (found >= begin) & (found < end)
            found[out] = end + rng.integers(0, HOUR, int(out.sum()))
    return found


def live(conn: Conn, devices: list[int], seed: int, partitions: int, hours: int) -> None:
    """The fleet's days as they came, so many hours in a batch, each in any order; detection and orders follow."""
    rng = np.random.default_rng(seed)
    faults = [Fault(devices[at], metric, day, 2.5, size) for at, (metric, day, size) in enumerate(FAULTS)]
    block = machines.rows(devices, machines.times(DAYS), seed=seed, faults=faults, mess=True)
    arrived = came(block, rng)
    codes = [(devices[5], moment(CODE), "E101", True), (devices[5], moment(CODE + 3 * HOUR), "E101", False)]
    code_came = CODE + int(rng.integers(0, 30)) * HOUR
    assert shares.agree(conn, partitions) == partitions
    followers = worker.followers(Settings(analytics=Analytics(partitions=partitions)))
    followers += plans.followers(Settings())
    repaired = START + 10 * DAY
    for since in range(START, int(arrived.max()) + 1, hours * HOUR):
        until = since + hours * HOUR
        clock.set_rate(conn, 0, sim=moment(until))
        part = rng.permutation(np.flatnonzero((arrived > since) & (arrived <= until)))
        stored.write(conn, block.take(part), codes if since < code_came <= until else ())
        if since < repaired + 5 * HOUR <= until:  # told some hours after it was done
            conn.execute(
                "insert into analytics.reset (device_id, component, ts, reason) values (%s, 'bearing', %s, 'done')",
                (devices[0], moment(repaired)),
            )
        follow.catch_up(conn, followers)


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10_000), partitions=st.sampled_from([1, 3]), hours=st.sampled_from([12, 30]))
def test_the_rules_in_force_find_and_order_again_what_live_found_and_ordered(
    db: Conn, devices: list[int], seed: int, partitions: int, hours: int
) -> None:
    forget(db)
    with logs.quiet():
        live(db, devices, seed, partitions, hours)
    report = backtest.run(db, moment(START), moment(START + DAYS * DAY), None)
    raised = rows(
        db,
        """select * from analytics.detection where kind = 'raise' and rule <> 'recovery'
           order by device_id, ts, rule""",
    )
    again = sorted(report.live, key=lambda one: (one.device_id, one.ts, one.rule))
    assert [
        (one.device_id, one.ts, one.rule, one.failure_mode, one.score, one.evidence) for one in again
    ] == [(r["device_id"], r["ts"], r["rule"], r["failure_mode"], r["score"], r["evidence"]) for r in raised]
    assert ordered(report) == opened(db)
    assert len(again) >= 2
    real = result.of(db, report)["real"]
    assert (real["orders"], real["again"], real["missing"]) == (len(opened(db)), len(opened(db)), [])
    assert (real["stay"], real["vanish"]) == (len(opened(db)), 0)
    numbers = db.execute(
        "select id, number from fsm.work_order where source = 'automatic' order by number"
    ).fetchall()
    assert [(one["id"], one["number"]) for one in real["listed"]] == numbers


def ordered(report: backtest.Report) -> list[tuple[int, str, datetime, str]]:
    return sorted(
        (pair.live.device_id, pair.live.failure_mode, pair.live.ts, pair.live.rule)
        for pair in report.orders
        if pair.live is not None
    )


def opened(conn: Conn) -> list[tuple[int, str, datetime, str]]:
    return conn.execute(
        """select d.device_id, d.failure_mode, d.ts, d.rule from fsm.episode_signal s
           join analytics.detection d on d.id = s.detection_id where s.outcome in ('opened', 'reopened')
           order by 1, 2, 3, 4"""
    ).fetchall()
