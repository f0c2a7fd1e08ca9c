"""Units of measure and their conversion: `value · factor + offset` within a dimension. Pure."""

from __future__ import annotations

from kit.errors import Invalid

# unit: (dimension, factor to the dimension's base, offset)
UNITS: dict[str, tuple[str, float, float]] = {
    "1": ("ratio", 1, 0), "%": ("ratio", 0.01, 0),
    "s": ("time", 1, 0), "ms": ("time", 0.001, 0), "min": ("time", 60, 0),
    "h": ("time", 3600, 0), "d": ("time", 86400, 0),
    "K": ("temperature", 1, 0), "°C": ("temperature", 1, 273.15), "°F": ("temperature", 5 / 9, 459.67 * 5 / 9),
    "Pa": ("pressure", 1, 0), "kPa": ("pressure", 1e3, 0), "MPa": ("pressure", 1e6, 0), "bar": ("pressure", 1e5, 0),
    "mbar": ("pressure", 100, 0), "psi": ("pressure", 6894.757293168, 0),
    "m/s": ("speed", 1, 0), "mm/s": ("speed", 1e-3, 0), "in/s": ("speed", 0.0254, 0),
    "m/s²": ("acceleration", 1, 0), "g": ("acceleration", 9.80665, 0),
    "m³/s": ("flow", 1, 0), "m³/h": ("flow", 1 / 3600, 0), "L/min": ("flow", 1e-3 / 60, 0), "L/s": ("flow", 1e-3, 0),
    "gpm": ("flow", 3.785411784e-3 / 60, 0),
    "A": ("current", 1, 0), "mA": ("current", 1e-3, 0), "kA": ("current", 1e3, 0),
    "V": ("voltage", 1, 0), "mV": ("voltage", 1e-3, 0), "kV": ("voltage", 1e3, 0),
    "W": ("power", 1, 0), "kW": ("power", 1e3, 0), "MW": ("power", 1e6, 0), "hp": ("power", 745.6998715822702, 0),
    "J": ("energy", 1, 0), "Wh": ("energy", 3600, 0), "kWh": ("energy", 3.6e6, 0), "MWh": ("energy", 3.6e9, 0),
    "Hz": ("frequency", 1, 0), "kHz": ("frequency", 1e3, 0),
    "rpm": ("frequency", 1 / 60, 0), "1/min": ("frequency", 1 / 60, 0),
    "m": ("length", 1, 0), "mm": ("length", 1e-3, 0), "µm": ("length", 1e-6, 0), "in": ("length", 0.0254, 0),
    "kg": ("mass", 1, 0), "g_mass": ("mass", 1e-3, 0), "t": ("mass", 1e3, 0), "lb": ("mass", 0.45359237, 0),
    "N": ("force", 1, 0), "kN": ("force", 1e3, 0), "Nm": ("torque", 1, 0), "kNm": ("torque", 1e3, 0),
    "L": ("volume", 1e-3, 0), "m³": ("volume", 1, 0), "dB": ("level", 1, 0), "ppm": ("concentration", 1, 0),
    "°": ("angle", 1, 0), "rad": ("angle", 57.29577951308232, 0),
}  # fmt: skip


def check(where: str, unit: str) -> None:
    """Refuse a unit nobody knows.

    Raises:
        Invalid: names the unit and those that are known.
    """
    if unit not in UNITS:
        raise Invalid(
            f"{where}: unit {unit!r} is unknown. Known: {', '.join(UNITS)} (a plain number is '1')."
        )


def conversion(source: str, target: str) -> tuple[float, float]:
    """(factor, offset) so that `value_in_target = value_in_source · factor + offset`.

    Raises:
        Invalid: a unit is unknown, or they measure different things.

    >>> factor, offset = conversion("°F", "°C")
    >>> round(212 * factor + offset, 6)
    100.0
    """
    check("conversion", source)
    check("conversion", target)
    if source == target:
        return 1.0, 0.0
    (dimension, scale, shift), (wanted, target_scale, target_shift) = UNITS[source], UNITS[target]
    if dimension != wanted:
        raise Invalid(f"{source!r} is a {dimension}, {target!r} a {wanted}: they cannot be converted.")
    return scale / target_scale, (shift - target_shift) / target_scale
