"""What a case plays on: a fresh database, doors and a broker in processes of their own, and the count at the end."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import socket
import subprocess
import tempfile
import time
import tomllib
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psycopg

import meantime
from benchmarks.faults.devices import Device
from ingest import device_types, registry
from kit.database import Conn, connect
from kit.errors import Misconfigured, Unavailable
from kit.process import stop_on_signals
from kit.settings import Endpoint, Settings
from meantime import postgres, schema

MODEL = "pump-p100"
TYPES = Path(meantime.__file__).parent / "device_types" / "pump.toml"
CONFIGURATION = Path(__file__).parents[2] / "deploy" / "mosquitto.conf"
PATIENCE = 90.0
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["ingest.endpoint", "ingest.collector", "benchmarks.faults.stage"])


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """The first true result.

    Raises:
        TimeoutError: it did not come about.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not come about within {seconds:g} s")
        time.sleep(0.02)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


LOG = os.devnull
"""Where the doors' output goes."""


def _serve(module: str, settings: Settings, more: dict[str, Any], log: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    importlib.import_module(module).run(settings, stop_on_signals(), **more)


class Process:
    """`<module>.run(settings, stop)` in a child process."""

    def __init__(self, module: str, settings: Settings, **more: Any) -> None:
        self._arguments = (module, settings, more)
        self._child: BaseProcess | None = None

    def start(self) -> None:
        self._child = _context.Process(target=_serve, args=(*self._arguments, LOG))
        self._child.start()

    def kill(self) -> None:
        """SIGKILL: no last words."""
        assert self._child is not None
        self._child.kill()
        self._child.join(10)

    @property
    def pid(self) -> int:
        assert self._child is not None
        assert self._child.pid is not None
        return self._child.pid

    def __enter__(self) -> Process:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None and self._child.is_alive():
            self.kill()


class Stage:
    """A cluster (with its ordinary, durable settings) for all cases; `fresh` makes a database for one of them."""

    def __init__(self, folder: Path | None = None, **settings: str) -> None:
        self._folder = folder or Path(tempfile.mkdtemp(prefix="meantime-faults-"))
        self._folder.chmod(0o711)
        self._settings = settings
        self.data = self._folder / "pg"
        self.server = postgres.start(self.data, settings=settings)
        self.tokens: dict[str, str] = {}
        self._name = ""

    def close(self) -> None:
        """Stop the cluster and delete it."""
        self.server.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(self.server.socket, ignore_errors=True)

    def restart(self) -> None:
        """Start the cluster again after it was killed, as soon as its children are gone."""
        process = self.server.process
        if process is not None:
            process.wait(30)

        def started() -> bool:
            try:
                self.server = postgres.start(self.data, settings=self._settings)
            except (Misconfigured, Unavailable):  # orphans hold the shared memory for a moment
                return False
            return True

        until(started, "the start of the cluster")

    @property
    def dsn(self) -> str:
        return self.server.dsn(self._name)

    def fresh(self, devices: int = 3) -> None:
        """A new database with so many pumps."""
        self._name = f"f_{uuid.uuid4().hex[:10]}"
        schema.ensure_database(self.server.dsn("postgres"), self._name)
        schema.migrate(self.dsn)
        with self.connect() as conn:
            device_types.load(conn, tomllib.loads(TYPES.read_text(encoding="utf-8")))
            self.tokens = {f"p-{n}": "" for n in range(1, devices + 1)}
            with conn.transaction():
                for uid in self.tokens:
                    self.tokens[uid] = registry.provision(conn, uid, MODEL).token

    def connect(self) -> Conn:
        """As the owner."""
        return connect(self.dsn, application="faults", autocommit=True)

    def settings(self, port: int, **changes: Any) -> Settings:
        """Settings of an end point on that port."""
        given: dict[str, Any] = {"database_url": self.dsn, "endpoint": Endpoint(port=port)} | changes
        return Settings(**given)

    def numbers(self, uid: str) -> list[int]:
        """The sequence numbers stored of a device."""
        with self.connect() as conn:
            found = conn.execute(
                "select seq from ingest.telemetry where device_id = (select id from ingest.device where uid = %s)",
                (uid,),
            )
            return [seq for (seq,) in found]

    def total(self) -> int:
        """All rows; 0 while the database is away."""
        try:
            with self.connect() as conn:
                row = conn.execute("select count(*) from ingest.telemetry").fetchone()
                return int(row[0]) if row else 0
        except (psycopg.Error, Unavailable):
            return 0


def finish(devices: Sequence[Device], seconds: float = PATIENCE) -> None:
    """No new messages; wait until the devices have their acknowledgements."""
    for device in devices:
        device.halt.set()
    end = time.monotonic() + seconds
    for device in devices:
        device.join(max(0.1, end - time.monotonic()))
        if device.is_alive():
            raise TimeoutError(f"{device.uid} waits for acknowledgements in vain")


def count(stage: Stage, devices: Sequence[Device]) -> dict[str, Any]:
    """The figures of a case."""
    sent = acknowledged = stored = duplicated = lost = 0
    for device in devices:
        there = stage.numbers(device.uid)
        sent += device.sent
        acknowledged += len(device.when)
        stored += len(set(there))
        duplicated += len(there) - len(set(there))
        lost += len(device.when.keys() - set(there))
    return {
        "sent": sent,
        "acknowledged": acknowledged,
        "stored": stored,
        "duplicated": duplicated,
        "lost": lost,
    }


class Broker:
    """mosquitto with the configuration we ship; only paths, port and accounts are this run's."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        folder.chmod(0o777)
        (folder / "acl").write_text((CONFIGURATION.parent / "mosquitto.acl").read_text())
        own = {
            "listener": f"listener {self.port} 127.0.0.1", "allow_anonymous": "allow_anonymous true",
            "password_file": "", "acl_file": "", "persistence_location": f"persistence_location {folder}/",
            "log_type": "log_type error",
        }  # fmt: skip
        lines = CONFIGURATION.read_text().splitlines()
        changed = [own.get(line.split(" ", 1)[0], line) if line else line for line in lines]
        self.autosave = float(next(line.split()[1] for line in lines if line.startswith("autosave_interval")))
        self._file = folder / "mosquitto.conf"
        self._file.write_text("\n".join(changed) + "\n")

    def start(self) -> None:
        program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
        assert program is not None
        self._process = subprocess.Popen([program, "-c", str(self._file)], stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Start them; kill them at the end."""
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.__exit__()
