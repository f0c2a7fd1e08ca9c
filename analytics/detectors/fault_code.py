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
from analytics.definitions import HOUR, Definition, Floats
from analytics.detectors.protocol import Detector, Finding, Outcome
from analytics.fields import Field
from analytics.frame import Frame
from analytics.setting import setting
from analytics.state import Rows


@dataclass(frozen=True)
class Tuning:
    """Limits of the fault-code rule; hours of event time."""

    at_once: int = setting(
        2, "severity", 0, 4, "Codes of this severity or worse (1 is the worst) raise at once.",
        "此级别或更严重（1 最严重）的故障码立即报警。",
    )  # fmt: skip
    repeats: int = setting(
        3, "times", 1, 3, "A milder code raises after so many occurrences …",
        "较轻的故障码出现这么多次后报警……",
    )  # fmt: skip
    window_hours: float = setting(24.0, "h", 0.1, 720, "… within so many hours.", "……在这么多小时之内。")
    chatter_hours: float = setting(
        0.5, "h", 0, 72, "A code that returns so soon is the same occurrence.",
        "这么快又出现的故障码算同一次。",
    )  # fmt: skip
    clear_hours: float = setting(
        2.0, "h", 0, 720, "All codes must be gone for so long before an alarm clears.",
        "所有故障码消失这么久才解除报警。",
    )  # fmt: skip


class FaultCode(Detector):
    """Times are 0 where there is none; `recent` holds the last three occurrences, newest first."""

    rule: ClassVar[str] = "fault_code"
    version: ClassVar[int] = 1
    Tuning = Tuning
    fields = (
        Field("due"),  # when the first open mode may clear; 0: none
        Field("active", ("code",), rare=True),
        Field("changed", ("code",), rare=True),  # event time of the newest event of the code
        Field("recent", ("code", "recent"), rare=True),
        Field("open", ("mode",), rare=True, lasting=True),
        Field("gone", ("mode",), rare=True),  # when the last active code of an open mode went
    )

    def __init__(self, definition: Definition, tuning: Any = None) -> None:
        super().__init__(definition, tuning)
        self.tuning: Tuning
        modes = definition.axis("mode")
        self._codes = {code.code: at for at, code in enumerate(definition.codes)}
        self._mode = [-1 if code.mode is None else modes.index(code.mode) for code in definition.codes]

    def event(self, event: Event, state: Rows, at: int) -> list[Finding]:
        """See `Detector`. An event older than the newest of its code changes nothing."""
        code, own = self._codes.get(event.code), state.rare([at])
        if code is None or event.ts < own["changed"][0, code]:
            return []
        was_active, changed = own["active"][0, code] > 0, own["changed"][0, code]
        own["active"][0, code], own["changed"][0, code] = float(event.active), event.ts
        mode = self._mode[code]
        found = self._clear(own, at, event.ts, event.batch)
        if event.active:
            chattering = changed > 0 and event.ts - changed < self.tuning.chatter_hours * HOUR
            recent = own["recent"][0, code]
            if not was_active and not (chattering and recent[0] > 0):
                recent[1:], recent[0] = recent[:-1].copy(), event.ts
            if mode >= 0:
                own["gone"][0, mode] = 0.0
                found += self._raise(event, own, at, code, mode)
        elif mode >= 0 and own["open"][0, mode] and not self._any_active(own, mode):
            own["gone"][0, mode] = event.ts
        self._keep(state, at, own)
        return found

    def step(self, frame: Frame, state: Rows) -> Outcome:
        """See `Detector`: time passes, so what has been gone for long enough clears."""
        findings: list[Finding] = []
        due = state["due"]
        if not due.any():
            return Outcome(findings)
        for at in np.flatnonzero((due > 0) & (frame.ts >= due)).tolist():
            own = state.rare([at])
            findings += self._clear(own, at, int(frame.ts[at]), int(frame.batch[at]))
            self._keep(state, at, own)
        return Outcome(findings)

    def reset(self, state: Rows, at: int, modes: list[int]) -> None:
        """See `Detector`. A code that is still active counts again only when it is raised anew."""
        own = state.rare([at])
        own["open"][0, modes] = own["gone"][0, modes] = 0.0
        ours = [code for code, mode in enumerate(self._mode) if mode in modes]
        own["recent"][0, ours] = 0.0
        own["active"][0, ours] = 0.0
        self._keep(state, at, own)

    def _keep(self, state: Rows, at: int, own: dict[str, Floats]) -> None:
        gone = own["gone"][0]
        first = float(np.min(gone, where=gone > 0, initial=np.inf))
        state["due"][at] = first + self.tuning.clear_hours * HOUR if np.isfinite(first) else 0.0
        state.put_rare([at], own)

    def _any_active(self, own: dict[str, Floats], mode: int) -> bool:
        return any(own["active"][0, code] > 0 for code, its in enumerate(self._mode) if its == mode)

    def _raise(self, event: Event, own: dict[str, Floats], at: int, code: int, mode: int) -> list[Finding]:
        tuning, definition = self.tuning, self.definition.codes[code]
        recent = own["recent"][0, code]
        inside = recent[(recent > 0) & (recent >= event.ts - tuning.window_hours * HOUR)]
        needed = 1 if definition.severity <= tuning.at_once else min(tuning.repeats, 3)
        if own["open"][0, mode] or len(inside) < needed:
            return []
        own["open"][0, mode] = 1.0
        return [
            Finding(
                at, event.ts, int(inside[needed - 1]), "raise", self.rule, self.version,
                self.definition.modes[mode].code, definition.severity, float(len(inside)) / needed,
                event.batch, codes=(event.code,),
            )
        ]  # fmt: skip

    def _clear(self, own: dict[str, Floats], at: int, ts: int, batch: int) -> list[Finding]:
        found, gone = [], own["gone"][0]
        for mode in np.flatnonzero((gone > 0) & (ts - gone >= self.tuning.clear_hours * HOUR)):
            definition, since = self.definition.modes[mode], int(gone[mode])
            own["open"][0, mode] = gone[mode] = 0.0
            codes = tuple(c.code for c in self.definition.codes if c.mode == definition.code)
            found.append(
                Finding(
                    at, ts, since, "clear", self.rule, self.version,
                    definition.code, definition.priority, 0.0, batch, codes=codes,
                )
            )  # fmt: skip
        return found
