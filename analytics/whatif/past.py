"""What was known of some devices at each step of a stored period: what came late is not known until it came.

The values are those of `analytics.prediction.stored` (means of the hourly rollups over steps of 3 h), for a part of a
type's devices, so that memory is bounded. A row or fault code counts from the first step whose scoring could see it:
`SETTLE` after the step's end. Rows that came more than `IMPORTED` after their time were imported, not late: they count
at their time, and so does what has no raw rows any more. SQL reads; never commits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, LiteralString

import numpy as np

from analytics.definitions import HOUR, Bools, Floats, Ints
from analytics.prediction import features, stored
from analytics.prediction.history import History, Log
from analytics.store import microseconds, moment
from kit.database import Conn

STEP: Final = stored.STEP_HOURS * HOUR
LOOK_BACK: Final = timedelta(days=features.LOOKBACK_DAYS + features.RECENT_DAYS)
SETTLE: Final = timedelta(minutes=15)  # as `analytics.prediction.jobs`, which loads too much for it
IMPORTED: Final = timedelta(days=30)
_CODES_BACK: Final = timedelta(days=features.LONG_AGO_DAYS)  # an older code is as good as none


@dataclass(frozen=True)
class Names:
    """What a device type's histories speak of; `repairs` of all its devices, whose ids are `devices`."""

    model: str
    metrics: tuple[str, ...]
    codes: tuple[str, ...]
    components: tuple[str, ...]
    devices: Ints
    repairs: Log


@dataclass(frozen=True)
class Parts:
    """Steps of which a part came late, a row for each part, device and metric.

    Attributes:
        device, step, metric: [n] positions in the history.
        known: [n] the step (µs) from which the part was known.
        total, count: [n] its values' sum and number.
    """

    device: Ints
    step: Ints
    metric: Ints
    known: Ints
    total: Floats
    count: Floats


