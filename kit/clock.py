"""The clock every package asks. In production it is the wall clock; a demo runs it faster, a replay moves it by hand.

One row in `kit.clock` defines it, `kit.now()` reads it in SQL, `Clock` reads it in Python; both agree to the
microsecond. Simulated time continues where it stood when the processes stopped, and never runs backwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kit.database import Conn, one


@dataclass(frozen=True)
class Clock:
    """`now = sim_anchor + rate · (wall − wall_anchor)`; rate 0 stands still."""

    wall_anchor: datetime
    sim_anchor: datetime
    rate: float

    def at(self, wall: datetime) -> datetime:
        """What this clock shows when the wall clock shows `wall`."""
        passed = wall - self.wall_anchor
        return self.sim_anchor + (
            passed if self.rate == 1.0 else passed * self.rate
        )  # a product costs far more

    def now(self) -> datetime:
        """What it shows now, aware, UTC."""
        return self.at(datetime.now(UTC))

    def wall_seconds(self, simulated: timedelta) -> float:
        """How many real seconds a simulated span takes; infinite while the clock stands still."""
        return simulated.total_seconds() / self.rate if self.rate else float("inf")

    @property
    def is_real(self) -> bool:
        """True when this is the wall clock."""
        return self.rate == 1.0 and self.wall_anchor == self.sim_anchor


def load(conn: Conn) -> Clock:
    """The clock as the database defines it."""
    row = one(conn, "select wall_anchor, sim_anchor, rate from kit.clock")
    assert row is not None, "kit.clock has exactly one row, made by the migration"
    return Clock(row["wall_anchor"], row["sim_anchor"], float(row["rate"]))


def now(conn: Conn) -> datetime:
    """The present by the database's clock."""
    return load(conn).now()


def set_rate(conn: Conn, rate: float, *, sim: datetime | None = None) -> Clock:
    """Let the clock run at `rate` from `sim` (default: from what it shows now)."""
    wall = datetime.now(UTC)
    anchor = sim if sim is not None else load(conn).at(wall)
    conn.execute("update kit.clock set wall_anchor = %s, sim_anchor = %s, rate = %s", (wall, anchor, rate))
    return Clock(wall, anchor, rate)
