"""/metrics: figures that live in the database, so that they survive restarts and any process can be asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, LiteralString

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from psycopg import sql

from api.queries import ingest as reads
from kit.database import Conn, rows, scalar


class _Figures(Collector):
    def __init__(self, conn: Conn) -> None:
        self._conn = conn

    def collect(self) -> Iterator[Metric]:
        yield from _totals(self._conn)
        yield from _processes(self._conn)
        yield _followers(self._conn)
        yield _counted(
            self._conn, "meantime_orders", "Work orders by state and source.", ("state", "source"),
            "select state, source, count(*) from fsm.work_order group by 1, 2",
        )  # fmt: skip
        yield _counted(
            self._conn, "meantime_sla_breaches", "Due times missed, by kind, ended or not.", ("kind",),
            """select kind, count(*) from fsm.sla_clock where coalesce(stopped_at, kit.now()) > due_at group by 1""",
        )  # fmt: skip
        yield _counted(
            self._conn, "meantime_detections", "Detections by rule and kind.", ("rule", "kind"),
            "select rule, kind, count(*) from analytics.detection group by 1, 2",
        )  # fmt: skip
        yield _counted(
            self._conn, "meantime_signals", "What became of detections.", ("outcome", "rule"),
            "select outcome, rule, count(*) from fsm.episode_signal group by 1, 2",
        )  # fmt: skip
        yield _counted(
            self._conn, "meantime_failed_facts", "Facts a follower set aside.", ("follower",),
            "select follower, count(*) from kit.failed_fact group by 1",
        )  # fmt: skip
        yield _counted(
            self._conn, "meantime_dead_letters", "Dead letters that wait, by reason.", ("reason",),
            "select reason, count(*) from ingest.dead_letter where replayed_at is null group by 1",
        )  # fmt: skip
        yield _counted(
            self._conn, "meantime_devices", "Devices by model and whether online.", ("model", "online"),
            """select d.model, coalesce(s.online, false)::text, count(*) from ingest.device d
               left join ingest.device_status s on s.device_id = d.id group by 1, 2""",
        )  # fmt: skip
        yield _age(self._conn)
        yield _watch(self._conn)


def text(conn: Conn) -> bytes:
    """The exposition of this moment."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(conn))
    return generate_latest(registry)


def _counted(conn: Conn, name: str, help_text: str, labels: Sequence[str], query: LiteralString) -> Metric:
    family = GaugeMetricFamily(name, help_text, labels=labels)
    for *values, count in conn.execute(query).fetchall():
        family.add_metric([str(value) for value in values], float(count))
    return family


def _totals(conn: Conn) -> Iterable[Metric]:
    counted = CounterMetricFamily(
        "meantime_ingest", "Ingest totals by door and name.", labels=("door", "name")
    )
    refused = CounterMetricFamily(
        "meantime_ingest_refused", "Messages and values refused, by reason.", labels=("door", "reason")
    )
    for row in reads.totals(conn):
        name = str(row["name"])
        if name.startswith("refused:"):
            refused.add_metric([row["door"], name.removeprefix("refused:")], float(row["value"]))
        else:
            counted.add_metric([row["door"], name], float(row["value"]))
    return counted, refused


def _processes(conn: Conn) -> Iterable[Metric]:
    age = GaugeMetricFamily("meantime_process_beat_age_seconds", "Since the last beat.", labels=("process",))
    figures = GaugeMetricFamily(
        "meantime_process", "What each process says of itself.", labels=("process", "name")
    )
    for row in reads.processes(conn):
        age.add_metric([row["name"]], row["age_seconds"])
        for name, value in numbers(row["detail"]):
            figures.add_metric([row["name"], name], value)
    return age, figures


def numbers(detail: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The figures of a process's detail; nested names are joined with dots."""
    for name, value in detail.items():
        if isinstance(value, Mapping):
            yield from numbers(value, f"{prefix}{name}.")
        elif isinstance(value, bool | int | float):
            yield f"{prefix}{name}", float(value)


def _followers(conn: Conn) -> Metric:
    """Facts not handled yet, capped at 10,000 so that a scrape stays cheap."""
    family = GaugeMetricFamily(
        "meantime_follower_lag", "Facts waiting (at most 10000).", labels=("follower",)
    )
    for row in rows(conn, "select name, source, xid::text as xid, id from kit.follower"):
        query = sql.SQL(
            "select count(*) from (select 1 from {} where (xid, id) > (%s::xid8, %s) limit 10000) waiting"
        )
        waiting = conn.execute(
            query.format(sql.Identifier(*row["source"].split("."))), (row["xid"], row["id"])
        ).fetchone()
        assert waiting is not None
        family.add_metric([row["name"]], float(waiting[0]))
    return family


def _watch(conn: Conn) -> Metric:
    """What the alert rules look at (dashboards/alerts.py)."""
    family = GaugeMetricFamily(
        "meantime_watch", "Figures that the alert rules look at.", labels=("sign", "subject")
    )
    for sign, subject, value in conn.execute("select sign, subject, value from reports.watch").fetchall():
        family.add_metric([sign, subject], value)
    return family


def _age(conn: Conn) -> Metric:
    seconds = scalar(conn, "select extract(epoch from kit.now() - max(last_ts)) from ingest.device_status")
    family = GaugeMetricFamily("meantime_newest_reading_age_seconds", "By the product's clock.")
    if seconds is not None:
        family.add_metric([], float(seconds))
    return family
