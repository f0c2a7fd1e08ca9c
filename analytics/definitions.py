"""What a device type tells analytics: its metrics, its failure modes and their symptoms, its fault codes. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from kit.errors import Invalid

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def product(values: Floats, table: Floats) -> Floats:
    """[n, b] values [n, a] @ table [a, b], where a row's result does not depend on how many rows there are: the
    linear algebra library sums the last rows of a product in another order unless their number is even enough."""
    n = len(values)
    if n % 16 == 0:
        return values @ table
    even, found = n - n % 16, np.empty((n, table.shape[1]))
    np.matmul(values[:even], table, out=found[:even])
    rest = np.zeros((16, values.shape[1]))
    rest[: n - even] = values[even:]
    found[even:] = (rest @ table)[: n - even]
    return found


def related(values: Bools, table: Floats) -> Bools:
    """[n, b]: whether any a that is true in values [n, a] has a relation to b in table [a, b] (0 or 1). A product of
    small whole numbers is exact, and several times quicker than a reduction over three axes."""
    found: Bools = (values.astype(np.float64) @ table) > 0
    return found


SIGN = {"up": 1.0, "down": -1.0, "both": 0.0}
SECOND = 1_000_000  # event time is int64 microseconds since the Unix epoch, everywhere in analytics
HOUR = 3600 * SECOND
DAY = 24 * HOUR
REGIMES = 3  # idle, part load, full load; 0 is off and has no baseline


@dataclass(frozen=True)
class Metric:
    """A reading; `low` and `high` bound what is physically possible."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class Mode:
    """An ISO 14224 failure mode; priority 1 (most urgent) to 4."""

    code: str
    component: str
    priority: int


@dataclass(frozen=True)
class Code:
    """A fault code; severity 1 (stops the machine) to 4 (information)."""

    code: str
    severity: int
    mode: str | None


@dataclass(frozen=True)
class Symptom:
    """A metric that tells of a failure mode, in a direction: up, down or both."""

    mode: str
    metric: str
    direction: str
    weight: float


@dataclass(frozen=True)
class Limit:
    """A fixed limit of a metric while the machine runs, that speaks for a failure mode.

    Attributes:
        side: high (alarm above `value`) or low (below).
        hold_minutes: event time for which it must be passed.
        band: how far inside the limit the value must come back before the alarm may clear, in the metric's unit.
    """

    metric: str
    side: str
    value: float
    mode: str
    severity: int
    hold_minutes: float
    band: float


@dataclass(frozen=True)
class Definition:
    """One device type. The order of the tuples is the order of the arrays' axes.

    Raises:
        Invalid: a symptom or a code names a mode or a metric that the type does not have.
    """

    model: str
    metrics: tuple[Metric, ...]
    modes: tuple[Mode, ...]
    symptoms: tuple[Symptom, ...]
    codes: tuple[Code, ...]
    limits: tuple[Limit, ...] = ()

    def __post_init__(self) -> None:
        modes, metrics = set(self.axis("mode")), set(self.axis("metric"))
        for symptom in self.symptoms:
            if symptom.mode not in modes or symptom.metric not in metrics:
                raise Invalid(
                    f"{self.model}: symptom {symptom.mode}/{symptom.metric} must name one of the modes "
                    f"{sorted(modes)} and one of the readings {sorted(metrics)}."
                )
        for code in self.codes:
            if code.mode is not None and code.mode not in modes:
                raise Invalid(
                    f"{self.model}: code {code.code} names {code.mode}, not one of {sorted(modes)}."
                )
        for limit in self.limits:
            if limit.mode not in modes or limit.metric not in metrics:
                raise Invalid(
                    f"{self.model}: limit of {limit.metric} for {limit.mode} must name one of the readings "
                    f"{sorted(metrics)} and one of the modes {sorted(modes)}."
                )

    def axis(self, name: str) -> tuple[str, ...]:
        """The labels along an axis of state: metric, mode, code, regime, recent, side; a number: so many places."""
        match name:
            case "metric":
                return tuple(metric.name for metric in self.metrics)
            case "mode":
                return tuple(mode.code for mode in self.modes)
            case "code":
                return tuple(code.code for code in self.codes)
            case "regime":
                return ("1", "2", "3")
            case "recent":
                return ("0", "1", "2")
            case "side":
                return ("up", "down")
        if name.isdigit():
            return tuple(str(at) for at in range(int(name)))
        raise Invalid(
            f"There is no axis {name!r}; axes are metric, mode, code, regime, recent, side and a number."
        )

    @cached_property
    def weight(self) -> Floats:
        """[mode, metric]: 0 where the metric is no symptom of the mode."""
        return self._table(lambda symptom: symptom.weight)

    @cached_property
    def sign(self) -> Floats:
        """[mode, metric]: 1 up, -1 down, 0 both or no symptom."""
        return self._table(lambda symptom: SIGN[symptom.direction])

    def _table(self, value: Callable[[Symptom], float]) -> Floats:
        table = np.zeros((len(self.modes), len(self.metrics)))
        modes, metrics = self.axis("mode"), self.axis("metric")
        for symptom in self.symptoms:
            table[modes.index(symptom.mode), metrics.index(symptom.metric)] = value(symptom)
        return table

    def modes_of(self, component: str) -> list[int]:
        """The modes of a component; `*` is the whole machine."""
        return [at for at, mode in enumerate(self.modes) if component in ("*", mode.component)]
