"""What devices of one type have in common: the prior of a device of which little is known. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analytics.definitions import DAY, REGIMES, Bools, Floats

FEWEST = 5  # devices of which one may speak of a fleet


@dataclass(frozen=True)
class Fleet:
    """[regime, metric] each; NaN where too few devices are known."""

    mean: Floats
    between: Floats  # spread of the devices' means
    within: Floats  # their typical mean absolute deviation

    @classmethod
    def unknown(cls, metrics: int) -> Fleet:
        """Nothing known yet."""
        empty = np.full((REGIMES, metrics), np.nan)
        return cls(empty, empty, empty)

    @classmethod
    def of(cls, newest: Floats, first: Floats, cell: Floats, *, rows: float, days: float) -> Fleet:
        """Medians over the devices whose baselines have seen enough.

        Args:
            newest: [device]; first: [device, regime]; cell: [device, regime, statistic, metric].
            rows, days: how much is enough.
        """
        enough = (cell[:, :, 0] >= rows) & ((newest[:, None] - first) >= days * DAY)[:, :, None]
        few = enough.sum(axis=0) < FEWEST
        mean = np.where(enough, cell[:, :, 1], np.nan)
        centre = _median(mean, few)
        between = 1.4826 * _median(np.abs(mean - centre), few)
        return cls(centre, between, _median(np.where(enough, cell[:, :, 2], np.nan), few))

    def as_json(self, metrics: tuple[str, ...]) -> dict[str, Any]:
        """By the names of the metrics, so that it outlives a changed device type."""
        return {
            name: {
                part: [None if np.isnan(x) else float(x) for x in getattr(self, part)[:, at]]
                for part in ("mean", "between", "within")
            }
            for at, name in enumerate(metrics)
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], metrics: tuple[str, ...]) -> Fleet:
        """What `as_json` gave; NaN for metrics it does not have."""
        fleet = cls(*(np.full((REGIMES, len(metrics)), np.nan) for _ in range(3)))
        for at, name in enumerate(metrics):
            for part, values in data.get(name, {}).items():
                getattr(fleet, part)[:, at] = [np.nan if x is None else x for x in values]
        return fleet


def _median(values: Floats, few: Bools) -> Floats:
    """Over axis 0, without NaN; NaN where `few`."""
    found = np.full(few.shape, np.nan)
    if not few.all():
        found[~few] = np.nanmedian(values[:, ~few], axis=0)
    return found
