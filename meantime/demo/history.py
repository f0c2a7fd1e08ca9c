"""A past period, lived by the product's own code: telemetry, detection, orders, visits, settlement, half a day at
a time. Only the people are scripted, by the rules that the live staff follows, too."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from analytics import worker as analytics
from fsm_core.actors import Actor
from fsm_core.dispatch import actions as dispatch
from fsm_core.parts import actions as parts
from fsm_core.plans import worker as plans
from fsm_core.reports import actions as reports
from fsm_core.settlement import worker as settlement
from fsm_core.sla import worker as sla
from fsm_core.work_orders import actions as orders
from ingest.store import Store
from kit import clock, follow, logs
from kit.database import Conn, one, rows, scalar
from kit.errors import Conflict
from kit.settings import Settings
from simulators import staff_rules, truth
from simulators import world as simulated_world
from simulators.faults import Fault, micros, moment
from simulators.history import History
from simulators.staff_rules import Step, VisitView
from simulators.staff_work import Assignment, PartNeed, carry_out

log = logs.get(__name__)
CHUNK = timedelta(hours=12)
MANAGER = Actor("rule:history", "manager")
SYSTEM = Actor.rule("history")
PLACE = "demo_history"


@dataclass(frozen=True)
class Hands:
    """`simulators.staff_work.Hands` that calls the verbs directly, each in a transaction of its own."""

    conn: Conn
    actor: Actor
    order_id: int
    visit_id: int

    def move(self, step: Step, position: tuple[float, float] | None) -> None:
        with self.conn.transaction():
            orders.move_visit(
                self.conn,
                self.visit_id,
                step.action,
                self.actor,
                step.at,
                reason=step.reason,
                position=position,
            )
            if step.action == "travel":  # who leaves takes along what is reserved in a warehouse
                assert self.actor.technician_id is not None
                parts.issue(self.conn, self.order_id, self.actor.technician_id, SYSTEM, step.at)

    def consume(self, part_id: int, quantity: Decimal, at: datetime) -> None:
        with self.conn.transaction():
            parts.consume(self.conn, self.visit_id, part_id, quantity, self.actor, at)

    def return_old(self, part_id: int, quantity: Decimal, at: datetime) -> None:
        with self.conn.transaction():
            parts.return_old(self.conn, self.order_id, part_id, quantity, self.actor, at)

    def tick(self, item: int, at: datetime) -> None:
        with self.conn.transaction():
            orders.tick(self.conn, self.order_id, item, True, self.actor, at)

    def file_codes(self, cause: str, remedy: str, note: str, at: datetime) -> None:
        with self.conn.transaction():
            orders.file_codes(self.conn, self.order_id, cause, remedy, note, self.actor, at)

    def sign(self, name: str, signature: str, at: datetime) -> None:
        with self.conn.transaction():
            reports.draft(self.conn, self.order_id, self.actor, at)
            reports.sign(self.conn, self.order_id, name, signature, self.actor, at)


@dataclass
class Life:
    """One run through a past period."""

    conn: Conn
    settings: Settings
    past: History
    store: Store
    ids: dict[str, int]  # uid → device id
    followers: list[
        follow.Follower
    ]  # of analytics and plans; kept, because analytics keeps its state in memory
    repaired: int = 0

    def chunk(self, start: datetime, end: datetime) -> None:
        """Everything that happens in (start, end]."""
        clock.set_rate(self.conn, 0.0, sim=end)
        self._staff(end)
        self._repair()
        self._telemetry(start, end)
        follow.catch_up(self.conn, self.followers)
        self._telephone(end)
        self._dispatch(end)
        sla.warn(self.conn)

    def _repair(self) -> None:
        """What the engineers repaired is whole again; their visits of this chunk precede its telemetry."""
        for reset in rows(
            self.conn,
            """select r.id, d.uid, r.component, r.ts from analytics.reset r join ingest.device d on d.id = r.device_id
               where r.id > %s order by r.id""",
            (self.repaired,),
        ):
            truth.save(self.conn, self.past.repair(reset["uid"], reset["component"], reset["ts"]))
            self.repaired = reset["id"]

    def _telemetry(self, start: datetime, end: datetime) -> None:
        day = self.past.day(start, end)
        with self.conn.transaction():
            for columns in self.past.columns(day, self.ids):
                self.store.write_rows(self.conn, columns)
            faults = list(self.past.code_arrivals(day, self.settings.ingest.topic_prefix))
            written = self.store.write(self.conn, faults)
        self.store.committed(written)

    def _telephone(self, now: datetime) -> None:
        """Customers ring up about machines that have stood still for hours and have no order yet."""
        for fault in self.past.standing(now, hours=4):
            device = one(
                self.conn,
                """select a.id, a.site_id, s.customer_id, m.name_en, m.name_zh from ingest.device d
                   join fsm.device a using (id) join fsm.site s on s.id = a.site_id
                   join ingest.model m on m.code = d.model
                   where d.uid = %s and not exists (
                       select 1 from fsm.work_order o where o.device_id = a.id
                       and o.state not in ('work_done', 'reviewed', 'settled', 'closed', 'cancelled'))""",
                (fault.uid,),
            )
            if device is not None:
                self._ring(device, fault, now)

    def _ring(self, device: dict[str, Any], fault: Fault, now: datetime) -> None:
        new = orders.NewOrder(
            type="repair", source="telephone", device_id=device["id"], site_id=device["site_id"],
            customer_id=device["customer_id"], failure_mode=fault.mode, priority=2,
            title_en=f"{device['name_en']} {fault.uid} has stopped", title_zh=f"{device['name_zh']} {fault.uid} 已停机",
            fault_at=moment(fault.failed),
        )  # fmt: skip
        with self.conn.transaction():
            order = orders.open_order(self.conn, new, MANAGER, now)
            orders.move_order(self.conn, order.id, "accept", MANAGER, now)

    def _staff(self, end: datetime) -> None:
        """Every step that is due before `end`, in the order in which it falls due."""
        while (due := self._next(end)) is not None:
            visit, step = due
            try:
                self._step(visit, step)
            except Conflict as error:
                log.warning(
                    "history: step refused", visit=visit["id"], action=step.action, error=error.message
                )
                self._give_up(visit, step)
            self._desk(step.at)
        self._desk(end)

    def _next(self, end: datetime) -> tuple[dict[str, Any], Step] | None:
        steps = [
            (visit, staff_rules.next_step(_view(visit), self.settings.simulation.seed))
            for visit in _open(self.conn)
        ]
        due = [(visit, step) for visit, step in steps if step is not None and step.at < end]
        return min(due, key=lambda pair: (pair[1].at, pair[0]["id"]), default=None)

    def _step(self, visit: dict[str, Any], step: Step) -> None:
        actor = Actor("rule:engineer", "engineer", technician_id=visit["technician_id"])
        job = _assignment(self.conn, visit, step.at)
        hands = Hands(self.conn, actor, visit["order_id"], visit["id"])
        carry_out(step, job, hands, self.settings.simulation.seed)
        if step.action == "finish":
            follow.catch_up(self.conn, plans.followers(self.settings))

    def _give_up(self, visit: dict[str, Any], step: Step) -> None:
        action = "withdraw" if visit["state"] in ("planned", "confirmed") else "incomplete"
        with self.conn.transaction():
            orders.move_visit(
                self.conn, visit["id"], action, MANAGER, step.at, reason="Could not go on 无法继续"
            )

    def _desk(self, now: datetime) -> None:
        """The manager reviews what is done and closes what is settled."""
        for order in rows(
            self.conn,
            """select id, state, (select max(at) from fsm.work_order_event e where e.order_id = o.id) as since
               from fsm.work_order o where state in ('work_done', 'settled')""",
        ):
            due = staff_rules.review_at if order["state"] == "work_done" else staff_rules.close_at
            if (at := due(order["since"])) <= now:
                with self.conn.transaction():
                    action = "review" if order["state"] == "work_done" else "close"
                    orders.move_order(self.conn, order["id"], action, MANAGER, at)
                follow.catch_up(self.conn, settlement.followers(self.settings))

    def _dispatch(self, now: datetime) -> None:
        """Each accepted order to the engineer who can be there first."""
        for order in rows(
            self.conn, "select id from fsm.work_order where state = 'accepted' order by priority, id"
        ):
            able = [each for each in dispatch.candidates(self.conn, order["id"], now) if each.feasible]
            if able:
                first = min(able, key=lambda each: (each.start, each.travel_minutes, each.technician_id))
                with self.conn.transaction():
                    dispatch.assign(self.conn, order["id"], first.technician_id, MANAGER, now)


def live(conn: Conn, settings: Settings, start: datetime, end: datetime, stop: threading.Event) -> bool:
    """Live from where it was left (or `start`) to `end`. False when it was stopped before."""
    simulation = settings.simulation
    at: datetime = (
        scalar(conn, "select (value #>> '{}')::timestamptz from kit.state where name = %s", (PLACE,)) or start
    )
    known = truth.load(conn)
    earlier = [fault for fault in known if fault.onset < micros(start)]
    since = [fault for fault in known if fault.onset >= micros(start)]
    past = History(simulation.seed, simulation.devices, start, end, known=since or None, earlier=earlier)
    truth.save(conn, past.book)
    ids = dict(conn.execute("select uid, id from ingest.device").fetchall())
    followers = [*analytics.followers(settings), *plans.followers(settings)]
    before: int = scalar(conn, "select coalesce(max(id), 0) from analytics.reset where ts <= %s", (start,))
    life = Life(conn, settings, past, Store(settings.ingest, door="seed"), ids, followers, before)
    while at < end and not stop.is_set():
        until = min(at + CHUNK, end)
        life.chunk(at, until)
        conn.execute(
            """insert into kit.state (name, value) values (%s, to_jsonb(%s::timestamptz))
               on conflict (name) do update set value = excluded.value""",
            (PLACE, until),
        )
        at = until
    if at >= end:
        _hand_over(conn, settings, past, end)
    return at >= end


def _hand_over(conn: Conn, settings: Settings, past: History, end: datetime) -> None:
    """To the live fleet: the faults that show first, how far everything has been said, and that the repairs so far
    are done."""
    truth.save(conn, past.showcase(simulated_world.under_warranty(conn, end)))
    simulated_world.keep_said(conn, micros(end))
    fleet = simulated_world.load(conn, settings.simulation)
    with conn.transaction():
        follow.skip_to_end(conn, fleet.repairs)
        follow.skip_to_end(conn, fleet.visits)


def _open(conn: Conn) -> list[dict[str, Any]]:
    return rows(
        conn,
        """select v.*, o.standard_hours, s.latitude, s.longitude, o.component, o.device_id, o.failure_mode,
                  (select max(at) from fsm.work_order_event e where e.visit_id = v.id) as since
           from fsm.visit v join fsm.work_order o on o.id = v.order_id join fsm.site s on s.id = o.site_id
           where v.state in ('planned', 'confirmed', 'traveling', 'on_site', 'working', 'paused')""",
    )


def _view(visit: dict[str, Any]) -> VisitView:
    return VisitView(
        visit["id"], visit["state"], visit["travel_start"], visit["planned_start"], visit["travel_minutes"],
        float(visit["standard_hours"]), visit["since"],
    )  # fmt: skip


def _assignment(conn: Conn, visit: dict[str, Any], at: datetime) -> Assignment:
    needs = [
        PartNeed(row["part_id"], row["expected"], row["consumed"], row["old_returned"], row["returns_old"])
        for row in rows(
            conn,
            """select op.*, p.returns_old from fsm.order_part op join fsm.part p on p.id = op.part_id
               where op.order_id = %s""",
            (visit["order_id"],),
        )
    ]
    items = [
        row["position"]
        for row in rows(
            conn,
            "select position from fsm.checklist_item where order_id = %s and done is not true",
            (visit["order_id"],),
        )
    ]
    failing = visit["failure_mode"] is not None and truth.is_failing(
        conn, visit["device_id"], visit["failure_mode"], at
    )
    site = (visit["latitude"], visit["longitude"])
    return Assignment(visit["order_id"], visit["id"], visit["component"], site, needs, items, failing)
