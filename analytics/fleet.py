"""What devices of one type have in common: the prior of a device of which little is known. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    rules: Mapping[str, Any] = field(default_factory=dict)  # what detectors learned of it, by rule

    @classmethod
    def unknown(cls, metrics: int) -> Fleet:
        """Nothing known yet."""
        empty = np.full((REGIMES, metrics), np.nan)
        return cls(empty, empty, empty)

    @classmethod
    def of(
        cls,
        newest: Floats,
        first: Floats,
        rows: Floats,
        mean: Floats,
        deviation: Floats,
        *,
        least_rows: float,
        least_days: float,
        rules: Mapping[str, Any],
    ) -> Fleet:
        """Medians over the devices whose baselines have seen enough.

        Args:
            newest: [device]; first: [device, regime]; rows, mean, deviation: [device, regime, metric].
            least_rows, least_days: how much is enough.
            rules: what detectors learned.
        """
        enough = (rows >= least_rows) & ((newest[:, None] - first) >= least_days * DAY)[:, :, None]
        few = enough.sum(axis=0) < FEWEST
        known = np.where(enough, mean, np.nan)
        centre = _median(known, few)
        between = 1.4826 * _median(np.abs(known - centre), few)
        return cls(centre, between, _median(np.where(enough, deviation, np.nan), few), rules)

    def as_json(self, metrics: tuple[str, ...]) -> dict[str, Any]:
        """By the names of the metrics, so that it outlives a changed device type; "" is what detectors learned."""
        return ({"": dict(self.rules)} if self.rules else {}) | {
            name: {
                part: [None if np.isnan(x) else float(x) for x in getattr(self, part)[:, at]]
                for part in ("mean", "between", "within")
            }
            for at, name in enumerate(metrics)
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], metrics: tuple[str, ...]) -> Fleet:
        """What `as_json` gave; NaN for metrics it does not have."""
        mean, between, within = (np.full((REGIMES, len(metrics)), np.nan) for _ in range(3))
        fleet = cls(mean, between, within, data.get("", {}))
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
