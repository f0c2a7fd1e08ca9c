"""kill -9 while a chunk is compressed, of the server and of the worker: on TimescaleDB's Community edition.

Needs a Community server of this machine's: MEANTIME_TEST_TIMESCALE_DSN, else each test is skipped by that name. The
server ends all its connections and recovers, three times: give one that nobody else uses.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ingest import columnstore
from kit.database import Conn, connect, scalar
from kit.errors import Unavailable
from tests.ingest.core.conftest import NOW, telemetry
from tests.ingest.test_storage_community import DAY, codes, compress, old, write

pytestmark = pytest.mark.timescale


def fill(conn: Conn, rows: int) -> None:
    """An old chunk with so many rows that compressing it can be seen at work."""
    since = NOW - 50 * DAY
    write(conn, [telemetry("P-1", since, flow=1)])
    conn.execute(
        """insert into ingest.telemetry (device_id, ts, seq, shape_id, batch_id, received_at, "values")
           select device_id, ts + n * interval '100 milliseconds', seq, shape_id, batch_id, received_at, "values"
           from ingest.telemetry, generate_series(1, %s) n""",
        (rows,),
    )


def fingerprint(conn: Conn) -> tuple[Any, ...] | None:
    query = """select count(*), sum(hashtextextended((device_id, ts, seq, "values")::text, 0)) from ingest.telemetry"""
    return conn.execute(query).fetchone()


AT_WORK = (
    "select pid from pg_stat_activity where state = 'active' and query like 'call convert_to_columnstore%%'"
)


class Killed(threading.Thread):
    """Compresses a chunk and is killed: this thread says how it ended."""

    def __init__(self, dsn: str, chunk: str) -> None:
        super().__init__()
        self._dsn, self._chunk = dsn, chunk
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with connect(self._dsn, role="meantime_ingest", autocommit=True) as conn:
                columnstore.compress(conn, self._chunk)
        except psycopg.Error as error:
            self.error = error


def at_work(watch: Conn) -> int:
    """The process of the server that compresses, as soon as there is one. `watch` has been connected before: a new
    connection may take longer than the work."""
    deadline = time.monotonic() + 30
    while (pid := scalar(watch, AT_WORK)) is None:
        assert time.monotonic() < deadline
    return int(pid)


def runs_here(pid: int) -> bool:
    """Whether a process of the server's is one of this machine's: another machine's number may be anybody's here."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("postgres")
    except OSError:
        return False


def reachable(dsn: str) -> Conn:
    """A connection once the server has recovered."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return connect(dsn, role="meantime_ingest", autocommit=True)
        except Unavailable:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_server_that_is_killed_while_it_compresses_has_every_row_once_and_compresses_after_it(
    mortal_dsn: str,
) -> None:
    """SIGKILL of the process that compresses makes PostgreSQL end all others and recover from its log."""
    with connect(mortal_dsn, autocommit=True) as conn:
        fill(conn, 400_000)
        before, (chunk, *_) = fingerprint(conn), [chunk["name"] for chunk in old(conn)]
        if not runs_here(conn.info.backend_pid):
            pytest.skip("the server runs on another machine: its processes cannot be killed from here")
    for wait in (0.0, 0.1, 0.2):
        killed = Killed(mortal_dsn, chunk)
        watch = connect(mortal_dsn, autocommit=True)
        killed.start()
        pid = at_work(watch)
        killed.join(wait)  # further into its work each time
        os.kill(pid, signal.SIGKILL)
        killed.join(60)
        watch.close()
        assert isinstance(killed.error, psycopg.OperationalError)
        with reachable(mortal_dsn) as conn:
            assert fingerprint(conn) == before
            assert "uncompressed" in codes(conn)
    with reachable(mortal_dsn) as conn:
        assert write(conn, [telemetry("P-1", NOW - 50 * DAY, flow=1)]) == 0
        assert compress(conn) == 1
        assert fingerprint(conn) == before


def test_a_storage_worker_that_is_killed_while_it_compresses_leaves_the_chunk_whole(mortal_dsn: str) -> None:
    with connect(mortal_dsn, autocommit=True) as conn:
        fill(conn, 200_000)
        before = fingerprint(conn)
        program = "import sys; from ingest import columnstore; from kit.database import connect; "
        program += (
            "columnstore.compress(connect(sys.argv[1], role='meantime_ingest', autocommit=True), sys.argv[2])"
        )
        chunk, rounds = old(conn)[0]["name"], 0
        # The server finds out that nobody waits for it when it has done the work, which then holds or not.
        while "uncompressed" in codes(conn) and rounds < 2:
            rounds += 1
            process = subprocess.Popen([sys.executable, "-c", program, mortal_dsn, chunk])
            at_work(conn)
            process.kill()
            assert process.wait(10) == -signal.SIGKILL
            deadline = time.monotonic() + 60
            while scalar(conn, AT_WORK) is not None:
                assert time.monotonic() < deadline
            assert fingerprint(conn) == before
    with connect(mortal_dsn, role="meantime_ingest", autocommit=True) as conn:
        compress(conn)
        assert "uncompressed" not in codes(conn)
        assert fingerprint(conn) == before
