"""What reading a fleet's reliability record for a period costs, against one look at each device's day in the same run.

    python -m benchmarks.periods [--devices 5000] [--days 365]

A fleet with a row of operating hours for each device and day; some days are missing, some have no counted reading.
`reliability.period_s` is `api.queries.reliability_record.record` for a period inside it; `reliability.one_by_one_s`
asks `reports.life_at` for both ends of it, device by device; `reliability.days_s` only fetches the two days' rows in
one join, which nothing that reads the stored hours can beat. JSON lines.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from api.queries.reliability_record import Ask, record
from benchmarks.bench import emit
from kit import clock
from kit.database import Conn, connect
from meantime import device_types, postgres, schema

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def fill(conn: Conn, devices: int, days: int) -> None:
    """The fleet and its hours."""
    device_types.load_shipped(conn)
    clock.set_rate(conn, 0.0, sim=BEGIN + days * DAY)
    conn.execute("insert into fsm.customer (code, name, currency) values ('fleet', 'Fleet', 'EUR')")
    conn.execute(
        """insert into fsm.site (customer_id, name, address, latitude, longitude, timezone)
           select id, 'Site', '', 50, 8, 'UTC' from fsm.customer"""
    )
    conn.execute(
        """insert into ingest.device (uid, model)
           select 'D-' || n, (select min(code) from ingest.model) from generate_series(1, %s) n""",
        (devices,),
    )
    conn.execute(
        """insert into fsm.device (id, serial, site_id, installed_on, qr_token)
           select d.id, d.uid, s.id, %s, d.uid from ingest.device d, fsm.site s""",
        (BEGIN.date(),),
    )
    conn.execute(
        """insert into ingest.run_hours_day (device_id, day, hours, counted, first_ts, ts, raw, life)
           select d.id, %(begin)s::date + n, 20, case when there then 19 else 0 end,
                  case when there then at + interval '1 h' end, case when there then at + interval '23 h' end,
                  case when there then 0 end, case when there then 20 * n + 19 end
           from ingest.device d cross join generate_series(0, %(days)s - 1) n
           cross join lateral (select (%(begin)s::date + n)::timestamp at time zone 'UTC' as at,
                                      (d.id * 7 + n) %% 31 > 0 as there) x
           where (d.id * 13 + n) %% 17 > 0""",
        {"begin": BEGIN.date(), "days": days},
    )
    conn.execute(
        """insert into ingest.run_hours (device_id, ts, raw, life)
           select id, %s, 0, %s from ingest.device""",
        (BEGIN + days * DAY, 20.0 * days),
    )
    conn.execute("analyze")


def seconds(act: Callable[[], object], repeats: int = 3) -> float:
    """Wall time, the best of some."""
    spent = []
    for _ in range(repeats):
        began = time.perf_counter()
        act()
        spent.append(time.perf_counter() - began)
    return min(spent)


def measure(conn: Conn, devices: int, days: int) -> None:
    """The three figures."""
    since, until = BEGIN + days * DAY / 3, BEGIN + days * DAY / 2 + timedelta(hours=7)
    params = {"since": since, "until": until}
    ours = seconds(lambda: record(conn, None, Ask(since=since, until=until)))
    singly = seconds(
        lambda: conn.execute(
            "select id, reports.life_at(id, %(since)s), reports.life_at(id, %(until)s) from fsm.device",
            params,
        ).fetchall(),
        1,
    )
    plain = seconds(
        lambda: conn.execute(
            """select a.device_id, a.life, b.life
               from ingest.run_hours_day a join ingest.run_hours_day b using (device_id)
               where a.day = %(since)s::date and b.day = %(until)s::date""",
            params,
        ).fetchall()
    )
    emit("reliability.days_s", plain, "s", devices=devices, days=days)
    emit("reliability.one_by_one_s", singly, "s", devices=devices)
    emit("reliability.period_s", ours, "s", devices=devices, times_one_by_one=round(ours / singly, 3))


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--days", type=int, default=365)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="meantime-bench-"))
    folder.chmod(0o711)
    server = postgres.start(folder / "pg", settings={"shared_buffers": "64MB"})
    try:
        schema.ensure_database(server.dsn("postgres"), "meantime")
        schema.migrate(server.dsn())
        with connect(server.dsn(), application="benchmark", autocommit=True) as conn:
            fill(conn, given.devices, given.days)
            measure(conn, given.devices, given.days)
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(server.socket, ignore_errors=True)


if __name__ == "__main__":
    main()
