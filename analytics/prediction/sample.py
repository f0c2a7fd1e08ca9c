"""Which rows of a fleet are learned from. Pure.

All that lie before a failure are; of the others, of which a large fleet has millions that tell the same, at most so
many, drawn by lot. Each drawn row then stands for as many as were there for one that was taken, so that probabilities,
and with them what is decided by expected cost, are still those of the fleet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from analytics.definitions import Floats
from analytics.prediction.failure import fails_within
from analytics.prediction.features import Table
from analytics.prediction.history import Log

MOST_HEALTHY = 500_000  # rows: a hundred devices have 292,000 in a year; of 45 features they take 90 MB
ALWAYS = -1.0  # the lot of a row that is kept in any case
SLACK = 1.25  # so many times the most are held before the lots are compared once more


@dataclass(frozen=True)
class Rows:
    """What is learned from.

    Attributes:
        table: rows sorted by (device, ts).
        weight: [row] how many rows each stands for; None: all rows there are were kept.
        first: µs, the time of the earliest row there was; None: there was none.
    """

    table: Table
    weight: Floats | None
    first: int | None


def gather(
    tables: Iterable[Table], failures: Log, hours: float, seed: int, most: int = MOST_HEALTHY
) -> Rows | None:
    """Rows of tables that come device by device, in ascending order; None where no table comes.

    Which rows are drawn depends on the seed and the fleet, not on how it was cut into tables. Held at any time are
    1.25 `most` healthy rows, those before failures, and one table.

    Args:
        failures: of any component; positions of devices as in the tables.
        hours: how long before a failure a row is always kept.
        most: healthy rows kept.
    """
    kept: list[tuple[Table, Floats]] = []
    healthy, held, level, first = 0, 0, 1.0, None
    for table in tables:
        lots = _lots(table, seed)
        lots[fails_within(failures, table, hours)] = ALWAYS
        healthy += int((lots != ALWAYS).sum())
        if len(table):
            first = int(table.ts.min()) if first is None else min(first, int(table.ts.min()))
        kept.append(_below(table, lots, level))
        held += int((kept[-1][1] != ALWAYS).sum())
        if held > most * SLACK:
            level = _level(kept, most)
            held = most
            for at, one in enumerate(kept):  # one after the other: not all of them twice
                kept[at] = _below(*one, level)
    if not kept:
        return None
    if healthy <= most:
        return Rows(_joined([table for table, _ in kept]), None, first)
    level = _level(kept, most)
    kept = [_below(*one, level) for one in kept]
    lots = np.concatenate([lots for _, lots in kept])
    return Rows(_joined([table for table, _ in kept]), np.where(lots == ALWAYS, 1.0, healthy / most), first)


def _lots(table: Table, seed: int) -> Floats:
    """[row] in [0, 1), of each device by itself."""
    devices, counts = np.unique(table.device, return_counts=True)
    lots = [
        np.random.default_rng((seed, device)).random(count)
        for device, count in zip(devices.tolist(), counts.tolist(), strict=True)
    ]
    return np.concatenate(lots) if lots else np.empty(0)


def _level(kept: list[tuple[Table, Floats]], most: int) -> float:
    """The lot that the `most` lowest lie below; above all where there are no more."""
    lots = np.concatenate([lots[lots != ALWAYS] for _, lots in kept])
    return float(np.partition(lots, most)[most]) if len(lots) > most else 1.0


def _below(table: Table, lots: Floats, level: float) -> tuple[Table, Floats]:
    keep = lots < level
    return (table, lots) if keep.all() else (table.take(np.flatnonzero(keep)), lots[keep])


def _joined(tables: list[Table]) -> Table:
    if len(tables) == 1:
        return tables[0]
    return Table(
        tables[0].names,
        np.concatenate([table.x for table in tables]),
        np.concatenate([table.device for table in tables]),
        np.concatenate([table.ts for table in tables]),
    )
