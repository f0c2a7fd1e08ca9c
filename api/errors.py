"""Errors become answers: kit.errors classes carry their status; JSON for programs, a page for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException

from api.messages import chinese
from kit import logs
from kit.errors import Conflict, Invalid, MeantimeError, NotFound, Unauthenticated, Unavailable

log = logs.get(__name__)
Page = Callable[[Request, MeantimeError], Response]


def body(error: MeantimeError) -> dict[str, Any]:
    """`{"error": code, "message": …, "message_zh": …, "details": {…}}`"""
    return {
        "error": error.code, "message": error.message, "message_zh": chinese(error.message),
        "details": jsonable_encoder(error.details),
    }  # fmt: skip


def install(app: FastAPI, page: Page) -> None:
    """Register the handlers of this table; `page` says to people what programs get as JSON."""
    app.state.error_page = page
    app.add_exception_handler(MeantimeError, _ours)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(psycopg.Error, _database)
    app.add_exception_handler(PoolTimeout, _busy)
    app.add_exception_handler(Exception, _unexpected)


def wants_page(request: Request) -> bool:
    """A browser that navigates, as against a program or a script of ours."""
    return not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", "")


def answer(request: Request, error: MeantimeError) -> Response:
    """The response for an error."""
    if not wants_page(request):
        headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
        return JSONResponse(body(error), error.status, headers=headers)
    if isinstance(error, Unauthenticated):
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        location = request.url_for("login_page").include_query_params(next=target)
        return RedirectResponse(f"{location.path}?{location.query}", 303)
    page: Page = request.app.state.error_page
    return page(request, error)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, MeantimeError)
    if error.status >= 500:
        log.error("request failed", path=request.url.path, error=repr(error))
    return answer(request, error)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [
        {"where": ".".join(str(part) for part in item["loc"]), "what": item["msg"]} for item in error.errors()
    ]
    first = problems[0]
    return answer(request, Invalid(f"{first['where']}: {first['what']}", problems=problems))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return answer(request, NotFound(f"There is nothing at {request.url.path}."))
    plain = MeantimeError(str(error.detail))
    return JSONResponse(body(plain) | {"error": "http"}, error.status_code, headers=dict(error.headers or {}))


async def _database(request: Request, error: Exception) -> Response:
    assert isinstance(error, psycopg.Error)
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        log.error("database away", path=request.url.path, error=str(error).strip())
        return answer(request, Unavailable("The database cannot be reached now; try again in a moment."))
    log.error("database refused", path=request.url.path, error=repr(error), exc_info=error)
    if isinstance(error, psycopg.errors.SerializationFailure | psycopg.errors.DeadlockDetected):
        return answer(request, Conflict("Somebody changed the same rows at the same moment; try again."))
    return answer(request, MeantimeError("The database refused the change; nothing was stored."))


async def _busy(request: Request, error: Exception) -> Response:
    log.error("no connection free", path=request.url.path, error=str(error))
    return answer(request, Unavailable("All database connections are busy; try again in a moment."))


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unexpected", path=request.url.path, error=repr(error), exc_info=error)
    return answer(request, MeantimeError("Something went wrong here; it is in the log."))
