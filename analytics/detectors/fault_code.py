"""Fault codes that the device reports itself: chatter is one occurrence, a code leads to a failure mode.

A code of severity 1 or 2 raises its mode at once; a milder one when it has occurred several times within a
window. A code that comes back soon after it went is chattering: that is no new occurrence. The mode clears
when all its codes have been gone for a while (ISA-18.2 calls it off-delay).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analytics.block import Event
from analytics.definitions import HOUR, Definition
from analytics.detectors.protocol import Detector, Finding, Outcome
from analytics.features import Frame
from analytics.state import Field, Rows


@dataclass(frozen=True)
class Tuning:
    """Limits of the fault-code rule; hours of event time."""

    at_once: int = 2  # codes of this severity or worse raise at once …
    repeats: int = 3  # … milder ones after so many occurrences (at most 3) …
    window_hours: float = 24.0  # … within this time
    chatter_hours: float = 0.5
    clear_hours: float = 2.0


class FaultCode(Detector):
    """Times are 0 where there is none; `recent` holds the last three occurrences, newest first."""

    rule: ClassVar[str] = "fault_code"
    version: ClassVar[int] = 1
    Tuning = Tuning
    fields = (
        Field("active", ("code",)),
        Field("changed", ("code",)),  # event time of the newest event of the code
        Field("recent", ("code", "recent")),
        Field("open", ("mode",)),
        Field("gone", ("mode",)),  # when the last active code of an open mode went
    )

    def __init__(self, definition: Definition, tuning: Any = None) -> None:
        super().__init__(definition, tuning)
        self.tuning: Tuning
        modes = definition.axis("mode")
        self._codes = {code.code: at for at, code in enumerate(definition.codes)}
        self._mode = [-1 if code.mode is None else modes.index(code.mode) for code in definition.codes]

    def event(self, event: Event, state: Rows, at: int) -> list[Finding]:
        """See `Detector`. An event older than the newest of its code changes nothing."""
        code = self._codes.get(event.code)
        if code is None or event.ts < state["changed"][at, code]:
            return []
        was_active, changed = state["active"][at, code] > 0, state["changed"][at, code]
        state["active"][at, code], state["changed"][at, code] = float(event.active), event.ts
        mode = self._mode[code]
        found = self._clear(state, at, event.ts, event.batch)
        if not event.active:
            if mode >= 0 and state["open"][at, mode] and not self._any_active(state, at, mode):
                state["gone"][at, mode] = event.ts
            return found
        chattering = changed > 0 and event.ts - changed < self.tuning.chatter_hours * HOUR
        if not was_active and not (chattering and state["recent"][at, code, 0] > 0):
            recent = state["recent"][at, code]
            recent[1:], recent[0] = recent[:-1].copy(), event.ts
        if mode >= 0:
            state["gone"][at, mode] = 0.0
            found += self._raise(event, state, at, code, mode)
        return found

    def step(self, frame: Frame, state: Rows) -> Outcome:
        """See `Detector`: time passes, so what has been gone for long enough clears."""
        findings: list[Finding] = []
        due = (state["gone"] > 0) & (frame.ts[:, None] - state["gone"] >= self.tuning.clear_hours * HOUR)
        for at in np.flatnonzero(due.any(axis=1)):
            findings += self._clear(state, int(at), int(frame.ts[at]), int(frame.batch[at]))
        return Outcome(findings)

    def reset(self, state: Rows, at: int, modes: list[int]) -> None:
        """See `Detector`. A code that is still active counts again only when it is raised anew."""
        state["open"][at, modes] = 0.0
        state["gone"][at, modes] = 0.0
        ours = [code for code, mode in enumerate(self._mode) if mode in modes]
        state["recent"][at, ours] = 0.0
        state["active"][at, ours] = 0.0

    def _any_active(self, state: Rows, at: int, mode: int) -> bool:
        return any(state["active"][at, code] > 0 for code, its in enumerate(self._mode) if its == mode)

    def _raise(self, event: Event, state: Rows, at: int, code: int, mode: int) -> list[Finding]:
        tuning, definition = self.tuning, self.definition.codes[code]
        recent = state["recent"][at, code]
        inside = recent[(recent > 0) & (recent >= event.ts - tuning.window_hours * HOUR)]
        needed = 1 if definition.severity <= tuning.at_once else min(tuning.repeats, 3)
        if state["open"][at, mode] or len(inside) < needed:
            return []
        state["open"][at, mode] = 1.0
        return [
            Finding(
                at, event.ts, int(inside[needed - 1]), "raise", self.rule, self.version,
                self.definition.modes[mode].code, definition.severity, float(len(inside)) / needed,
                event.batch, codes=(event.code,),
            )
        ]  # fmt: skip

    def _clear(self, state: Rows, at: int, ts: int, batch: int) -> list[Finding]:
        found = []
        gone = state["gone"][at]
        for mode in np.flatnonzero((gone > 0) & (ts - gone >= self.tuning.clear_hours * HOUR)):
            definition = self.definition.modes[mode]
            since = int(gone[mode])
            state["open"][at, mode] = state["gone"][at, mode] = 0.0
            codes = tuple(c.code for c in self.definition.codes if c.mode == definition.code)
            found.append(
                Finding(
                    at, ts, since, "clear", self.rule, self.version,
                    definition.code, definition.priority, 0.0, batch, codes=codes,
                )
            )  # fmt: skip
        return found
