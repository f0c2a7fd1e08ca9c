"""The present of a fleet through the models in force: predictions, and detections of rule `prediction`.

One detection per episode: while one is open on a device and component, no other is raised. It is cleared by a repair
of the component, or when its time has passed and nothing points to a failure any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from psycopg.types.json import Jsonb

from analytics import costs, evidence
from analytics.definitions import HOUR, Floats
from analytics.prediction import decision, features, model_file, revisions, store, stored
from analytics.prediction.decision import Costs, Order, Policy
from analytics.prediction.failure import ComponentModel
from analytics.prediction.features import Table
from analytics.prediction.history import History
from analytics.store import microseconds, moment
from kit import logs
from kit.database import Conn
from kit.errors import Invalid

log = logs.get(__name__)
KIND = "failure"
RULE = "prediction"
SHOWN = 5  # drivers in the evidence
STEP = stored.STEP_HOURS * HOUR
RESTS_ON = timedelta(days=2)  # rows whose hash goes with a detection


def score(conn: Conn, model: str, now: datetime, policy: Policy | None = None) -> int:
    """Score the devices of a type at the last step that has ended; returns how many detections were written.

    Does nothing where no model is in force or the step has been scored already. Without a policy the costs of the
    device type decide (`analytics.costs`).
    """
    policy = policy or costs.policy(conn, model)
    ended = moment(microseconds(now) // STEP * STEP)
    versions = [
        version for version in store.in_force(conn, KIND, model).values()
        if not store.predictions_at(conn, version.id, ended)
    ]  # fmt: skip
    past = _past(conn, model, now) if versions else None
    if past is None:
        return 0
    first = int(past.known[max(0, len(past.known) - policy.confirm)])
    table = features.build(past, first)
    written = 0
    for version in versions:
        try:
            fitted = store.load(conn, version.id, ComponentModel)
            p = probabilities(fitted, table)
        except Invalid as error:  # until it is trained anew this component goes without
            log.warning("model cannot be used", version=version.id, model=model, error=error.message)
            continue
        written += _Component(conn, model, past, table, p, fitted, version.id, policy).write()
    return written


def again(conn: Conn, model: str, stale: Mapping[int, datetime]) -> int:
    """Work out again what was said of devices after a time of each, from what was known when it was said except that
    rows have come; returns how many probabilities changed.

    The past of all of them is read once for all versions, and only what was said is asked for anew: a feature looks
    back from its own step, so it does not matter what else is in the table.
    """
    said = {
        version.id: found
        for version in store.in_force(conn, KIND, model).values()
        if (found := revisions.said_since(conn, version.id, stale))
    }
    if not said:
        return 0
    keys = np.unique(np.array([key for found in said.values() for key in found], np.int64), axis=0)
    first, last = moment(int(keys[:, 1].min())), moment(int(keys[:, 1].max()))
    past = _past(conn, model, last, np.unique(keys[:, 0]).tolist(), last - first)
    if past is None:
        return 0
    table = features.build(past, microseconds(first))
    ids = past.devices[table.device]
    place = {key: row for row, key in enumerate(zip(ids.tolist(), table.ts.tolist(), strict=True))}
    changed = 0
    for version_id, found in said.items():
        rows = np.array([place[key] for key in found if key in place], np.int64)
        asked = table.take(rows)
        try:
            p = probabilities(store.load(conn, version_id, ComponentModel), asked)
        except Invalid as error:
            log.warning("model cannot be used", version=version_id, model=model, error=error.message)
            continue
        told = ~np.isnan(p)
        changed += revisions.revise_predictions(conn, version_id, ids[rows][told], asked.ts[told], p[told])
    return changed


def _past(
    conn: Conn, model: str, now: datetime, device: int | Sequence[int] | None = None,
    before: timedelta = timedelta(),
) -> History | None:  # fmt: skip
    days = features.LOOKBACK_DAYS + features.RECENT_DAYS
    return stored.history(conn, model, now - timedelta(days=days) - before, now, device)


def probabilities(model: ComponentModel, table: Table) -> Floats:
    """[row]; NaN where nothing is said: about a silent device."""
    return np.where(features.silent(table), np.nan, model.probability(table))


@dataclass(frozen=True)
class _Component:
    conn: Conn
    model: str
    past: History
    table: Table
    p: Floats
    fitted: ComponentModel
    version: int
    policy: Policy

    def write(self) -> int:
        """Keep the probabilities, raise and clear; returns how many detections."""
        last = self.table.ts == self.past.known[-1]
        told = last & ~np.isnan(self.p)
        ids = self.past.devices[self.table.device]
        store.save_predictions(self.conn, self.version, ids[told], self.table.ts[told], self.p[told])
        opened = [
            row
            for row in store.open_predictions(self.conn, self.model)
            if row["component"] == self.fitted.component
        ]
        cleared = [row for row in opened if self._is_over(row)]
        for row in cleared:
            self._save(
                "clear", row["device_id"], row["failure_mode"], row["severity"], 0.0, {"raised": row["id"]}
            )
        standing = {row["device_id"] for row in opened} - {row["device_id"] for row in cleared}
        orders = [
            order for order in self._orders()
            if last[order.row] and int(self.past.devices[order.device]) not in standing
        ]  # fmt: skip
        for order in orders:
            self._raise(order)
        return len(cleared) + len(orders)

    def _orders(self) -> list[Order]:
        kind = self.past.components.index(self.fitted.component)
        repairs = self.past.repairs.only(kind)
        return decision.decide(
            self.p, self.table.device, self.table.ts, repairs, self.policy, self.fitted.component
        )

    def _is_over(self, row: Mapping[str, Any]) -> bool:
        device = int(np.searchsorted(self.past.devices, row["device_id"]))
        kind, since = self.past.components.index(self.fitted.component), microseconds(row["ts"])
        repairs = self.past.repairs.only(kind)
        repaired = bool(((repairs.device == device) & (repairs.ts >= since)).any())
        p = self.p[(self.table.device == device) & (self.table.ts == self.past.known[-1])]
        return decision.is_over(
            since, int(self.past.known[-1]), repaired, p, self.policy, self.fitted.component
        )

    def _raise(self, order: Order) -> None:
        device = int(self.past.devices[order.device])
        found = raised(
            self.conn, self.model, self.past, self.table, order.row, float(self.p[order.row]), self.fitted,
            self.version, self.policy,
        )  # fmt: skip
        self._save("raise", device, found["mode"], found["severity"], found["score"], found["evidence"])
        log.info("failure foreseen", device=device, mode=found["mode"], probability=round(found["score"], 3))

    def _save(
        self, kind: str, device: int, mode: str, severity: int, ratio: float, found: Mapping[str, Any]
    ) -> None:
        until = moment(int(self.past.known[-1]))
        since, batch = until - RESTS_ON, store.newest_batch(self.conn)
        self.conn.execute(
            """insert into analytics.detection (device_id, ts, kind, rule, rule_version, failure_mode, severity, score,
                   evidence, telemetry_from, telemetry_to, through_batch, telemetry_hash, partition)
               values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 0)
               on conflict (device_id, ts, kind, rule, failure_mode) do nothing""",
            (device, until, kind, RULE, model_file.FORMAT, mode, severity, ratio, Jsonb(dict(found)), since, until,
             batch, evidence.telemetry_hash(self.conn, device, since, until, batch or 0)),
        )  # fmt: skip


def raised(
    conn: Conn, model: str, past: History, table: Table, row: int, p: float, fitted: ComponentModel,
    version: int | None, policy: Policy,
) -> dict[str, Any]:  # fmt: skip
    """What a detection says of a row: mode, severity, score (1 is the deciding level), evidence."""
    evidence_ = evidence_of(past, table, row, fitted)
    mode, severity = _mode(conn, model, fitted.component, evidence_["codes"])
    level = policy.level(fitted.component)
    evidence_ |= {
        "probability": round(p, 4), "level": round(level, 4), "version": version,
        "horizon_hours": fitted.settings.horizon_hours, "component": fitted.component,
        "costs": asdict(policy.costs.get(fitted.component, policy.default)),
    }  # fmt: skip
    return {"mode": mode, "severity": severity, "score": p / level, "evidence": evidence_}


def recompute(conn: Conn, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """A raise of rule `prediction` once more, from the stored rows and the version that made it.

    Args:
        row: of analytics.detection, with the `model` of the device.

    Returns: the columns it would be stored with; None if the rows do not lead to it (any more).
    """
    ts, version = row["ts"], row["evidence"].get("version")
    policy = Policy({}, Costs(**row["evidence"].get("costs", {})))  # as they were then
    past = _past(conn, row["model"], ts, row["device_id"])
    if past is None or version is None or row["kind"] != "raise":
        return None
    try:
        fitted = store.load(conn, version, ComponentModel)
        table = features.build(past, int(past.known[max(0, len(past.known) - policy.confirm)]))
        p = probabilities(fitted, table)
    except Invalid:
        return None
    repairs = past.repairs.only(past.components.index(fitted.component))
    orders = decision.decide(p, table.device, table.ts, repairs, policy, fitted.component)
    if not orders or orders[-1].ts != microseconds(ts):
        return None
    at = orders[-1].row
    found = raised(conn, row["model"], past, table, at, float(p[at]), fitted, version, policy)
    if found["mode"] != row["failure_mode"]:
        return None
    kept = {name: found[name] for name in ("severity", "score", "evidence")}
    return kept | {"rule_version": model_file.FORMAT, "telemetry_from": ts - RESTS_ON}


def evidence_of(past: History, table: Table, row: int, fitted: ComponentModel) -> dict[str, Any]:
    """What drove a row: metrics with their distance from the device's own past, and fault codes of the last days."""
    device, ts = int(table.device[row]), int(table.ts[row])
    falls = fitted.drivers(table, row)[:SHOWN]
    step = int(np.searchsorted(past.known, ts))
    drivers = []
    for subject, fall in falls:
        if subject in past.metrics:
            at = past.metrics.index(subject)
            z = float(table.x[row, table.names.index(f"{subject}.day")])
            value = float(past.values[device, step, at])
            drivers.append(
                {
                    "metric": subject, "value": _number(value), "baseline": None, "limit": None, "unit": "",
                    "z": _number(z), "share": round(fall, 3),
                }
            )  # fmt: skip
    named = {subject for subject, _ in falls if subject in past.codes}
    log_ = past.faults
    recent = (log_.device == device) & (log_.ts <= ts) & (log_.ts > ts - features.CODE_HOURS[1] * HOUR)
    codes = [
        {"code": past.codes[kind], "ts": moment(at).isoformat(), "active": True}
        for at, kind in zip(log_.ts[recent].tolist(), log_.kind[recent].tolist(), strict=True)
        if past.codes[kind] in named
    ]
    others = [s for s, _ in falls if s not in past.metrics and s not in past.codes]
    return {"drivers": drivers, "codes": codes, "ages": others}


def _number(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def _mode(conn: Conn, model: str, component: str, codes: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """The failure mode of the component that its fault codes name, else its most urgent; with its priority."""
    of_component = store.modes(conn, model)[component]
    named = {store.code_modes(conn, model).get(code["code"]) for code in codes}
    return next((mode for mode in of_component if mode[0] in named), of_component[0])
