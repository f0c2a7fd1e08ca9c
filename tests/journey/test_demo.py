"""The README's first command, as a program sees it: from a fresh folder to settled orders, and a clean end."""

from __future__ import annotations

import random
import signal
import time
from datetime import UTC, datetime

import httpx
import psutil
import pytest

from kit.database import connect, rows, scalar
from meantime import postgres
from tests.journey.conftest import Home, wait_for_console
from tests.journey.killing import VICTIMS, alive, ask, caught_up, kill, kill_database, until

pytestmark = [pytest.mark.journey, pytest.mark.timeout(400)]
KILLS = 12


def stages(lines: list[dict[str, object]]) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for line in lines:
        found.setdefault(str(line["stage"]), []).append(line)
    return found


def test_every_stage_from_device_to_settlement_is_told(settled: list[dict[str, object]]) -> None:
    assert set(stages(settled)) >= {"device", "fault", "order", "visit", "settlement", "done"}


def test_a_warranty_order_bills_nothing_and_another_is_charged(settled: list[dict[str, object]]) -> None:
    found = stages(settled)["settlement"]
    covered = [line for line in found if str(line["covered_by"]).endswith("_warranty")]
    assert any(float(str(line["gross"])) == 0 and float(str(line["cost"])) > 0 for line in covered)
    assert any(float(str(line["gross"])) > 0 for line in found)
    assert all(float(str(line["journal_balance"])) == 0 for line in found)


def test_the_order_comes_before_the_failure(settled: list[dict[str, object]]) -> None:
    leads = [line["lead_hours"] for line in stages(settled)["order"] if line["lead_hours"] is not None]
    assert leads
    assert any(float(str(lead)) > 0 for lead in leads)


@pytest.mark.slow
def test_a_second_start_goes_on_with_the_same_data_and_ctrl_c_leaves_nothing_running(
    home: Home, settled: list[dict[str, object]]
) -> None:
    data = postgres.data_folder(home.folder)
    process = home.start("demo")
    console = wait_for_console(home, process)
    page = httpx.get(f"{console}/login")
    assert page.status_code == 200
    with connect(home.dsn, application="journey", autocommit=True) as conn:
        numbers = [row["number"] for row in rows(conn, "select number from fsm.work_order order by id")]
        assert scalar(conn, "select kit.now()") < datetime.now(UTC).replace(year=datetime.now(UTC).year + 5)
    assert {str(line["order"]) for line in stages(settled)["settlement"]} <= set(numbers)
    family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 0
    process.communicate()
    deadline = time.monotonic() + 5
    while (left := [pid for pid in family if psutil.pid_exists(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    assert not (data / "postmaster.pid").exists()


@pytest.mark.slow
def test_processes_killed_at_random_come_back_and_every_invariant_holds(
    home: Home, settled: list[dict[str, object]]
) -> None:
    assert settled
    rng = random.Random(20261124)
    process = home.start("demo")
    try:
        wait_for_console(home, process)
        for _ in range(KILLS):
            kill(process.pid, rng.choice(VICTIMS))
            until(lambda: bool(ask(home, "select 1")), "the database")
        kill_database(process.pid)
        until(lambda: alive(home), "all processes to beat again", home)
        stored = int(ask(home, "select sum(messages) from ingest.device_status"))
        until(
            lambda: int(ask(home, "select sum(messages) from ingest.device_status")) > stored,
            "new telemetry",
            home,
        )
        until(lambda: caught_up(home), "the followers to catch up", home)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    checked = home.start("--json", "invariants")
    out, err = checked.communicate(timeout=60)
    assert checked.returncode == 0, f"{out}\n{err}"


@pytest.mark.slow
def test_the_invariants_hold_after_it_all(home: Home, settled: list[dict[str, object]]) -> None:
    process = home.start("--json", "invariants")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, f"{out}\n{err}"
