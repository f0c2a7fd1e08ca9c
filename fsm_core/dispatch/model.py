"""The dispatch problem and its plan: pure data. Times are whole minutes after the problem's epoch.

Every technician works in shifts; a shift is one route: it leaves from `origin`, visits jobs, and, where
`home` is set, is back there by its end. What is already promised is a pinned job: fixed technician, fixed start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Route = tuple[int, ...]
"""Job ids in the order of the visits."""
Key = tuple[int, int]
"""(technician id, index of the shift)."""
Routes = dict[Key, Route]


@dataclass(frozen=True, slots=True)
class Rest:
    """A pause of `minutes` that begins within [earliest, latest], between visits, possibly on the way."""

    minutes: int
    earliest: int
    latest: int


@dataclass(frozen=True, slots=True)
class Shift:
    """Working time [start, end]; `origin` and `home` are indices of places."""

    start: int
    end: int
    origin: int
    home: int | None = None
    rest: Rest | None = None


@dataclass(frozen=True, slots=True)
class Technician:
    """Who can go. `stock` is what the van holds and nobody has reserved, by part."""

    id: int
    shifts: tuple[Shift, ...]
    skills: frozenset[str] = frozenset()
    stock: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pin:
    """A promise that must not move: his time from `reserved_from` (he leaves) to the end of the work.

    `started`: he is on it now, so nothing may come before it.
    """

    technician: int
    start: int
    reserved_from: int
    started: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A visit that is wanted.

    Attributes:
        place: index into the travel matrix.
        minutes: work on site, above 0.
        priority: 1 (the most urgent) to 4.
        window: the work must begin within it (either end may be open).
        due: beginning later costs (the promise); None costs nothing.
        skills: all of them are needed.
        parts: quantity by part; the van gives what it has, the warehouse the rest. What a pinned job needs is
            reserved already and not part of any stock here.
        ready_from: not before; None when nobody knows, then the job cannot be dispatched.
    """

    id: int
    place: int
    minutes: int
    priority: int = 3
    window: tuple[int | None, int | None] = (None, None)
    due: int | None = None
    skills: frozenset[str] = frozenset()
    parts: Mapping[str, float] = field(default_factory=dict)
    ready_from: int | None = 0
    pin: Pin | None = None

    @property
    def earliest(self) -> int:
        """The first minute at which work may begin."""
        return max(self.ready_from or 0, self.window[0] or 0)

    @property
    def latest(self) -> float:
        """The last minute at which work may begin; infinite when open."""
        return float("inf") if self.window[1] is None else self.window[1]


Scale = tuple[float, float, float, float]
"""One number per priority 1 to 4."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What a plan costs. Waiting counts from the minute the job could begin; lateness from its due minute."""

    unserved: Scale = (5000, 2000, 800, 300)
    late_per_minute: Scale = (10, 4, 1, 0)
    wait_per_minute: Scale = (0, 0, 0, 0)
    travel_per_minute: float = 1


@dataclass(frozen=True)
class Problem:
    """Everything a solver may look at.

    Attributes:
        travel: minutes between places, travel[from][to]; a detour is never shorter than the direct way.
        warehouse: unreserved stock that any technician can be given, by part.
    """

    technicians: Sequence[Technician]
    jobs: Sequence[Job]
    travel: Sequence[Sequence[int]]
    warehouse: Mapping[str, float] = field(default_factory=dict)
    weights: Weights = Weights()

    def technician(self, id: int) -> Technician:
        """Raises KeyError when there is none."""
        return self._technicians[id]

    def job(self, id: int) -> Job:
        """Raises KeyError when there is none."""
        return self._jobs[id]

    def __post_init__(self) -> None:
        object.__setattr__(self, "_technicians", {each.id: each for each in self.technicians})
        object.__setattr__(self, "_jobs", {each.id: each for each in self.jobs})
        for job in self.jobs:
            if job.minutes <= 0 or not 1 <= job.priority <= 4:
                raise ValueError(f"job {job.id}: minutes must be above 0 and priority 1 to 4, got {job}")
            if job.pin is not None:
                self.pinned_shift(job.pin, job.minutes)

    _technicians: Mapping[int, Technician] = field(init=False, repr=False, compare=False)
    _jobs: Mapping[int, Job] = field(init=False, repr=False, compare=False)

    def pinned_shift(self, pin: Pin, minutes: int) -> Key:
        """The first shift that the pin touches.

        Raises:
            ValueError: it touches none; whoever builds the problem leaves such a pin out.
        """
        for index, shift in enumerate(self.technician(pin.technician).shifts):
            if pin.reserved_from < shift.end and pin.start + minutes > shift.start:
                return pin.technician, index
        raise ValueError(f"{pin} lies outside all shifts of technician {pin.technician}")


@dataclass(frozen=True, slots=True)
class Stop:
    """One visit of a plan: leaves at `departure`, works from `start` to `end`."""

    job: int
    technician: int
    shift: int
    departure: int
    start: int
    end: int
    travel: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something cannot be: a stable code, the sentence in both languages, and the facts."""

    code: str
    text_en: str
    text_zh: str
    detail: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Stops in order of technician and time, and the jobs left out with the reason that binds."""

    stops: tuple[Stop, ...]
    unassigned: Mapping[int, Reason] = field(default_factory=dict)

    def stop(self, job: int) -> Stop | None:
        """Where a job is planned, or None."""
        return next((stop for stop in self.stops if stop.job == job), None)
