"""Every cell of state × action × role, and random walks against a model."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsm_core import invariants
from fsm_core.actors import ROLES, Actor
from fsm_core.work_orders import actions, rules, store
from kit.database import Conn, rows
from kit.errors import Conflict, Forbidden, Invalid
from tests.fsm_core import factory
from tests.fsm_core.factory import DESK, MANAGER, T0, World

HOUR = timedelta(hours=1)


def actor_of(role: str, world: World, provider_id: int) -> Actor:
    """Somebody with that role to whom the world's order belongs as far as it can."""
    return Actor.user(
        5, role,
        technician_id=world.technician if role == "engineer" else None,
        provider_id=provider_id if role == "provider" else None,
        customer_id=world.customer if role == "customer" else None,
    )  # fmt: skip


def frozen(conn: Conn) -> list[object]:
    return [
        rows(conn, "select * from fsm.work_order"),
        rows(conn, "select * from fsm.visit"),
        rows(conn, "select * from fsm.work_order_event"),
        rows(conn, "select * from fsm.sla_clock order by kind"),
        rows(conn, "select * from fsm.hold"),
    ]


def provided(conn: Conn) -> tuple[World, int]:
    """A world whose engineer is a provider's."""
    world, provider_id = factory.world(conn), factory.provider(conn)
    conn.execute("update fsm.technician set provider_id = %s where id = %s", (provider_id, world.technician))
    return world, provider_id


def test_the_whole_order_matrix(db: Conn) -> None:
    world, provider_id = provided(db)
    order = factory.accepted(db, world)
    factory.finished(db, factory.working(db, factory.planned(db, order.id, world.technician)))
    for state in rules.ORDER_STATES:
        with db.transaction() as undo:  # undone: this state was not come by honestly
            db.execute("update fsm.work_order set state = %s", (state,))
            before = frozen(db)
            for action, move in rules.ORDER_MOVES.items():
                for role in ROLES if action != "plan" else ():
                    order_cell(db, order.id, state, action, move, actor_of(role, world, provider_id))
            assert frozen(db) == before
            raise psycopg.Rollback(undo)


def order_cell(conn: Conn, order_id: int, state: str, action: str, move: rules.Move, actor: Actor) -> None:
    """A legal cell moves (and is undone), an illegal one raises; that it changed nothing, the caller looks at."""
    at = T0 + 9 * HOUR
    if state in move.sources and actor.role in move.roles:
        with conn.transaction() as undo:
            moved = actions.move_order(conn, order_id, action, actor, at, reason="other")
            assert moved == store.get(conn, order_id)
            assert moved.state == (move.target or "accepted")
            raise psycopg.Rollback(undo)
    else:
        with pytest.raises(Forbidden if actor.role not in move.roles else Conflict):
            actions.move_order(conn, order_id, action, actor, at, reason="other")


def test_the_whole_visit_matrix(db: Conn) -> None:
    world, provider_id = provided(db)
    order = factory.accepted(db, world)
    visit = factory.planned(db, order.id, world.technician)
    for item in store.checklist(db, order.id):
        actions.tick(db, order.id, item["position"], True, MANAGER, T0)
    actions.file_codes(db, order.id, "wear", "replaced", "", MANAGER, T0)
    factory.sign(db, order.id)
    for state in rules.VISIT_STATES:
        for order_state in (rules.FOLLOWS[state], "on_hold"):
            db.execute("update fsm.visit set state = %s", (state,))
            db.execute("update fsm.work_order set state = %s", (order_state,))
            before = frozen(db)
            for action, move in rules.VISIT_MOVES.items():
                for role in ROLES:
                    actor = actor_of(role, world, provider_id)
                    visit_cell(db, visit.id, state, order_state, action, move, actor)
            assert frozen(db) == before


