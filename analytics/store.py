"""SQL of the streaming analytics: what it reads of ingest, and its state. Never commits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from analytics.block import Reset
from analytics.definitions import Code, Definition, Limit, Metric, Mode, Symptom
from analytics.fleet import Fleet
from analytics.rules import Rules
from analytics.state import Layout
from kit.database import EPOCH, Conn, rows, scalar


@dataclass(frozen=True, order=True)
class Position:
    """A place in the sequence of committed batches."""

    xid: int
    batch: int


def moment(ts: int) -> datetime:
    """Microseconds since the Unix epoch as a time."""
    return EPOCH + timedelta(microseconds=ts)


def microseconds(ts: datetime) -> int:
    """A time as microseconds since the Unix epoch."""
    return (ts - EPOCH) // timedelta(microseconds=1)


def definitions(conn: Conn) -> dict[str, Definition]:
    """All device types."""
    metrics = rows(conn, "select * from ingest.metric where role = 'reading' order by model, name")
    modes = rows(conn, "select * from ingest.failure_mode order by model, code")
    symptoms = rows(conn, "select * from ingest.symptom order by model, failure_mode, metric")
    codes = rows(conn, "select * from ingest.fault_code order by model, code")
    limits = rows(conn, "select * from analytics.limit_rule order by model, failure_mode, metric, side")
    found = {}
    for model in sorted({row["model"] for row in metrics}):
        readings = {row["name"] for row in metrics if row["model"] == model}
        found[model] = Definition(
            model,
            tuple(Metric(r["name"], r["unit"], r["low"], r["high"]) for r in metrics if r["model"] == model),
            tuple(Mode(r["code"], r["component"], r["priority"]) for r in modes if r["model"] == model),
            tuple(
                Symptom(r["failure_mode"], r["metric"], r["direction"], r["weight"])
                for r in symptoms
                if r["model"] == model and r["metric"] in readings
            ),
            tuple(Code(r["code"], r["severity"], r["failure_mode"]) for r in codes if r["model"] == model),
            tuple(
                Limit(
                    r["metric"],
                    r["side"],
                    r["value"],
                    r["failure_mode"],
                    r["severity"],
                    r["hold_minutes"],
                    r["band"],
                )
                for r in limits
                if r["model"] == model and r["metric"] in readings
            ),
        )
    return found


def state_metrics(conn: Conn) -> dict[str, str]:
    """The metric that says the operating state, by model."""
    return dict(conn.execute("select model, name from ingest.metric where role = 'state'").fetchall())


def signature(conn: Conn) -> str:
    """Changes when a device type, a limit or the tuning does."""
    found: str = scalar(
        conn,
        """select md5(concat(
               (select string_agg(t::text, ';' order by model, name) from ingest.metric t),
               (select string_agg(t::text, ';' order by model, code) from ingest.failure_mode t),
               (select string_agg(t::text, ';' order by model, failure_mode, metric) from ingest.symptom t),
               (select string_agg(t::text, ';' order by model, code) from ingest.fault_code t),
               (select string_agg(t::text, ';' order by t) from analytics.limit_rule t),
               (select max(id) from analytics.tuning)))""",
    )
    return found


def tuning(conn: Conn, tuning_id: int | None = None) -> tuple[int | None, Rules]:
    """The rules in force, or those of an id (see also `tuning_uses`)."""
    row = conn.execute(
        "select id, rules from analytics.tuning where %(id)s::int is null or id = %(id)s order by id desc limit 1",
        {"id": tuning_id},
    ).fetchone()
    return (row[0], Rules.of(row[1])) if row else (None, Rules())


def use_tuning(conn: Conn, partition: int, at: Position, tuning_id: int | None) -> None:
    """The partition uses a tuning for the batches after a position; one that it uses already is not noted again."""
    conn.execute(
        """insert into analytics.tuning_use (partition, xid, batch_id, tuning_id)
           select %(p)s, %(x)s::text::xid8, %(b)s, %(t)s
           where not exists (
               select from (select tuning_id from analytics.tuning_use where partition = %(p)s
                            order by xid desc, batch_id desc limit 1) newest
               where newest.tuning_id is not distinct from %(t)s::int)
           on conflict (partition, xid, batch_id) do update set tuning_id = excluded.tuning_id""",
        {"p": partition, "x": str(at.xid), "b": at.batch, "t": tuning_id},
    )


def tuning_uses(conn: Conn, partition: int) -> list[tuple[Position, int | None]]:
    """Which tuning a partition used for the batches after which positions, oldest first."""
    found = conn.execute(
        """select xid::text::bigint, batch_id, tuning_id from analytics.tuning_use
           where partition = %s order by xid, batch_id""",
        (partition,),
    ).fetchall()
    return [(Position(xid, batch), tuning_id) for xid, batch, tuning_id in found]


def models(conn: Conn, devices: Iterable[int]) -> dict[int, str]:
    """The models of some devices."""
    return dict(
        conn.execute("select id, model from ingest.device where id = any(%s)", (list(devices),)).fetchall()
    )


# State


def take_step(conn: Conn, partition: int) -> tuple[int, int]:
    """Lock the partition's step row; its number and day."""
    conn.execute("insert into analytics.step (partition) values (%s) on conflict do nothing", (partition,))
    row = conn.execute(
        "select number, day from analytics.step where partition = %s for update", (partition,)
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def end_step(conn: Conn, partition: int, number: int, day: int) -> None:
    """The partition has done one more step."""
    conn.execute(
        "update analytics.step set number = %s, day = %s where partition = %s", (number, day, partition)
    )


def layout_id(conn: Conn, layout: Layout) -> int:
    """The id of a layout, registered when it is new."""
    found: int | None = scalar(
        conn, "select id from analytics.state_layout where spec = %s", (Jsonb(layout),)
    )
    if found is None:
        found = scalar(
            conn,
            """insert into analytics.state_layout (spec) values (%s)
               on conflict (spec) do update set spec = excluded.spec returning id""",
            (Jsonb(layout),),
        )
    assert found is not None
    return found


def layouts(conn: Conn) -> dict[int, Layout]:
    """All layouts by id."""
    return dict(conn.execute("select id, spec from analytics.state_layout").fetchall())


def save_states(conn: Conn, layout: int, states: Mapping[int, bytes]) -> None:
    """Write the states of some devices."""
    conn.execute(
        """insert into analytics.device_state (device_id, layout_id, state)
           select d, %s, s from unnest(%b::int[], %b::bytea[]) with ordinality as u(d, s, n) order by d
           on conflict (device_id) do update set layout_id = excluded.layout_id, state = excluded.state""",
        (layout, list(states), list(states.values())),
    )


def save_snapshots(conn: Conn, layout: int, at: Position, states: Mapping[int, bytes]) -> None:
    """Keep the states of some devices as they were after a batch."""
    conn.execute(
        """insert into analytics.snapshot (device_id, xid, batch_id, layout_id, state)
           select d, %s::text::xid8, %s, %s, s from unnest(%b::int[], %b::bytea[]) as u(d, s)
           on conflict do nothing""",
        (str(at.xid), at.batch, layout, list(states), list(states.values())),
    )


def drop_snapshots(conn: Conn, older: timedelta) -> None:
    """Forget snapshots that are older than this."""
    conn.execute(
        """delete from analytics.snapshot s using ingest.batch b
           where b.id = s.batch_id and b.last_ts < kit.now() - %s""",
        (older,),
    )


def states(conn: Conn, partition: int, partitions: int) -> list[tuple[int, str, int, bytes]]:
    """(device, model, layout, state) of the partition's devices."""
    return conn.cursor(binary=True).execute(
        """select s.device_id, d.model, s.layout_id, s.state
           from analytics.device_state s join ingest.device d on d.id = s.device_id
           where s.device_id %% %s = %s order by s.device_id""",
        (partitions, partition),
    ).fetchall()  # fmt: skip


def save_fleet(
    conn: Conn, partition: int, model: str, at: Position, fleet: Fleet, metrics: tuple[str, ...]
) -> None:
    """Keep what is known of a fleet from a position on."""
    conn.execute(
        """insert into analytics.fleet (partition, model, xid, batch_id, state)
           values (%s, %s, %s::text::xid8, %s, %s)""",
        (partition, model, str(at.xid), at.batch, Jsonb(fleet.as_json(metrics))),
    )


def fleets(conn: Conn, partition: int, model: str) -> list[tuple[Position, dict[str, Any]]]:
    """All that was known of a fleet, oldest first."""
    found = conn.execute(
        """select xid::text::bigint, batch_id, state from analytics.fleet
           where partition = %s and model = %s order by xid, batch_id""",
        (partition, model),
    ).fetchall()
    return [(Position(xid, batch), state) for xid, batch, state in found]


# Resets


def know_resets(conn: Conn, facts: Sequence[Mapping[str, Any]], at: Position) -> None:
    """The stream knows of these resets from a position on."""
    conn.cursor().executemany(
        """insert into analytics.known_reset (reset_id, device_id, component, ts, known_xid, known_batch)
           values (%s, %s, %s, %s, %s::text::xid8, %s) on conflict do nothing""",
        [(f["id"], f["device_id"], f["component"], f["ts"], str(at.xid), at.batch) for f in facts],
    )


def open_resets(conn: Conn, devices: Iterable[int]) -> list[Reset]:
    """Known resets of some devices that have not taken effect."""
    found = conn.execute(
        """select reset_id, device_id, ts, component from analytics.known_reset
           where applied_xid is null and device_id = any(%s) order by reset_id""",
        (list(devices),),
    ).fetchall()
    return [Reset(number, device, microseconds(ts), component) for number, device, ts, component in found]


def known_resets(conn: Conn, after: Position, device: int | None = None) -> list[tuple[Position, Reset]]:
    """Resets (of one device) that had not taken effect at a position, with the position from which they were known."""
    found = conn.execute(
        """select known_xid::text::bigint, known_batch, reset_id, device_id, ts, component from analytics.known_reset
           where (%(device)s::int is null or device_id = %(device)s)
             and (applied_xid is null or (applied_xid, applied_batch) > (%(x)s::text::xid8, %(b)s))
           order by known_xid, known_batch, reset_id""",
        {"device": device, "x": str(after.xid), "b": after.batch},
    ).fetchall()
    return [(Position(x, b), Reset(n, d, microseconds(ts), c)) for x, b, n, d, ts, c in found]


def mark_applied(conn: Conn, resets: Iterable[Reset], by: Position) -> None:
    """These resets have taken effect by a position."""
    conn.execute(
        """update analytics.known_reset set applied_xid = %s::text::xid8, applied_batch = %s
           where reset_id = any(%s)""",
        (str(by.xid), by.batch, [reset.id for reset in resets]),
    )
