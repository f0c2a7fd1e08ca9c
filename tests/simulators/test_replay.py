"""Recorded data through the real end point."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from analytics.worker import followers
from ingest.endpoint import Endpoint
from kit.database import connect, rows, scalar
from kit.errors import NotFound
from kit.follow import catch_up
from kit.settings import Endpoint as EndpointSettings
from kit.settings import Settings
from simulators.replay import azure, score
from simulators.replay.score import Warning
from simulators.replay.sender import Where
from tests.conftest import utc


@pytest.fixture
def settings(dsn: str) -> Settings:
    return Settings(database_url=dsn, endpoint=EndpointSettings(port=0))


@pytest.fixture
def where(settings: Settings) -> Iterator[Where]:
    door, stop, ready = Endpoint(settings), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(door.serve(stop, ready=ready)))
    thread.start()
    assert ready.wait(10)
    yield Where("127.0.0.1", door.port)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.data
@pytest.mark.slow
def test_a_part_of_the_azure_set_arrives_whole_and_warns_of_its_failures(dsn, settings, where, shared_data):
    folder = shared_data / "azure-pdm"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    seen: list[tuple[int, int]] = []

    def settle() -> None:
        with connect(dsn, role="meantime_analytics", autocommit=True) as conn:
            catch_up(conn, followers(settings))

    start, end = utc("2015-01-01 00:00"), utc("2015-03-15 00:00")
    report = azure.replay(
        dsn, settings, folder, where=where, start=start, end=end, machines=3,
        progress=lambda _, done, total: seen.append((done, total)), settle=settle,
    )  # fmt: skip
    data = azure.Data(folder, start, end, 3)
    codes = len(data.events("errors.csv", "errorID"))
    assert report.machines == 3
    assert report.delivery.sent == report.delivery.acknowledged == len(data) == seen[-1][0] == seen[-1][1]
    assert report.delivery.stored == report.delivery.items == len(data) + codes
    assert report.delivery.refused == {}
    assert report.replacements == len(data.events("maint.csv", "comp"))
    failures = len(data.events("failures.csv", "failure"))
    assert failures > 0
    assert sum(one.failures for one in report.components.values()) == failures
    assert (report.by, report.orders) == ("detections", 0)
    assert sum(one.warned for one in report.components.values()) >= 0.8 * failures
    with connect(dsn) as conn:
        first, last = rows(conn, "select min(ts) as a, max(ts) as b from ingest.telemetry")[0].values()
    assert start + timedelta(hours=9, seconds=-1) <= first < last < end
    part = start + timedelta(days=10)
    again = azure.replay(dsn, settings, folder, where=where, start=start, end=part, machines=3)
    assert again.delivery.acknowledged > 200
    assert (again.delivery.stored, again.replacements) == (0, 0), "playing again adds nothing"


def test_a_folder_without_the_set_is_refused_by_name(dsn, settings, tmp_path: Path):
    with pytest.raises(NotFound, match=r"has no telemetry_3h\.parquet"):
        azure.replay(dsn, settings, tmp_path)
    with connect(dsn) as conn:
        assert scalar(conn, "select count(*) from ingest.model") == 0


def at(hours: float) -> datetime:
    return utc("2015-07-01 00:00") + timedelta(hours=hours)


def test_a_warning_is_right_when_that_component_fails_strictly_later_within_72_hours():
    failures = [("A", "comp1", at(72)), ("A", "comp2", at(200)), ("B", "comp1", at(300))]
    warnings = [
        Warning("A", "comp1", at(0)),  # exactly 72 hours ahead
        Warning("A", "comp1", at(10)),  # the same episode
        Warning("A", "comp2", at(200)),  # at the moment of failure: no warning
        Warning("B", "comp1", at(100)),  # far too early
        Warning("B", "comp2", at(990)),  # undecided at the end
    ]
    found = score.by_component(warnings, failures, end=at(1000))
    one, two = found["comp1"], found["comp2"]
    assert (one.failures, one.warned, one.warnings, one.right, one.false) == (2, 1, 2, 1, 1)
    assert one.lead_hours == pytest.approx((72, 72, 72))
    assert (two.failures, two.warned, two.warnings, two.right, two.false) == (1, 0, 2, 0, 1)
    assert two.lead_hours == ()
