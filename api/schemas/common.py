"""Shapes that several subjects share."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

Item = TypeVar("Item")


class Shape(BaseModel):
    """An answer or a request body; unknown fields of a request are refused."""

    model_config = ConfigDict(extra="forbid")


class Row(BaseModel):
    """An answer made from a database row; columns that the shape does not name are left out."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)


class Page(Row, Generic[Item]):
    """One page; pass `next` as `after` to get the following one (null: this was the last)."""

    items: list[Item]
    next: int | None = None


class Listing(Row, Generic[Item]):
    """A list that comes in one piece."""

    items: list[Item]


class Problem(Shape):
    """The body of every error."""

    error: str
    message: str
    message_zh: str
    details: dict[str, Any]


class Done(Shape):
    """Nothing more to say."""

    done: bool = True


class Counted(Shape):
    """How many rows an operation touched."""

    count: int


ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": text}
    for status, text in {
        401: "Log in first",
        403: "Not for this role",
        404: "No such thing, or not yours",
        409: "The state does not allow it, or somebody changed it first",
        422: "The input cannot be used",
        503: "The database cannot be reached",
    }.items()
}
"""What every route may answer besides."""
