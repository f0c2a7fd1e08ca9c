"""How far a long command is, on standard error: one line that changes on a terminal, a line every tenth elsewhere.

Numbers only, so that it reads the same in every language.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self, TextIO

SECONDS = 0.5  # a terminal's line is drawn no oftener


class Progress:
    """Called with the share that is done, 0 to 1; ends its line when it is left."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._began = self._drawn = time.monotonic()
        self._told = 0  # tenths
        self._line = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._line:
            print(file=self._stream, flush=True)

    def __call__(self, share: float) -> None:
        """Tell it."""
        now = time.monotonic()
        if self._stream.isatty():
            if now - self._drawn >= SECONDS:
                self._drawn, self._line = now, True
                print(f"\r{self._text(share, now):<24}", end="", file=self._stream, flush=True)
        elif int(10 * share) > self._told:
            self._told = int(10 * share)
            print(self._text(share, now), file=self._stream, flush=True)

    def _text(self, share: float, now: float) -> str:
        """`42 %  3:05`: the share, and the minutes and seconds that are left at this pace."""
        left = (now - self._began) * (1 - share) / share if share > 0 else 0.0
        return f"{100 * share:3.0f} %  {left // 60:.0f}:{left % 60:02.0f}"
