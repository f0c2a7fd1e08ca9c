"""The web console: server-rendered pages and small ES modules on the public API."""

from __future__ import annotations

from fastapi import FastAPI


def install(app: FastAPI) -> None:
    """Add the pages and their static files."""
