"""Long commands say on standard error how far they are."""

from __future__ import annotations

import io
import time

import pytest

from meantime.cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_a_line_every_tenth() -> None:
    told = io.StringIO()
    with Progress(told) as progress:
        for step in range(1, 1001):
            progress(step / 1000)
    lines = told.getvalue().splitlines()
    assert [int(line.split("%")[0]) for line in lines] == list(range(10, 101, 10))


def test_a_terminal_gets_one_line_that_changes_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    told, seconds = Terminal(), iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(seconds)))
    with Progress(told) as progress:
        progress(0.25)
        progress(0.5)
    assert told.getvalue().count("\r") == 2
    assert told.getvalue().endswith("\n")
    assert " 25 %  0:03" in told.getvalue()
