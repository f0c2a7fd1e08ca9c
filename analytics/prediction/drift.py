"""Whether a model's live error has grown (river's ADWIN). Pure."""

from __future__ import annotations

from collections.abc import Iterable

from river.drift import ADWIN

from analytics.definitions import HOUR
from analytics.prediction.history import Log

DELTA = 0.002


def errors(
    said: Iterable[tuple[int, int, float]], failures: Log, horizon_hours: float, now: int
) -> list[float]:
    """|probability - what came| of those predictions whose horizon has passed, in their order.

    Args:
        said: (position of the device, µs, probability); failures: of that component, known by `now`.
    """
    horizon, found = round(horizon_hours * HOUR), []
    moments: dict[int, list[int]] = {}
    for device, ts in zip(failures.device.tolist(), failures.ts.tolist(), strict=True):
        moments.setdefault(device, []).append(ts)
    for device, ts, p in said:
        if ts + horizon <= now:
            came = any(ts < at <= ts + horizon for at in moments.get(device, ()))
            found.append(abs(p - came))
    return found


def grown(found: Iterable[float]) -> bool:
    """Whether the mean of these errors has grown at some point; that it fell is no reason to learn anew."""
    watch = ADWIN(delta=DELTA)
    for error in found:
        before = watch.estimation
        watch.update(error)
        if watch.drift_detected and watch.estimation > before:
            return True
    return False
