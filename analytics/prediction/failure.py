"""The probability that a component fails soon: one calibrated gradient boosting per component. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import GroupKFold

from analytics.definitions import HOUR, Bools, Floats
from analytics.prediction.decision import muted
from analytics.prediction.features import Table
from analytics.prediction.history import Log
from analytics.prediction.threads import one_thread
from kit.errors import Invalid

FEWEST_FAILURES = 10
FOLDS = 3


@dataclass(frozen=True)
class Settings:
    """How a component's model is learned.

    Attributes:
        horizon_hours: what is learned is "fails within so many hours".
        mute_hours: rows so soon after a repair are not learned from.
    """

    horizon_hours: float = 24.0
    mute_hours: float = 48.0
    iterations: int = 120
    learning_rate: float = 0.08
    leaves: int = 15
    seed: int = 0


@dataclass(frozen=True)
class ComponentModel:
    """A fitted model of one component.

    Attributes:
        names: the features it was fitted on, in order; typical: [feature] their medians far from a failure.
        failures: how many it has learned from.
    """

    component: str
    names: tuple[str, ...]
    classifier: Any
    typical: Floats
    failures: int
    settings: Settings

    @one_thread()
    def probability(self, table: Table) -> Floats:
        """[row] probability of failure within the horizon.

        Raises:
            Invalid: the features are not those the model knows.
        """
        if table.names != self.names:
            missing = sorted(set(self.names) - set(table.names)) or "the same in another order"
            raise Invalid(f"The model of {self.component} was fitted on other features; it misses {missing}.")
        if not len(table):
            return np.empty(0)
        found: Floats = self.classifier.predict_proba(table.x)[:, 1]
        return found

    @one_thread()
    def drivers(self, table: Table, row: int) -> list[tuple[str, float]]:
        """What drove a row's probability: by how much it falls when all features of one subject (a metric, a code, a
        component) are as usual; those that matter, the strongest first."""
        subjects = list(dict.fromkeys(name.split(".")[0] for name in self.names))
        changed = np.repeat(table.x[row : row + 1], len(subjects) + 1, axis=0)
        for at, subject in enumerate(subjects):
            mine = [name.split(".")[0] == subject for name in self.names]
            changed[at, mine] = self.typical[mine]
        p = self.classifier.predict_proba(changed)[:, 1]
        falls = {subject: float(p[-1] - p[at]) for at, subject in enumerate(subjects)}
        return sorted(((s, fall) for s, fall in falls.items() if fall > 0.01), key=lambda item: -item[1])


def fails_within(failures: Log, table: Table, hours: float) -> Bools:
    """[row] whether the device fails strictly later, but within so many hours; `failures` of one component."""
    later = failures.before(table.device, table.ts + round(hours * HOUR))
    return later > failures.before(table.device, table.ts)


def broken_down(failures: Log, repairs: Log, table: Table) -> Bools:
    """[row] whether the component has failed and its repair is still to come; both of that component. It looks as it
    did before the failure, but nothing is left to foresee: such rows are neither learned from nor tried on."""
    device, ts = table.device, table.ts
    if not len(failures) or not len(repairs):
        return np.zeros(len(ts), bool)
    last = np.maximum(failures.before(device, ts) - 1, 0)
    failed = (failures.before(device, ts) > 0) & (failures.device[last] == device)
    repaired = repairs.before(device, ts)
    next_ = np.minimum(repaired, len(repairs) - 1)
    to_come = (repaired < len(repairs)) & (repairs.device[next_] == device)
    found: Bools = failed & to_come & (repaired == repairs.before(device, failures.ts[last] - 1))
    return found


@one_thread()
def fit(
    component: str,
    table: Table,
    failures: Log,
    repairs: Log,
    known_until: int,
    settings: Settings = Settings(),
    weight: Floats | None = None,
) -> ComponentModel:
    """Fit the model of one component.

    Args:
        failures, repairs: of that component.
        known_until: µs; rows whose horizon ends later are not used, for nobody knows yet what became of them.
        weight: [row] how many rows each stands for (see `sample`), so that probabilities are those of all of them;
            None: itself.

    Raises:
        Invalid: too few failures, or nothing but failures.
    """
    horizon = round(settings.horizon_hours * HOUR)
    usable = (
        (table.ts + horizon <= known_until)
        & ~muted(repairs, table.device, table.ts, settings.mute_hours)
        & ~broken_down(failures, repairs, table)
    )
    used = table.take(np.flatnonzero(usable))
    stands_for = None if weight is None else weight[usable]
    fails = fails_within(failures, used, settings.horizon_hours)
    seen = len(failures.until(known_until))
    if seen < FEWEST_FAILURES or not fails.any():
        raise Invalid(
            f"{component}: {seen} failures in the stored history, all others are censored; "
            f"at least {FEWEST_FAILURES} with telemetry before them are needed to learn from.",
            code="too_few_before",
            failures=seen,
            learn=FEWEST_FAILURES,
        )
    if fails.all():
        raise Invalid(
            f"{component}: every row is before a failure; a time without one is needed as well.",
            code="only_failures",
        )
    folds = min(FOLDS, len(np.unique(used.device[fails])), len(np.unique(used.device)))
    if folds < 2:
        raise Invalid(
            f"{component}: all failures are of one device; at least two are needed to calibrate.",
            code="one_device",
        )
    classifier = CalibratedClassifierCV(
        HistGradientBoostingClassifier(
            max_iter=settings.iterations,
            learning_rate=settings.learning_rate,
            max_leaf_nodes=settings.leaves,
            min_samples_leaf=20,
            l2_regularization=1.0,
            early_stopping=False,
            random_state=settings.seed,
        ),
        method="sigmoid",
        cv=list(GroupKFold(folds).split(used.x, fails, used.device)),
    )
    classifier.fit(used.x, fails, sample_weight=stands_for)
    typical = np.nan_to_num(np.nanmedian(used.x[~fails], axis=0)).astype(np.float64)
    return ComponentModel(component, table.names, classifier, typical, seen, settings)
