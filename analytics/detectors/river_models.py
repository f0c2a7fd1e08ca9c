"""river's streaming models as detectors, for a few precious machines: Page-Hinkley and half-space trees.

Both work on the standardised residuals of the baseline, row by row, in Python: that costs a hundred times what the
other rules cost, so they are off by default (docs/detectors.md says what they cost and are worth). river's own code
learns and scores; what a model knows is written into it before a row and read out after it as plain numbers, so
that it is saved, replayed and restored with everything else. Nothing is pickled: a saved state can run no code.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar
from zlib import crc32

import numpy as np

from analytics.definitions import Bools, Definition, Floats, Ints, related
from analytics.detectors import alarm, blame, river_settings
from analytics.detectors.protocol import Detector, Driver, Outcome
from analytics.fields import Field
from analytics.frame import Frame
from analytics.state import Rows

CLIP = 8.0  # one row counts for at most so many z
NUMBERS = (
    "_sum_increase",
    "_sum_decrease",
    "_min_increase",
    "_max_decrease",
)  # of river's Page-Hinkley, and its mean
TREES, HEIGHT, SEED = 6, 4, 7  # of the forest; the same trees for all machines of a type
NODES = TREES * (2 ** (HEIGHT + 1) - 1)


class _RiverDetector(Detector):
    """What both have in common: `_score` gives a score (1 is the limit) and each metric's part in it; the mode that
    explains it best raises. While the mode is open (or `stands_while` says, suspected) its symptoms are not learned; it
    clears when the smoothed residuals have come back."""

    on: ClassVar[bool] = False
    stands_while: ClassVar[str]
    version: ClassVar[int] = 1
    # `height`: the smoothed residual when a mode was raised, in z
    common: ClassVar[tuple[Field, ...]] = (
        Field("level", ("metric",)),
        *alarm.FIELDS,
        Field("height", ("mode",), rare=True),
    )

    def __init__(self, definition: Definition, tuning: Any = None) -> None:
        super().__init__(definition, tuning)
        t = self.tuning
        self._rules = alarm.Hysteresis(
            t.suspect, t.clear, t.hold_hours, t.clear_hours, t.refractory, t.refractory_hours
        )
        self._symptom = definition.weight > 0
        self._table = self._symptom.astype(float)
        self._sign = definition.sign

    def _score(self, z: Floats, judged: Bools, still: Bools, at: Ints, state: Rows) -> tuple[Floats, Floats]:
        """[k] score and [k, metric] parts of the rows at some positions; learns what is not `still` [k, metric]."""
        raise NotImplementedError

    def step(self, frame: Frame, state: Rows) -> Outcome:
        """See `Detector`."""
        level = state["level"]
        z = np.clip(frame.z, -CLIP, CLIP)
        level += frame.hours / (self.tuning.mean_hours + frame.hours) * (z - level)
        stirred = frame.judged.any(axis=1)
        stirred |= state["busy"] > 0
        at = stirred.nonzero()[0]
        if not len(at):
            return Outcome()
        rare, its = state.rare(at), level[at]
        still = related(rare[self.stands_while] > 0, self._table)
        score, parts = self._score(z[at], frame.judged[at], still, at, state)
        is_open = rare["open"] > 0
        scores = score[:, None] * blame.explained(self.definition, its, parts, is_open, self.tuning.share)
        directed = self._directed(its)
        scores = np.where(is_open, directed / np.maximum(rare["height"], 1e-6), scores)
        live = related(frame.judged[at], self._table.T)
        hours = np.where(live, (frame.hours[at][:, None, :] * self._symptom).max(axis=2), 0.0)
        verdict = alarm.judge(rare, frame.ts[at], live, hours, scores, self._rules)
        for n, k in zip(*np.nonzero(verdict.clearing), strict=True):
            self._cleared(state, at[n : n + 1], self._symptom[k])
        np.copyto(rare["height"], np.maximum(directed, 0.5), where=verdict.raising)

        def drivers(n: int, k: int) -> tuple[Driver, ...]:
            return blame.drivers(self.definition, frame, int(at[n]), its[n], parts[n])

        findings = self.clears(frame, at, verdict) + self.raises(frame, at, rare, verdict, drivers)
        alarm.keep(state, at, {name: rare[name] for name in rare if name in _ALARM})
        return Outcome(findings, alarm.frozen(rare, at, self._table))

    def _cleared(self, state: Rows, at: Ints, metrics: Bools) -> None:
        """An alarm has cleared: what its symptoms [metric] showed is past."""

    def _directed(self, level: Floats) -> Floats:
        """[k, mode] how far the farthest symptom lies in the direction that tells of the mode, in z."""
        level = level[:, None, :]
        towards = np.where(self._sign == 0, np.abs(level), self._sign * level)
        found: Floats = np.where(self._symptom, towards, -CLIP).max(axis=2, initial=-CLIP)
        return found

    def reset(self, state: Rows, at: int, modes: list[int]) -> None:
        """See `Detector`."""
        metrics: Bools = np.asarray(self._symptom[modes].any(axis=0))
        state["level"][at, metrics] = 0.0
        self._forget(state, np.array([at]), metrics)
        alarm.close(state, at, modes, self.tuning.refractory)

    def _forget(self, state: Rows, at: Ints, metrics: Bools) -> None:
        raise NotImplementedError


_ALARM = {field.name for field in alarm.FIELDS if field.rare} | {"height"}


class PageHinkley(_RiverDetector):
    """`river.drift.PageHinkley` of every metric; `test` is [metric, rows, mean and the four of `NUMBERS`]."""

    rule: ClassVar[str] = "page_hinkley"
    stands_while: ClassVar[str] = "open"
    Tuning = river_settings.PageHinkleyTuning
    fields = (*_RiverDetector.common, Field("test", ("metric", "6"), rare=True))

    def __init__(self, definition: Definition, tuning: Any = None) -> None:
        super().__init__(definition, tuning)
        from river import drift  # here, so that a worker whose rule is off starts without it

        t: river_settings.PageHinkleyTuning = self.tuning
        self._make: Any = partial(drift.PageHinkley, t.rows, t.delta, threshold=t.threshold)

    def _score(self, z: Floats, judged: Bools, still: Bools, at: Ints, state: Rows) -> tuple[Floats, Floats]:
        tests, parts = state.some("test", at), np.zeros(z.shape)
        for n, m in np.argwhere(judged & ~still).tolist():
            model, numbers = self._make(), tests[n, m]
            if numbers[0] > 0:
                model._x_mean.n, model._x_mean._mean = float(numbers[0]), float(numbers[1])
                for name, number in zip(NUMBERS, numbers[2:].tolist(), strict=True):
                    setattr(model, name, number)
            model.update(float(z[n, m]))
            tests[n, m] = (model._x_mean.n, model._x_mean._mean, *(getattr(model, name) for name in NUMBERS))
        state.put_rare(at, {"test": tests})
        tested = tests[:, :, 0] >= self.tuning.rows
        up, down = tests[:, :, 2] - tests[:, :, 4], tests[:, :, 5] - tests[:, :, 3]
        # A rise speaks for modes that a rise tells of: the level's sign decides in `blame`.
        parts = np.where(tested, np.maximum(up, down), 0.0) / self.tuning.threshold
        return parts.max(axis=1, initial=0.0), parts**2

    def _cleared(self, state: Rows, at: Ints, metrics: Bools) -> None:
        self._forget(state, at, metrics)  # as river's test does after a drift

    def _forget(self, state: Rows, at: Ints, metrics: Bools) -> None:
        state.put_rare(at, {"test": state.some("test", at) * ~metrics[:, None]})


class HalfSpaceTrees(_RiverDetector):
    """`river.anomaly.HalfSpaceTrees` of every machine, its score judged against its own past.

    `mass` is [node, now and in the window before]; `forest` holds a mark of what grew the trees (masses of other
    trees are not used), rows in this window, whether a window is complete, and rows, mean and mean deviation of the
    score, and the smoothed score.
    """

    rule: ClassVar[str] = "half_space_trees"
    stands_while: ClassVar[str] = "onset"
    Tuning = river_settings.HalfSpaceTreesTuning
    fields = (
        *_RiverDetector.common,
        Field("mass", (str(NODES), "2"), rare=True),
        Field("forest", ("7",), rare=True),
    )

    def __init__(self, definition: Definition, tuning: Any = None) -> None:
        super().__init__(definition, tuning)
        import river
        from river import anomaly

        self._names = list(definition.axis("metric"))
        self._model = anomaly.HalfSpaceTrees(TREES, HEIGHT, self.tuning.window, seed=SEED)
        self._model.learn_one(dict.fromkeys(self._names, 0.5))  # grows the trees
        self._nodes = [node for nodes in self._model._tree_nodes for node in nodes]
        grown = repr((river.__version__, TREES, HEIGHT, SEED, self.tuning.window, self._names))
        self._mark = float(crc32(grown.encode()))

    def _score(self, z: Floats, judged: Bools, still: Bools, at: Ints, state: Rows) -> tuple[Floats, Floats]:
        masses, forests = state.some("mass", at), state.some("forest", at)
        scores, scaled = np.zeros(len(at)), (z + CLIP) / (2 * CLIP)
        for n in range(len(at)):
            mass, forest = masses[n], forests[n]
            if forest[0] != self._mark:
                mass[:], forest[:] = 0.0, 0.0
                forest[0] = self._mark
            row = {
                name: float(x)
                for name, x, is_there in zip(self._names, scaled[n], judged[n], strict=True)
                if is_there
            }
            if row:
                self._one(row, mass, forest, learn=not (still[n] & judged[n]).any())
            scores[n] = self._compare(forest)
        state.put_rare(at, {"mass": masses, "forest": forests})
        return scores, state["level"][at] ** 2

    def _one(self, row: dict[str, float], mass: Floats, forest: Floats, *, learn: bool) -> None:
        """Score a row by a machine's trees, then let them learn it."""
        model = self._model
        for node, now, before in zip(self._nodes, *mass.T.tolist(), strict=True):
            node.l_mass, node.r_mass = now, before
        model.counter, model._first_window = int(forest[1]), not forest[2]
        if forest[2]:
            score = float(model.score_one(row))
            forest[6] = score if forest[3] == 0 else forest[6] + 0.2 * (score - forest[6])
            if learn:
                forest[3] += 1
                pace = max(1.0 / forest[3], 0.005)
                forest[5] += pace * (abs(forest[6] - forest[4]) * (forest[3] > 1) - forest[5])
                forest[4] += pace * (forest[6] - forest[4])
        if learn:
            model.learn_one(row)
            mass[:, 0] = [node.l_mass for node in self._nodes]
            mass[:, 1] = [node.r_mass for node in self._nodes]
            forest[1], forest[2] = model.counter, not model._first_window

    def _compare(self, forest: Floats) -> float:
        if forest[3] < self.tuning.rows:
            return 0.0
        spread = max(1.2533 * float(forest[5]), self.tuning.floor)
        score: float = max(float(forest[6] - forest[4]) / (self.tuning.limit * spread), 0.0)
        return score

    def _forget(self, state: Rows, at: Ints, metrics: Bools) -> None:
        state.put_rare(at, {"forest": np.zeros((1, 7))})
