"""What the API, the console and the command line tell of reliability: records to figures, with names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import numpy as np

from analytics.reliability import analysis, groups
from analytics.reliability import lives as living
from analytics.reliability.analysis import LifeAnalysis, Recurrence
from analytics.reliability.groups import Figures
from analytics.reliability.lives import Life
from analytics.reliability.many import Unfit
from analytics.reliability.reasons import REASONS, Reason
from analytics.reliability.record import ITEMS, By, Event, Record, Unit, matches
from analytics.reliability.weibull import Weibull
from api import scope
from api.accounts import User
from api.queries import reliability_record as stored
from api.queries.reliability_record import Ask
from kit.database import Conn, rows
from kit.errors import Invalid, NotFound

KINDS: tuple[By, ...] = get_args(By)


@dataclass(frozen=True)
class Named:
    """A group's figures with its names; of an item also its Weibull, or why there is none."""

    figures: Figures
    weibull: Weibull | None
    reason: Reason | None
    name_en: str
    name_zh: str
    model_en: str
    model_zh: str


@dataclass(frozen=True)
class Table:
    """All groups of a kind. `unassigned`: failures that none of them holds (no component, mode or code is known)."""

    ask: Ask
    since: datetime
    until: datetime
    devices: int
    hours: float
    failures: int
    breakdowns: int
    unassigned: int
    items: Sequence[Named]


def table(conn: Conn, user: User | None, ask: Ask, whole: Record | None = None) -> Table:
    """The most failures first.

    Args:
        whole: the record of `ask`, where it has been read.
    """
    whole = whole or stored.record(conn, user, ask)
    record = stored.narrowed(whole, ask)
    months = _months(conn, record) if ask.by == "period" else ()
    found = groups.figures(record, _asked(groups.pools(record, ask.by, months), ask), ask.level, ask.count)
    names, fits = labels(conn, ask.by), _fits(whole, ask, found)
    failed = [event for event in record.inside() if event.is_failure(ask.count)]
    held = {order_id for row in found for order_id in row.order_ids}
    order = sorted(found, key=lambda row: row.key if ask.by == "period" else (-row.failures, row.key))
    return Table(
        ask, record.since, record.until, len(record.units), sum(unit.hours for unit in record.units), len(failed),
        sum(event.kind == "breakdown" for event in failed),
        sum(event.order_id not in held and event.visible for event in failed),
        [Named(row, *fits[row.key], *names.get(row.key, (row.key, row.key, "", ""))) for row in order],
    )  # fmt: skip


def _fits(
    record: Record, ask: Ask, found: Sequence[Figures]
) -> dict[str, tuple[Weibull | None, Reason | None]]:
    """Of items, all at once; nothing of groups of machines."""
    if ask.by not in ITEMS or not found:
        return {row.key: (None, None) for row in found}
    items = [living.item(record, ask.by, row.key) for row in found]
    fitted = analysis.fits(living.lives_of(record, items, ask.count, ask.origin), ask.level)
    return {
        row.key: (None, REASONS[fit.reason]) if isinstance(fit, Unfit) else (fit, None)
        for row, fit in zip(found, fitted, strict=True)
    }


def _asked(pools: list[groups.Pool], ask: Ask) -> list[groups.Pool]:
    """Only the items asked for."""
    wanted = {"component": ask.component, "failure_mode": ask.failure_mode, "fault_code": ask.fault_code}
    name = wanted.get(ask.by, "")
    return [pool for pool in pools if not name or pool.key.partition("/")[2] == name]


def _months(conn: Conn, record: Record) -> list[tuple[datetime, float]]:
    """Months (UTC) of the period with their pooled hours."""
    moments = stored.pooled(conn, [unit.id for unit in record.units], record.since, record.until)
    at = [moment.timestamp() for moment, _ in moments]
    hours = [total for _, total in moments]
    start = record.since.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    while start < record.until:
        end = (start + timedelta(days=32)).replace(day=1)
        first, last = np.interp([start.timestamp(), end.timestamp()], at, hours)
        found.append((start, float(last - first)))
        start = end
    return found


Label = tuple[str, str, str, str]

_LABELS = {
    "model": "select code, name_en, name_zh, '', '' from ingest.model",
    "component": """select distinct f.model || '/' || f.component, replace(f.component, '_', ' '), f.component,
                           m.name_en, m.name_zh
                    from ingest.failure_mode f join ingest.model m on m.code = f.model""",
    "failure_mode": """select f.model || '/' || f.code, f.name_en, f.name_zh, m.name_en, m.name_zh
                       from ingest.failure_mode f join ingest.model m on m.code = f.model""",
    "fault_code": """select f.model || '/' || f.code, f.code || ' ' || f.text_en, f.code || ' ' || f.text_zh,
                            m.name_en, m.name_zh
                     from ingest.fault_code f join ingest.model m on m.code = f.model""",
    "site": """select s.id::text, s.name, s.name, c.name, c.name
               from fsm.site s join fsm.customer c on c.id = s.customer_id""",
    "customer": "select id::text, name, name, '', '' from fsm.customer",
    "cause": "select code, name_en, name_zh, '', '' from fsm.repair_code where kind = 'cause'",
}


def labels(conn: Conn, by: str) -> dict[str, Label]:
    """Key → (name_en, name_zh, of which model or customer in both languages)."""
    if by not in _LABELS:
        return {}
    return {key: (en, zh, en_of, zh_of) for key, en, zh, en_of, zh_of in conn.execute(_LABELS[by]).fetchall()}


