"""When a device type is learned: the rule, and what it says of one as things stand. SQL reads; never commits.

A module of its own without scikit-learn, for whoever only wants to know when.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from analytics.prediction import store, stored, waiting
from kit.database import Conn

LEARN_AGAIN: Final = timedelta(days=30)
RETRY: Final = timedelta(days=1)
ENOUGH: Final = (
    16  # failures of a component: (failure.FEWEST_FAILURES + 1) / train.LEARNED_SHARE; a test compares
)
KINDS: Final = ("failure", "remaining_life")


@dataclass(frozen=True)
class Outlook:
    """Of a device type.

    Attributes:
        state: too_few failures of every component; held while a past is brought in; else due at `at`.
        failures: of the component that failed most, as far as known now.
        at: when the next learning is due; not after now: as soon as it is its turn. None unless due.
    """

    state: Literal["too_few", "held", "due"]
    failures: int
    at: datetime | None


def outlook(conn: Conn, model: str, now: datetime) -> Outlook:
    """When a device type is learned next. An error that grows brings it forward."""
    past = stored.population(conn, model)
    most = 0
    if past is not None:
        devices, components = past
        counted = Counter(stored.failures(conn, model, now, devices, components).kind.tolist())
        most = max(counted.values(), default=0)
    if most < ENOUGH:
        return Outlook("too_few", most, None)
    if waiting.held(conn):
        return Outlook("held", most, None)
    of_failures, of_lives = (store.last_tried(conn, kind, model) for kind in KINDS)
    trained = store.last_trained(conn, "failure", model)
    return Outlook("due", most, next_run(now, trained, of_failures, of_lives))


def next_run(
    now: datetime, trained: datetime | None, of_failures: datetime | None, of_lives: datetime | None
) -> datetime:
    """When learning is due next.

    Args:
        trained: the newest version of failure models; None: nothing was good enough to be kept.
        of_failures, of_lives: when each kind was last tried; None: never.
    """
    if of_lives is None or (trained is not None and of_lives < trained):
        return now  # it never got to its end
    if trained is None:
        return max(of_lives, of_failures or of_lives) + RETRY
    return trained + LEARN_AGAIN
