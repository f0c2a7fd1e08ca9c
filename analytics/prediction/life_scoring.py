"""What is left of each component's life by the versions in force, kept with its interval. Opens no orders."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from analytics.definitions import Ints
from analytics.prediction import life_store, life_train, lives, store, stored
from analytics.prediction.history import Log
from analytics.prediction.life_features import EARLY
from analytics.prediction.lives import CYCLE_HOURS, Hours, Life
from analytics.prediction.remaining_life import LifeModel
from analytics.store import microseconds, moment
from kit import logs
from kit.database import Conn
from kit.errors import Invalid

log = logs.get(__name__)
EVERY_HOURS = 6
LOOK_BACK = timedelta(days=365)
FEWEST_CYCLES = EARLY // 2  # of a life, before which nothing is said of it
FRESH = timedelta(days=2)  # of a machine that has not run for so long nothing new is said


def score(conn: Conn, model: str, now: datetime) -> int:
    """Predict the devices of a type at the last sixth hour that has ended; returns how many predictions were kept.

    Does nothing where no model is in force or that hour has been scored already. A version that cannot be read (a
    file of another version, other metrics) is left out with a warning until it is learned anew.
    """
    hour = EVERY_HOURS * 3_600_000_000
    ended = moment(microseconds(now) // hour * hour)
    versions = [
        version for version in store.in_force(conn, life_train.KIND, model).values()
        if not life_store.lives_at(conn, version.id, ended)
    ]  # fmt: skip
    hours = stored.hours(conn, model, ended - LOOK_BACK, ended) if versions else None
    there = stored.population(conn, model)
    if hours is None or there is None:
        return 0
    return _score(conn, model, [(version, there[0].tolist()) for version in versions], hours, there, ended)


def again(conn: Conn, model: str, stale: Mapping[int, datetime]) -> int:
    """Work out again what was said of devices after a time of each; returns how many predictions changed place.

    The hours of all of them are read once and cut to what could be known each time something was said.
    """
    versions = {version.id: version for version in store.in_force(conn, life_train.KIND, model).values()}
    said: dict[datetime, dict[int, set[int]]] = {}
    for number in versions:
        for device, ts in life_store.lives_since(conn, number, stale):
            said.setdefault(ts, {}).setdefault(number, set()).add(device)
    there = stored.population(conn, model, list(stale))
    hours = stored.hours(conn, model, min(said) - LOOK_BACK, max(said), list(stale)) if said else None
    if hours is None or there is None:
        return 0
    done = 0
    for at, asked in sorted(said.items()):
        known = hours.between(microseconds(at - LOOK_BACK), microseconds(at))
        if len(known.known):
            pairs = [(versions[number], some) for number, some in asked.items()]
            done += _score(conn, model, pairs, known, there, at)
    return done


def _score(
    conn: Conn, model: str, asked: Sequence[tuple[store.Version, Collection[int]]], hours: Hours,
    there: tuple[Ints, tuple[str, ...]], at: datetime,
) -> int:  # fmt: skip
    """What versions say of some devices (ids), as it was known at `at`, except that rows may have come since."""
    devices, components = there
    failures = stored.failures(conn, model, at, devices, components)
    repairs = stored.repairs(conn, model, at, devices, components)
    done = 0
    for version, some in asked:
        if version.component not in components:
            continue
        kind = components.index(version.component)
        try:
            fitted = store.load(conn, version.id, LifeModel)
            done += _predict(
                conn, version, fitted, hours, devices, failures.only(kind), repairs.only(kind), at, some
            )
        except Invalid as error:
            log.warning("model cannot be used", version=version.id, model=model, error=error.message)
    return done


def _predict(
    conn: Conn, version: store.Version, fitted: LifeModel, hours: Hours, devices: Ints, failures: Log, repairs: Log,
    at: datetime, some: Collection[int],
) -> int:  # fmt: skip
    known = _present(lives.lives(hours, failures, repairs), microseconds(at))
    present = [life for life in known if int(devices[life.device]) in some]
    if not present:
        return 0
    said = fitted.predict([life.run for life in present])
    for row, life in enumerate(present):
        low, median, high = (float(x[row]) * CYCLE_HOURS for x in (said.low, said.median, said.high))
        life_store.save_life(
            conn, version, int(devices[life.device]), at, (low, median, high), fitted.settings.cap * CYCLE_HOURS,
            lives.usage(hours, life.device),
        )  # fmt: skip
    return len(present)


def _present(known: list[Life], at: int) -> list[Life]:
    """The lives that have not ended: the last of each device, if it is long enough and not from long ago."""
    newest: dict[int, Life] = {life.device: life for life in known}
    fresh = at - int(FRESH.total_seconds() * 1e6)
    return [
        life for life in newest.values()
        if not life.run.failed and len(life.run) >= FEWEST_CYCLES and int(life.known[-1]) >= fresh
    ]  # fmt: skip
