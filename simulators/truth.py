"""The truth about the simulated faults: kept in schema `sim`, and what the product made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from kit.database import Conn, rows, scalar
from simulators.faults import DAY, HOUR, Fault, micros, moment


def save(conn: Conn, faults: Iterable[Fault]) -> None:
    """Insert new faults and note the repair of known ones."""
    with conn.cursor() as cursor:
        cursor.executemany(
            """insert into sim.fault (number, uid, mode, component, onset, failure_at, shape, repaired_at)
               values (%s, %s, %s, %s, %s, %s, %s, %s)
               on conflict (uid, mode, onset) do update set repaired_at = excluded.repaired_at""",
            [
                (
                    fault.number, fault.uid, fault.mode, fault.component,
                    moment(fault.onset), moment(fault.failed), fault.shape,
                    None if fault.repaired is None else moment(fault.repaired),
                )
                for fault in faults
            ],
        )  # fmt: skip


def load(conn: Conn) -> list[Fault]:
    """All faults, oldest onset first."""
    found = rows(conn, "select * from sim.fault order by onset, id")
    return [
        Fault(
            row["number"], row["uid"], row["mode"], row["component"],
            micros(row["onset"]), micros(row["failure_at"]), row["shape"],
            None if row["repaired_at"] is None else micros(row["repaired_at"]),
        )
        for row in found
    ]  # fmt: skip


def is_failing(conn: Conn, device_id: int, mode: str, at: datetime) -> bool:
    """Whether the device really has this fault at `at`: what an engineer finds when he opens it."""
    found: bool = scalar(
        conn,
        """select exists (select 1 from sim.fault f join ingest.device d on d.uid = f.uid
                          where d.id = %s and f.mode = %s and f.onset <= %s
                            and (f.repaired_at is null or f.repaired_at > %s))""",
        (device_id, mode, at, at),
    )
    return found


def failure_at(conn: Conn, device_id: int, mode: str, at: datetime) -> datetime | None:
    """When the fault that the device has at `at` would stop it; None when it has none."""
    found: datetime | None = scalar(
        conn,
        """select f.failure_at from sim.fault f join ingest.device d on d.uid = f.uid
           where d.id = %s and f.mode = %s and f.onset <= %s and (f.repaired_at is null or f.repaired_at > %s)
           order by f.onset desc limit 1""",
        (device_id, mode, at, at),
    )
    return found


@dataclass(frozen=True)
class Opened:
    """An automatic order: device, component and event time of its opening."""

    uid: str
    component: str
    at: int


def orders(conn: Conn) -> list[Opened]:
    """The automatic orders of the database."""
    found = rows(
        conn,
        """select d.uid, coalesce(w.component, '') as component, w.opened_at
           from fsm.work_order w join ingest.device d on d.id = w.device_id
           where w.source = 'automatic' order by w.opened_at""",
    )
    return [Opened(row["uid"], row["component"], micros(row["opened_at"])) for row in found]


@dataclass(frozen=True)
class Score:
    """How well orders met the planted faults, up to a moment.

    Attributes:
        faults: visible faults (wear, sudden) that have failed or been repaired.
        warned: of those, with an order for that component from onset to strictly before the failure.
        late, missed: with such an order only from the failure on; with none.
        silent, silent_met: faults without any warning sign that have failed; with an order afterwards.
        lead_hours: 10th, 50th and 90th percentile from the order to the failure (as it would have come);
            empty when nothing was warned of.
        orders, wrong_component, false: all automatic orders; on a faulty machine but for another component;
            on a machine without a fault.
        false_per_device_year: `false` by the exposure.
    """

    faults: int
    warned: int
    late: int
    missed: int
    silent: int
    silent_met: int
    lead_hours: tuple[float, ...]
    orders: int
    wrong_component: int
    false: int
    false_per_device_year: float


def score(faults: Sequence[Fault], opened: Sequence[Opened], *, start: int, end: int, devices: int) -> Score:
    """Compare orders with the truth between `start` and `end` (microseconds)."""
    seen = [order for order in opened if start <= order.at < end]
    visible = [one for one in faults if one.shape != "silent" and one.onset >= start and _decided(one, end)]
    silent = [one for one in faults if one.shape == "silent" and one.onset >= start and one.failed < end]
    firsts = [_first(one, seen) for one in visible]
    leads = [
        (one.failed - at) / HOUR
        for one, at in zip(visible, firsts, strict=True)
        if at is not None and at < one.failed
    ]
    verdicts = [_verdict(order, faults) for order in seen]
    years = devices * (end - start) / (365.25 * DAY)
    false = verdicts.count("false")
    return Score(
        faults=len(visible),
        warned=len(leads),
        late=sum(at is not None for at in firsts) - len(leads),
        missed=firsts.count(None),
        silent=len(silent),
        silent_met=sum(_first(one, seen) is not None for one in silent),
        lead_hours=tuple(float(hours) for hours in np.percentile(leads, (10, 50, 90))) if leads else (),
        orders=len(seen),
        wrong_component=verdicts.count("wrong_component"),
        false=false,
        false_per_device_year=false / years if years > 0 else 0.0,
    )


def _decided(fault: Fault, end: int) -> bool:
    return fault.failed < end or (fault.repaired is not None and fault.repaired < end)


def _first(fault: Fault, opened: Sequence[Opened]) -> int | None:
    """When the first order for the fault was opened: while it was there."""
    until = fault.repaired if fault.repaired is not None else np.iinfo(np.int64).max
    times = [
        order.at for order in opened
        if order.uid == fault.uid and order.component == fault.component and fault.onset <= order.at <= until
    ]  # fmt: skip
    return min(times, default=None)


def _verdict(order: Opened, faults: Sequence[Fault]) -> str:
    there = [
        one.component
        for one in faults
        if one.uid == order.uid
        and one.onset <= order.at
        and (one.repaired is None or order.at <= one.repaired)
    ]
    if not there:
        return "false"
    return "right" if order.component in there else "wrong_component"
