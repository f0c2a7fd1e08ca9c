"""A repeated request with the same `Idempotency-Key` has one effect and gets one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi.encoders import jsonable_encoder
from psycopg.types.json import Jsonb

from api.deps import Call
from kit.database import one
from kit.errors import Conflict, Invalid


def once(call: Call, act: Callable[[], Any]) -> Any:
    """Run `act` unless this key was answered before; then give that answer again.

    The key's row is written in the transaction of the effect: a second request that arrives meanwhile waits for
    the first at the unique index, and if the first fails, becomes the first itself.
    """
    if call.key is None:
        return act()
    if not 1 <= len(call.key) <= 200:
        raise Invalid("An Idempotency-Key has 1 to 200 characters.")
    if _is_first(call):
        content = jsonable_encoder(act())
        call.conn.execute(
            "update api.idempotency set body = %s where user_id = %s and key = %s",
            (Jsonb(content), call.user.id, call.key),
        )
        return content
    return _earlier(call)


def _is_first(call: Call) -> bool:
    inserted = call.conn.execute(
        """insert into api.idempotency (user_id, key, request) values (%s, %s, %s)
           on conflict do nothing returning 1""",
        (call.user.id, call.key, call.request),
    ).fetchone()
    return inserted is not None


def _earlier(call: Call) -> Any:
    row = one(
        call.conn,
        "select request, body from api.idempotency where user_id = %s and key = %s",
        (call.user.id, call.key),
    )
    assert row is not None, "the conflicting row is committed, or the insert would have waited for it"
    if row["request"] != call.request:
        raise Conflict("This Idempotency-Key was used for another request; use a fresh one.", key=call.key)
    call.response.headers["Idempotency-Replayed"] = "true"
    return row["body"]