def visit_cell(
    conn: Conn, visit_id: int, state: str, order_state: str, action: str, move: rules.Move, actor: Actor
) -> None:
    """As `order_cell`."""
    at, place = T0 + 9 * HOUR, (31.0, 121.0)
    stopped = order_state == "on_hold" and not move.while_held
    if state in move.sources and actor.role in move.roles and not stopped:
        with conn.transaction() as undo:
            moved = actions.move_visit(conn, visit_id, action, actor, at, reason="x", position=place)
            assert moved.state == move.target
            follows = rules.order_follows(order_state, moved.state)
            assert store.get(conn, moved.order_id).state == follows
            raise psycopg.Rollback(undo)
    else:
        with pytest.raises(Forbidden if actor.role not in move.roles else Conflict):
            actions.move_visit(conn, visit_id, action, actor, at, reason="x", position=place)


class Model:
    """What the state of one order and its visits must be, kept beside the database."""

    def __init__(self) -> None:
        self.order = "new"
        self.visits: list[str] = []

    def move(self, action: str) -> None:
        move = rules.ORDER_MOVES[action]
        if action == "cancel" and self.visits and self.visits[-1] in rules.OPEN_VISIT:
            self.visits[-1] = "cancelled"
        newest = self.visits[-1] if self.visits and self.visits[-1] in rules.OPEN_VISIT else None
        self.order = move.target or rules.released_to(newest)

    def move_visit(self, action: str) -> None:
        target = rules.VISIT_MOVES[action].target
        assert target is not None
        self.visits[-1] = target
        self.order = rules.order_follows(self.order, target)


STEPS = st.lists(
    st.sampled_from(
        [*rules.ORDER_MOVES, *rules.VISIT_MOVES, "accept", "plan", "confirm", "travel", "check_in", "start"]
    ),
    min_size=1,
    max_size=25,
)


@given(steps=STEPS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_walk_the_tables_the_log_and_the_model_agree(
    walked: World, db: Conn, steps: list[str]
) -> None:
    with db.transaction() as undo:
        order, model = factory.opened(db, walked), Model()
        for number, step in enumerate(steps):
            with suppress(Conflict, Invalid), db.transaction():  # any other error fails the test
                walk(db, walked, order.id, model, step, number)
        told = rules.replay(
            rules.Event(e["subject"], e["visit_id"], e["from_state"], e["to_state"])
            for e in store.events(db, order.id)
        )
        assert told.order == store.get(db, order.id).state == model.order
        assert list(told.visits.values()) == [v.state for v in store.visits(db, order.id)] == model.visits
        assert invariants.check(db) == []
        raise psycopg.Rollback(undo)


@pytest.fixture
def walked(db: Conn) -> World:
    world = factory.world(db)
    db.execute(
        "update fsm.order_type set needs_signature = false, needs_codes = false, needs_checklist = false"
    )
    return world


def walk(conn: Conn, world: World, order_id: int, model: Model, step: str, number: int) -> None:
    """One step of the walk; the model moves only when the database did."""
    at = T0 + number * HOUR
    boss = Actor.user(6, "admin")
    if step == "plan":
        factory.planned(conn, order_id, world.technician, start=at)
        model.order = "assigned"
        model.visits.append("planned")
    elif step in rules.ORDER_MOVES:
        actions.move_order(conn, order_id, step, boss, at, reason="other")
        model.move(step)
    elif model.visits:
        visit = store.visits(conn, order_id)[-1]
        actions.move_visit(conn, visit.id, step, boss, at, reason="x")
        model.move_visit(step)


def test_who_plans(db: Conn) -> None:
    world = factory.world(db)
    order = factory.accepted(db, world)
    for role in ("engineer", "finance", "reliability"):
        with pytest.raises(Forbidden):
            actions.plan_visit(
                db, order.id, actions.VisitPlan(world.technician, T0, T0, T0 + HOUR), Actor.user(3, role), T0
            )
    assert (
        actions.plan_visit(
            db, order.id, actions.VisitPlan(world.technician, T0, T0, T0 + HOUR), DESK, T0
        ).state
        == "planned"
    )
