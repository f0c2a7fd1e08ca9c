"""What a writer keeps in memory: devices, models with their metrics and fault codes, shapes, routes.

It is read when first needed and forgotten when `ingest.registry_version` has moved or a transaction was undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from operator import attrgetter

import numpy as np
import numpy.typing as npt
from psycopg.pq import TransactionStatus

from ingest import registry
from ingest.message import Arrival, Codec, Refused, Row, clean
from ingest.topics import Target, Topics
from ingest.uniform import Decoder
from kit.database import Conn, one, rows, scalar
from kit.errors import Conflict, Invalid

MAX_SHAPES = 500  # of one model; beyond that rows are stored with all metrics, NaN where nothing was said
MAX_LAYOUTS = 4_000
PATIENCE = 50  # messages that may be other than expected before a device is read one by one
Key = tuple[str, str | None]  # topic, login
key_of = attrgetter("topic", "uid")


@dataclass(frozen=True)
class Metric:
    """A metric of a model; low and high bound what is physically possible."""

    name: str
    unit: str
    low: float
    high: float
    role: str
    rolls_at: float | None


@dataclass(eq=False)
class Model:
    """A device model as the writers need it; `layouts` grows with what its devices send."""

    code: str
    metrics: dict[str, Metric]
    fault_codes: frozenset[str]
    layouts: dict[tuple[str, ...], Layout] = field(default_factory=dict)
    shapes: set[tuple[str, ...]] = field(default_factory=set)

    @property
    def run_hours(self) -> Metric | None:
        """The metric that counts run-hours."""
        return next((m for m in self.metrics.values() if m.role == "run_hours"), None)


@dataclass(frozen=True, eq=False)
class Layout:
    """How a message's values become a row.

    Attributes:
        names: metrics in the order of the message, [k].
        metrics: metrics of the shape, sorted, [m].
        place: column of the shape for each value, [k].
        low, high: [k].
        hours: column of the run-hours counter in the shape, None when the shape has none; it wraps at `rolls_at`.
        seed: start value of the row's checksum.
    """

    model: Model
    names: tuple[str, ...]
    metrics: tuple[str, ...]
    shape_id: int
    place: npt.NDArray[np.intp]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    hours: int | None
    rolls_at: float | None
    seed: int

    @cached_property
    def decoder(self) -> Decoder:
        """Decodes messages with these names."""
        return Decoder(self.names)


@dataclass(slots=True)
class Route:
    """Where messages of one topic and login go; `usual` is what they look like, None when that is not known."""

    device_id: int
    uid: str
    model: Model
    codec: Codec
    quick: bool
    layouts: dict[tuple[str, ...], Layout]
    usual: Layout | None = None
    patience: int = PATIENCE

    def expect(self, layout: Layout) -> None:
        """A plain message was like this: the next ones probably are, unless the device was wrong before too often."""
        self.usual = layout if self.patience else None

    def surprise(self) -> None:
        """A message was not as expected."""
        self.patience -= 1
        if self.patience <= 0:
            self.patience, self.usual = 0, None


class Catalogue:
    """The memory of one writer. Not thread-safe."""

    def __init__(self, topics: Topics, *, register: bool) -> None:
        self._topics, self._register = topics, register
        self.routes: dict[Key, Route] = {}
        # For one write only, with the device's uid: what is unknown now may be known at the next.
        self.refused: dict[Key, tuple[Refused, str | None]] = {}
        self.translated: set[Key] = set()
        self.epoch = 0  # counts how often everything was forgotten
        self.wrote = False  # since `begin`
        self._models: dict[str, Model] = {}
        self._version: int | None = None

    def forget(self) -> None:
        """Read everything anew when next needed."""
        self.routes, self._models, self._version = {}, {}, None
        self.translated = set()
        self.epoch += 1  # after the change: who has read it before has seen nothing of the new

    def begin(self, conn: Conn) -> tuple[int, int]:
        """Start a write: the id of its batch and the present in µs; forgets what has changed meanwhile.

        Begins a transaction if there is none and sets the savepoint `meantime_write`, in the same round trip."""
        self.wrote = False
        with conn.pipeline():
            if conn.info.transaction_status == TransactionStatus.IDLE:
                conn.execute("begin")
            conn.execute("savepoint meantime_write")
            cursor = conn.execute(
                """select nextval(pg_get_serial_sequence('ingest.batch', 'id')), version,
                          (extract(epoch from kit.now()) * 1000000)::bigint from ingest.registry_version"""
            )
        found = cursor.fetchone()
        assert found is not None, "ingest.registry_version has exactly one row, made by the migration"
        batch_id, version, now = found
        if version != self._version:
            self.forget()
            self._version = version
        self.refused = {}
        return batch_id, now

    def resolve(self, conn: Conn, arrivals: Sequence[Arrival]) -> None:
        """Fill `routes`, `translated` or `refused` for every arrival."""
        targets: dict[Key, tuple[Target, Arrival]] = {}
        unknown = set(map(key_of, arrivals)) - self.routes.keys()
        for arrival in arrivals if unknown else ():
            key = key_of(arrival)
            if key not in unknown or key in self.refused or key in targets or key in self.translated:
                continue
            try:
                target = self._topics.target(*key)
            except Refused as error:
                self.refused[key] = error, None
                continue
            if target.translate:
                self.translated.add(key)
            else:
                targets[key] = target, arrival
        if targets:
            self._devices(conn, targets)

    def _devices(self, conn: Conn, targets: dict[Key, tuple[Target, Arrival]]) -> None:
        uids = sorted({clean(target.uid, 80) for target, _ in targets.values()})
        known = {
            row["uid"]: row
            for row in rows(
                conn, "select id, uid, model, status from ingest.device where uid = any(%s)", (uids,)
            )
        }
        for key, (target, arrival) in targets.items():
            try:
                if target.uid not in known:
                    known[target.uid] = self._unknown(conn, target, arrival)
                self.routes[key] = self._route(conn, target, known[target.uid])
            except Refused as error:
                self.refused[key] = error, target.uid

    def _route(self, conn: Conn, target: Target, device: dict[str, object]) -> Route:
        if device["status"] != "active":
            raise Refused("revoked_device", f"{target.uid} was revoked; reinstate it or ignore this.")
        model = self.model(conn, str(device["model"]))
        device_id = device["id"]
        assert isinstance(device_id, int)
        return Route(device_id, target.uid, model, target.codec, target.quick, model.layouts)

    def _unknown(self, conn: Conn, target: Target, arrival: Arrival) -> dict[str, object]:
        if not self._register:
            raise Refused("unknown_device", f"{clean(target.uid, 80)} is not provisioned.")
        try:
            model = self._fitting(conn, _names(target, arrival))
            self.wrote = True
            made = registry.add(conn, target.uid, model)
        except Invalid as error:
            raise Refused("unknown_device", clean(error.message)) from error
        except Conflict:  # another writer was quicker
            made = registry.device(conn, target.uid)
        return {"id": made.id, "model": made.model, "status": "active"}

    def _fitting(self, conn: Conn, names: set[str]) -> str:
        """The one model whose metrics include these names; the only model, when there is one."""
        found = rows(
            conn, "select model, array_agg(name) as names from ingest.metric group by model order by model"
        )
        fitting = [row["model"] for row in found if len(found) == 1 or (names and names <= set(row["names"]))]
        if len(fitting) != 1:
            raise Refused(
                "unregistered_model",
                f"{len(fitting)} device types have all of [{clean(', '.join(sorted(names)))}]: provision it.",
            )
        return str(fitting[0])

    def model(self, conn: Conn, code: str) -> Model:
        """A model by its code, which must exist."""
        if code not in self._models:
            metrics = rows(
                conn,
                "select name, unit, low, high, role, rolls_at from ingest.metric where model = %s order by name",
                (code,),
            )
            codes = conn.execute("select code from ingest.fault_code where model = %s", (code,)).fetchall()
            self._models[code] = Model(
                code, {row["name"]: Metric(**row) for row in metrics}, frozenset(code for (code,) in codes)
            )
        return self._models[code]

    def layout(self, conn: Conn, model: Model, names: tuple[str, ...]) -> Layout:
        """The layout for values in this order; registers a new shape. All names are metrics of the model."""
        if (found := model.layouts.get(names)) is not None:
            return found
        metrics = tuple(sorted(names))
        if metrics not in model.shapes and len(model.shapes) >= MAX_SHAPES:
            metrics = tuple(sorted(model.metrics))
        model.shapes.add(metrics)
        counter = model.run_hours
        self.wrote = True  # the shape, perhaps
        layout = Layout(
            model=model,
            names=names,
            metrics=metrics,
            shape_id=_shape(conn, metrics),
            place=np.array([metrics.index(name) for name in names], np.intp),
            low=np.array([model.metrics[name].low for name in names]),
            high=np.array([model.metrics[name].high for name in names]),
            hours=metrics.index(counter.name) if counter is not None and counter.name in metrics else None,
            rolls_at=counter.rolls_at if counter is not None else None,
            seed=_seed(metrics),
        )
        if len(model.layouts) >= MAX_LAYOUTS:  # devices that shuffle their fields
            model.layouts.clear()
        model.layouts[names] = layout
        return layout


def _seed(metrics: tuple[str, ...]) -> int:
    return int.from_bytes(blake2b("\0".join(metrics).encode(), digest_size=8).digest(), "little")


def _names(target: Target, arrival: Arrival) -> set[str]:
    try:
        items = target.codec(arrival.payload)
    except Refused:
        return set()
    return {name for item in items if isinstance(item, Row) for name in item.values}


def _shape(conn: Conn, metrics: tuple[str, ...]) -> int:
    names = list(metrics)
    found = one(conn, "select id from ingest.shape where metrics = %s::text[]", (names,))
    if found is None:
        conn.execute(
            "insert into ingest.shape (metrics) values (%s::text[]) on conflict do nothing", (names,)
        )
    shape_id = scalar(conn, "select id from ingest.shape where metrics = %s::text[]", (names,))
    assert isinstance(shape_id, int)
    return shape_id
