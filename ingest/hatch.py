"""Calls from other threads into the loop; those that come together cost one wake-up, not one each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any


class Hatch:
    """Into one loop, in the order of the calls; what comes after the loop's end is dropped."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._waiting: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let them in from now on, those first that have waited for it."""
        with self._lock:
            self._loop = loop
            waited = bool(self._waiting)
        if waited:
            loop.call_soon(self._run)

    def put(self, call: Callable[..., Any], *args: Any) -> None:
        """Run `call(*args)` on the loop soon."""
        with self._lock:
            first, loop = not self._waiting, self._loop
            self._waiting.append((call, args))
        if first and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._run)

    def _run(self) -> None:
        with self._lock:
            calls, self._waiting = self._waiting, []
        for call, args in calls:
            try:
                call(*args)
            except Exception as error:  # noqa: BLE001 - as the loop does with calls of its own: report, go on
                assert self._loop is not None
                self._loop.call_exception_handler({"message": f"{call!r} failed", "exception": error})
