"""The fleet's past before the history: what a historian and a maintenance system had recorded, to learn from.

What is small (failures, replacements, fault codes) is there before the history is lived; the readings, as hourly
rollups of which one in three hours has a reading, are brought in beside the running demo, some devices at a time.
Each step is one transaction with its place in `kit.state`, so one that was killed is gone and is done again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

import psycopg
from psycopg.types.json import Jsonb

from analytics import worker as analytics
from analytics.prediction import waiting
from fsm_core.plans import worker as plans
from ingest.message import Arrival
from ingest.store import Store
from kit import follow, logs
from kit.database import Conn, connect, one, scalar
from kit.settings import Settings
from simulators import past, readings, truth
from simulators.faults import Fault, moment
from simulators.fleet import Machine, fleet
from simulators.past import Recorded

log = logs.get(__name__)
PLACE = "demo_past"  # in kit.state: the period, and how many machines are done; gone when all are
REASON = "demo"
DAYS = timedelta(days=180)  # of it
AT_ONCE = 6  # machines in a transaction: a longer one would hold up everybody who follows facts
PATIENCE = 150.0  # seconds after which the readings come in although no order has been opened
PAUSE = 0.1  # seconds between two transactions: the demo comes first
FIRST_ORDER = "select exists (select from fsm.work_order where source = 'automatic' and opened_at >= %s)"


def begin(conn: Conn, settings: Settings, machines: Sequence[Machine], start: datetime) -> None:
    """Plan the days before `start` and write all but the readings, in the caller's transaction."""
    seed, since = settings.simulation.seed, start - DAYS
    faults = past.plan(seed, machines, since, start)
    truth.save(conn, faults)
    _tell_codes(conn, settings, machines, faults, since, start)
    _tell_failures(conn, faults)
    # All this was before the product: it has neither found nor repaired any of it.
    for follower in [*analytics.followers(settings), *plans.followers(settings)]:
        follow.skip_to_end(conn, follower)
    waiting.hold(conn, REASON)
    value = {"from": since.isoformat(), "until": start.isoformat(), "machines": 0}
    conn.execute("insert into kit.state (name, value) values (%s, %s)", (PLACE, Jsonb(value)))


def _tell_codes(
    conn: Conn, settings: Settings, machines: Sequence[Machine], faults: Sequence[Fault], since: datetime,
    start: datetime,
) -> None:  # fmt: skip
    prefix, store = settings.ingest.topic_prefix, Store(settings.ingest, door="seed")
    events = past.codes(settings.simulation.seed, machines, faults, since, start)
    arrivals = [
        Arrival(f"{prefix}/{event.uid}/fault", readings.encode([readings.fault(event)]), event.uid, event.uid,
                moment(event.ts))
        for event in events
    ]  # fmt: skip
    store.committed(store.write(conn, arrivals))


def _tell_failures(conn: Conn, faults: Sequence[Fault]) -> None:
    ids = dict(conn.execute("select uid, id from ingest.device").fetchall())
    told = [
        (ids[one.uid], one.component, moment(one.failed), moment(one.repaired), f"CMMS-{at:05}")
        for at, one in enumerate(past.failures(faults), 1)
    ]
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into analytics.failure (device_id, component, ts, known_at, reference) values (%s, %s, %s, %s, %s)",
            told,
        )
        cursor.executemany(
            "insert into analytics.reset (device_id, component, ts, reason) values (%s, %s, %s, %s)",
            [(device, component, done, f"{number} replace") for device, component, _, done, number in told],
        )


@contextmanager
def loading(dsn: str, settings: Settings, since: datetime, stop: threading.Event) -> Iterator[None]:
    """Bring in the readings on a thread of its own while the demo runs; what is left waits for the next start."""
    ended = threading.Event()

    def work() -> None:
        while not (stop.is_set() or ended.is_set()):
            try:
                with connect(dsn, application="past", autocommit=True) as conn:
                    conn.execute("set synchronous_commit = off")
                    _wait_for_order(conn, since, ended)
                    while not (stop.is_set() or ended.wait(PAUSE)) and step(conn, settings):
                        pass
                    return
            except psycopg.OperationalError as error:  # the database was killed; it comes back
                log.info("past: the database is away", error=str(error).strip())
                ended.wait(1.0)

    thread = threading.Thread(target=work, name="past", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _wait_for_order(conn: Conn, since: datetime, ended: threading.Event) -> None:
    """The demo's first order comes first."""
    waited = 0.0
    while _place(conn) and waited < PATIENCE and not scalar(conn, FIRST_ORDER, (since,)):
        if ended.wait(1.0):
            return
        waited += 1.0


def step(conn: Conn, settings: Settings) -> bool:
    """Bring in the readings of the next machines, in one transaction; False when there are none left."""
    with conn.transaction():
        place = _place(conn)
        if place is None:
            return False
        since, until, done = place
        simulation = settings.simulation
        machines = fleet(simulation.seed, simulation.devices)
        some = machines[done : done + AT_ONCE]
        numbers = {machine.number for machine in some}
        faults = [fault for fault in truth.load(conn) if fault.number in numbers]
        ids = dict(conn.execute("select uid, id from ingest.device").fetchall())
        by_number = {machine.number: ids[machine.uid] for machine in some}
        for part in past.recorded(simulation.seed, some, faults, since, until):
            _insert(conn, part, by_number)
        _move(conn, done + len(some), done + len(some) >= len(machines))
    return True


def _place(conn: Conn) -> tuple[datetime, datetime, int] | None:
    """(from, until, machines done), locked; None when all is there."""
    found = one(
        conn,
        """select (value ->> 'from')::timestamptz as since, (value ->> 'until')::timestamptz as until,
                  (value ->> 'machines')::int as done from kit.state where name = %s for update""",
        (PLACE,),
    )
    return None if found is None else (found["since"], found["until"], found["done"])


def _move(conn: Conn, done: int, all_done: bool) -> None:
    if all_done:
        conn.execute("delete from kit.state where name = %s", (PLACE,))
        waiting.release(conn, REASON)
        log.info("past loaded", machines=done)
    else:
        conn.execute(
            "update kit.state set value = value || jsonb_build_object('machines', %s::int) where name = %s",
            (done, PLACE),
        )


def _insert(conn: Conn, part: Recorded, ids: dict[int, int]) -> None:
    """One reading an hour is its rollup."""
    conn.execute(
        """insert into ingest.reading_hour (device_id, metric, bucket, n, mean, low, high, first, last)
           select device, %s, to_timestamp(hour * 3600.0), 1, value, value, value, value, value
           from unnest(%b::int[], %b::bigint[], %b::float8[]) as u(device, hour, value)
           on conflict do nothing""",
        (
            part.metric, [ids[number] for number in part.number.tolist()],
            (part.ts // 3_600_000_000).tolist(), part.values.tolist(),
        ),
    )  # fmt: skip
