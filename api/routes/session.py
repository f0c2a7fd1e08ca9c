"""Logging in and out, and who I am."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from api import accounts
from api.deps import CallDep, CurrentUser, State, Tx, same_origin, state, token_of
from api.schemas.common import Done, Row, Shape
from api.security import COOKIE

router = APIRouter(prefix="/api", tags=["session"])


class Login(Shape):
    """What a person shows."""

    login: str = Field(min_length=1, max_length=100)
    password: str = Field(min_length=1, max_length=200)


class UserOut(Row):
    """An account."""

    id: int
    login: str
    name: str
    role: str
    language: str
    technician_id: int | None
    provider_id: int | None
    customer_id: int | None


class Session(Row):
    """A bearer token for `Authorization: Bearer …`."""

    token: str
    user: UserOut


class Me(Row):
    """Who the token belongs to; `csrf` for pages that use the cookie."""

    user: UserOut
    csrf: str


class Language(Shape):
    """The language of the interface."""

    language: Literal["en", "zh"]


def address_of(request: Request) -> str:
    """Where a request comes from, for the limit on failures."""
    return request.client.host if request.client else "unknown"


def set_cookie(response: Response, request: Request, own: State, token: str) -> None:
    """HttpOnly, same site; over TLS only where the page came over TLS."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=own.settings.api.session_hours * 3600,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path="/",
    )


@router.post("/login", response_model=Session, dependencies=[Depends(same_origin)])
def login(body: Login, request: Request, conn: Tx, own: Annotated[State, Depends(state)]) -> dict[str, Any]:
    """A token for a login and password; ten failures in five minutes are answered 429."""
    user, mark = accounts.log_in(
        conn, own.attempts, body.login, body.password, address_of(request), production=own.settings.production
    )
    return {"token": own.signer.token(user.id, mark, own.settings.api.session_hours), "user": user}


@router.post("/logout", response_model=Done)
def logout(response: Response, user: CurrentUser) -> dict[str, bool]:
    """Forget the cookie. A bearer token ends by its time, or when the password changes."""
    response.delete_cookie(COOKIE, path="/")
    return {"done": True}


@router.get("/me", response_model=Me)
def me(request: Request, user: CurrentUser, own: Annotated[State, Depends(state)]) -> dict[str, Any]:
    """The account behind this request."""
    token, _ = token_of(request)
    assert token is not None, "the user was found by it"
    return {"user": user, "csrf": own.signer.csrf(token)}


@router.post("/me/language", response_model=Done)
def language(body: Language, call: CallDep) -> dict[str, bool]:
    """Change the language of the interface."""
    accounts.set_language(call.conn, call.user.id, body.language)
    return {"done": True}
