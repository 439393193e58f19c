"""The weather: one slow process that rain, rivers, slopes, air and noise share. In steps of ten minutes.

Ordinary rain is chance at three scales (place, former district, unit) above a threshold that follows the season; a
scenario's storm comes on top. What rain does afterwards is kept too: water in the ground (rivers follow rain by
hours) and how far a mine-waste slope has moved.
"""

from datetime import UTC, date, datetime
from typing import NamedTuple

import numpy as np

from sensors.place import Place
from simulators.chance import Chance, Floats, Ints, Truths, smooth
from simulators.scenario import Scenario, Storm

STEP_MS = 600_000
STEPS = 144
DAY_MS = STEP_MS * STEPS
RUNOFF_STEPS = 216
RUNOFF_PEAK_STEPS = 15
RAINING_MM_H = 1.0
SOAKED_MM = 25.0
DAYS_KEPT = 6
KM_PER_DEGREE = 111.2
EPOCH = date(1970, 1, 1)


class Day(NamedTuple):
    """One UTC day, rows are its 144 steps, columns the units: rain (mm/h), runoff (mm), raining steps since the
    start, and slope movement (mm) in this year; both as they were at the step's beginning."""

    rain: Floats
    runoff: Floats
    raining_before: Ints
    moved: Floats


class Sky(NamedTuple):
    """One step: per unit, as in Day; `is_raining` is when gauges report more often."""

    rain: Floats
    runoff: Floats
    runoff_next: Floats
    raining_before: Ints
    is_raining: Truths
    moved: Floats
    moved_next: Floats


class Weather:
    """The weather of a place for a city that starts at `start` (ms UTC, a whole step).

    Slopes move from the first day of the start's year on, so that a city started again measures on.
    """

    def __init__(self, chance: Chance, place: Place, scenario: Scenario, start: int) -> None:
        units = list(place.units.values())
        self._place_key = chance.key("rain")
        self._district_keys = chance.keys([unit.district for unit in units], "rain")
        self._unit_keys = chance.keys([unit.code for unit in units], "rain")
        self._lat = np.array([unit.lat for unit in units])
        self._lon = np.array([unit.lon for unit in units])
        self._scenario = scenario
        self._first_step = start // STEP_MS
        self._first_day = (datetime.fromtimestamp(start / 1000, UTC).date().replace(month=1, day=1) - EPOCH).days
        self._rain: dict[int, Floats] = {}
        self._days: dict[int, Day] = {}
        self._totals: list[tuple[Ints, Floats]] = [(np.zeros(len(units), np.int64), np.zeros(len(units)))]

    def sky(self, step: int) -> Sky:
        """The weather of step `step` (counted from 1970)."""
        day, row = self._day(step // STEPS), step % STEPS
        after = self._day((step + 1) // STEPS)
        return Sky(
            day.rain[row], day.runoff[row], after.runoff[(step + 1) % STEPS], day.raining_before[row],
            day.rain[row] > RAINING_MM_H, day.moved[row], after.moved[(step + 1) % STEPS],
        )  # fmt: skip

    def _day(self, number: int) -> Day:
        found = self._days.get(number)
        if found is None:
            found = self._days[number] = self._make_day(number)
            while len(self._days) > DAYS_KEPT:
                self._days.pop(next(iter(self._days)))
        return found

    def _make_day(self, number: int) -> Day:
        while len(self._totals) <= number - self._first_day:
            self._totals.append(self._after(self._first_day + len(self._totals) - 1))
        past = np.concatenate([self._rain_of(number + back) for back in (-2, -1, 0)])
        before, moved = self._totals[max(0, number - self._first_day)]
        raining, movement = self._raining(number), self._movement(number)
        return Day(
            past[2 * STEPS :],
            _runoff(past),
            before + np.cumsum(raining, axis=0) - raining,
            moved + np.cumsum(movement, axis=0) - movement,
        )

    def _after(self, number: int) -> tuple[Ints, Floats]:
        raining, moved = self._totals[number - self._first_day]
        return raining + self._raining(number).sum(axis=0), moved + self._movement(number).sum(axis=0)

    def _raining(self, number: int) -> Ints:
        """1 for each step in which it rains, from the start on."""
        since_start = np.arange(number * STEPS, (number + 1) * STEPS) >= self._first_step
        return (since_start[:, None] & (self._rain_of(number) > RAINING_MM_H)).astype(np.int64)

    def _movement(self, number: int) -> Floats:
        """mm in each step of a slope of ordinary sensitivity: nothing below 25 mm of rain in 24 hours, then steeply."""
        past = np.concatenate([self._rain_of(number - 1), self._rain_of(number)])
        total = np.cumsum(np.concatenate([np.zeros((1, past.shape[1])), past]), axis=0)
        of_24_h = (total[STEPS + 1 :] - total[1 : STEPS + 1]) / 6.0
        return np.asarray(60.0 * (np.maximum(0.0, of_24_h - SOAKED_MM) / 175.0) ** 1.8 / STEPS)

    def _rain_of(self, number: int) -> Floats:
        found = self._rain.get(number)
        if found is None:
            found = self._rain[number] = self._make_rain(number)
            while len(self._rain) > DAYS_KEPT:
                self._rain.pop(next(iter(self._rain)))
        return found

    def _make_rain(self, number: int) -> Floats:
        steps = np.arange(number * STEPS, (number + 1) * STEPS)[:, None]
        cells = smooth(self._unit_keys, steps / 5.0)
        wide, near = smooth(self._place_key, steps / 33.0), smooth(self._district_keys, steps / 13.0)
        wet = 0.5 * wide + 0.3 * near + 0.2 * cells
        summer = 0.5 - 0.5 * np.cos(2 * np.pi * (number % 365.2425 - 15) / 365.2425)
        threshold = 0.82 - 0.13 * summer - 0.08 * self._scenario.wetness
        rain = 70.0 * np.maximum(0.0, wet - threshold)
        if self._scenario.storm is not None:
            rain = rain + self._storm(self._scenario.storm, steps) * (0.7 + 0.6 * cells)
        return np.asarray(rain, dtype=np.float64)

    def _storm(self, storm: Storm, steps: Ints) -> Floats:
        hours = (steps - self._first_step) / 6.0 - storm.after_h
        if storm.every_h:
            hours = np.where(hours >= 0, hours % storm.every_h, hours)
        part = np.clip(hours / storm.hours, 0.0, 1.0)
        lat = storm.from_lat + (storm.to_lat - storm.from_lat) * part
        lon = storm.from_lon + (storm.to_lon - storm.from_lon) * part
        east = (self._lon - lon) * KM_PER_DEGREE * np.cos(np.radians(self._lat))
        north = (self._lat - lat) * KM_PER_DEGREE
        near = np.exp(-(east**2 + north**2) / storm.radius_km**2)
        return np.asarray(storm.peak_mm_h * np.sin(np.pi * part) ** 2 * near)


def _runoff(past: Floats) -> Floats:
    """Rain (mm) that is in the river now, of three days' steps the last: it arrives after two and a half hours."""
    age = np.arange(RUNOFF_STEPS) / RUNOFF_PEAK_STEPS
    weights = age * np.exp(1.0 - age) / 6.0
    runoff = np.zeros((STEPS, past.shape[1]))
    for back, weight in enumerate(weights.tolist()):
        runoff += weight * past[2 * STEPS - back : 3 * STEPS - back]
    return runoff
