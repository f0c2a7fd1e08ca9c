"""Work that is cut into numbered parts and shared out among processes: each part belongs to one process at a time.

A part is owned by an advisory lock of the owner's connection, so the parts of a process that dies are free as soon as
the server notices that the connection has ended, which for a killed process is at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kit import logs
from kit.database import Conn
from kit.follow import Follower

log = logs.get(__name__)
LOOK_SECONDS = 1.0
ALIVE_SECONDS = 5


def claim(conn: Conn, work: str, part: int) -> bool:
    """Own a part for as long as this connection lives; False when somebody else does."""
    row = conn.execute("select pg_try_advisory_lock(hashtext(%s), %s)", (work, part)).fetchone()
    return bool(row and row[0])


def release(conn: Conn, work: str, part: int) -> None:
    """Leave a part to others."""
    conn.execute("select pg_advisory_unlock(hashtext(%s), %s)", (work, part))


def alive(conn: Conn, name: str) -> int:
    """How many processes of a name (`analytics`, `analytics-2`, …) are alive; at least 1."""
    row = conn.execute(
        """select count(*) from kit.process where (name = %(name)s or name like %(name)s || '-%%')
           and beat_at > clock_timestamp() - make_interval(secs => %(seconds)s)""",
        {"name": name, "seconds": ALIVE_SECONDS},
    ).fetchone()
    return max(1, row[0] if row else 1)


@dataclass
class Shares:
    """Which parts this process has, and the followers that do their work.

    Attributes:
        work: names the locks; different for different work.
        process: the name that all processes have in common.
        agree: how many parts there are, or None while that cannot be said yet.
        followers: of a part, made anew with each claim: their memory is as old as that.
        sources: what the followers follow.
    """

    work: str
    process: str
    agree: Callable[[Conn], int | None]
    followers: Callable[[int, int], list[Follower]]
    sources: tuple[str, ...]
    parts: dict[int, list[Follower]] = field(default_factory=dict)
    _total: int | None = None
    _conn: Conn | None = None
    _looked: float = -math.inf

    @property
    def leads(self) -> bool:
        """Whether this process has the first part, and with it what only one process shall do."""
        return 0 in self.parts

    def mine(self, conn: Conn) -> list[Follower]:
        """The followers of this process at this moment; call it between two rounds of work on the same connection."""
        if conn is not self._conn:
            self._conn, self._total, self._looked = conn, None, -math.inf
            self.parts.clear()  # the locks went with the connection
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked = time.monotonic()
            self._share(conn)
        return [follower for _, followers in sorted(self.parts.items()) for follower in followers]

    def _share(self, conn: Conn) -> None:
        """Leave the parts above this process's share, claim free ones up to it."""
        if self._total is None:
            self._total = self.agree(conn)
            if self._total is None:
                return
        share = math.ceil(self._total / alive(conn, self.process))
        for part in sorted(self.parts)[share:]:
            del self.parts[part]
            release(conn, self.work, part)
        for part in range(self._total):
            if len(self.parts) < share and part not in self.parts and claim(conn, self.work, part):
                if self.agree(conn) != self._total:  # while somebody else had it
                    release(conn, self.work, part)
                    self._total = None
                    return
                self.parts[part] = self.followers(part, self._total)
                log.info("took a part of the work", work=self.work, part=part, of=self._total)
