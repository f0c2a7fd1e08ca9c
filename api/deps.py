"""What routes depend on: one transaction a request, the user, and the answer kept for a repeated request."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, cast

from fastapi import Depends, Request, Response
from psycopg_pool import ConnectionPool

from api import accounts
from api.accounts import Attempts, User
from api.security import COOKIE, CSRF_FIELD, CSRF_HEADER, Signer
from fsm_core.actors import Actor
from kit import clock
from kit.database import Conn, transaction
from kit.errors import Forbidden, Unauthenticated
from kit.settings import Settings

SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class State:
    """What the application was made with."""

    pool: ConnectionPool[Any]
    settings: Settings
    signer: Signer
    attempts: Attempts


def state(request: Request) -> State:
    """The application's own."""
    return cast(State, request.app.state.meantime)


def _transaction(request: Request) -> Iterator[Conn]:
    with transaction(state(request).pool) as conn:
        yield conn


# Scope "function": the COMMIT happens before the answer is sent, so that a failing one cannot answer 200.
Tx = Annotated[Conn, Depends(_transaction, scope="function")]


FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith(FORMS)


async def _body_hash(request: Request) -> str:
    """Of what was sent; a form's body is read once only, so its fields stand for it."""
    if _is_form(request):
        content = repr([(name, str(value)) for name, value in (await request.form()).multi_items()]).encode()
    else:
        content = await request.body()
    return hashlib.sha256(content).hexdigest()


async def _form_csrf(request: Request) -> str | None:
    """The CSRF token of the request: a header from our scripts, or a field of a form."""
    if request.method in SAFE:
        return None
    given = request.headers.get(CSRF_HEADER)
    if given is None and _is_form(request):
        field = (await request.form()).get(CSRF_FIELD)
        given = field if isinstance(field, str) else None
    return given


def token_of(request: Request) -> tuple[str | None, bool]:
    """The token a request shows, and whether it came by itself (the cookie)."""
    header = request.headers.get("authorization", "")
    if header.lower().startswith("bearer "):
        return header[7:].strip(), False
    return request.cookies.get(COOKIE), True


def same_origin(request: Request) -> None:
    """Refuse what another site's page sends (browsers say where a request started)."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise Forbidden("This request came from another site's page.")


def current_user(request: Request, conn: Tx, csrf: Annotated[str | None, Depends(_form_csrf)]) -> User:
    """Whoever is logged in.

    Raises:
        Unauthenticated: nobody, or the session ended.
        Forbidden: a change by cookie without the page's CSRF token.
    """
    token, by_cookie = token_of(request)
    if not token:
        raise Unauthenticated("Log in first.")
    own = state(request)
    claims = own.signer.read(token)
    if by_cookie and request.method not in SAFE:
        same_origin(request)
        if not own.signer.csrf_matches(token, csrf):
            raise Forbidden("The page's form token is missing or old; reload the page and try again.")
    user = accounts.holder(conn, claims, production=own.settings.production)
    request.state.user = user
    return user


CurrentUser = Annotated[User, Depends(current_user)]


@dataclass(frozen=True)
class Call:
    """One state-changing request: its transaction, who makes it, when (event time), and its repetition key."""

    conn: Conn
    user: User
    at: datetime
    request: str
    key: str | None
    response: Response

    @property
    def actor(self) -> Actor:
        """The user as the domain knows them."""
        return self.user.actor


def _call(
    request: Request,
    response: Response,
    conn: Tx,
    user: CurrentUser,
    body_hash: Annotated[str, Depends(_body_hash)],
) -> Call:
    return Call(
        conn,
        user,
        clock.now(conn),
        f"{request.method} {request.url.path} {body_hash}",
        request.headers.get("idempotency-key"),
        response,
    )


CallDep = Annotated[Call, Depends(_call)]
