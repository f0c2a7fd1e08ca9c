"""A CSV file through a map and the real end point."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tomllib import loads

import pytest
from hypothesis import given
from hypothesis import strategies as st

import meantime
from ingest import device_types, registry
from ingest.endpoint import Endpoint
from kit import clock
from kit.database import Conn, rows, scalar
from kit.errors import Conflict, Invalid
from kit.settings import Endpoint as EndpointSettings
from kit.settings import Settings
from simulators.replay import csv as replay_csv
from simulators.replay.mapping import parse
from simulators.replay.sender import Where
from tests.conftest import utc

PUMP = Path(meantime.__file__).parent / "device_types" / "pump.toml"
UNITS = {"pump-p100": {"vibration": "mm/s", "bearing_temperature": "°C", "current": "A"}}
START = utc("1970-01-01 00:00")
MAP = """
[time]
column = "time"
format = "%d.%m.%Y %H:%M"
zone = "Asia/Shanghai"
[device]
column = "machine"
prefix = "F2-"
model = "pump-p100"
[metric.vibration]
column = "vib"
unit = "in/s"
[metric.bearing_temperature]
column = "temp"
unit = "°F"
[fault]
column = "alarm"
none = ["-"]
[csv]
delimiter = ";"
decimal = ","
"""
FILE = """time;machine;vib;temp;alarm
24.11.2026 08:00;A;0,1;212;-
24.11.2026 08:00;B;0,2;;
24.11.2026 08:10;A;0,1;212;E101
24.11.2026 08:20;A;broken;212;E201
yesterday;A;0,1;212;-
24.11.2026 08:30;;0,1;212;-
24.11.2026 08:40;A;99;212;-
"""


@pytest.fixture
def settings(dsn: str, db: Conn) -> Settings:
    clock.set_rate(db, 0.0, sim=utc("2026-11-24 06:00"))
    with db.transaction():
        device_types.load(db, loads(PUMP.read_text(encoding="utf-8")))
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


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "map.toml").write_text(MAP, encoding="utf-8")
    (tmp_path / "file.csv").write_text(FILE, encoding="utf-8")
    return tmp_path / "file.csv", tmp_path / "map.toml"


def test_a_file_arrives_converted_and_what_cannot_be_used_is_counted(dsn, db, settings, where, files):
    report = replay_csv.replay(dsn, settings, *files, where=where)
    assert (report.lines, report.skipped, report.devices, report.provisioned) == (7, 2, 2, 2)
    assert "Line 6: 'yesterday'" in report.skipped_because[0]
    assert (report.first, report.last) == (utc("2026-11-24 00:00"), utc("2026-11-24 00:40"))
    assert report.delivery.sent == report.delivery.acknowledged
    assert report.delivery.refused == {"out_of_range": 1}
    told = rows(
        db,
        """select d.uid, t.ts, s.metrics, t."values" from ingest.telemetry t join ingest.device d on d.id = t.device_id
           join ingest.shape s on s.id = t.shape_id order by d.uid, t.ts""",
    )
    found = [(row["uid"], row["ts"], dict(zip(row["metrics"], row["values"], strict=True))) for row in told]
    assert [(uid, ts) for uid, ts, _ in found] == [
        ("F2-A", utc("2026-11-24 00:00")), ("F2-A", utc("2026-11-24 00:10")), ("F2-A", utc("2026-11-24 00:20")),
        ("F2-A", utc("2026-11-24 00:40")), ("F2-B", utc("2026-11-24 00:00")),
    ]  # fmt: skip
    assert found[0][2] == pytest.approx({"vibration": 2.54, "bearing_temperature": 100.0})
    assert found[4][2] == pytest.approx({"vibration": 5.08})
    codes = db.execute("select code, active from ingest.fault_event order by ts, active").fetchall()
    assert codes == [("E101", True), ("E101", False), ("E201", True), ("E201", False)]


def test_playing_a_file_again_adds_nothing(dsn, settings, where, files):
    first = replay_csv.replay(dsn, settings, *files, where=where)
    again = replay_csv.replay(dsn, settings, *files, where=where)
    assert first.delivery.stored == 5 + 4
    assert (again.delivery.stored, again.provisioned) == (0, 0)


def test_a_missing_column_is_named_with_those_that_are_there(dsn, settings, files):
    file, mapping = files
    file.write_text("time;machine;vib\n", encoding="utf-8")
    with pytest.raises(Invalid, match=r"no column 'alarm'\. It has time, machine, vib"):
        replay_csv.replay(dsn, settings, file, mapping)


def test_a_file_of_another_age_than_the_clock_is_refused_as_a_whole(dsn, db, settings, files):
    clock.set_rate(db, 0.0, sim=utc("2020-01-01 00:00"))
    with pytest.raises(Invalid, match="the product's clock shows 2020-01-01"):
        replay_csv.replay(dsn, settings, *files)
    assert scalar(db, "select count(*) from ingest.device") == 0


def test_a_device_of_another_model_is_not_taken_over(dsn, db, settings, files):
    other = loads(PUMP.read_text(encoding="utf-8").replace('code = "pump-p100"', 'code = "pump-other"'))
    with db.transaction():
        device_types.load(db, other)
        registry.provision(db, "F2-A", "pump-other")
    with pytest.raises(Conflict, match=r"F2-A.* is a pump-other"):
        replay_csv.replay(dsn, settings, *files)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('column = "time"', "", r"\[time\] needs column"),
        ('zone = "Asia/Shanghai"', 'zone = "Mars/Base"', "no IANA time zone"),
        ('model = "pump-p100"', 'model = "toaster"', "Known: pump-p100"),
        ("[metric.vibration]", "[metric.noise]", "no such metric"),
        ('unit = "in/s"', 'unit = "bar"', "cannot be converted"),
        ("[csv]", "[cvs]", r"section \[cvs\]"),
        ('prefix = "F2-"', 'uid = "X"', "either column"),
        ("[time]", "[time", "no TOML"),
    ],
)
def test_a_wrong_map_is_refused_with_what_would_be_right(old, new, message):
    assert old in MAP
    with pytest.raises(Invalid, match=message):
        parse(MAP.replace(old, new), UNITS)


@given(
    at=st.integers(31_536_000_000, 4_102_444_800_000).map(lambda ms: START + timedelta(milliseconds=ms)),
    form=st.sampled_from(["iso", "epoch_s", "epoch_ms", "%Y%m%d %H%M%S.%f"]),
)
def test_a_time_written_in_any_format_is_read_back(at, form):
    since = at - START
    text = {
        "iso": at.isoformat(),
        "epoch_s": str(since / timedelta(seconds=1)),
        "epoch_ms": str(since // timedelta(milliseconds=1)),
    }.get(form, at.strftime(form))
    mapping = parse(
        f'[time]\ncolumn = "t"\nformat = "{form}"\n[device]\nuid = "X"\nmodel = "pump-p100"\n'
        '[metric.current]\ncolumn = "a"\nscale = 2.0\noffset = 1.0\n',
        UNITS,
    )
    found = mapping.line({"t": text, "a": "10"}, 2)
    assert abs(found.at - at) <= timedelta(microseconds=1)
    assert (found.uid, found.values, found.code) == ("X", {"current": 21.0}, None)
