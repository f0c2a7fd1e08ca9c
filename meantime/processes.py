"""The process family: what each name runs. Imports happen in the process that needs them."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from dataclasses import dataclass

import psycopg

from ingest.log.choice import chosen
from kit import database, logs
from kit.errors import Misconfigured, Unavailable
from kit.process import Worker, die_with_parent, leave, stop_on_signals
from kit.settings import Settings


@dataclass(frozen=True)
class Entry:
    """`module:function`; a function named make_worker builds a `kit.process.Worker`, `run` takes (settings, stop)."""

    module: str
    function: str
    what: str


FAMILY = {
    "endpoint": Entry("ingest.endpoint", "run", "MQTT end point that devices connect to"),
    "collector": Entry("ingest.collector", "run", "subscriber to an existing broker"),
    "stream": Entry("ingest.log.worker", "run", "stores what the doors put into the log (JetStream, Kafka)"),
    "storage": Entry("ingest.worker", "make_worker", "partitions, rollups, retention"),
    "analytics": Entry("analytics.worker", "make_worker", "streaming detection"),
    "fsm": Entry("fsm_core.worker", "make_worker", "episodes, orders, SLA, settlement"),
    "dispatch": Entry("fsm_core.dispatch.worker", "make_worker", "assigns engineers"),
    "api": Entry("api.server", "run", "REST API and console"),
    "fleet": Entry("simulators.publisher", "run", "simulated devices"),
    "staff": Entry("simulators.staff", "run", "simulated engineers and managers"),
}
CORE = ("endpoint", "storage", "analytics", "fsm", "dispatch", "api")
# Those of which one machine may run several: the second endpoint is `endpoint-2`, and takes that suffix along.
SEVERAL = ("endpoint", "collector", "stream", "analytics")


def core(settings: Settings) -> tuple[str, ...]:
    """The processes that `up` starts with these settings.

    Raises:
        Misconfigured: several collectors, but no group in which they could share.
    """
    wanted = settings.collector.processes if settings.collector.host else 0
    if wanted > 1 and settings.collector.group is None:
        raise Misconfigured("Several collectors need a shared subscription: set MEANTIME_COLLECTOR__GROUP.")
    endpoints = _several("endpoint", settings.endpoint.processes)
    log = chosen(settings)
    return (
        *endpoints,
        *(name for name in CORE if name not in SEVERAL),
        *_several("analytics", settings.analytics.processes),
        *_several("collector", wanted),
        *_several("stream", log.processes if log else 0),
    )


def _several(name: str, count: int) -> tuple[str, ...]:
    return tuple(name if number == 1 else f"{name}-{number}" for number in range(1, count + 1))


def known(name: str) -> bool:
    """Whether that is a process of the family."""
    base, _, number = name.partition("-")
    return name in FAMILY or (base in SEVERAL and number.isdecimal())


def run(name: str, settings: Settings, *, parent: int | None = None) -> None:
    """Be one process of the family until SIGTERM or SIGINT; then it is no longer one of those that are known."""
    if parent is not None:
        die_with_parent(parent)
    logs.configure(settings, name)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    base, dash, number = name.partition("-")
    entry = FAMILY[base]
    stop = stop_on_signals()
    target = getattr(importlib.import_module(entry.module), entry.function)
    _run(target, entry.function, settings, stop, dash + number)
    with (
        contextlib.suppress(psycopg.Error, Unavailable),
        database.connect(database.url(settings), application=name, autocommit=True) as conn,
    ):
        leave(conn, name)


def _run(target: object, function: str, settings: Settings, stop: threading.Event, suffix: str) -> None:
    assert callable(target)
    if function == "run":
        if suffix:
            target(settings, stop, suffix=suffix)
        else:
            target(settings, stop)
        return
    more = {"suffix": suffix} if suffix else {}
    worker = target(database.url(settings), settings, **more)
    assert isinstance(worker, Worker)
    worker.run(stop)
