"""VN_AQI of an hour by Decision 1459/QĐ-TCMT of 12 November 2019, hour by hour in plain numbers: for the oracle.

Table 2 of the decision in µg/m³; hourly means, newest first, None where an hour is missing. Two decisions of the
project: the formula holds where the printed example rounds otherwise, and the weights of w = ½ are normalised over
the hours that exist.
"""

import math
from collections.abc import Mapping, Sequence

HOURS = 12
DUST = ("pm25", "pm10")
GASES = ("o3", "co", "so2", "no2")
INDEX = (0, 50, 100, 150, 200, 300, 400, 500)
BREAKS = {
    "pm25": (0, 25, 50, 80, 150, 250, 350, 500),
    "pm10": (0, 50, 150, 250, 350, 420, 500, 600),
    "o3": (0, 160, 200, 300, 400, 800, 1000, 1200),
    "co": (0, 10_000, 30_000, 45_000, 60_000, 90_000, 120_000, 150_000),
    "so2": (0, 125, 350, 550, 800, 1600, 2100, 2630),
    "no2": (0, 100, 200, 700, 1200, 2350, 3100, 3850),
}

Hourly = Sequence[float | None]


def hour_index(hourly: Mapping[str, Hourly]) -> float | None:
    """VN_AQI of the newest hour: the largest of the pollutants' indices, rounded half up; None without any dust."""
    dust = [_index(name, nowcast(hourly[name])) for name in DUST]
    if all(index is None for index in dust):
        return None
    gases = [_index(name, hourly[name][0]) for name in GASES]
    return float(math.floor(max(index for index in dust + gases if index is not None) + 0.5))


def nowcast(hourly: Hourly) -> float | None:
    """The weighted mean of twelve hours; None when fewer than two of the newest three exist."""
    if sum(mean is not None for mean in hourly[:3]) < 2:
        return None
    known = [(age, mean) for age, mean in enumerate(hourly) if mean is not None]
    low, high = min(mean for _, mean in known), max(mean for _, mean in known)
    w = max(0.5, low / high) if high > 0 else 1.0
    total = math.fsum(w**age for age, _ in known)
    return math.fsum(w**age * mean for age, mean in known) / total


def _index(pollutant: str, mean: float | None) -> float | None:
    if mean is None:
        return None
    breaks = BREAKS[pollutant]
    for place in range(len(breaks) - 1):
        low, high = breaks[place], breaks[place + 1]
        if mean <= high:
            part = (max(mean, low) - low) / (high - low)
            return INDEX[place] + (INDEX[place + 1] - INDEX[place]) * part
    return float(INDEX[-1])
