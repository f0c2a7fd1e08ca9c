"""Learning the remaining life of a device type's components from the lives that ended with a failure.

Learned on the failures of an earlier time, tried on later lives at moments before their end; promoted only when its
quantiles are better there than those of the version in force, and than what the age of the fleet alone would tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from analytics.definitions import Floats
from analytics.prediction import lives, remaining_life, store, stored, train
from analytics.prediction.history import Log
from analytics.prediction.lives import CYCLE_HOURS, Life
from analytics.prediction.remaining_life import FEWEST_CYCLES, FEWEST_RUNS, LifeModel, Settings
from analytics.prediction.train import FEWEST_TRIED, LONGEST, Trained
from analytics.store import moment
from kit import logs
from kit.database import Conn
from kit.errors import Invalid

log = logs.get(__name__)
KIND = "remaining_life"
SETTINGS = Settings(members=2, folds=3, iterations=150)
FEWEST_FAILED = math.ceil(
    FEWEST_RUNS / train.LEARNED_SHARE
)  # lives, of which the later ones are for the trial
EVERY = 3  # cycles between two moments of a life at which a model is tried


@dataclass(frozen=True)
class Trial:
    """How quantiles fared on later lives.

    Attributes:
        pinball: mean loss of the 10, 50 and 90 % quantiles, operating hours; naive: that of the fleet's quantiles.
        coverage: share of the moments whose truth lay in the 80 % interval; width: of it, operating hours.
        lives, moments: that were tried.
    """

    pinball: float
    naive: float
    coverage: float
    width: float
    lives: int
    moments: int


def learn(conn: Conn, model: str, until: datetime, settings: Settings = SETTINGS) -> list[Trained]:
    """Learn every component of a device type from what was known by `until`.

    Raises:
        Invalid: there is no telemetry of this device type.
    """
    hours = stored.hours(conn, model, until - LONGEST, until)
    there = stored.population(conn, model)
    if hours is None or there is None:
        raise Invalid(
            f"The population is empty: there is no telemetry of device type {model} to learn from.",
            code="no_telemetry",
        )
    devices, components = there
    failures = stored.failures(conn, model, until, devices, components)
    repairs = stored.repairs(conn, model, until, devices, components)
    done = []
    for kind, component in enumerate(components):
        known = lives.lives(hours, failures.only(kind), repairs.only(kind))
        current = store.in_force(conn, KIND, model).get(component)
        done.append(_component(conn, component, known, failures.only(kind), current, settings))
    # All fits before the first write: a transaction that has written holds up everybody who follows facts.
    first = moment(int(hours.known[0]))
    return [_keep(conn, model, first, one) for one in done]


@dataclass(frozen=True)
class _Candidate:
    component: str
    fitted: LifeModel
    split: datetime
    trial: Trial
    promote: bool
    verdict: str
    reason: dict[str, Any]


def _component(
    conn: Conn, component: str, known: Sequence[Life], failures: Log, current: store.Version | None, settings: Settings
) -> _Candidate | Trained:  # fmt: skip
    failed = sorted((life for life in known if life.run.failed and len(life.run) >= FEWEST_CYCLES),
                    key=lambda life: int(life.known[-1]))  # fmt: skip
    learned = int(len(failed) * train.LEARNED_SHARE)
    if learned < FEWEST_RUNS or len(failed) - learned < FEWEST_TRIED:
        return _too_few(component, len(failed), len(failures))
    earlier, later = failed[:learned], failed[learned:]
    split = int(earlier[-1].known[-1])
    try:
        fitted = remaining_life.fit([life.run for life in earlier], settings)
    except Invalid as error:
        return Trained(component, None, False, error.message, error.details)
    trial = tried(fitted, earlier, later, split)
    if trial is None:
        return _too_few(component, len(failed), len(failures))
    before = _of_current(conn, current, earlier, later, split)
    best = trial.naive if before is None else min(trial.naive, before)
    promote = trial.pinball < best
    verdict = (
        f"{'Promoted' if promote else 'Not promoted'}: loss {trial.pinball:.1f} h in the trial from {moment(split)}; "
        f"without readings {trial.naive:.1f} h"
        + ("." if before is None else f", with the version in force {before:.1f} h.")
    )  # fmt: skip
    reason = {
        "code": "closer" if promote else "not_closer", "loss": f"{trial.pinball:.1f}", "without": f"{trial.naive:.1f}",
        "since": moment(split).isoformat(), "in_force": None if before is None else f"{before:.1f}",
    }  # fmt: skip
    return _Candidate(component, fitted, moment(split), trial, promote, verdict, reason)


def _too_few(component: str, lives_: int, failures: int) -> Trained:
    hours = FEWEST_CYCLES * CYCLE_HOURS
    verdict = (
        f"{component}: {failures} failures on record, {lives_} of them after a life of at least "
        f"{hours:.0f} operating hours with telemetry; the other lives are censored. "
        f"{FEWEST_RUNS} to learn from and {FEWEST_TRIED} later ones to try it on are needed ({FEWEST_FAILED} or more)."
    )
    reason = {
        "code": "too_few_lives", "failures": failures, "lives": lives_, "hours": f"{hours:.0f}", "learn": FEWEST_RUNS,
        "trial": FEWEST_TRIED,
    }  # fmt: skip
    return Trained(component, None, False, verdict, reason)


def tried(model: LifeModel, earlier: Sequence[Life], later: Sequence[Life], split: int) -> Trial | None:
    """Predict later lives at moments after `split`; None where there are none."""
    cap, runs, truth = model.settings.cap, [], []
    for life in later:
        first = max(1, int(np.searchsorted(life.known, split, side="right")))
        at = np.arange(first, len(life.run), EVERY)
        runs += [life.run.first(cycles) for cycles in at.tolist()]
        truth.append(lives.remaining(life, (at - 1).tolist(), cap))
    if not runs:
        return None
    left = np.concatenate(truth)
    life_ = model.predict(runs)
    said = [(0.1, life_.low), (0.5, life_.median), (0.9, life_.high)]
    naive = _naive(earlier, cap)
    return Trial(
        CYCLE_HOURS * lives.pinball(left, said),
        CYCLE_HOURS * lives.pinball(left, [(q, np.full(len(left), value)) for q, value in naive]),
        float(np.mean((life_.low <= left) & (left <= life_.high))),
        CYCLE_HOURS * float(np.mean(life_.high - life_.low)), len(later), len(left),
    )  # fmt: skip


def _naive(earlier: Sequence[Life], cap: float) -> list[tuple[float, float]]:
    """Quantiles of what was left at any moment of the lives learned from: what one knows without readings."""
    left: Floats = np.concatenate([lives.remaining(life, range(len(life.run)), cap) for life in earlier])
    return [(q, float(np.quantile(left, q))) for q in (0.1, 0.5, 0.9)]


def _of_current(
    conn: Conn, version: store.Version | None, earlier: Sequence[Life], later: Sequence[Life], split: int
) -> float | None:
    """Loss of the version in force in the same trial; None when there is none that can be used."""
    if version is None:
        return None
    try:
        trial = tried(store.load(conn, version.id, LifeModel), earlier, later, split)
    except Invalid as error:  # another format, or the device type has other metrics now: it has to go
        log.warning("version in force cannot be used", version=version.id, error=error.message)
        return None
    return None if trial is None else trial.pinball


def _keep(conn: Conn, model: str, first: datetime, one: _Candidate | Trained) -> Trained:
    if isinstance(one, Trained):
        store.note_learning(conn, KIND, model, one.component, False, one.verdict, one.reason)
        return one
    store.note_learning(conn, KIND, model, one.component, one.promote, one.verdict, one.reason)
    scores: dict[str, Any] = dict(vars(one.trial)) | {
        "cycle_hours": CYCLE_HOURS,
        "held_out": one.fitted.held_out,
    }
    version = store.save(
        conn, KIND, model, one.component, one.fitted, (first, one.split), scores, one.trial.pinball, one.verdict,
        promote=one.promote, reason=one.reason,
    )  # fmt: skip
    return Trained(one.component, version, one.promote, one.verdict, one.reason)
