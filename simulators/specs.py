"""The physics of each simulated model as data: levels per operating regime, noise, what failure modes do.
The figures are in machines.toml.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Channel:
    """One sensor. All figures are in the metric's unit.

    Attributes:
        levels: mean while off, idle, at part load, at full load.
        spread: how much machines differ, as a share of the level.
        season, day: amplitude over the year (warmest in July) and the day (warmest at 15:00 local).
        slow, noise: standard deviation of the drift over hours and of each reading.
        load: what a shared swing of the load by one standard deviation adds.
        settle: minutes after a change of regime until 63 % of the change has happened.
        low, high: possible range, as in the device type.
    """

    name: str
    levels: tuple[float, float, float, float]
    low: float
    high: float
    spread: float = 0.05
    season: float = 0.0
    day: float = 0.0
    slow: float = 0.0
    noise: float = 0.0
    load: float = 0.0
    settle: float = 2.0
    digits: int = 3


@dataclass(frozen=True)
class ModeSpec:
    """What a failure mode does.

    Attributes:
        effects: metric -> what it has added at the moment of failure, full load.
        fault_code: raised at failure, with a warning beforehand on some machines.
        rate: how often it happens, relative to the model's other modes.
    """

    code: str
    component: str
    fault_code: str
    effects: dict[str, float]
    rate: float = 1.0


@dataclass(frozen=True)
class ModelSpec:
    """One model. Its readings are run_hours, state and the channels, in this order."""

    code: str
    prefix: str
    share: int
    channels: tuple[Channel, ...]
    modes: tuple[ModeSpec, ...]
    information: str
    rolls_at: float | None = None
    metrics: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "metrics", ("run_hours", "state", *(channel.name for channel in self.channels))
        )

    def mode(self, code: str) -> ModeSpec:
        """The mode of that code; KeyError when the model has none."""
        return {mode.code: mode for mode in self.modes}[code]


def _model(table: dict[str, Any]) -> ModelSpec:
    channels = tuple(
        Channel(**channel | {"levels": tuple(channel["levels"])}) for channel in table.pop("channel")
    )
    modes = tuple(ModeSpec(**mode) for mode in table.pop("mode"))
    return ModelSpec(channels=channels, modes=modes, **table)


def load(path: Path = Path(__file__).with_name("machines.toml")) -> dict[str, ModelSpec]:
    """The models of a machines file, by code."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))["model"]
    return {spec.code: spec for spec in map(_model, tables)}


MODELS = load()
