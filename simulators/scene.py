"""The scene of a minute: what every model of a reading needs to know about then and there."""

from typing import NamedTuple

import numpy as np

from sensors.place import Place
from simulators.chance import Floats, Ints
from simulators.weather import Sky

HOUR_MS = 3_600_000
DAY_MS = 86_400_000


class Scene(NamedTuple):
    """`offset` is local time minus UTC (ms); `weekday` 0 is Monday; `is_free` a day without work; `urban` each
    unit's density in [0, 1]; `traffic` each unit's factor of vehicles; `step_began` when the weather's step did."""

    offset: int
    weekday: int
    is_free: bool
    day_of_year: int
    sky: Sky
    step_began: int
    urban: Floats
    traffic: Floats

    def hour(self, time: Ints) -> Floats:
        """Local hours since midnight."""
        return np.asarray((time + self.offset) % DAY_MS / HOUR_MS)

    def between(self, now: Floats, following: Floats, unit: Ints, time: Ints, step_ms: int) -> Floats:
        """A slow value of the weather, in between two of its steps."""
        part = (time - self.step_began) / step_ms
        return np.asarray(now[unit] + (following[unit] - now[unit]) * part)


def urban_density(place: Place) -> Floats:
    """0 for an empty unit to 1 for the densest, by the logarithm of people per square kilometre."""
    density = np.log10([1.0 + unit.population / max(unit.area_km2, 0.01) for unit in place.units.values()])
    return np.asarray(density / max(float(density.max()), 1e-9))


def bump(hour: Floats, at: float, width: float) -> Floats:
    """A peak of height 1 around an hour of the day, also over midnight."""
    away = np.abs((hour - at + 12.0) % 24.0 - 12.0)
    return np.asarray(np.exp(-((away / width) ** 2)))


def bustle(hour: Floats, is_free: bool) -> Floats:
    """How much of a city is under way at an hour, 0 to about 1: two rush hours on working days, one long Sunday."""
    awake = 1.0 / (1.0 + np.exp(-(hour - 5.6) * 2.2)) / (1.0 + np.exp((hour - 21.6) * 1.3))
    if is_free:
        return np.asarray(0.04 + 0.42 * awake + 0.18 * bump(hour, 9.5, 2.2) + 0.25 * bump(hour, 18.8, 2.2))
    return np.asarray(
        0.04 + 0.40 * awake + 0.45 * bump(hour, 7.1, 0.9) + 0.15 * bump(hour, 11.4, 0.8) + 0.52 * bump(hour, 17.2, 1.1)
    )
