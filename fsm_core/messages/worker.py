"""Delivers the outbox. A channel is a function; those without a gateway yet only log it, which counts as sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from fsm_core.messages import rules, store
from kit import clock, logs
from kit.database import Conn
from kit.errors import MeantimeError
from kit.process import Job

log = logs.get(__name__)
Send = Callable[[dict[str, Any]], None]
"""Delivers one message, or raises a MeantimeError or OSError; it will be tried again."""
BATCH = 100


def to_log(message: dict[str, Any]) -> None:
    """A channel without a gateway: the message stays in the table; its line is for who asks for details."""
    log.debug("message", channel=message["channel"], to=message["recipient"], subject=message["subject"])


CHANNELS: Mapping[str, Send] = {
    "console": lambda message: None,
    "email": to_log,
    "sms": to_log,
    "wechat": to_log,
}
"""The console's messages are delivered by lying in the table, where it reads them."""


def deliver(conn: Conn, channels: Mapping[str, Send] = CHANNELS) -> bool:
    """Deliver what is due; True when there may be more. At least once: a crash after sending sends again."""
    now = clock.now(conn)
    with conn.transaction():
        batch = store.due(conn, now, BATCH)
        for message in batch:
            try:
                channels[message["channel"]](message)
            except (MeantimeError, OSError) as error:
                again = rules.next_try(message["attempts"] + 1, now)
                log.warning("message not delivered", id=message["id"], error=str(error), again=again)
                store.settle(conn, message["id"], sent_at=None, error=str(error), next_try_at=again)
            else:
                store.settle(conn, message["id"], sent_at=now, error=None, next_try_at=None)
    if batch:
        log.info("messages", **Counter(message["channel"] for message in batch))
    return len(batch) == BATCH


def job() -> Job:
    """The messages job of the fsm worker."""
    return Job("messages", 2.0, deliver)