@dataclass(frozen=True)
class Group:
    """One group in full.

    Attributes:
        lives, analysis: of an item (component, mode, code); None for groups of machines, which `why` explains.
        failures: of the period that the reader may see, newest first.
        record: of the devices that matter to the group.
    """

    ask: Ask
    key: str
    since: datetime
    until: datetime
    name: Label
    figures: Figures
    lives: Sequence[Life] | None
    analysis: LifeAnalysis | None
    failures: Sequence[Event]
    record: Record
    uids: dict[int, str] = field(default_factory=dict)


def group(
    conn: Conn, user: User | None, ask: Ask, key: str, costs: tuple[float, float] | None = None
) -> Group:
    """A group's figures, its lives where it has any, and the failures behind them.

    Raises:
        NotFound: there is no such group for the user.
    """
    ask = _of_key(ask, key)
    record = stored.record(conn, user, ask)
    counted = stored.narrowed(record, ask)
    months = _months(conn, counted) if ask.by == "period" else ()
    pools = [pool for pool in groups.pools(counted, ask.by, months) if pool.key == key]
    names = labels(conn, ask.by)
    if not pools and (ask.by not in (*ITEMS, "model") or key not in names):
        raise NotFound(f"There is no {ask.by.replace('_', ' ')} {key!r} in this period, or it is not yours.")
    pool = pools[0] if pools else groups.Pool(key)
    (row,) = groups.figures(counted, [pool], ask.level, ask.count)
    of = _item(record, ask, key)
    lives = living.lives(record, of, ask.count, ask.origin) if of else None
    failed = [event for event in pool.events if event.is_failure(ask.count) and event.visible]
    return Group(
        ask, key, record.since, record.until, names.get(key, (key, key, "", "")), row, lives,
        None if lives is None else analysis.of_lives(lives, ask.level, costs),
        sorted(failed, key=lambda event: event.at, reverse=True), record,
        {unit.id: unit.uid for unit in record.units},
    )  # fmt: skip


def _of_key(ask: Ask, key: str) -> Ask:
    """Only the devices that matter to a group are read."""
    if ask.by in ITEMS:
        return replace(ask, model=key.partition("/")[0])
    if ask.by == "model":
        return replace(ask, model=key)
    if ask.by == "device":
        return replace(ask, device=key)
    if ask.by in ("site", "customer"):
        if not key.isdigit() or len(key) > 9:
            raise NotFound(f"There is no {ask.by} {key!r}; the key is its number.")
        return replace(ask, site_id=int(key)) if ask.by == "site" else replace(ask, customer_id=int(key))
    return ask


def _item(record: Record, ask: Ask, key: str) -> living.Item | None:
    """The part whose lives are meant: the group itself, or the component asked for on the group's machines."""
    if ask.by in ITEMS:
        return living.item(record, ask.by, key)
    if ask.component:
        return living.Item("component", None, ask.component, ask.component)
    return None


def growth(conn: Conn, user: User | None, ask: Ask, key: str = "", whole: Record | None = None) -> Recurrence:
    """How the failures of a group (all: "") recur over its pooled hours.

    Args:
        whole: the record of `ask` or of the group, where it has been read.
    """
    if key:
        ask = _of_key(ask, key)
    record = stored.narrowed(whole or stored.record(conn, user, ask), ask)
    units, failed = _recurring(record, ask, key)
    days = stored.pooled(conn, [unit.id for unit in units], record.since, record.until)
    return analysis.recur(units, failed, days, ask.level)


def _recurring(record: Record, ask: Ask, key: str) -> tuple[list[Unit], list[Event]]:
    failed = [event for event in record.inside() if event.is_failure(ask.count)]
    if key and ask.by in ITEMS:
        of = living.item(record, ask.by, key)
        failed = [event for event in failed if matches(event, of.by, of.name)]
    if ask.by == "period" and key:
        raise Invalid("A month has no growth of its own: choose the period with `from` and `to`.")
    return [unit for unit in record.units if unit.hours > 0], failed


def why_no_lives() -> Reason:
    """Of a group of machines."""
    return REASONS["repairable"]


def choices(conn: Conn, user: User) -> dict[str, list[dict[str, Any]]]:
    """What the user's devices are and where they stand, for a form: models, components, sites, customers."""
    found = rows(
        conn,
        f"""select distinct d.model, m.name_en, m.name_zh, s.id as site_id, s.name as site, c.id as customer_id,
                   c.name as customer
            from fsm.device a join ingest.device d on d.id = a.id join ingest.model m on m.code = d.model
            join fsm.site s on s.id = a.site_id join fsm.customer c on c.id = s.customer_id
            where {scope.devices(user)}""",
        scope.params(user),
    )
    models = {
        row["model"]: {"key": row["model"], "name_en": row["name_en"], "name_zh": row["name_zh"]}
        for row in found
    }
    components = {name for model, name in stored.catalog(conn).items("component") if model in models}
    return {
        "models": [models[key] for key in sorted(models)],
        "components": [{"key": name} for name in sorted(components)],
        "sites": _distinct(found, "site"),
        "customers": _distinct(found, "customer"),
    }


def _distinct(found: list[dict[str, Any]], what: str) -> list[dict[str, Any]]:
    names = {row[f"{what}_id"]: row[what] for row in found}
    return [{"key": key, "name": name} for key, name in sorted(names.items(), key=lambda one: one[1])]
