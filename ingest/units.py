"""Units of measure and their conversion: `value · factor + offset` within a dimension. Pure."""

from __future__ import annotations

import unicodedata
from fractions import Fraction
from functools import lru_cache

from kit.errors import Invalid

# unit: (dimension, factor to the dimension's base, offset)
UNITS: dict[str, tuple[str, float | Fraction, float | Fraction]] = {
    "1": ("ratio", 1, 0), "%": ("ratio", 0.01, 0),
    "s": ("time", 1, 0), "ms": ("time", 0.001, 0), "min": ("time", 60, 0),
    "h": ("time", 3600, 0), "d": ("time", 86400, 0),
    "K": ("temperature", 1, 0), "°C": ("temperature", 1, 273.15),
    "°F": ("temperature", Fraction(5, 9), Fraction(45967, 180)),
    "Pa": ("pressure", 1, 0), "kPa": ("pressure", 1e3, 0), "MPa": ("pressure", 1e6, 0), "bar": ("pressure", 1e5, 0),
    "mbar": ("pressure", 100, 0), "psi": ("pressure", 6894.757293168, 0), "kgf/cm²": ("pressure", 98066.5, 0),
    "mmHg": ("pressure", 133.322387415, 0),
    "m/s": ("speed", 1, 0), "mm/s": ("speed", 1e-3, 0), "in/s": ("speed", 0.0254, 0),
    "m/s²": ("acceleration", 1, 0), "g": ("acceleration", 9.80665, 0),
    "m³/s": ("flow", 1, 0), "m³/min": ("flow", Fraction(1, 60), 0), "m³/h": ("flow", Fraction(1, 3600), 0),
    "L/s": ("flow", 1e-3, 0), "L/min": ("flow", Fraction(1, 60_000), 0), "L/h": ("flow", Fraction(1, 3_600_000), 0),
    "gpm": ("flow", 3.785411784e-3 / 60, 0), "cfm": ("flow", 0.028316846592 / 60, 0),
    "kg/s": ("mass flow", 1, 0), "kg/h": ("mass flow", Fraction(1, 3600), 0), "t/h": ("mass flow", Fraction(5, 18), 0),
    "A": ("current", 1, 0), "mA": ("current", 1e-3, 0), "kA": ("current", 1e3, 0),
    "V": ("voltage", 1, 0), "mV": ("voltage", 1e-3, 0), "kV": ("voltage", 1e3, 0),
    "Ω": ("resistance", 1, 0), "kΩ": ("resistance", 1e3, 0), "MΩ": ("resistance", 1e6, 0),
    "W": ("power", 1, 0), "kW": ("power", 1e3, 0), "MW": ("power", 1e6, 0), "hp": ("power", 745.6998715822702, 0),
    "VA": ("apparent power", 1, 0), "kVA": ("apparent power", 1e3, 0),
    "var": ("reactive power", 1, 0), "kvar": ("reactive power", 1e3, 0),
    "J": ("energy", 1, 0), "kJ": ("energy", 1e3, 0), "MJ": ("energy", 1e6, 0),
    "Wh": ("energy", 3600, 0), "kWh": ("energy", 3.6e6, 0), "MWh": ("energy", 3.6e9, 0),
    "Hz": ("frequency", 1, 0), "kHz": ("frequency", 1e3, 0),
    "rpm": ("frequency", Fraction(1, 60), 0), "1/min": ("frequency", Fraction(1, 60), 0),
    "m": ("length", 1, 0), "mm": ("length", 1e-3, 0), "µm": ("length", 1e-6, 0), "in": ("length", 0.0254, 0),
    "cm": ("length", 0.01, 0), "ft": ("length", 0.3048, 0), "mil": ("length", 2.54e-5, 0),
    "kg": ("mass", 1, 0), "g_mass": ("mass", 1e-3, 0), "t": ("mass", 1e3, 0), "lb": ("mass", 0.45359237, 0),
    "N": ("force", 1, 0), "kN": ("force", 1e3, 0), "Nm": ("torque", 1, 0), "kNm": ("torque", 1e3, 0),
    "L": ("volume", 1e-3, 0), "m³": ("volume", 1, 0), "dB": ("level", 1, 0), "ppm": ("concentration", 1, 0),
    "°": ("angle", 1, 0), "rad": ("angle", 57.29577951308232, 0),
}  # fmt: skip

