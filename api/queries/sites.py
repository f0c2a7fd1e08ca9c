"""Sites to choose from."""

from __future__ import annotations

from typing import Any

from api.accounts import User
from kit.database import Conn, rows


def listing(conn: Conn, user: User) -> list[dict[str, Any]]:
    """All sites; a customer's own only."""
    return rows(
        conn,
        """select s.id, s.name, c.name as customer from fsm.site s join fsm.customer c on c.id = s.customer_id
           where %(customer)s::int is null or s.customer_id = %(customer)s order by c.name, s.name""",
        {"customer": user.customer_id if user.role == "customer" else None},
    )
