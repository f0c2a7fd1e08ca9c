"""`meantime reliability`, as people and programs call it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kit import clock, logs, settings
from kit.database import Conn
from kit.errors import MeantimeError
from meantime.cli import build, output
from tests.conftest import utc
from tests.fsm_core import factory
from tests.reliability import history

Command = Callable[..., str]


@pytest.fixture
def command(db: Conn, dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """`command("--by", "model")` on a database with one pump, 30 days and one failure; what it printed."""
    world = factory.world(db)
    clock.set_rate(db, 0, sim=utc("2026-03-31 00:00"))
    history.ran(db, world.device, utc("2026-03-01 00:00").date(), 30)
    history.order(db, world.device, utc("2026-03-10 00:00"))
    monkeypatch.setenv("MEANTIME_DATABASE_URL", dsn)
    monkeypatch.setenv("MEANTIME_HOME", str(tmp_path))
    # the command runs in this process, whose log must not end in a stream that is closed after it
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    settings.load.cache_clear()

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(build(["reliability"]), ["reliability", *arguments])
        if done.exception:
            raise done.exception
        return done.stdout

    yield run
    output.use_json(False)
    settings.load.cache_clear()


def test_a_table_for_people_and_lines_for_programs(command: Command) -> None:
    text = command("--by", "component", "--model", "pump-p100")
    assert "pump-p100/bearing" in text
    assert "mtbf_h" in text
    (row,) = [
        json.loads(line) for line in command("--by", "model", "--json").splitlines() if line.startswith("{")
    ]
    assert (row["failures"], row["hours"], row["mtbf_h"]) == (1, 720, 720)


def test_one_group_in_full_says_what_cannot_be_told(command: Command) -> None:
    row = json.loads(command("--key", "pump-p100/bearing", "--json").splitlines()[0])
    assert (row["lives"], row["running"], row["failures"]) == (2, 1, 1)
    assert "One failure only" in row["no_weibull"]


@pytest.mark.parametrize(
    "wrong", [("--by", "colour"), ("--from", "soon"), ("--key", "pump-p100/wing"), ("--confidence", "95")]
)
def test_a_wrong_question_is_refused_in_words(command: Command, wrong: tuple[str, str]) -> None:
    with pytest.raises(MeantimeError, match=r"\w+ \w+"):
        command(*wrong)
