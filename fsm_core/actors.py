"""Who acts: a person through the interface, or a rule of the product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ROLES: Final = (
    "admin", "manager", "dispatcher", "engineer", "reliability", "finance", "provider", "customer", "system",
)  # fmt: skip


@dataclass(frozen=True)
class Actor:
    """The one who does something.

    Attributes:
        id: `user:<id>` or `rule:<name>`, as it stands in the event log.
        role: one of `ROLES`.
        technician_id: an engineer's own; which visits are theirs.
        provider_id: a provider's own; others' orders do not exist for them.
        customer_id: a customer's own.
    """

    id: str
    role: str
    technician_id: int | None = None
    provider_id: int | None = None
    customer_id: int | None = None

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise ValueError(f"unknown role {self.role!r}; it is one of {', '.join(ROLES)}")

    @classmethod
    def rule(cls, name: str) -> Actor:
        """A rule that acts by itself: `Actor.rule("plans")` is `rule:plans` in the log."""
        return cls(f"rule:{name}", "system")

    @classmethod
    def user(
        cls,
        user_id: int,
        role: str,
        *,
        technician_id: int | None = None,
        provider_id: int | None = None,
        customer_id: int | None = None,
    ) -> Actor:
        """A person with an account."""
        return cls(f"user:{user_id}", role, technician_id, provider_id, customer_id)