# Other ways to write them, in use at machines. Not "barg" or "psia": gauge and absolute are not the same thing.
_WORDS = {
    "°C": "C degC DegC deg.C celsius Celsius 摄氏度",
    "°F": "F degF DegF deg.F fahrenheit Fahrenheit", "%": "%RH percent pct", "K": "kelvin",
    "s": "sec secs second seconds 秒", "min": "mins minute minutes 分钟", "h": "hr hrs hour hours 小时",
    "d": "day days 天", "rpm": "RPM r/min rev/min U/min 转/分", "L/min": "lpm LPM", "gpm": "GPM gal/min",
    "cfm": "CFM ft3/min", "kgf/cm²": "kg/cm2", "in/s": "ips", "A": "amp amps ampere", "V": "volt volts VAC VDC",
    "W": "watt watts", "kW": "kw KW", "kWh": "kwh KWH", "kVA": "kva KVA", "Hz": "hz HZ", "kPa": "kpa KPa",
    "µm": "um micron", "Ω": "ohm ohms", "kΩ": "kohm", "°": "deg", "1": "count counts",
}  # fmt: skip
_LONGEST = 24


def _folded(unit: str) -> str:
    """Written plainly: `m^3 / h` and `m³/h` are both `m3/h`, `kW·h` is `kWh`, `l/min` is `L/min`, `℃` is `°C`."""
    plain = unicodedata.normalize("NFKC", unit.replace("º", "°")).replace("**", "")
    plain = "".join(letter for letter in plain if letter not in " ^·⋅*_")
    return "L" + plain[1:] if plain == "l" or plain.startswith("l/") else plain


_KNOWN = {_folded(unit): unit for unit in UNITS} | {
    word: unit for unit, words in _WORDS.items() for word in words.split()
}


def canonical(unit: str) -> str | None:
    """The unit as `UNITS` writes it, however it is written; None when nobody knows it.

    >>> canonical("m^3/h"), canonical("degC"), canonical("barg")
    ('m³/h', '°C', None)
    """
    if unit in UNITS:
        return unit
    return _KNOWN.get(_folded(unit)) if len(unit) <= _LONGEST else None


def check(where: str, unit: str) -> str:
    """The unit as `UNITS` writes it.

    Raises:
        Invalid: nobody knows it; names those that are known.
    """
    found = canonical(unit)
    if found is None:
        raise Invalid(
            f"{where}: unit {unit!r} is unknown. Known: {', '.join(UNITS)} (a plain number is '1')."
        )
    return found


@lru_cache(1000)
def conversion(source: str, target: str) -> tuple[float, float]:
    """(factor, offset) so that `value_in_target = value_in_source · factor + offset`.

    Raises:
        Invalid: a unit is unknown, or they measure different things.

    >>> factor, offset = conversion("°F", "°C")
    >>> 32 * factor + offset, 212 * factor + offset
    (0.0, 100.0)
    """
    one, other = check("conversion", source), check("conversion", target)
    if one == other:
        return 1.0, 0.0
    (dimension, scale, shift), (wanted, target_scale, target_shift) = UNITS[one], UNITS[other]
    if dimension != wanted:
        raise Invalid(f"{source!r} is a {dimension}, {target!r} a {wanted}: they cannot be converted.")
    into = 1 / _exact(target_scale)
    return float(_exact(scale) * into), float((_exact(shift) - _exact(target_shift)) * into)


def _exact(number: float | Fraction) -> Fraction:
    """0.0254 as 254/10000, not as the binary number next to it."""
    return number if isinstance(number, Fraction) else Fraction(str(number))
