"""SQL of predictions: model versions, what they said, the detections made of it. Never commits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from psycopg.types.json import Jsonb

from analytics.definitions import Floats, Ints
from analytics.prediction import model_file
from analytics.store import moment
from kit.database import Conn, columns, one, rows, scalar

Model = TypeVar("Model")


@dataclass(frozen=True)
class Version:
    """A row of analytics.model_version without its bytes."""

    id: int
    kind: str
    model: str
    component: str
    format: int
    data_from: datetime
    data_to: datetime
    scores: dict[str, Any]
    cost: float
    trained_at: datetime
    promoted_at: datetime | None
    retired_at: datetime | None
    verdict: str


# Versions


def save(
    conn: Conn, kind: str, model: str, component: str, fitted: object, window: tuple[datetime, datetime],
    scores: Mapping[str, Any], cost: float, verdict: str, *, promote: bool,
    reason: Mapping[str, Any] | None = None,
) -> int:  # fmt: skip
    """Keep a version; a promoted one takes the place of the one in force."""
    if promote:
        conn.execute(
            """update analytics.model_version set retired_at = kit.now()
               where kind = %s and model = %s and component = %s and promoted_at is not null and retired_at is null""",
            (kind, model, component),
        )
    found: int = scalar(
        conn,
        """insert into analytics.model_version
               (kind, model, component, format, bytes, data_from, data_to, scores, cost, verdict, reason, promoted_at)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, case when %s then kit.now() end) returning id""",
        (kind, model, component, model_file.FORMAT, model_file.dump(fitted), *window, Jsonb(scores), cost,
         verdict, Jsonb(dict(reason or {})), promote),
    )  # fmt: skip
    return found


def in_force(conn: Conn, kind: str, model: str) -> dict[str, Version]:
    """The versions in force of a device type, by component."""
    found = rows(
        conn,
        f"""select {columns(Version)} from analytics.model_version
            where kind = %s and model = %s and promoted_at is not null and retired_at is null order by component""",
        (kind, model),
    )
    return {row["component"]: Version(**row) for row in found}


def versions(conn: Conn, kind: str, model: str, component: str) -> list[Version]:
    """All versions, the newest first."""
    found = rows(
        conn,
        f"""select {columns(Version)} from analytics.model_version
            where kind = %s and model = %s and component = %s order by id desc""",
        (kind, model, component),
    )
    return [Version(**row) for row in found]


def fitted(conn: Conn, version_id: int) -> bytes:
    """The bytes of a version, for `model_file.load`."""
    found: bytes = scalar(conn, "select bytes from analytics.model_version where id = %s", (version_id,))
    return bytes(found)


_loaded: OrderedDict[str, Any] = OrderedDict()
MOST_LOADED = 64


def load(conn: Conn, version_id: int, expected: type[Model]) -> Model:
    """The fitted model of a version; kept by its content, so that it is unpacked once in a process.

    Raises:
        Invalid: the file is of another version of the program, or damaged.
    """
    digest: str = scalar(conn, "select digest from analytics.model_version where id = %s", (version_id,))
    found = _loaded.get(digest)
    if not isinstance(found, expected):
        found = model_file.load(fitted(conn, version_id), expected)
        _loaded[digest] = found
        if len(_loaded) > MOST_LOADED:
            _loaded.popitem(last=False)
    return found


def last_trained(conn: Conn, kind: str, model: str) -> datetime | None:
    """When the newest version of a device type was learned."""
    found: datetime | None = scalar(
        conn,
        "select max(trained_at) from analytics.model_version where kind = %s and model = %s",
        (kind, model),
    )
    return found


def last_tried(conn: Conn, kind: str, model: str) -> datetime | None:
    """When a device type was last learned, whatever came of it."""
    found: datetime | None = scalar(
        conn, "select max(tried_at) from analytics.learning where kind = %s and model = %s", (kind, model)
    )
    return found


def note_learning(
    conn: Conn, kind: str, model: str, component: str, promoted: bool, verdict: str,
    reason: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """What came of learning a component this time."""
    conn.execute(
        """insert into analytics.learning (kind, model, component, tried_at, promoted, verdict, reason)
           values (%s, %s, %s, kit.now(), %s, %s, %s)
           on conflict (kind, model, component) do update set tried_at = excluded.tried_at,
               promoted = excluded.promoted, verdict = excluded.verdict, reason = excluded.reason""",
        (kind, model, component, promoted, verdict, Jsonb(dict(reason or {}))),
    )


# What they said


def save_predictions(conn: Conn, version_id: int, devices: Ints, ts: Ints, p: Floats) -> None:
    """Keep probabilities; the first said counts."""
    conn.execute(
        """insert into analytics.prediction (version_id, device_id, ts, probability)
           select %s, d, t, p from unnest(%s::int[], %s::timestamptz[], %s::float8[]) as u(d, t, p)
           on conflict do nothing""",
        (version_id, devices.tolist(), [moment(at) for at in ts.tolist()], p.tolist()),
    )


def predictions(conn: Conn, version_id: int, until: datetime) -> list[tuple[int, datetime, float]]:
    """(device, ts, probability) of a version up to a time, in order of time."""
    return conn.execute(
        """select device_id, ts, probability from analytics.prediction
           where version_id = %s and ts <= %s order by ts, device_id""",
        (version_id, until),
    ).fetchall()  # fmt: skip


def predictions_at(conn: Conn, version_id: int, ts: datetime) -> bool:
    """Whether a version has been asked at a step."""
    return bool(
        scalar(
            conn,
            "select exists (select from analytics.prediction where version_id = %s and ts >= %s)",
            (version_id, ts),
        )
    )


def drop_predictions(conn: Conn, older: timedelta) -> None:
    """Forget what was said so long ago."""
    conn.execute("delete from analytics.prediction where ts < kit.now() - %s", (older,))
    conn.execute("delete from analytics.remaining_life where ts < kit.now() - %s", (older,))


# Detections


def modes(conn: Conn, model: str) -> dict[str, list[tuple[str, int]]]:
    """By component: its failure modes with their priority, the most urgent first."""
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows(
        conn,
        "select component, code, priority from ingest.failure_mode where model = %s order by priority, code",
        (model,),
    ):
        found.setdefault(row["component"], []).append((row["code"], row["priority"]))
    return found


def code_modes(conn: Conn, model: str) -> dict[str, str]:
    """The failure mode of each fault code that has one."""
    return dict(
        conn.execute(
            "select code, failure_mode from ingest.fault_code where model = %s and failure_mode is not null",
            (model,),
        ).fetchall()
    )


def open_predictions(conn: Conn, model: str) -> list[dict[str, Any]]:
    """Raises of rule `prediction` that are not cleared: id, device_id, failure_mode, component, severity, ts."""
    return rows(
        conn,
        """select d.id, d.device_id, d.failure_mode, m.component, d.severity, d.ts, d.score
           from analytics.detection d join ingest.device v on v.id = d.device_id
           join ingest.failure_mode m on m.model = v.model and m.code = d.failure_mode
           where v.model = %s and d.rule = 'prediction' and d.kind = 'raise'
             and not exists (select from analytics.detection c
                             where c.device_id = d.device_id and c.failure_mode = d.failure_mode
                               and c.kind = 'clear' and c.rule = 'prediction' and c.id > d.id)
           order by d.id""",
        (model,),
    )


def newest_batch(conn: Conn) -> int | None:
    """The last committed batch in the order (xid, id)."""
    row = one(conn, "select id from ingest.batch order by xid desc, id desc limit 1")
    return None if row is None else row["id"]
