"""The web console: server-rendered pages and small ES modules on the public API."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from api.console import pages
from api.console.render import FOLDER
from api.console.views import acts, analytics, devices, dispatch, ingest, my, orders, reliability, whatif

_PAGES = (pages, acts, analytics, whatif, orders, my, devices, dispatch, ingest, reliability)


def install(app: FastAPI) -> None:
    """Add the pages and their static files."""
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    for module in _PAGES:
        app.include_router(module.router)