@dataclass(frozen=True)
class Past:
    """A history, and what of it was not known from the beginning.

    Attributes:
        parts: of values that came late.
        codes_known: [fault] the step (µs) from which each fault code of the history was known.
    """

    history: History
    parts: Parts
    codes_known: Ints

    def hidden(self, first: int) -> dict[int, tuple[Ints, Ints]]:
        """The steps (µs, from `first` on) at which something of the time before was still to come: of which devices
        (positions) values, and of which only fault codes."""
        ends, faults = self.history.known, self.history.faults
        values = self._waiting(self.parts.device, ends[self.parts.step], self.parts.known, first)
        codes = self._waiting(faults.device, -(-faults.ts // STEP) * STEP, self.codes_known, first)
        return {
            step: (
                _sorted(values.get(step, set())),
                _sorted(codes.get(step, set()) - values.get(step, set())),
            )
            for step in sorted(values.keys() | codes.keys())
        }

    def _waiting(self, device: Ints, begin: Ints, until: Ints, first: int) -> dict[int, set[int]]:
        """Devices by the steps from `begin` to before `until`."""
        begin = np.maximum(begin, -(-first // STEP) * STEP)
        until = np.minimum(until, int(self.history.known[-1]) + STEP)
        late = until > begin
        found: dict[int, set[int]] = {}
        for one, since, end in np.unique(np.stack([device, begin, until])[:, late], axis=1).T.tolist():
            for step in range(since, end, STEP):
                found.setdefault(step, set()).add(one)
        return found

    def at(self, step: int, devices: Ints) -> History:
        """The devices at some positions as they were known at a step (µs), as far back as features look."""
        whole = self.history
        end = int(np.searchsorted(whole.known, step, side="right"))
        begin = max(0, end - LOOK_BACK // timedelta(microseconds=STEP))
        values = whole.values[devices, begin:end].copy()
        place = np.full(len(whole.devices), -1)
        place[devices] = np.arange(len(devices))
        self._take_back(values, place, begin, step)
        return replace(
            whole, devices=whole.devices[devices], known=whole.known[begin:end], values=values,
            faults=_some(whole.faults, place, self.codes_known <= step),
            repairs=_some(whole.repairs, place, np.ones(len(whole.repairs), bool)),
            traits=whole.traits[devices],
        )  # fmt: skip

    def _take_back(self, values: Floats, place: Ints, begin: int, step: int) -> None:
        """Leave out of `values` what was not known at a step."""
        parts, ends = self.parts, self.history.known
        if not len(parts.step):
            return
        ours = (place[parts.device] >= 0) & (parts.step >= begin) & (ends[parts.step] <= step)
        shape = values.shape
        key = np.ravel_multi_index(
            (place[parts.device[ours]], parts.step[ours] - begin, parts.metric[ours]), shape
        )
        late = parts.known[ours] > step
        wanting = np.unique(key[late])
        there = ~late & np.isin(key, wanting)
        at = np.searchsorted(wanting, key[there])
        total = np.bincount(at, parts.total[ours][there], len(wanting))
        count = np.bincount(at, parts.count[ours][there], len(wanting))
        values.reshape(-1)[wanting] = np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _sorted(devices: set[int]) -> Ints:
    return np.array(sorted(devices), np.int64)


def _some(log: Log, place: Ints, keep: Bools) -> Log:
    keep = keep & (place[log.device] >= 0)
    return Log(place[log.device[keep]], log.ts[keep], log.kind[keep])


def names(conn: Conn, model: str, end: datetime) -> Names | None:
    """Of a device type; repairs until `end`. None where it has no devices or no readings."""
    there = stored.population(conn, model)
    metrics = conn.execute(
        "select name from ingest.metric where model = %s and role = 'reading' order by 1", (model,)
    ).fetchall()
    codes = conn.execute("select code from ingest.fault_code where model = %s order by 1", (model,))
    if there is None or not metrics:
        return None
    devices, components = there
    return Names(
        model, tuple(name for (name,) in metrics), tuple(code for (code,) in codes), components, devices,
        stored.repairs(conn, model, end, devices, components),
    )  # fmt: skip


def load(conn: Conn, of: Names, devices: Ints, since: datetime, until: datetime) -> Past | None:
    """The past of some of a type's devices (ids), as `stored.history` gives it; None where there is no telemetry."""
    first, last = microseconds(since) // STEP, microseconds(until) // STEP
    if last <= first:
        return None
    row = {int(device): at for at, device in enumerate(devices)}
    values = stored.means(conn, devices, of.metrics, first, last)
    if np.isnan(values).all():
        return None
    faults, codes_known = _faults(conn, of, row, since, until)
    place = np.full(len(of.devices), -1)
    place[np.searchsorted(of.devices, devices)] = np.arange(len(devices))
    repairs = _some(of.repairs, place, of.repairs.ts <= microseconds(until))
    known = (np.arange(first, last) + 1) * STEP
    history = History(
        of.metrics, of.codes, of.components, devices, known, stored.STEP_HOURS, values, faults, repairs, (),
        np.empty((len(devices), 0)),
    )  # fmt: skip
    return Past(history, _parts(conn, of, row, first, last), codes_known)


# Only of steps of which a row came late; what came in time is a part, too.
_LATE: Final[LiteralString] = """
    with late as materialized (
        select distinct t.device_id, floor(extract(epoch from t.ts) / %(seconds)s)::bigint as slot
        from ingest.telemetry t
        where t.device_id = any(%(devices)s) and t.ts >= %(since)s and t.ts < %(until)s
          and t.received_at > to_timestamp((floor(extract(epoch from t.ts) / %(seconds)s)::float8 + 1) * %(seconds)s)
                              + %(settle)s
          and t.received_at < t.ts + %(imported)s)
    select l.device_id, (l.slot - %(begin)s)::int, v.name,
           case when t.received_at >= t.ts + %(imported)s then l.slot + 1
                else greatest(l.slot + 1, ceil(extract(epoch from t.received_at - %(settle)s)
                                               / %(seconds)s)::bigint) end as known,
           sum(v.value), count(*)::float8
    from late l
    join ingest.telemetry t on t.device_id = l.device_id
     and t.ts >= to_timestamp((l.slot * %(seconds)s)::float8)
     and t.ts < to_timestamp(((l.slot + 1) * %(seconds)s)::float8)
     and t.ts >= %(since)s and t.ts < %(until)s
    join ingest.shape s on s.id = t.shape_id
    cross join lateral unnest(s.metrics, t."values") as v(name, value)
    where v.value <> 'NaN' and v.name = any(%(metrics)s)
    group by 1, 2, 3, 4"""


def _parts(conn: Conn, of: Names, row: dict[int, int], first: int, last: int) -> Parts:
    devices = np.array(list(row), np.int64)
    found = conn.execute(_LATE, _bounds(of, devices, first, last)).fetchall()
    place = {name: at for at, name in enumerate(of.metrics)}
    return Parts(
        np.array([row[one[0]] for one in found], np.int64), np.array([one[1] for one in found], np.int64),
        np.array([place[one[2]] for one in found], np.int64),
        np.array([one[3] for one in found], np.int64) * STEP,
        np.array([one[4] for one in found], np.float64), np.array([one[5] for one in found], np.float64),
    )  # fmt: skip


def _bounds(of: Names, devices: Ints, first: int, last: int) -> dict[str, object]:
    return {
        "devices": devices.tolist(), "metrics": list(of.metrics), "seconds": stored.STEP_HOURS * 3600,
        "begin": first, "since": moment(first * STEP), "until": moment(last * STEP), "settle": SETTLE,
        "imported": IMPORTED,
    }  # fmt: skip


def _faults(conn: Conn, of: Names, row: dict[int, int], since: datetime, until: datetime) -> tuple[Log, Ints]:
    """Fault codes raised, and from which step each was known."""
    found = conn.execute(
        """select device_id, ts, code, received_at from ingest.fault_event
           where device_id = any(%s) and code = any(%s) and ts > %s and ts <= %s and active""",
        (list(row), list(of.codes), since - _CODES_BACK, until),
    ).fetchall()
    ts = np.array([microseconds(one[1]) for one in found], np.int64)
    came = np.array(
        [microseconds(one[3] - SETTLE) if one[3] < one[1] + IMPORTED else 0 for one in found], np.int64
    )
    device = np.array([row[one[0]] for one in found], np.int64)
    kind = np.array([of.codes.index(one[2]) for one in found], np.int64)
    order = np.lexsort((kind, ts, device))
    known = np.maximum(-(-came // STEP), -(-ts // STEP)) * STEP
    return Log(device[order], ts[order], kind[order]), known[order]
