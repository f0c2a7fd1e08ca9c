"""Start the whole product around one database and keep it running: what `up` and the demo share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.request import urlopen

from kit import logs
from kit.process import stop_on_signals
from kit.settings import Settings
from meantime import embedded, postgres, processes, schema
from meantime.supervisor import Supervisor, ports

log = logs.get(__name__)


@dataclass
class House:
    """A database that is up to date; `server` is None when it is somebody else's."""

    dsn: str
    server: postgres.Server | None

    def mend(self) -> None:
        """Start the embedded server again when it was killed; it recovers from its log."""
        if self.server is not None and not self.server.is_running():
            log.warning("the database ended, starting it again")
            self.server = postgres.start(self.server.data)


@contextmanager
def house(settings: Settings) -> Iterator[House]:
    """The database that is set, or the embedded one, migrated; one supervisor per home."""
    with embedded.only_one(settings.home):
        if settings.database_url is not None:
            schema.migrate(settings.database_url)
            yield House(settings.database_url, None)
            return
        server = postgres.start(postgres.data_folder(settings.home))
        home = House(server.dsn(), server)
        try:
            schema.ensure_database(server.dsn("postgres"), "meantime")
            schema.migrate(server.dsn())
            yield home
        finally:
            assert home.server is not None
            home.server.stop()


@contextmanager
def running(
    home: House, settings: Settings, names: tuple[str, ...], **variables: object
) -> Iterator[Supervisor]:
    """The processes, with their log in the home folder; stopped at the end."""
    chosen = ports(settings) | variables
    supervisor = Supervisor(home.dsn, chosen, log_folder=settings.home / "logs")
    supervisor.start(names)
    try:
        yield supervisor
    finally:
        supervisor.stop()


def address(settings: Settings, supervisor: Supervisor) -> tuple[str, str]:
    """(console, device endpoint) as people type them."""
    host = "localhost" if settings.api.host in ("127.0.0.1", "0.0.0.0") else settings.api.host
    scheme = "mqtts" if settings.endpoint.tls_certificate else "mqtt"
    device = "localhost" if settings.endpoint.host in ("127.0.0.1", "0.0.0.0") else settings.endpoint.host
    return (
        f"http://{host}:{supervisor.variables['api__port']}",
        f"{scheme}://{device}:{supervisor.variables['endpoint__port']}",
    )


def wait_for_console(url: str, stop: threading.Event, deadline: timedelta = timedelta(seconds=120)) -> bool:
    """True once the console answers; False when stopped or too late."""
    tries = int(deadline.total_seconds() * 10)
    for _ in range(tries):
        if stop.is_set():
            return False
        try:
            with urlopen(f"{url}/livez", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            stop.wait(0.1)
    return False


def up(settings: Settings) -> int:
    """Run the product until SIGINT or SIGTERM; the exit code."""
    stop = stop_on_signals()
    with house(settings) as home, running(home, settings, processes.core(settings)) as supervisor:
        console, endpoint = address(settings, supervisor)
        if wait_for_console(console, stop):
            log.info("running", console=console, devices=endpoint, logs=str(settings.home / "logs"))
        supervisor.watch(stop, home.mend)
    return 0
