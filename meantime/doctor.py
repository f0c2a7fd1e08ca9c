"""What this machine lacks, in one sentence each, and how to mend it."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from kit import database
from kit.errors import MeantimeError
from kit.settings import Settings
from meantime import postgres


@dataclass(frozen=True)
class Finding:
    """One check. `needed` False: only a part of the product or of its tests does without it."""

    name: str
    ok: bool
    needed: bool
    text: str


def examine(settings: Settings) -> list[Finding]:
    """All checks, none of which changes anything."""
    return [finding for check in _CHECKS for finding in check(settings)]


def _python(settings: Settings) -> Iterator[Finding]:
    version = sys.version.split()[0]
    ok = sys.version_info >= (3, 11)
    yield Finding(
        "python",
        ok,
        True,
        f"Python {version}." if ok else f"Python {version} is too old: install 3.11 or newer.",
    )
    for name, package in {"ortools": "OR-tools", "numpy": "NumPy", "sklearn": "scikit-learn"}.items():
        found = importlib.util.find_spec(name) is not None
        yield Finding(
            name,
            found,
            True,
            f"{package} is installed." if found else f"{package} is missing: run `python3 dev.py setup`.",
        )


def _database(settings: Settings) -> Iterator[Finding]:
    if settings.database_url is not None:
        try:
            with database.connect(settings.database_url, application="doctor") as conn:
                version = conn.info.server_version // 10000
            ok = version >= 15
            text = (
                f"PostgreSQL {version} answers."
                if ok
                else f"PostgreSQL {version} is too old: use 15 or newer."
            )
            yield Finding("database", ok, True, text)
        except MeantimeError as error:
            yield Finding("database", False, True, f"{error.message} Check MEANTIME_DATABASE_URL.")
        return
    try:
        yield Finding("database", True, True, f"Embedded PostgreSQL in {postgres.binaries()}.")
    except MeantimeError as error:
        yield Finding("database", False, True, error.message)


def _ports(settings: Settings) -> Iterator[Finding]:
    for name, host, port in (
        ("console port", settings.api.host, settings.api.port),
        ("device port", settings.endpoint.host, settings.endpoint.port),
    ):
        free = _is_free(host, port)
        text = f"{host}:{port} is free." if free else (
            f"{host}:{port} is taken (by Meantime itself, or another program); the demo then takes a free one. "
            "Choose another with MEANTIME_API__PORT or MEANTIME_ENDPOINT__PORT."
        )  # fmt: skip
        yield Finding(name, free, False, text)


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _room(settings: Settings) -> Iterator[Finding]:
    folder = settings.home if settings.home.exists() else Path(".")
    free = shutil.disk_usage(folder).free / 2**30
    ok = free > 2
    text = (
        f"{free:.0f} GiB of disk are free."
        if ok
        else f"Only {free:.1f} GiB of disk are free: make room for 2 GiB."
    )
    yield Finding("disk", ok, True, text)
    memory = psutil.virtual_memory().available / 2**30
    enough = memory > 1.5
    text = (
        f"{memory:.0f} GiB of memory are free."
        if enough
        else f"Only {memory:.1f} GiB of memory are free: 1.5 are right."
    )
    yield Finding("memory", enough, True, text)


def _optional(settings: Settings) -> Iterator[Finding]:
    chromium = next(
        (name for name in ("chromium", "chromium-browser", "google-chrome") if shutil.which(name)), None
    )
    yield Finding(
        "chromium", chromium is not None, False,
        "Chromium is there for the browser tests." if chromium else
        "No Chromium: the browser tests are skipped. Debian: sudo apt-get install chromium fonts-noto-cjk",
    )  # fmt: skip
    mosquitto = shutil.which("mosquitto") or (
        "/usr/sbin/mosquitto" if Path("/usr/sbin/mosquitto").exists() else None
    )
    yield Finding(
        "mosquitto", mosquitto is not None, False,
        "mosquitto is there for the broker tests." if mosquitto else
        "No mosquitto: the broker tests are skipped. Debian: sudo apt-get install mosquitto mosquitto-clients",
    )  # fmt: skip


_CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (_python, _database, _ports, _room, _optional)
