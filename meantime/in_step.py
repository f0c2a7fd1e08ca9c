"""Detection, prediction and orders, moved along with a recording instead of by the clock on the wall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from analytics import worker as analytics
from analytics.prediction import scoring, train
from fsm_core.actors import Actor
from fsm_core.plans import worker as plans
from fsm_core.reports import actions as reports
from fsm_core.work_orders import actions as orders
from fsm_core.work_orders import store
from ingest import rollup
from kit import clock, follow, logs
from kit.database import Conn, rows, scalar
from kit.settings import Settings
from meantime.demo import world

log = logs.get(__name__)
ACTOR = Actor.rule("replay")
CUSTOMER = "replayed-fleet"
STANDS = timedelta(hours=72)
"""An order that no recorded maintenance has confirmed for so long was needless: somebody went and found nothing."""
ENGINEER = "Recorded maintenance 维修记录"
SIGNATURE = "M0 0 L10 0"
STEP = timedelta(minutes=2)


class InStep:
    """One replay's followers, and the people the recording stands for."""

    def __init__(self, conn: Conn, settings: Settings) -> None:
        self.conn = conn
        self.analytics = analytics.followers(settings)
        self.plans = plans.followers(settings)
        self.predicted: list[str] = []  # device types with failure models

    @property
    def followers(self) -> list[follow.Follower]:
        """All of them."""
        return [*self.analytics, *self.plans]

    def registered(self, devices: Mapping[str, int], start: datetime) -> None:
        """Give the devices a customer, one site each, so that they get orders. Their warranty is over."""
        with self.conn.transaction():
            if scalar(self.conn, "select 1 from fsm.price_list") is None:
                world.create(self.conn, start)
            customer = scalar(
                self.conn,
                """insert into fsm.customer (code, name, tier, currency)
                   select %s, 'Replayed fleet 回放设备', 'standard', currency from fsm.price_list
                   on conflict (code) do update set name = excluded.name returning id""",
                (CUSTOMER,),
            )
            for uid, device_id in devices.items():
                self.conn.execute(
                    """with place as (
                           insert into fsm.site (customer_id, name, address, latitude, longitude, timezone)
                           values (%(customer)s, %(uid)s, '', 31.2, 121.5, 'UTC')
                           on conflict (customer_id, name) do update set address = excluded.address returning id)
                       insert into fsm.device (id, serial, site_id, installed_on, qr_token)
                       select %(id)s, %(uid)s, place.id, %(day)s, 'replay-' || %(uid)s from place
                       on conflict (id) do nothing""",
                    {"customer": customer, "uid": uid, "id": device_id, "day": start.date()},
                )

    def learned(self, model: str, until: datetime) -> list[train.Trained]:
        """Let detection live through what is stored, without orders, and learn failure models from it."""
        clock.set_rate(self.conn, 0.0, sim=until)
        self._roll_up()
        follow.catch_up(self.conn, self.analytics, deadline=1200)
        for follower in self.plans:
            with self.conn.transaction():
                follow.skip_to_end(self.conn, follower)
        with self.conn.transaction():
            found = train.train(self.conn, model, until)
        self.predicted = [model] if any(one.promoted for one in found) else []
        return found

    def replaced(self, at: datetime, components: Sequence[tuple[str, str]]) -> None:
        """Recorded maintenance finishes the order of its component as the repair that it was."""
        for uid, component in components:
            for row in rows(
                self.conn,
                """select o.id from fsm.work_order o join ingest.device d on d.id = o.device_id
                   where d.uid = %s and o.component = %s and o.state in ('new', 'accepted') order by o.id""",
                (uid, component),
            ):
                with self.conn.transaction():
                    self._repair(row["id"], at)

    def known(self, at: datetime) -> None:
        """Everything up to `at` is committed: let detection, prediction and orders see it."""
        follow.catch_up(self.conn, self.analytics)
        if self.predicted:
            self._roll_up()
            with self.conn.transaction():
                for model in self.predicted:
                    scoring.score(self.conn, model, at)
        follow.catch_up(self.conn, self.plans)
        self._end_needless(at)

    def _roll_up(self) -> None:
        taken = 1
        while taken:
            with self.conn.transaction():
                taken = rollup.step(self.conn)

    def _end_needless(self, at: datetime) -> None:
        for row in rows(
            self.conn,
            """select id from fsm.work_order where state in ('new', 'accepted') and source = 'automatic'
               and opened_at <= %s order by id""",
            (at - STANDS,),
        ):
            with self.conn.transaction():
                reason = "no maintenance on record within 72 h 72 小时内无维修记录"
                orders.move_order(self.conn, row["id"], "cancel", ACTOR, at, reason=reason)

    def _repair(self, order_id: int, at: datetime) -> None:
        """From accepted to done, by an engineer of its own who was there when the record says so."""
        if store.get(self.conn, order_id).state == "new":
            orders.move_order(self.conn, order_id, "accept", ACTOR, at)
        engineer = self._engineer(order_id)
        actor = Actor("rule:replay", "engineer", technician_id=engineer)
        plan = orders.VisitPlan(engineer, at - 2 * STEP, at - STEP, at, planned_by="replay")
        visit = orders.plan_visit(self.conn, order_id, plan, Actor("rule:replay", "dispatcher"), at)
        for action in ("confirm", "travel", "check_in", "start"):
            orders.move_visit(self.conn, visit.id, action, actor, at, position=(31.2, 121.5))
        for item in store.checklist(self.conn, order_id):
            orders.tick(self.conn, order_id, item["position"], True, actor, at)
        orders.file_codes(self.conn, order_id, "wear", "replace", "by the maintenance record", actor, at)
        reports.draft(self.conn, order_id, actor, at)
        reports.sign(self.conn, order_id, ENGINEER, SIGNATURE, actor, at)
        orders.move_visit(self.conn, visit.id, "finish", actor, at)

    def _engineer(self, order_id: int) -> int:
        """One for each order that is on record at a time: the recording does not say who came."""
        found: int = scalar(
            self.conn,
            """insert into fsm.technician (name, skills, hourly_cost, latitude, longitude, calendar)
               select %s, '{}', 0, 31.2, 121.5, min(code) from fsm.calendar returning id""",
            (f"{ENGINEER} {order_id}",),
        )
        return found
