"""What was measured and known of a fleet, on one grid of time. Pure.

Failures are no part of a `History`: features are computed from it alone, so no feature can see one coming.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from analytics.definitions import HOUR, Floats, Ints
from kit.errors import Invalid


def _no_ints() -> Ints:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Log:
    """Things that happened, sorted by (device, ts).

    Attributes:
        device: [n] position of the device in `History.devices`.
        ts: [n] event time in microseconds since the Unix epoch.
        kind: [n] position of the fault code, the component, …
    """

    device: Ints = field(default_factory=_no_ints)
    ts: Ints = field(default_factory=_no_ints)
    kind: Ints = field(default_factory=_no_ints)

    @classmethod
    def of(cls, device: Ints, ts: Ints, kind: Ints) -> Log:
        """Sort what comes in any order."""
        order = np.lexsort((kind, ts, device))
        return cls(device[order], ts[order], kind[order])

    def __len__(self) -> int:
        return len(self.ts)

    def only(self, kind: int) -> Log:
        """Those of one kind."""
        keep = self.kind == kind
        return Log(self.device[keep], self.ts[keep], self.kind[keep])

    def until(self, ts: int) -> Log:
        """Those not after `ts`."""
        keep = self.ts <= ts
        return Log(self.device[keep], self.ts[keep], self.kind[keep])

    def before(self, device: Ints, ts: Ints) -> Ints:
        """How many entries, in the sorted order, lie before or at (device, ts). Shapes: any, equal."""
        if not len(self) or not ts.size:
            return np.zeros(np.broadcast_shapes(device.shape, ts.shape), np.int64)
        # One number per (device, ts), so that one search answers for all devices.
        low = int(min(self.ts.min(), ts.min()))
        span = int(max(self.ts.max(), ts.max())) - low + 1
        return np.searchsorted(self.device * span + self.ts - low, device * span + ts - low, side="right")


@dataclass(frozen=True)
class History:
    """A fleet's past.

    Attributes:
        metrics, codes, components: names, in the order of the axes and kinds below.
        devices: [device] ids.
        known: [step] when the values of a step were known, equally spaced, µs since the Unix epoch.
        step_hours: hours between two steps.
        values: [device, step, metric], NaN where nothing was measured.
        faults: fault codes raised; repairs: replacements of components, planned or after a failure.
        traits: [device, trait] what a device is (model number, age in years, …); traits: their names.
    """

    metrics: tuple[str, ...]
    codes: tuple[str, ...]
    components: tuple[str, ...]
    devices: Ints
    known: Ints
    step_hours: float
    values: Floats
    faults: Log
    repairs: Log
    trait_names: tuple[str, ...]
    traits: Floats

    def __post_init__(self) -> None:
        shape = (len(self.devices), len(self.known), len(self.metrics))
        if self.values.shape != shape:
            raise Invalid(f"values must be [device, step, metric] = {shape}; they are {self.values.shape}.")
        if not len(self.devices) or not len(self.known):
            raise Invalid("The population is empty: a history needs at least one device and one step.")
        if len(self.known) > 1 and (np.diff(self.known) != round(self.step_hours * HOUR)).any():
            raise Invalid(f"The steps of a history must be {self.step_hours} h apart, without a hole.")

    def until(self, ts: int) -> History:
        """The same as it was known at `ts`."""
        steps = self.known <= ts
        if not steps.any():
            raise Invalid("Nothing was known of this fleet by then.")
        return replace(
            self,
            known=self.known[steps],
            values=self.values[:, steps],
            faults=self.faults.until(ts),
            repairs=self.repairs.until(ts),
        )
