"""What a rule that was switched off had left open is closed: its alarms would never clear by themselves. Pure."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from analytics.definitions import Definition, Floats
from analytics.detectors import discover
from analytics.detectors.protocol import Finding
from analytics.features import Baseline
from analytics.state import Layout, Saved, saved_fields

REASON = "rule_off"


def closings(
    definition: Definition, state: bytes, layout: Layout, on: Collection[str], batch: int
) -> list[Finding]:
    """Clears of all that a device's saved state has open under rules that are not `on`.

    Event time is that of the newest row or fault event of the device. `at` is 0: the state is one device's.

    Args:
        on: rules that run from now on.
        batch: the last batch that the state has seen.
    """
    saved = saved_fields(state, layout)
    rules = {detector.rule: detector for detector in discover()}
    open_modes = {rule: _open(saved, rule) for rule in rules if f"{rule}.open" in saved}
    found = []
    for rule in sorted(open_modes.keys() - set(on)):
        for mode in definition.modes:
            if mode.code in open_modes[rule]:
                ts = _newest(saved)
                others = tuple(
                    r
                    for r, codes in sorted(open_modes.items())
                    if r != rule and r in on and mode.code in codes
                )
                found.append(
                    Finding(
                        0, ts, ts, "clear", rule, rules[rule].version, mode.code, mode.priority, 0.0, batch,
                        also_open=others, reason=REASON,
                    )
                )  # fmt: skip
    return found


def _open(saved: Saved, rule: str) -> set[str]:
    (modes,), values = saved[f"{rule}.open"]
    return {mode for mode, value in zip(modes, values.tolist(), strict=True) if value > 0}


def _newest(saved: Saved) -> int:
    """Event time of the last that the device sent: a row or a fault event."""
    moments: list[Floats] = [saved[f"{Baseline.OWNER}.newest"][1]]
    if "fault_code.changed" in saved:
        moments.append(saved["fault_code.changed"][1].ravel())
    return int(max((float(np.max(one)) for one in moments if np.size(one)), default=0.0))
