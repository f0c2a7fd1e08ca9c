"""Who may use which part of the interface, as data. What a move of an order needs is fsm_core's to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

from fastapi import Depends

from api.accounts import User
from api.deps import current_user
from fsm_core.actors import ROLES
from kit.errors import Forbidden

_ALL = frozenset(ROLES) - {"system"}
_OFFICE = frozenset({"admin", "manager", "dispatcher"})

MAY: Final = {
    "orders.read": _ALL,  # each their own, see api.scope
    "orders.open": _OFFICE | {"customer"},
    "orders.act": _ALL - {"reliability", "customer"},
    "parts.use": _OFFICE | {"engineer"},
    "visits.read": _ALL - {"customer"},
    "dispatch": _OFFICE | {"provider"},
    "devices.read": _ALL,
    "devices.manage": frozenset({"admin"}),
    "ingest.read": frozenset({"admin", "manager", "reliability"}),
    "ingest.manage": frozenset({"admin"}),
    "reliability": _ALL,  # each of the devices that are theirs
    "analytics.read": _OFFICE | {"reliability"},
    "analytics.tune": frozenset({"admin", "manager", "reliability"}),
    "money.read": frozenset({"admin", "manager", "finance"}),
}
"""Permission → roles."""


def may(user: User, permission: str) -> bool:
    """Whether the user's role has the permission."""
    return user.role in MAY[permission]


def require(permission: str) -> Callable[[User], User]:
    """A dependency that answers 403 unless the user's role has the permission."""
    roles = MAY[permission]

    def check(user: Annotated[User, Depends(current_user)]) -> User:
        if user.role not in roles:
            raise Forbidden(
                f"{permission} is for {', '.join(sorted(roles))}; you are {user.role}.", permission=permission
            )
        return user

    return check
