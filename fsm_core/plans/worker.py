"""Follows what analytics finds and turns it into episodes and orders; every signal's fate and its rule are kept.

The facts of a batch are taken per (device, failure mode), in event time. A replay changes nothing: a detection
that has a verdict is passed over, and verdict, episode and order commit together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from fsm_core.actors import Actor
from fsm_core.plans import rules, store, wording
from fsm_core.plans.rules import Decision, Policy, Signal
from fsm_core.plans.store import Episode, Verdict
from fsm_core.work_orders import actions as orders
from fsm_core.work_orders import store as order_store
from fsm_core.work_orders.actions import NewOrder
from fsm_core.work_orders.rules import ENDED
from kit import clock
from kit.database import Conn
from kit.follow import Follower
from kit.process import Job
from kit.settings import Settings

ACTOR = Actor.rule("plans")
Fact = dict[str, Any]
"""A row of analytics.detection."""


def followers(settings: Settings, policy: Policy | None = None) -> list[Follower]:
    """The follower of analytics.detection."""
    chosen = policy or Policy()
    return [Follower("plans", "analytics.detection", lambda conn, facts: handle(conn, facts, chosen))]


def jobs(policy: Policy | None = None) -> list[Job]:
    """Cancel what stayed clear; decide again what was suppressed for a reason that has passed."""
    chosen = policy or Policy()

    def timed(run: Callable[[Conn, datetime, Policy], int]) -> Callable[[Conn], bool]:
        def work(conn: Conn) -> bool:
            with conn.transaction():
                run(conn, clock.now(conn), chosen)
            return False

        return work

    return [Job("plans.cancel", 5.0, timed(cancel_cleared)), Job("plans.reconsider", 5.0, timed(reconsider))]


def handle(conn: Conn, facts: Sequence[Fact], policy: Policy) -> None:
    """Decide detections, in the caller's transaction."""
    known = store.decided(conn, [fact["id"] for fact in facts])
    groups: dict[tuple[int, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact["id"] not in known:
            groups[fact["device_id"], fact["failure_mode"]].append(fact)
    now = clock.now(conn)
    # In event time: a parent's or an earlier fault of the same batch is decided before what follows from it.
    for group in sorted(groups.values(), key=lambda group: min(_when(fact) for fact in group)):
        _decide_group(conn, sorted(group, key=_when), policy, now)


def _when(fact: Fact) -> tuple[datetime, int]:
    return fact["ts"], fact["id"]


def _decide_group(conn: Conn, facts: Sequence[Fact], policy: Policy, now: datetime) -> None:
    """All new signals of one device and failure mode, oldest first."""
    episode = store.open_episode(conn, facts[0]["device_id"], facts[0]["failure_mode"])
    joined: list[Fact] = []
    for fact in facts:
        if episode is None:
            episode = _first(conn, fact, fact["ts"], policy, now)
        else:
            joined.append(fact)
    if episode is not None and joined:
        _join(conn, episode, joined, policy, now)


def _first(conn: Conn, fact: Fact, moment: datetime, policy: Policy, now: datetime) -> Episode | None:
    """Decide a signal without an open episode; the episode it opens, or None."""
    if fact["kind"] == "clear":
        store.write_verdicts(conn, [Verdict(fact["id"], None, None, "ignored", "no_open_episode")], now)
        return None
    found = store.situation(conn, fact, moment, policy)
    decision = rules.decide(Signal(fact["ts"], fact["rule"], fact["severity"]), found, policy)
    if decision.outcome == "attached" and _has_ended(conn, decision.order_id):
        return _first(conn, fact, moment, policy, now)  # it ended while we looked
    episode = None
    if decision.opens or decision.outcome == "attached":
        order_id = decision.order_id or _open(conn, fact, decision, found, policy, now)
        cleared = store.known_clear(conn, fact["device_id"], fact["failure_mode"], fact["ts"])
        episode = store.put_episode(
            conn, fact["device_id"], fact["failure_mode"], fact["ts"], order_id, cleared
        )
    order = episode.order_id if episode else decision.order_id
    verdict = Verdict(fact["id"], episode.id if episode else None, order, decision.outcome, decision.rule)
    store.write_verdicts(conn, [verdict], now)
    return episode


def _has_ended(conn: Conn, order_id: int | None) -> bool:
    """Whether an order is over; from here on nobody ends it before we are done."""
    return order_id is not None and order_store.get(conn, order_id, lock=True).state in ENDED


def _open(
    conn: Conn, fact: Fact, decision: Decision, found: rules.Situation, policy: Policy, now: datetime
) -> int:
    """Open the order of a new fault, and accept it where the rule may."""
    known = store.asset(conn, fact["device_id"], fact["failure_mode"])
    assert known is not None, "only assets get orders"
    names = store.names(conn, known)
    title = wording.title(names)
    text = wording.description(names, fact["evidence"], fact["rule"], fact["score"])
    urgent = rules.priority(fact["severity"], found.mode_priority, found.criticality)
    order = orders.open_order(
        conn,
        NewOrder(
            type=rules.order_type(fact["rule"], decision.repeat_of),
            source="automatic",
            site_id=known["site_id"],
            customer_id=known["customer_id"],
            device_id=fact["device_id"],
            failure_mode=fact["failure_mode"],
            priority=urgent,
            title_en=title[0],
            title_zh=title[1],
            description=text[0],
            description_zh=text[1],
            fault_at=fact["ts"],
            repeat_of=decision.repeat_of,
        ),
        ACTOR,
        now,
    )
    if urgent <= policy.auto_accept:
        orders.move_order(conn, order.id, "accept", ACTOR, now)
    return order.id


def _join(conn: Conn, episode: Episode, facts: Sequence[Fact], policy: Policy, now: datetime) -> None:
    """Signals of an open episode: they stretch it and may raise its order's priority."""
    raises = [fact for fact in facts if fact["kind"] == "raise"]
    clears = [fact["ts"] for fact in facts if fact["kind"] == "clear"]
    store.stretch(conn, episode, [fact["ts"] for fact in raises], clears)
    _raise_priority(conn, episode, raises, policy, now)
    store.write_verdicts(conn, [_joined(fact, episode) for fact in facts], now)


def _joined(fact: Fact, episode: Episode) -> Verdict:
    outcome, rule = ("attached", "open_episode") if fact["kind"] == "raise" else ("cleared", "signal_clear")
    return Verdict(fact["id"], episode.id, episode.order_id, outcome, rule)


def _raise_priority(
    conn: Conn, episode: Episode, raises: Iterable[Fact], policy: Policy, now: datetime
) -> None:
    """The order is as urgent as its most urgent signal, and accepted as soon as one is urgent enough."""
    severities = [fact["severity"] for fact in raises]
    known = store.asset(conn, episode.device_id, episode.failure_mode)
    if not severities or episode.order_id is None or known is None:
        return
    order = order_store.get(conn, episode.order_id)
    urgent = rules.priority(min(severities), known["priority"], known["criticality"])
    if order.state in ENDED or urgent >= order.priority:
        return
    orders.change_priority(conn, order.id, urgent, ACTOR, now)
    if order.state == "new" and order.source == "automatic" and urgent <= policy.auto_accept:
        orders.move_order(conn, order.id, "accept", ACTOR, now)


def cancel_cleared(conn: Conn, now: datetime, policy: Policy) -> int:
    """Cancel orders nobody accepted whose signal has stayed clear; in the caller's transaction. Returns how many."""
    done = 0
    for episode in store.cleared_unaccepted(conn, now - policy.settle):
        assert episode.order_id is not None
        if order_store.get(conn, episode.order_id, lock=True).state == "new":
            orders.move_order(
                conn, episode.order_id, "cancel", ACTOR, now, reason="the signal fell back 信号已自行恢复"
            )
            done += 1
        store.mark_cancelled(conn, episode, now)
    return done


def reconsider(conn: Conn, now: datetime, policy: Policy) -> int:
    """Decide suppressed signals again whose reason has passed; in the caller's transaction. Returns how many opened."""
    opened = 0
    for fact in store.waiting(conn, now, policy):
        episode = store.open_episode(conn, fact["device_id"], fact["failure_mode"])
        if episode is not None:
            _join(conn, episode, [fact], policy, now)
        else:
            opened += _first(conn, fact, now, policy, now) is not None
    return opened
