"""Starts the process family, restarts what dies, stops everything within five seconds."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

import psycopg

from kit import clock, logs
from kit.database import connect, scalar
from kit.settings import Settings, environment

log = logs.get(__name__)
GRACE = timedelta(seconds=3)


@dataclass
class Child:
    """One process of the family and its restarts."""

    name: str
    process: subprocess.Popen[bytes]
    started: float
    failures: int = 0
    again_at: float | None = None


@dataclass
class Supervisor:
    """The family of one installation.

    Attributes:
        variables: MEANTIME_* settings for the children, as `kit.settings.environment` takes them.
        log_folder: each child's output goes to a file there; None: to this process's own output.
    """

    dsn: str
    variables: dict[str, object]
    log_folder: Path | None = None
    children: dict[str, Child] = field(default_factory=dict)
    _files: ExitStack = field(default_factory=ExitStack)

    def start(self, names: Sequence[str]) -> None:
        """Start the processes; returns at once."""
        for name in names:
            self.children[name] = Child(name, self._spawn(name), time.monotonic())

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        output = self._output(name)
        return subprocess.Popen(
            [sys.executable, "-m", "meantime", "run", name, "--parent", str(os.getpid())],
            env=environment(database_url=self.dsn, **self.variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops the others in order
        )

    def _output(self, name: str) -> IO[bytes] | None:
        if self.log_folder is None:
            return None
        self.log_folder.mkdir(parents=True, exist_ok=True)
        return self._files.enter_context(open(self.log_folder / f"{name}.log", "ab"))

    def watch(self, stop: threading.Event, tick: Callable[[], None] | None = None) -> None:
        """Restart what died, once a second, until `stop` is set."""
        while not stop.wait(1.0):
            self.mend()
            if tick is not None:
                tick()

    def mend(self) -> None:
        """Restart children that ended, with growing pauses for one that keeps failing."""
        for child in self.children.values():
            code = child.process.poll()
            if code is None:
                continue
            now = time.monotonic()
            if child.again_at is None:
                child.failures = 1 if now - child.started > 60 else child.failures + 1
                child.again_at = now + min(0.5 * 2**child.failures, 30)
                log.warning("process ended, restarting", name=child.name, code=code, failures=child.failures)
            elif now >= child.again_at:
                child.process, child.started, child.again_at = self._spawn(child.name), now, None

    def stop(self) -> None:
        """SIGTERM to all, then SIGKILL to whoever is left after the grace time."""
        end = time.monotonic() + GRACE.total_seconds()
        for child in self.children.values():
            child.process.terminate()
        for child in self.children.values():
            try:
                child.process.wait(max(0.05, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process did not stop, killing it", name=child.name)
                child.process.kill()
                child.process.wait()
        self._files.close()


def remember_clock(dsn: str) -> Callable[[], None]:
    """A tick that writes down what a simulated clock shows, so that it continues there after a crash."""

    def tick() -> None:
        try:
            with connect(dsn, application="supervisor", autocommit=True) as conn:
                conn.execute(
                    """insert into kit.state (name, value) select 'clock_seen', to_jsonb(kit.now())
                       on conflict (name) do update set value = excluded.value"""
                )
        except psycopg.Error as error:
            log.warning("clock not written down", error=str(error).strip())

    return tick


def resume_clock(conn: psycopg.Connection, rate: float, first: datetime) -> clock.Clock:
    """Let a simulated clock go on where it stood or was last seen; from `first` when it never ran.

    After a clean stop it stands still at rate 0; after a crash it would have run on, so what was written down counts.
    """
    with conn.transaction():
        stood = clock.load(conn)
        if stood.rate == 0 and stood.sim_anchor > first:
            return clock.set_rate(conn, rate, sim=stood.sim_anchor)
        seen = scalar(conn, "select (value #>> '{}')::timestamptz from kit.state where name = 'clock_seen'")
        return clock.set_rate(conn, rate, sim=max(seen, first) if seen else first)


def free_port(host: str, wanted: int) -> int:
    """`wanted` when it can be bound, else a free one."""
    for port in (wanted, 0):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise OSError(f"no port can be bound on {host}")


def ports(settings: Settings) -> dict[str, object]:
    """The ports the children will use, free at this moment."""
    return {
        "api__port": free_port(settings.api.host, settings.api.port),
        "endpoint__port": free_port(settings.endpoint.host, settings.endpoint.port),
    }
