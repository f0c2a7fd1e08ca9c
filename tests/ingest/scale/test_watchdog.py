"""A database connection that will never answer is cut; one that waits for a lock is not."""

from __future__ import annotations

import time
from threading import Thread

import psycopg

from ingest.watchdog import Waiter, Watchdog
from kit.database import Conn, connect
from tests.ingest.doors.helpers import until


def test_who_waits_for_nobody_is_cut_and_who_waits_for_a_lock_is_not(dsn: str, db: Conn) -> None:
    long_ago = time.monotonic() - 100
    locked: list[int] = []

    def wait_for_lock(conn: Conn) -> None:
        with conn.transaction():
            locked.append(conn.execute("update ingest.registry_version set version = version + 1").rowcount)

    with connect(dsn, autocommit=True) as deaf, connect(dsn, autocommit=True) as patient:
        deaf.execute("begin")
        deaf.execute("select 1")  # its answer "got lost": the server waits for the next statement
        with db.transaction():
            db.execute("update ingest.registry_version set version = version + 1")
            thread = Thread(target=wait_for_lock, args=(patient,))
            thread.start()
            dog = Watchdog(
                dsn,
                [
                    Waiter("patient", lambda: long_ago, lambda: patient),
                    Waiter("deaf", lambda: long_ago, lambda: deaf),
                ],
            )
            dog.start()
            until(lambda: dog.cuts, "the cut")
            dog.stop()
        thread.join(10)
        assert locked == [1]
        assert dog.cuts == 1
        until(
            lambda: not answers(deaf), "the end of the deaf one: PostgreSQL ends it when it gets round to it"
        )


def answers(conn: Conn) -> bool:
    try:
        conn.execute("select 1")
    except psycopg.OperationalError:
        return False
    return True
