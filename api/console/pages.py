"""Pages about the session itself: log in, log out, language, errors."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api import accounts
from api.accounts import User
from api.console.render import LANGUAGE_COOKIE, back_to, home, page
from api.deps import CurrentUser, State, Tx, same_origin, state
from api.routes.session import address_of, set_cookie
from api.security import COOKIE
from kit import clock
from kit.errors import Invalid, MeantimeError

router = APIRouter(include_in_schema=False)
Own = Annotated[State, Depends(state)]


def error_page(request: Request, error: MeantimeError) -> HTMLResponse:
    """What went wrong, for people; needs no database."""
    user: User | None = getattr(request.state, "user", None)
    return page(request, "error.html", user, None, status=error.status, error=error, back=_referrer(request))


def _referrer(request: Request) -> str:
    came_from = request.headers.get("referer", "")
    base = str(request.base_url)
    return "/" + came_from.removeprefix(base) if came_from.startswith(base) else "/"


@router.get("/")
def start(user: CurrentUser) -> RedirectResponse:
    """To each user's first section."""
    return back_to(home(user))


@router.get("/login", name="login_page")
def login_page(request: Request, conn: Tx, own: Own, next: str = "/") -> HTMLResponse:
    """The form, and the demo's logins when there are any."""
    return _form(request, conn, own, next, None)


def _form(
    request: Request, conn: Tx, own: State, target: str, problem: str | None, status: int = 200
) -> HTMLResponse:
    demo = [] if own.settings.production else accounts.demo_logins(conn)
    return page(
        request, "login.html", None, clock.load(conn), status=status, next=target, demo=demo, problem=problem
    )


@router.post("/login", dependencies=[Depends(same_origin)])
def login(
    request: Request,
    conn: Tx,
    own: Own,
    login: Annotated[str, Form(max_length=100)],
    password: Annotated[str, Form(max_length=200)],
    next: Annotated[str, Form()] = "/",
) -> Response:
    """Sets the session's cookie."""
    try:
        user, mark = accounts.log_in(
            conn,
            own.attempts,
            login.strip(),
            password,
            address_of(request),
            production=own.settings.production,
        )
    except MeantimeError as error:
        return _form(request, conn, own, next, error.code, error.status)
    answer = back_to(next)
    set_cookie(answer, request, own, own.signer.token(user.id, mark, own.settings.api.session_hours))
    _remember(answer, user.language)
    return answer


def _remember(answer: Response, language: str) -> None:
    """For pages that know no account: the log-in page, and what is not there."""
    answer.set_cookie(LANGUAGE_COOKIE, language, max_age=365 * 86400, samesite="lax")


@router.post("/logout")
def logout(user: CurrentUser) -> Response:
    """Forgets the cookie."""
    answer = back_to("/login")
    answer.delete_cookie(COOKIE, path="/")
    return answer


@router.post("/language")
def language(
    conn: Tx, user: CurrentUser, language: Annotated[str, Form()], back: Annotated[str, Form()] = "/"
) -> Response:
    """The switch in the page's head."""
    accounts.set_language(conn, user.id, language)
    answer = back_to(back)
    _remember(answer, language)
    return answer


@router.get("/language/{language}")
def language_before_login(language: str, next: str = "/") -> Response:
    """The switch on the login page."""
    if language not in ("en", "zh"):
        raise Invalid(f"{language!r} is not a language of the interface; it is en or zh")
    answer = back_to(f"/login?next={next}" if next != "/" else "/login")
    _remember(answer, language)
    return answer
