"""What failure models would have said in a stored period, and the findings made of it: those in force at the time, or
learned for the comparison from what was known before the period. SQL reads; never commits.

The steps, the features, the decision and when a finding ends are those of `analytics.prediction.scoring`; each step
rests on what had come by then (`analytics.whatif.past`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from analytics.definitions import Definition
from analytics.detectors.protocol import Finding
from analytics.prediction import scoring, store, train
from analytics.prediction.decision import Policy
from analytics.prediction.failure import ComponentModel
from analytics.store import microseconds
from analytics.whatif import spoken
from analytics.whatif.spoken import FOR_EVER, Source
from kit.database import Conn
from kit.errors import Invalid

STEP = scoring.STEP
EVIDENCE = (
    "shift",
    "spike",
    "joint",
    "fault_code",
)  # left to the prediction where it decides, as in fsm_core.plans
STOPS = 1  # a severity that is left to nobody


@dataclass(frozen=True)
class Tried:
    """What came of learning a component for a run: in use or not, and why."""

    model: str
    component: str
    used: bool
    verdict: str
    reason: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Foreseen:
    """What the models of one side of a comparison found, and for whom they decide.

    Attributes:
        found: (device, finding), raised and cleared.
        deciding: sources of the device types in which predictions decide alone.
    """

    found: list[tuple[int, Finding]]
    sources: list[Source]
    deciding: list[Source]

    def leaves(self, model: str, component: str, finding: Finding) -> bool:
        """Whether a finding is part of what a model in force judges, and opens no order of its own."""
        if finding.rule not in EVIDENCE or finding.severity <= STOPS:
            return False
        return any(
            (s.model, s.component) == (model, component) and s.since <= finding.ts < s.until
            for s in self.deciding
        )


def known_then(conn: Conn, model: str, start: datetime, end: datetime) -> list[Source]:
    """The versions as they were in force at each time of [start, end]; one that cannot be read any more is left out."""
    found = conn.execute(
        """select id, component, promoted_at, retired_at from analytics.model_version
           where kind = %s and model = %s and promoted_at <= %s and coalesce(retired_at, 'infinity') > %s
           order by id""",
        (train.KIND, model, end, start),
    ).fetchall()
    sources = []
    for version, component, promoted, retired in found:
        try:
            fitted = store.load(conn, version, ComponentModel)
        except Invalid:
            continue
        since = microseconds(promoted) // STEP * STEP
        until = FOR_EVER if retired is None else microseconds(retired) // STEP * STEP
        sources.append(Source(model, component, fitted, version, since, until))
    return sources


def learned(
    conn: Conn, model: str, since: datetime, until: datetime, policy: Policy
) -> tuple[list[Source], list[Tried]]:
    """Models from what was known in [since, until], to speak from then on where their trial says that they pay."""
    try:
        done = train.candidates(conn, model, since, until, policy, compare=False)
    except Invalid as error:
        return [], [Tried(model, "", False, error.message, error.details)]
    sources, tried = [], []
    for one in done:
        if isinstance(one, train.Trained):
            tried.append(Tried(model, one.component, False, one.verdict, one.reason))
            continue
        component = one.fitted.component
        tried.append(Tried(model, component, one.promote, one.verdict, one.reason))
        if one.promote:
            sources.append(Source(model, component, one.fitted, None, microseconds(until), FOR_EVER))
    return sources, tried


def instead(then: Sequence[Source], new: Sequence[Source]) -> list[Source]:
    """From the moment a new model speaks, it does so instead of the version in force then."""
    begins = {(one.model, one.component): one.since for one in new}
    cut = [
        replace(one, until=min(one.until, begins.get((one.model, one.component), FOR_EVER))) for one in then
    ]
    return [one for one in cut if one.since < one.until] + list(new)


def foresee(
    conn: Conn,
    sources: Sequence[Source],
    start: datetime,
    end: datetime,
    policies: dict[str, Policy],
    progress: Callable[[float], None] = lambda share: None,
) -> Foreseen:
    """What these models raise and clear in [start, end]; `progress` is called with the share that is done."""
    found: list[tuple[int, Finding]] = []
    models = sorted({one.model for one in sources})
    for at, model in enumerate(models):
        its = [one for one in sources if one.model == model]

        def told(share: float, at: int = at) -> None:
            progress((at + share) / len(models))

        found += spoken.of_type(conn, model, its, start, end, policies[model], told)
    deciding = {model for (model,) in conn.execute("select model from analytics.prediction_decides")}
    return Foreseen(found, list(sources), [one for one in sources if one.model in deciding])


def mode_components(definitions: Collection[Definition]) -> dict[tuple[str, str], str]:
    """(device type, failure mode) -> component."""
    return {(d.model, mode.code): mode.component for d in definitions for mode in d.modes}
