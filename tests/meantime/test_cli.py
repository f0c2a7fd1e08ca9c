"""The command line as people and programs use it, on a real database."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import click
import pytest
import structlog
import typer

from analytics import episodes
from kit.database import Conn, scalar
from kit.settings import environment, load
from meantime.cli import MODULES, backtests, build, main, replays
from meantime.cli.output import size, table, use_json
from simulators.replay import score

ROOT = Path(__file__).parents[2]
Run = Callable[..., subprocess.CompletedProcess[str]]


def process(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "meantime", *arguments],
        env=environment(**settings), capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip


@pytest.fixture
def run(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """`run("--json", "device", "list")` on a database of the test's own, by the command's own `main`.

    In this process: a new one costs a second and more, most of it for imports. What a process of its own could do
    otherwise (exit code, streams, nothing imported before) is what the tests with `process` look at.
    """

    def command(*arguments: str, **changes: object) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            for name, value in environment(database_url=dsn, home=tmp_path, **changes).items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["meantime", *arguments])
            patch.chdir(ROOT)
            load.cache_clear()
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), out, err)

    yield command
    load.cache_clear()
    use_json(False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def pump(run: Run) -> str:
    """The shipped pump, loaded; its model code."""
    done = run("device-type", "add", str(ROOT / "meantime" / "device_types" / "pump.toml"))
    assert done.returncode == 0, done.stderr
    return "pump-p100"


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path), command
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


def test_every_command_says_what_it_does() -> None:
    silent = [path for path, command in leaves(typer.main.get_command(build())) if not command.help]
    assert silent == []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_registers_the_commands_that_it_is_imported_for(name: str) -> None:
    group = typer.main.get_command(build([MODULES[name][0]]))
    assert sorted(group.commands) == sorted(MODULES[name])  # type: ignore[attr-defined]


def test_every_command_of_the_documents_exists() -> None:
    known = {path for path, _ in leaves(typer.main.get_command(build()))}
    texts = "\n".join(
        path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    )
    for command in (
        "device add",
        "device-type add",
        "dead-letters list",
        "explain",
        "backtest",
        "invariants",
        "replay csv",
    ):
        assert command in known
        assert f"meantime {command}" in texts or f"meantime {command.split()[0]}" in texts


def test_a_device_gets_its_token_once(run: Run, pump: str, db: Conn, dsn: str, tmp_path: Path) -> None:
    made = json.loads(run("--json", "device", "add", "MP-0001", "--model", pump).stdout)
    listing = process("--json", "device", "list", database_url=dsn, home=tmp_path)
    listed = [json.loads(line) for line in listing.stdout.splitlines()]
    assert made["token"]
    assert [device["uid"] for device in listed] == ["MP-0001"]
    assert made["token"] not in json.dumps(listed)
    assert scalar(db, "select count(*) from ingest.credential") == 1


def test_a_wrong_model_is_one_sentence_that_names_the_right_ones(run: Run, pump: str) -> None:
    done = run("device", "add", "MP-0001", "--model", "pmup")
    assert done.returncode == 1
    assert "pmup" in done.stderr
    assert pump in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_device_type_file_changes_nothing_and_says_where(run: Run, tmp_path: Path, db: Conn) -> None:
    wrong = tmp_path / "wrong.toml"
    text = (ROOT / "meantime" / "device_types" / "pump.toml").read_text(encoding="utf-8")
    wrong.write_text(text.replace('metric = "vibration"', 'metric = "vibrations"'), encoding="utf-8")
    done = run("device-type", "add", str(wrong))
    assert done.returncode == 1
    assert "vibrations" in done.stderr
    assert scalar(db, "select count(*) from ingest.model") == 0


def test_every_shipped_device_type_loads(run: Run, db: Conn) -> None:
    for path in sorted((ROOT / "meantime" / "device_types").glob("*.toml")):
        done = run("device-type", "add", str(path))
        assert done.returncode == 0, done.stderr
    assert scalar(db, "select count(distinct model) from fsm.solution") == 3


def test_secrets_are_masked(run: Run) -> None:
    done = run("config", "show", api__secret="very-secret", collector__password="hush")
    assert done.returncode == 0
    assert "very-secret" not in done.stdout
    assert "hush" not in done.stdout
    assert "MEANTIME_API__SECRET" in done.stdout


def test_invariants_hold_on_an_empty_installation(run: Run) -> None:
    assert run("invariants").returncode == 0


def test_a_backtest_is_told_side_by_side_to_people_and_as_json_to_programs(run: Run, pump: str) -> None:
    period = ("backtest", "--from", "2026-03-02", "--to", "2026-03-05", "--train-from", "2026-02-01")
    told = run(*period)
    assert told.returncode == 0, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0].split() == ["Rules", "in", "force", "Rules", "tried"]
    assert ["Orders", "0", "0"] in [line.split() for line in lines]
    assert any("repaired within 30 d" in line for line in lines)
    assert any("Horizon 30 d (720 h)" in line for line in lines)
    assert any("pump-p100" in line and "no telemetry" in line for line in lines)
    assert any("No automatic order was opened in this period" in line for line in lines)
    assert "{" not in told.stdout
    (found,) = map(json.loads, run("--json", *period).stdout.splitlines())
    assert found["live"]["orders"] == 0
    assert found["horizon_hours"] == 720
    within = run("backtest", *period[1:], "--horizon", "72", language="zh")
    assert "判定期限 3天（72 小时）" in within.stdout, "the words are the installation's language"
    refused = run("backtest", *period[1:], "--horizon", "0")
    assert refused.returncode == 1
    assert "above 0 h" in refused.stderr


def test_the_usual_horizons_of_the_commands_are_those_of_what_they_call() -> None:
    assert timedelta(hours=backtests.HORIZON_HOURS) == timedelta(microseconds=episodes.HORIZON)
    assert timedelta(hours=replays.HORIZON_HOURS) == score.HORIZON


def test_sizes_of_what_is_stored_have_units_for_people_and_are_exact_for_programs(
    run: Run, pump: str
) -> None:
    told = run("storage", "status").stdout
    assert re.search(r"^bytes +[\d,.]+ [KMG]?B", told, re.M), told
    assert re.search(r"^rollup bytes +[\d,.]+ KB \([\d,]+ B\)", told, re.M), told
    assert isinstance(json.loads(run("--json", "storage", "status").stdout)["bytes"], int)


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, "0 B"), (1023, "1,023 B"), (1024, "1.0 KB (1,024 B)"), (1_503_238_553, "1.4 GB (1,503,238,553 B)")],
)
def test_a_size_is_told_in_its_unit_beside_the_exact_number(count: int, told: str) -> None:
    assert size(count) == told


def test_a_table_with_chinese_words_stands_straight(capsys: pytest.CaptureFixture[str]) -> None:
    use_json(False)
    table([{"型号": "水泵", "n": 1}, {"型号": "P", "n": 2}])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["型号  n", "水泵  1", "P     2"]


def test_explaining_an_order_that_does_not_exist_is_refused(run: Run) -> None:
    done = run("explain", "WO-999999")
    assert done.returncode == 1
    assert "WO-999999" in done.stderr


def test_a_database_that_was_never_migrated_is_named_as_such(server: object, tmp_path: Path) -> None:
    dsn = server.dsn("postgres")  # type: ignore[attr-defined]
    done = process("device", "list", database_url=dsn, home=tmp_path)
    assert done.returncode == 1
    assert "meantime migrate" in done.stderr


def test_an_account_can_be_made_once(run: Run) -> None:
    arguments = ("user", "add", "kim", "--name", "Kim", "--role", "manager", "--password", "long-enough-1")
    assert run(*arguments).returncode == 0
    again = run(*arguments)
    assert again.returncode == 1
    assert "kim" in again.stderr


def test_doctor_says_one_sentence_for_each_check(run: Run) -> None:
    lines = [json.loads(line) for line in run("--json", "doctor").stdout.splitlines()]
    assert {"python", "database", "disk"} <= {line["check"] for line in lines}
    assert all(line["finding"] for line in lines)


def test_the_demo_refuses_to_run_in_production(run: Run) -> None:
    done = run("demo", production="true")
    assert done.returncode == 1
    assert "production" in done.stderr.lower()
