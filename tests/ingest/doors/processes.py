"""A front door in a process of its own, as the product runs it, so that it can be killed at any moment.

The processes are forked from a clean server that has the modules loaded already, so that a restart costs little.
"""

from __future__ import annotations

import importlib
import multiprocessing
from multiprocessing.process import BaseProcess
from typing import Any

from kit.process import stop_on_signals
from kit.settings import Settings

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["ingest.endpoint", "ingest.collector", "tests.ingest.doors.processes"])


def serve(module: str, settings: Settings, more: dict[str, Any]) -> None:
    """What the process does."""
    importlib.import_module(module).run(settings, stop_on_signals(), **more)


class Process:
    """`<module>.run(settings, stop)` in a child process."""

    def __init__(self, module: str, settings: Settings, **more: Any) -> None:
        self._arguments = (module, settings, more)
        self.child: BaseProcess | None = None

    def start(self) -> None:
        self.child = _context.Process(target=serve, args=self._arguments)
        self.child.start()

    def kill(self) -> None:
        """SIGKILL: no last words."""
        assert self.child is not None
        self.child.kill()
        self.child.join(10)

    def stop(self) -> int | None:
        """SIGTERM; returns the exit code."""
        assert self.child is not None
        self.child.terminate()
        self.child.join(10)
        return self.child.exitcode

    def __enter__(self) -> Process:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.child is not None and self.child.is_alive():
            self.kill()
