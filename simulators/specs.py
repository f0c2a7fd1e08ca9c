"""The physics of each simulated model as data: levels per operating regime, noise, and what each failure mode does.

Names agree with meantime/device_types/*.toml (a test compares them); levels are typical of machines of that size.
"""

from __future__ import annotations

from dataclasses import dataclass, field


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
        object.__setattr__(self, "metrics", ("run_hours", "state", *(channel.name for channel in self.channels)))

    def mode(self, code: str) -> ModeSpec:
        """The mode of that code; KeyError when the model has none."""
        return {mode.code: mode for mode in self.modes}[code]


PUMP = ModelSpec(
    code="pump-p100",
    prefix="P",
    share=4,
    channels=(
        Channel("vibration", (0.05, 1.2, 1.8, 2.4), 0, 60, spread=0.12, slow=0.06, noise=0.10, load=0.04),
        Channel("bearing_temperature", (21, 44, 52, 58), -40, 200, season=5, day=1.5, slow=0.5, noise=0.4, load=0.5, settle=12, digits=2),
        Channel("pressure", (0.1, 5.2, 6.4, 7.2), -1, 40, spread=0.06, slow=0.04, noise=0.05, load=0.06),
        Channel("flow", (0, 20, 62, 88), 0, 400, spread=0.06, slow=0.7, noise=0.8, load=1.0, digits=2),
        Channel("current", (0.1, 14, 22, 29), 0, 200, spread=0.05, slow=0.2, noise=0.2, load=0.4, digits=2),
    ),
    modes=(
        ModeSpec("bearing_wear", "bearing", "E101", {"vibration": 6.5, "bearing_temperature": 26.0}, 1.4),
        ModeSpec("seal_leak", "mechanical_seal", "E201", {"pressure": -2.6, "flow": -34.0}, 1.2),
        ModeSpec("motor_overload", "motor", "E301", {"current": 14.0}, 0.8),
    ),
    information="W010",
)  # fmt: skip

CHILLER = ModelSpec(
    code="chiller-c450",
    prefix="CH",
    share=3,
    channels=(
        Channel("chilled_water_temperature", (18, 9.0, 7.4, 7.0), -20, 60, spread=0.03, season=0.8, day=0.25, slow=0.12, noise=0.10, load=0.06, settle=12),
        Channel("suction_pressure", (6.0, 3.6, 3.3, 3.1), -1, 25, spread=0.04, season=0.1, day=0.03, slow=0.03, noise=0.03, load=-0.02, settle=6),
        Channel("condensing_pressure", (6.5, 8.2, 9.4, 10.3), -1, 40, spread=0.04, season=0.9, day=0.25, slow=0.08, noise=0.07, load=0.08, settle=6),
        Channel("oil_temperature", (24, 44, 50, 55), -40, 180, season=3, day=1.0, slow=0.4, noise=0.4, load=0.4, settle=12, digits=2),
        Channel("vibration", (0.05, 1.0, 1.5, 1.9), 0, 60, spread=0.12, slow=0.05, noise=0.08, load=0.03),
        Channel("current", (0.3, 90, 158, 212), 0, 900, spread=0.05, season=6, day=2.0, slow=1.6, noise=1.5, load=3.0, digits=1),
        Channel("phase_imbalance", (0.0, 0.7, 0.8, 0.8), 0, 100, spread=0.2, slow=0.05, noise=0.06, digits=2),
    ),
    modes=(
        ModeSpec("refrigerant_leak", "refrigerant_circuit", "A210", {"suction_pressure": -1.5, "chilled_water_temperature": 6.0}, 1.2),
        ModeSpec("condenser_fouling", "condenser", "A320", {"condensing_pressure": 4.2, "current": 55.0}, 1.2),
        ModeSpec("compressor_wear", "compressor", "A410", {"vibration": 5.0, "oil_temperature": 24.0}, 1.0),
        ModeSpec("starter_fault", "starter", "A110", {"phase_imbalance": 4.5}, 0.8),
    ),
    information="I900",
)  # fmt: skip

COMPRESSOR = ModelSpec(
    code="compressor-s75",
    prefix="CM",
    share=3,
    channels=(
        Channel("discharge_pressure", (0.1, 6.9, 7.2, 7.5), -1, 25, spread=0.02, slow=0.04, noise=0.05, load=0.03),
        Channel("discharge_temperature", (22, 68, 76, 82), -40, 200, season=4, day=1.5, slow=0.6, noise=0.5, load=0.6, settle=12, digits=2),
        Channel("separator_differential", (0.0, 0.12, 0.2, 0.26), 0, 5, spread=0.1, slow=0.006, noise=0.008, load=0.005),
        Channel("vibration", (0.05, 1.6, 2.3, 2.9), 0, 60, spread=0.12, slow=0.07, noise=0.12, load=0.05),
        Channel("winding_temperature", (24, 62, 78, 90), -40, 250, season=4, day=1.5, slow=0.7, noise=0.6, load=1.0, settle=12, digits=2),
        Channel("current", (0.2, 58, 102, 134), 0, 500, spread=0.04, slow=1.0, noise=1.0, load=1.8, digits=1),
    ),
    modes=(
        ModeSpec("element_wear", "air_end", "F310", {"vibration": 7.0, "discharge_temperature": 26.0}, 1.2),
        ModeSpec("separator_clogging", "separator", "F220", {"separator_differential": 0.75, "current": 26.0}, 1.2),
        ModeSpec("valve_leak", "intake_valve", "F120", {"discharge_pressure": -2.4, "discharge_temperature": 9.0}, 0.9),
        ModeSpec("motor_winding", "motor", "F410", {"winding_temperature": 42.0, "current": 18.0}, 0.8),
    ),
    information="S050",
    rolls_at=65536.0,
)  # fmt: skip

MODELS = {spec.code: spec for spec in (PUMP, CHILLER, COMPRESSOR)}
