"""Travel between places on the globe: haversine distance, times a detour factor, at an average speed."""

from __future__ import annotations

import math
from collections.abc import Sequence

Place = tuple[float, float]
"""(latitude, longitude) in degrees."""
EARTH_KM = 6371.0088
"""Mean radius (IUGG)."""


def haversine_km(a: Place, b: Place) -> float:
    """Great-circle distance in km.

    >>> round(haversine_km((0, 0), (0, 1)), 1)
    111.2
    """
    p, q = math.radians(a[0]), math.radians(b[0])
    half = math.sin((q - p) / 2) ** 2
    half += math.cos(p) * math.cos(q) * math.sin(math.radians(b[1] - a[1]) / 2) ** 2
    return 2 * EARTH_KM * math.asin(math.sqrt(min(1.0, half)))


def road_km(a: Place, b: Place, *, detour: float) -> float:
    """Estimated distance by road, km."""
    return haversine_km(a, b) * detour


def minutes(a: Place, b: Place, *, detour: float, speed_kmh: float) -> int:
    """Estimated travel time, whole minutes rounded up; 0 at the same place."""
    return math.ceil(road_km(a, b, detour=detour) / speed_kmh * 60 - 1e-9)


def matrix(places: Sequence[Place], *, detour: float, speed_kmh: float) -> list[list[int]]:
    """Travel minutes between all pairs of places, shape (n, n)."""
    return [[minutes(a, b, detour=detour, speed_kmh=speed_kmh) for b in places] for a in places]
