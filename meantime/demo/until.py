"""`meantime demo --until-settled`: the demo watched by a program. One JSON line per stage, then an exit code."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kit import clock
from kit.database import Conn, connect, one, rows
from kit.process import stop_on_signals
from kit.settings import Settings
from meantime.cli import output
from meantime.demo import play
from simulators import truth

STAGES = ("device", "fault", "order", "visit", "settlement")
_WATCHED = """
    select o.id, o.number, o.priority, o.state, o.opened_at, o.failure_mode, d.uid, d.id as device_id,
           x.ts as detected_at, x.rule, x.score, x.evidence,
           (select rule from fsm.entitlement e where e.order_id = o.id and e.line = 'parts') as entitlement,
           v.id as visit_id, v.state as visit_state, t.name as technician, v.planned_start,
           s.net, s.tax, s.gross, s.cost, s.currency, s.settled_at,
           (select coalesce(sum(amount), 0) from fsm.journal_line l where l.entry_id = s.entry_id) as balance
    from fsm.work_order o
    join ingest.device d on d.id = o.device_id
    left join lateral (select x.* from fsm.episode_signal g join analytics.detection x on x.id = g.detection_id
                       where g.order_id = o.id order by x.id limit 1) x on true
    left join lateral (select * from fsm.visit v where v.order_id = o.id order by v.id desc limit 1) v on true
    left join fsm.technician t on t.id = v.technician_id
    left join fsm.settlement s on s.order_id = o.id
    where o.source = 'automatic' and o.opened_at >= %s order by o.id"""


@dataclass
class Watch:
    """What has been seen so far."""

    began: float
    since: datetime
    told: set[tuple[int, str]] = field(default_factory=set)
    warranty: bool = False
    chargeable: bool = False

    def done(self) -> bool:
        """Both kinds of settlement have been seen."""
        return self.warranty and self.chargeable

    def stuck(self) -> str:
        """The first stage that nothing has reached, or what is still to be settled."""
        reached = {stage for _, stage in self.told}
        for stage in STAGES:
            if stage not in reached:
                return stage
        kinds = {"warranty": self.warranty, "chargeable": self.chargeable}
        return "settlement: none " + ", ".join(kind for kind, seen in kinds.items() if not seen)

    def tell(self, key: int, stage: str, **facts: Any) -> None:
        """Print a stage once per order."""
        if (key, stage) not in self.told:
            self.told.add((key, stage))
            output.line({"stage": stage, "seconds": round(time.monotonic() - self.began, 1), **facts})


def run(settings: Settings, speed: float | None, timeout: float) -> int:
    """Run the demo until an order is settled under warranty and another one charged.

    Returns: 0; or 1, with the stage that is stuck, after `timeout` seconds.
    """
    began, stop = time.monotonic(), stop_on_signals()
    with play.staged(settings, stop, fresh=False, speed=speed) as stage:
        if stage is None:
            return _failed("start", began)
        with connect(stage.house.dsn, application="until", autocommit=True) as conn:
            watch = Watch(began, clock.now(conn))
            while not stop.wait(0.5):
                stage.supervisor.mend()
                _look(conn, watch)
                if watch.done():
                    output.line({"stage": "done", "seconds": round(time.monotonic() - began, 1)})
                    return 0
                if time.monotonic() - began > timeout:
                    return _failed(watch.stuck(), began)
    return _failed("stopped", began)


def _failed(stage: str, began: float) -> int:
    output.line({"stage": "stuck", "at": stage, "seconds": round(time.monotonic() - began, 1)})
    print(f"meantime: not settled in time; stuck at: {stage}.", file=sys.stderr)
    return 1


def _look(conn: Conn, watch: Watch) -> None:
    online = one(conn, "select count(*) as n, max(last_ts) as ts from ingest.device_status where online")
    assert online is not None
    if online["n"]:
        watch.tell(0, "device", online=online["n"], newest=online["ts"])
    for order in rows(conn, _WATCHED, (watch.since,)):
        _order(conn, watch, order)


def _order(conn: Conn, watch: Watch, order: dict[str, Any]) -> None:
    key, lead = order["id"], _lead(conn, order)
    drivers = [driver["metric"] for driver in (order["evidence"] or {}).get("drivers", [])]
    watch.tell(key, "fault", device=order["uid"], failure_mode=order["failure_mode"], rule=order["rule"],
               score=order["score"], drivers=drivers, detected_at=order["detected_at"], lead_hours=lead)  # fmt: skip
    watch.tell(key, "order", order=order["number"], device=order["uid"], priority=order["priority"],
               opened_at=order["opened_at"], entitlement=order["entitlement"], lead_hours=lead)  # fmt: skip
    if order["visit_id"] is not None:
        watch.tell(
            key, "visit", order=order["number"], engineer=order["technician"], start=order["planned_start"]
        )
    if order["settled_at"] is not None:
        covered = order["entitlement"] in ("device_warranty", "part_warranty", "parent_warranty")
        watch.warranty |= covered and order["gross"] == 0
        watch.chargeable |= order["gross"] > 0
        watch.tell(key, "settlement", order=order["number"], covered_by=order["entitlement"], net=order["net"],
                   tax=order["tax"], gross=order["gross"], cost=order["cost"], currency=order["currency"],
                   journal_balance=order["balance"], settled_at=order["settled_at"], lead_hours=lead)  # fmt: skip


def _lead(conn: Conn, order: dict[str, Any]) -> float | None:
    """Hours from the order to the true failure, by the simulation; None when nothing was failing."""
    failure = truth.failure_at(conn, order["device_id"], order["failure_mode"], order["opened_at"])
    return None if failure is None else round((failure - order["opened_at"]).total_seconds() / 3600, 1)
