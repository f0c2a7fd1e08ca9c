"""The first start of the demo: master data, the fleet, and 90 days that were lived by the product's own code."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from kit import clock, logs
from kit.database import Conn, connect, one, scalar
from kit.settings import Settings
from meantime import device_types
from meantime.demo import history, past, world
from simulators import fleet
from simulators.enrolment import enrol
from simulators.faults import micros
from simulators.fleet import Machine
from simulators.machine import hours_shown

STATE = "demo"
LOCAL = ZoneInfo("Asia/Shanghai")
START_HOUR = 8  # the live part begins on a working morning, when all shifts are ahead
HOURS_A_DAY = 21.0  # what a machine runs on average
WARRANTY, WARRANTY_HOURS = timedelta(days=3 * 365), 25_000  # whichever is first
Say = Callable[[str], None]


def run(dsn: str, settings: Settings, stop: threading.Event, say: Say) -> bool:
    """Seed what is not seeded yet; goes on where it was stopped. True when it had something to do."""
    with connect(dsn, application="seed", autocommit=True) as conn:
        conn.execute(
            "set synchronous_commit = off"
        )  # a crash loses the last moments, in order; they are lived again
        if scalar(conn, "select value ->> 'done' from kit.state where name = %s", (STATE,)) == "true":
            return False
        end = _begin(conn, settings)
        start = end - timedelta(days=settings.simulation.history_days)
        say(f"Seeding {settings.simulation.history_days} days of history (once) …")
        with logs.quiet():
            through = history.live(conn, settings, start, end, stop)
        if through:
            conn.execute("update kit.state set value = value || '{\"done\": true}' where name = %s", (STATE,))
    return True


def ends_at(conn: Conn) -> datetime:
    """When the history ends and the live part begins."""
    found = one(
        conn, "select (value ->> 'end')::timestamptz as moment from kit.state where name = %s", (STATE,)
    )
    assert found is not None
    moment: datetime = found["moment"]
    return moment


def live_start(now: datetime) -> datetime:
    """The last Tuesday to Thursday morning before `now`: a week's middle, whatever day somebody tries the demo."""
    local = now.astimezone(LOCAL).replace(hour=START_HOUR, minute=0, second=0, microsecond=0)
    while local > now or local.isoweekday() not in (2, 3, 4):
        local -= timedelta(days=1)
        local = local.replace(hour=START_HOUR)
    return local.astimezone(UTC)


def _begin(conn: Conn, settings: Settings) -> datetime:
    """Master data and devices in one transaction; when the history ends."""
    known = one(conn, "select value ->> 'end' as moment from kit.state where name = %s", (STATE,))
    if known is not None:
        return ends_at(conn)
    end = live_start(datetime.now(UTC))
    start = end - timedelta(days=settings.simulation.history_days)
    with conn.transaction():
        clock.set_rate(conn, 0.0, sim=start)
        device_types.load_shipped(conn)
        world.create(conn, start)
        machines = fleet.fleet(settings.simulation.seed, settings.simulation.devices)
        _devices(conn, settings, machines, end)
        past.begin(conn, settings, machines, start)
        conn.execute(
            "insert into kit.state (name, value) values (%s, %s)", (STATE, Jsonb({"end": end.isoformat()}))
        )
    return end


def _devices(conn: Conn, settings: Settings, machines: Sequence[Machine], end: datetime) -> None:
    """Register every machine at the door and as a customer's asset, as old as its counter says."""
    sites = [row[0] for row in conn.execute("select id from fsm.site order by id")]
    ids = enrol(conn, settings.simulation.seed, machines, end - timedelta(days=120))
    for machine in machines:
        rng = random.Random(f"{settings.simulation.seed}:asset:{machine.uid}")
        shown = hours_shown(machine.spec, settings.simulation.seed, machine.number, micros(end))
        installed = (end - timedelta(days=30 + shown / HOURS_A_DAY)).date()
        covered = installed + WARRANTY
        conn.execute(
            """insert into fsm.device (id, serial, site_id, installed_on, warranty_until, warranty_hours,
                                       criticality, qr_token)
               values (%s, %s, %s, %s, %s, %s, %s, %s)""",
            (ids[machine.uid], machine.serial, rng.choice(sites), installed, covered, WARRANTY_HOURS,
             rng.choice((1, 2, 2, 3, 3, 3, 4)), f"{rng.getrandbits(96):024x}"),
        )  # fmt: skip
