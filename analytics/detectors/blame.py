"""What a change of several metrics together speaks for: the failure mode, and the metrics that drive it. Pure."""

from __future__ import annotations

import numpy as np

from analytics.definitions import Bools, Definition, Floats, Ints
from analytics.detectors.protocol import Driver
from analytics.frame import Frame


def explained(definition: Definition, level: Floats, parts: Floats, is_open: Bools, share: float) -> Floats:
    """[k, mode] how well a mode explains the change, 1 from `share` on; 0 but for the best one and those that are open.

    Args:
        level: [k, metric] smoothed z; a symptom counts only in its direction.
        parts: [k, metric] what each metric adds to the change, 0 or more.
    """
    symptom, sign = definition.weight > 0, definition.sign
    fits = symptom & ((sign == 0) | (sign * level[:, None, :] > 0))
    if not len(definition.modes):
        return np.zeros((len(level), 0))
    its = (parts[:, None, :] * fits).sum(axis=2) / np.maximum(parts.sum(axis=1, keepdims=True), 1e-12)
    best = its.argmax(axis=1)[:, None] == np.arange(its.shape[1])
    found: Floats = np.where(best | is_open, np.minimum(its / share, 1.0), 0.0)
    return found


def drivers(
    definition: Definition, frame: Frame, at: int, level: Floats, parts: Floats
) -> tuple[Driver, ...]:
    """The metrics that make up nine tenths of the change of the row at a position, the strongest first; the limit is
    where each alone would amount to it. `level` and `parts` are [metric]."""
    found, told = list[Driver](), 0.0
    order: Ints = np.argsort(-parts, kind="stable")
    for m in order.tolist():
        if parts[m] <= 0 or told >= 0.9 * parts.sum():
            break
        told += float(parts[m])
        metric, expected = definition.metrics[m], float(frame.expected[at, m])
        reach = abs(float(level[m])) / np.sqrt(max(float(parts.sum()), 1e-12)) * float(frame.spread[at, m])
        limit = expected + float(np.copysign(reach, level[m]))
        value = float(frame.values[at, m]) if frame.good[at, m] else None
        found.append(
            Driver(metric.name, value, expected, limit, metric.unit, float(level[m]), int(frame.regime[at]))
        )
    return tuple(found)
