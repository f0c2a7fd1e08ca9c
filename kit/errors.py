"""The error tree. The API turns each class into its status; the docstring is the default message.

MeantimeError                500
├── Invalid                  422  the input cannot be used: says what, where, and what would be right
├── NotFound                 404
├── Forbidden                403
├── Conflict                 409  the state does not allow it
│   ├── StaleVersion         409  somebody changed it first
│   └── NotReady             409  person, part or tool is missing
├── Unauthenticated          401
├── Misconfigured            500  a setting or the machine is not as it must be
└── Unavailable              503  the database or a peer cannot be reached now
"""

from __future__ import annotations

from typing import Any, ClassVar


class MeantimeError(Exception):
    """Something went wrong inside Meantime."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "error"

    def __init__(self, message: str | None = None, **details: Any) -> None:
        self.message = message or (type(self).__doc__ or "").strip()
        self.details = details
        super().__init__(self.message)


class Invalid(MeantimeError):
    """The input cannot be used."""

    status = 422
    code = "invalid"


class NotFound(MeantimeError):
    """There is no such thing, or not for you."""

    status = 404
    code = "not_found"


class Forbidden(MeantimeError):
    """Your role may not do this."""

    status = 403
    code = "forbidden"


class Unauthenticated(MeantimeError):
    """Log in first."""

    status = 401
    code = "unauthenticated"


class TooManyRequests(MeantimeError):
    """Too many failed attempts; wait a few minutes."""

    status = 429
    code = "too_many_requests"


class Conflict(MeantimeError):
    """The current state does not allow this."""

    status = 409
    code = "conflict"


class StaleVersion(Conflict):
    """Somebody changed this first; read it again."""

    code = "stale_version"


class NotReady(Conflict):
    """A person, part or tool that this needs is missing."""

    code = "not_ready"


class Misconfigured(MeantimeError):
    """A setting or the machine is not as it must be."""

    code = "misconfigured"


class Unavailable(MeantimeError):
    """The database or a peer cannot be reached now."""

    status = 503
    code = "unavailable"
