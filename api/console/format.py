"""Times, money and numbers as people read them. Pure."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from markupsafe import Markup

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_SYMBOLS = {"CNY": "¥", "EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}
NOTHING = "–"


def moment(value: datetime | None, zone: str, language: str, *, year: bool = False) -> Markup:
    """`24 Nov 15:30` in a zone, as a <time> element with the exact instant."""
    if value is None:
        return Markup(NOTHING)
    local = value.astimezone(ZoneInfo(zone))
    text = f"{day(local, language, year=year)} {local:%H:%M}"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        value.isoformat(timespec="seconds"), f"{local:%Y-%m-%d %H:%M:%S} {zone}", text
    )


def instant(value: datetime | None, zone: str, language: str) -> str:
    """`24 Nov 2026 15:30` in a zone, as plain text."""
    if value is None:
        return NOTHING
    local = value.astimezone(ZoneInfo(zone))
    return f"{day(local, language)} {local:%H:%M}"


def day(value: date | None, language: str, *, year: bool = True) -> str:
    """`24 Nov 2026` or `2026年11月24日`."""
    if value is None:
        return NOTHING
    if language == "zh":
        return (f"{value.year}年" if year else "") + f"{value.month}月{value.day}日"
    return f"{value.day} {_MONTHS[value.month - 1]}" + (f" {value.year}" if year else "")


def span(value: timedelta | float, language: str) -> str:
    """`3 d 4 h`, `2 h 10 min`, `5 min`: the two largest units of a duration (seconds or timedelta)."""
    seconds = abs(value.total_seconds() if isinstance(value, timedelta) else value)
    minutes = round(seconds / 60)
    days, rest = divmod(minutes, 1440)
    hours, minutes = divmod(rest, 60)
    names = ("天", "小时", "分钟") if language == "zh" else (" d", " h", " min")
    parts = [f"{count}{name}" for count, name in zip((days, hours, minutes), names, strict=True) if count]
    return " ".join(parts[:2]) or f"0{names[2]}"


def money(value: Decimal | None, currency: str) -> str:
    """`¥1,234.50`; the code where there is no symbol that everybody knows."""
    if value is None:
        return NOTHING
    sign = "−" if value < 0 else ""
    symbol = _SYMBOLS.get(currency)
    amount = f"{abs(value):,.2f}"
    return f"{sign}{symbol}{amount}" if symbol else f"{sign}{amount} {currency}"


def number(value: float | Decimal | None, digits: int | None = None) -> str:
    """At most three significant digits after the point, thousands apart; `digits` fixes them."""
    if value is None:
        return NOTHING
    if digits is not None:
        return f"{value:,.{digits}f}"
    size = abs(float(value))
    places = 0 if size >= 1000 else 1 if size >= 100 else 2
    text = f"{float(value):,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def unit(symbol: str) -> str:
    """A unit as it stands behind a figure; a plain number (`1`) has none."""
    return "" if symbol == "1" else symbol


def size(value: float | None) -> str:
    """`980 B`, `1.4 MB`: bytes in the largest unit of 1,024 that leaves a figure of 1 or more."""
    if value is None:
        return NOTHING
    amount, units = float(value), ["B", "KB", "MB", "GB", "TB", "PB"]
    while abs(amount) >= 1023.95 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{amount:,.0f} B" if units[0] == "B" else f"{amount:,.1f} {units[0]}"


def metres(value: float | None) -> str:
    """`80 m` or `1.2 km`."""
    if value is None:
        return NOTHING
    return f"{value:.0f} m" if value < 1000 else f"{value / 1000:.1f} km"
