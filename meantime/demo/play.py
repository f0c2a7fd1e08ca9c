"""The demo: the whole product, a simulated fleet and staff, and 90 days of history on the first start."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from kit import clock, logs
from kit.database import connect
from kit.process import stop_on_signals
from kit.settings import Settings
from meantime import embedded, family, postgres, processes
from meantime.demo import past, seed
from meantime.family import House
from meantime.supervisor import Supervisor, remember_clock, resume_clock

log = logs.get(__name__)
FAMILY = (*processes.CORE, "fleet", "staff")


@dataclass(frozen=True)
class Stage:
    """A demo that runs."""

    house: House
    supervisor: Supervisor
    console: str
    endpoint: str


@contextmanager
def staged(
    settings: Settings, stop: threading.Event, *, fresh: bool, speed: float | None
) -> Iterator[Stage | None]:
    """Everything started and answering; None when it was told to stop first."""
    if fresh:
        with embedded.only_one(settings.home):
            postgres.remove(postgres.data_folder(settings.home))
    with family.house(settings) as house:
        if not prepare(house.dsn, settings, stop):
            yield None
            return
        try:
            with family.running(house, settings, FAMILY) as supervisor:
                console, endpoint = family.address(settings, supervisor)
                ready = family.wait_for_console(console, stop)
                if ready:  # only now does time pass: nothing of the live part is missed
                    _let_time_run(house.dsn, speed or settings.simulation.speed)
                elif not stop.is_set():
                    log.error("the console does not answer", url=console, logs=str(settings.home / "logs"))
                with past.loading(house.dsn, settings, _began(house.dsn), stop):
                    yield Stage(house, supervisor, console, endpoint) if ready else None
        finally:
            _let_time_run(house.dsn, 0.0)


def prepare(dsn: str, settings: Settings, stop: threading.Event) -> bool:
    """Seed on the first start; the clock then stands where it was left. False when stopped meanwhile."""
    began = time.monotonic()
    done = seed.run(dsn, settings, stop, lambda text: print(text, file=sys.stderr, flush=True))
    if done:
        log.info("seeded", seconds=round(time.monotonic() - began, 1))
    if stop.is_set():
        return False
    with connect(dsn, application="demo", autocommit=True) as conn:
        resume_clock(conn, 0.0, seed.ends_at(conn))
    return True


def _began(dsn: str) -> datetime:
    with connect(dsn, application="demo", autocommit=True) as conn:
        return seed.ends_at(conn)


def _let_time_run(dsn: str, rate: float) -> None:
    with connect(dsn, application="demo", autocommit=True) as conn:
        clock.set_rate(conn, rate)


def run(settings: Settings, *, fresh: bool, speed: float | None) -> int:
    """Run until Ctrl-C; the exit code."""
    stop = stop_on_signals()
    print("Starting Meantime …", file=sys.stderr, flush=True)
    with staged(settings, stop, fresh=fresh, speed=speed) as stage:
        if stage is None:
            return 0 if stop.is_set() else 1
        print(welcome(stage, speed or settings.simulation.speed, settings), flush=True)
        tick = remember_clock(stage.house.dsn)

        def each_second() -> None:
            stage.house.mend()
            tick()

        stage.supervisor.watch(stop, each_second)
        print("Stopping …", file=sys.stderr, flush=True)
    return 0


def welcome(stage: Stage, speed: float, settings: Settings) -> str:
    """What a new user needs to know."""
    return f"""
Meantime is running.

  Console          {stage.console}
  Phone page       {stage.console}/my
  API              {stage.console}/docs
  Devices (MQTT)   {stage.endpoint}

  Log in with password "demo" as
    manager      service manager: orders, dispatch, settlement
    jingli       服务经理（中文界面）
    reliability  reliability engineer: devices, MTBF
    engineer1    field engineer: the phone page (engineer1 … engineer14)
    dispatcher, finance, admin, partner (service provider), client (customer)

  {settings.simulation.devices} simulated devices and their staff live {speed:g} × faster than the clock; the history of
  {settings.simulation.history_days} days was seeded by the same code. From the records of the half year before it
  failures are learned in the next minutes: Analytics, Models. Logs: {settings.home / "logs"}
  Ctrl-C stops it; the next start goes on from there, `make demo FRESH=1` starts over.
"""
