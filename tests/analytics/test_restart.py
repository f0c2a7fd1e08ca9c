"""A worker that is killed at any moment finds what one that never was would have found."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from analytics import worker
from analytics.definitions import HOUR
from kit import follow
from kit.database import Conn, scalar
from kit.settings import Settings
from tests.analytics import machines, stored
from tests.analytics.machines import VIBRATION, Fault
from tests.analytics.test_worker import forget

PROGRAM = """
import sys, threading
from analytics.worker import make_worker
from kit.settings import Settings
make_worker(sys.argv[1], Settings()).run(threading.Event())
"""


def start(dsn: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, dsn], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def wait_for(conn: Conn, batch: int) -> None:
    """Until the worker's position has reached a batch."""
    end = time.monotonic() + 60
    while (scalar(conn, "select id from kit.follower where name = 'analytics.batch.0'") or 0) < batch:
        assert time.monotonic() < end, "the worker has not got there within a minute"
        time.sleep(0.005)


@pytest.mark.slow
def test_a_worker_killed_again_and_again_finds_what_an_undisturbed_one_finds(db: Conn, dsn: str) -> None:
    devices = stored.prepare(db, 4)
    block = machines.rows(devices, machines.times(9), faults=(Fault(devices[0], VIBRATION, 6, 2, 5.0),))
    pieces = [
        block.take(np.flatnonzero(block.ts // (8 * HOUR) == one)) for one in np.unique(block.ts // (8 * HOUR))
    ]
    batch, process = 0, start(dsn)
    try:
        for at, piece in enumerate(pieces, 1):
            batch = stored.write(db, piece)
            if at % 9 == 0:
                wait_for(db, batch - 3)  # it is in the middle of the rest, or about to be
                process.kill()
                process.wait()
                process = start(dsn)
        wait_for(db, batch)
    finally:
        process.kill()
        process.wait()
    killed = stored.detections(db)
    forget(db)
    follow.catch_up(db, worker.followers(Settings()))
    assert killed
    assert stored.detections(db) == killed
