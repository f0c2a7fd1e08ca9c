"""Tell people: order news to the customer, alarms to the desk; acknowledge an alarm."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from fsm_core.actors import Actor
from fsm_core.messages import store
from kit.database import Conn, one, rows, scalar
from kit.errors import Conflict, Forbidden, NotFound

DESK = ("admin", "manager", "dispatcher")


def order_news(conn: Conn, order_id: int, template: str, key: str, at: datetime, reason: str = "") -> None:
    """Put news of an order for its customer into the outbox; a customer without an address is not told."""
    news = one(
        conn,
        """select o.number, o.title_en, o.title_zh, c.id as customer_id, c.email, c.phone, c.language, s.timezone,
               t.name as engineer, v.planned_start
           from fsm.work_order o join fsm.customer c on c.id = o.customer_id join fsm.site s on s.id = o.site_id
           left join lateral (select * from fsm.visit where order_id = o.id order by id desc limit 1) v on true
           left join fsm.technician t on t.id = v.technician_id
           where o.id = %s""",
        (order_id,),
    )
    if news is None or not (news["email"] or news["phone"]):
        return
    store.enqueue(
        conn,
        key=f"order:{order_id}:{key}",
        channel="email" if news["email"] else "sms",
        recipient=news["email"] or news["phone"],
        language=news["language"],
        template=template,
        values=news | {"reason": reason, "when": _local(news)},
        at=at,
        order_id=order_id,
    )


def _local(news: dict[str, Any]) -> str:
    start: datetime | None = news["planned_start"]
    return "" if start is None else f"{start.astimezone(ZoneInfo(news['timezone'])):%Y-%m-%d %H:%M}"


def raise_alarm(
    conn: Conn,
    *,
    key: str,
    kind: str,
    severity: int,
    texts: tuple[str, str],
    at: datetime,
    order_id: int | None = None,
) -> bool:
    """Raise an alarm once per `key` and tell every account of the desk, each in its language."""
    alarm_id = store.add_alarm(
        conn, key=key, kind=kind, severity=severity, texts=texts, at=at, order_id=order_id
    )
    if alarm_id is None:
        return False
    values = {"subject_en": texts[0], "subject_zh": texts[1], "text_en": texts[0], "text_zh": texts[1]}
    for account in rows(
        conn,
        "select id, language from fsm.user_account where active and role = any(%s) order by id",
        (list(DESK),),
    ):
        store.enqueue(
            conn,
            key=f"alarm:{alarm_id}:{account['id']}",
            channel="console",
            recipient=f"user:{account['id']}",
            language=account["language"],
            template="alarm",
            values=values,
            at=at,
            order_id=order_id,
        )
    return True


def acknowledge(conn: Conn, alarm_id: int, actor: Actor, at: datetime) -> None:
    """Say that somebody has seen to it.

    Raises:
        Forbidden: not somebody of the service desk.
        NotFound: no such alarm.
        Conflict: somebody had acknowledged it before.
    """
    if actor.role not in (*DESK, "system"):
        raise Forbidden("Only the service desk acknowledges alarms.")
    done = scalar(
        conn,
        """update fsm.alarm set acknowledged_at = %s, acknowledged_by = %s
           where id = %s and acknowledged_at is null returning id""",
        (at, actor.id, alarm_id),
    )
    if done is None:
        found = one(conn, "select acknowledged_by from fsm.alarm where id = %s", (alarm_id,))
        if found is None:
            raise NotFound(f"There is no alarm {alarm_id}.")
        raise Conflict(f"{found['acknowledged_by']} has acknowledged this alarm already.")
