"""The doors under test: an end point in a thread of the test, or in a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import meantime
from ingest import device_types, registry
from ingest.endpoint import Endpoint
from kit.database import Conn
from kit.settings import Collector, Ingest, Settings
from kit.settings import Endpoint as EndpointSettings
from tests.ingest.doors.broker import Broker
from tests.ingest.doors.processes import Process

PUMP = Path(meantime.__file__).parent / "device_types" / "pump.toml"


class Running:
    """An end point that serves in a thread until the test ends or `stop` is called."""

    def __init__(self, settings: Settings, grace: float = 15.0, suffix: str = "") -> None:
        self.endpoint = Endpoint(settings, grace=grace, suffix=suffix)
        self._stop, ready = Event(), Event()
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, args=(ready,))
        self._thread.start()
        assert ready.wait(10), self._failure
        self.port = self.endpoint.port

    def _run(self, ready: Event) -> None:
        try:
            asyncio.run(self.endpoint.serve(self._stop, ready=ready))
        except BaseException as error:
            self._failure = error
            raise

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def devices(db: Conn) -> dict[str, str]:
    """uid → token of three provisioned pumps."""
    device_types.load(db, tomllib.loads(PUMP.read_text(encoding="utf-8")))
    return {uid: registry.provision(db, uid, "pump-p100").token for uid in ("p-1", "p-2", "p-3")}


@pytest.fixture
def settings(dsn: str) -> Callable[..., Settings]:
    """Settings of this test's database; keyword arguments are those of the end point and of ingest."""

    def make(**changes: Any) -> Settings:
        ingest = {name: changes.pop(name) for name in list(changes) if name in Ingest.model_fields}
        return Settings(
            database_url=dsn,
            endpoint=EndpointSettings(port=0, **changes),
            ingest=Ingest(**ingest),
        )

    return make


@pytest.fixture
def start(settings: Callable[..., Settings], devices: dict[str, str]) -> Iterator[Callable[..., Running]]:
    """`start(buffer_messages=100)` runs an end point with those settings; all are stopped at the end."""
    running: list[Running] = []

    def begin(*, grace: float = 15.0, suffix: str = "", **changes: Any) -> Running:
        running.append(Running(settings(**changes), grace, suffix))
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def collector(dsn: str, broker: Broker, devices: dict[str, str]) -> Iterator[Callable[..., Process]]:
    """`collector(suffix="-1", group="g")` makes a collector process, not started yet."""
    made: list[Process] = []

    def make(*, suffix: str = "", ingest: Ingest | None = None, **changes: Any) -> Process:
        settings = Settings(
            database_url=dsn,
            collector=Collector(host="127.0.0.1", port=broker.port, **changes),
            ingest=ingest or Ingest(),
        )
        made.append(Process("ingest.collector", settings, suffix=suffix))
        return made[-1]

    yield make
    for process in made:
        process.__exit__()
