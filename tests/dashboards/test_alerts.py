"""The alert rules: written as committed, every figure there, silent when all is well, and firing when it is not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api import metrics
from dashboards import access, alerts
from dashboards.alerts import RULES
from ingest import dead_letters
from ingest import worker as storage
from kit import follow, process
from kit.database import Conn, connect
from tests.ingest.core.conftest import NOW
from tests.ingest.doors.conftest import Running
from tests.ingest.doors.helpers import Raw, reading, until

ROOT = Path(__file__).parents[2]
BY_NAME = {rule.name: rule for rule in RULES}
Look = Callable[[], set[str]]


@pytest.fixture
def grafana(dsn: str, db: Conn) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection as Grafana has it."""
    access.set_password(db, "a long password")
    with psycopg.connect(dsn, user=access.ROLE, password="a long password", autocommit=True) as conn:
        yield conn


def firing(conn: Conn) -> set[str]:
    """Rules whose condition holds now, asked as Grafana asks."""
    found = set()
    for group in yaml.safe_load(alerts.GRAFANA.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            query, _, threshold = rule["data"]
            evaluator = threshold["model"]["conditions"][0]["evaluator"]
            asked = conn.execute(query["model"]["rawSql"]).fetchall()
            assert len({time for time, _, _ in asked}) <= 1, "Grafana would see the last subject only"
            for _, _, value in asked:
                limit = evaluator["params"][0]
                if value < limit if evaluator["type"] == "lt" else value > limit:
                    found.add(rule["title"].split(":")[0])
    return found


def test_what_is_committed_is_what_the_list_of_rules_makes() -> None:
    for path, text in alerts.files().items():
        assert path.read_text(encoding="utf-8") == text, "run `python -m dashboards.alerts`"


def test_every_rule_is_explained_to_whoever_is_woken_by_it() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert {rule.name for rule in RULES} <= explained


def test_every_figure_that_a_rule_names_is_in_a_scrape_and_in_the_database(
    db: Conn, start: Callable[..., Running], grafana: Conn
) -> None:
    everything(db)
    running = start()
    with Raw(running.port) as device:
        device.connect("p-1", "wrong")
    process.beat(db, "stream", {"gone": 3})
    until(lambda: firing_signs(grafana) >= {rule.sign for rule in RULES}, "all figures")
    scrape = {
        (sample.name, sample.labels.get("sign"))
        for family in text_string_to_metric_families(metrics.text(db).decode())
        for sample in family.samples
    }
    for group in yaml.safe_load(alerts.PROMETHEUS.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            name, sign = re.search(r"(meantime_\w+)(?:\{sign=\"(\w+)\"\})?", rule["expr"]).groups()  # type: ignore[union-attr]
            assert (name, sign) in scrape, rule["alert"]


def firing_signs(conn: Conn) -> set[object]:
    return {sign for (sign,) in conn.execute("select distinct sign from reports.watch").fetchall()}


def everything(db: Conn) -> None:
    """Something of each kind."""
    storage.partitions(db)
    handler = follow.Follower("late", "ingest.batch", lambda conn, facts: None)
    with db.transaction():
        follow.position(db, handler)
    db.execute("insert into kit.failed_fact (follower, xid, id, error) values ('late', '1', 1, 'x')")
    db.execute("insert into ingest.broker_session (broker, client_id, lost) values ('b', 'c', 1)")
    db.execute("insert into ingest.dead_letter_store (letters, bytes, most) values (2, 90, 100)")


def test_nothing_fires_where_all_is_well(db: Conn, start: Callable[..., Running], grafana: Conn) -> None:
    storage.partitions(db)
    storage.bound_letters(db, 1 << 20)
    running = start()
    until(lambda: "lag_seconds" in firing_signs(grafana), "the first beat")
    assert running.port
    assert firing(grafana) == set()


@pytest.mark.slow
def test_the_alarm_for_stalled_storage_fires_while_the_database_takes_no_rows_and_ends_with_it(
    dsn: str,
    db: Conn,
    start: Callable[..., Running],
    devices: dict[str, str],
    grafana: Conn,
) -> None:
    storage.partitions(db)
    with connect(dsn, application="stall", autocommit=False) as stall:
        stall.execute("lock table ingest.telemetry in exclusive mode")
        with Raw(start().port) as device:
            device.connect("p-1", devices["p-1"])
            device.publish("meantime/p-1/telemetry", reading(1), 1)
            until(lambda: firing(grafana) == {"StorageStalled"}, "the alarm", seconds=60)
            stall.rollback()
            assert device.receive() is not None
            until(lambda: firing(grafana) == set(), "the end of the alarm")


def test_the_others_fire_each_for_its_reason(db: Conn, grafana: Conn) -> None:
    storage.partitions(db)
    assert firing(grafana) == set()
    everything(db)
    db.execute(
        "insert into ingest.batch (door, messages, rows, readings, duplicates) values ('t', 1, 1, 1, 0)"
    )
    db.execute("update kit.follower set updated_at = updated_at - interval '1 hour'")
    db.execute(
        """insert into ingest.dead_letter (door, topic, payload, size, reason, detail)
           values ('t', 't', '', 0, 'malformed', '')"""
    )
    db.execute(
        """insert into ingest.unknown_device (uid, door, first_seen, last_seen)
           values ('u', 'endpoint', kit.now(), kit.now())"""
    )
    process.beat(db, "endpoint", {"buffer": 95, "high_water": 100, "connections": 95, "max_connections": 100})
    process.beat(db, "stream", {"gone": 1})
    process.beat(db, "dispatch")
    db.execute("update kit.process set beat_at = beat_at - interval '1 minute' where name = 'dispatch'")
    assert firing(grafana) == set(BY_NAME) - {
        "StorageStalled", "FollowerBehind", "ValuesRefused", "PartitionsNotAhead",
    }  # fmt: skip
    db.execute("update kit.process set beat_at = beat_at - interval '2 days'")
    assert "ProcessSilent" not in firing(grafana)  # taken out of service


def test_the_alarm_for_dead_letters_near_their_bound_ends_when_they_are_purged(
    db: Conn, grafana: Conn
) -> None:
    storage.partitions(db)
    db.execute(
        """insert into ingest.dead_letter (door, topic, payload, size, reason, detail, received_at)
           select 't', 't', decode(repeat(md5(n::text), 64), 'hex'), 1024, 'malformed', '', kit.now() - interval '1 day'
           from generate_series(1, 1000) n"""
    )
    storage.bound_letters(db, 1_200_000)
    assert firing(grafana) == {"DeadLettersNearLimit"}
    dead_letters.purge(db, reason="malformed")
    storage.bound_letters(db, 1_200_000)
    assert firing(grafana) == set()


def test_a_storage_process_that_makes_no_partitions_is_noticed(db: Conn, grafana: Conn) -> None:
    from ingest.storage import ensure_range

    with db.transaction():
        ensure_range(db, NOW, NOW)
    db.execute("update kit.clock set sim_anchor = sim_anchor + interval '8 days'")
    assert firing(grafana) == {"PartitionsNotAhead"}


def test_grafana_asks_for_the_figures_and_can_read_no_facts(grafana: Conn) -> None:
    assert grafana.execute("select reports.facts_waiting('nobody')").fetchone() == (None,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        grafana.execute("select * from ingest.batch")
