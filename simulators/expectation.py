"""The values that closed KPI windows must have: every window from all its readings, by the textbook. For the oracle.

No panes, no merging of parts, no bins: a window is a slice of sorted readings. Times are ms UTC; windows stand at
whole multiples of `every_s` in the place's own time.
"""

import math
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from sensors.place import Place
from simulators import nowcast
from simulators.chance import Floats, Ints
from simulators.outcome import Counted

HOUR_MS = 3_600_000
PER_MS = {"second": 1_000, "minute": 60_000, "hour": HOUR_MS, "day": 24 * HOUR_MS}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95}
POLLUTANTS = (*nowcast.DUST, *nowcast.GASES)


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """What the oracle needs to know of a KPI; the centre's own definition has more."""

    id: str
    kind: str
    measure: str
    window_s: int
    every_s: int
    quantity: str = ""
    field: str = ""
    at_most: float | None = None
    at_least: float | None = None
    per: str = "hour"
    across: str = ""
    factor: float = 1.0
    fresh_s: int = 0


class Window(NamedTuple):
    """A window's value and the number of readings behind it; `value` None when they say nothing."""

    value: float | None
    n: int


class Series(NamedTuple):
    """Readings in order of time, then value."""

    time: Ints
    value: Floats

    def between(self, begin: int, end: int) -> "Series":
        low, high = np.searchsorted(self.time, (begin, end))
        return Series(self.time[low:high], self.value[low:high])


Windows = dict[tuple[str, int], Window]
"""By scope (unit, former district, place) and end."""


class Readings:
    """All readings that count, by kind and quantity, then by who told them."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], dict[tuple[str, str, str], list[tuple[int, float]]]] = {}

    def add(self, readings: Iterable[Counted]) -> None:
        for one in readings:
            by_source = self._told.setdefault((one.kind, one.quantity), {})
            by_source.setdefault((one.unit, one.source, one.field), []).append((one.time, one.value))

    def by_source(self, kind: str, quantity: str, field: str = "") -> dict[tuple[str, str], Series]:
        """Each (unit, source)'s readings, narrowed to one field where one is given."""
        gathered: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        for (unit, source, of), told in self._told.get((kind, quantity), {}).items():
            if not field or of == field:
                gathered[unit, source] += told
        return {name: _series(told) for name, told in gathered.items()}


def windows(kpi: Definition, readings: Readings, place: Place, zone_ms: int) -> Windows:
    """Every window of every scope that any reading falls into."""
    if kpi.measure == "vn_aqi":
        parts = _aqi_parts(kpi, readings, zone_ms)
    else:
        sources = readings.by_source(kpi.kind, kpi.quantity, kpi.field)
        if not kpi.across:
            return _whole(kpi, sources, place, zone_ms)
        parts = {name: _measured(kpi, series, zone_ms) for name, series in sources.items()}
    gathered: dict[tuple[str, int], list[Window]] = defaultdict(list)
    for (unit, _), told in parts.items():
        for end, window in told.items():
            for scope in scopes_of(place, unit):
                gathered[scope, end].append(window)
    return {key: _across(kpi, told) for key, told in gathered.items()}


class Growing:
    """The readings of one unit, or of the whole place, as they come, always in order."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, tuple[str, str], str], list[tuple[int, float]]] = {}

    def add(self, readings: Iterable[Counted]) -> None:
        for one in readings:
            key = (one.quantity, (one.unit, one.source), one.field)
            insort(self._told.setdefault(key, []), (one.time, one.value))

    def between(self, quantity: str, field: str, begin: int, end: int) -> dict[tuple[str, str], Series]:
        """By (unit, source), those that said anything in [begin, end)."""
        seen: dict[tuple[str, str], list[tuple[int, float]]] = defaultdict(list)
        for (of, source, narrowed), told in self._told.items():
            if of == quantity and field in ("", narrowed):
                seen[source] += told[bisect_left(told, (begin,)) : bisect_left(told, (end,))]
        return {source: _series(told) for source, told in seen.items() if told}


def window_at(kpi: Definition, unit: Growing, end: int) -> tuple[Window, int]:
    """The one window that ends at `end`, and the newest observed time in it (0: none)."""
    if kpi.measure == "vn_aqi":
        begin = end - nowcast.HOURS * HOUR_MS
        told = {name: unit.between(name, "", begin, end) for name in POLLUTANTS}
        empty = _series([])
        parts = [
            {name: told[name].get(station, empty) for name in POLLUTANTS}
            for station in {station for of_one in told.values() for station in of_one}
        ]
        as_of = max((int(one.time[-1]) for part in parts for one in part.values() if len(one.time)), default=0)
        return _across(kpi, [_aqi_at(part, end) for part in parts]), as_of
    seen = list(unit.between(kpi.quantity, kpi.field, end - kpi.window_s * 1000, end).values())
    if not seen:
        return Window(None, 0), 0
    measure, as_of = MEASURES[kpi.measure], max(int(one.time[-1]) for one in seen)
    if kpi.across:
        return _across(kpi, [Window(measure(kpi, one), len(one.time)) for one in seen]), as_of
    whole = _merged(seen)
    value = measure(kpi, whole)
    return Window(None if value is None else value * kpi.factor, len(whole.time)), as_of


def scopes_of(place: Place, unit: str) -> tuple[str, str, str]:
    """The scopes that a unit counts into."""
    return unit, place.units[unit].district, place.code


def _series(told: Iterable[tuple[int, float]]) -> Series:
    ordered = sorted(told)
    return Series(
        np.array([time for time, _ in ordered], np.int64), np.array([value for _, value in ordered], np.float64)
    )


def _merged(parts: list[Series]) -> Series:
    time, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((value, time))
    return Series(time[order], value[order])


def _ends(time: Ints, every_ms: int, reach_ms: int, zone_ms: int) -> list[int]:
    """The ends of all windows that see any of these times."""
    first = np.unique((time + zone_ms) // every_ms) * every_ms + every_ms - zone_ms
    steps = np.arange(-(-reach_ms // every_ms)) * every_ms
    return [int(end) for end in np.unique(first[:, None] + steps)]


def _measured(kpi: Definition, series: Series, zone_ms: int) -> dict[int, Window]:
    """The measure of each window of one series, without `factor`."""
    measure = MEASURES[kpi.measure]
    found = {}
    for end in _ends(series.time, kpi.every_s * 1000, kpi.window_s * 1000, zone_ms):
        seen = series.between(end - kpi.window_s * 1000, end)
        if len(seen.time):
            found[end] = Window(measure(kpi, seen), len(seen.time))
    return found


def _whole(kpi: Definition, sources: Mapping[tuple[str, str], Series], place: Place, zone_ms: int) -> Windows:
    gathered: dict[str, list[Series]] = defaultdict(list)
    for (unit, _), series in sources.items():
        for scope in scopes_of(place, unit):
            gathered[scope].append(series)
    found: Windows = {}
    for scope, parts in gathered.items():
        for end, window in _measured(kpi, _merged(parts), zone_ms).items():
            value_of = None if window.value is None else window.value * kpi.factor
            found[scope, end] = Window(value_of, window.n)
    return found


def _across(kpi: Definition, told: list[Window]) -> Window:
    """The measures of sources put together; one that cannot say anything counts nothing."""
    known = [window.value for window in told if window.value is not None]
    n = sum(window.n for window in told if window.value is not None)
    if not known:
        return Window(None, 0)
    return Window(PUT_TOGETHER[kpi.across](known) * kpi.factor, n)


def _aqi_parts(kpi: Definition, readings: Readings, zone_ms: int) -> dict[tuple[str, str], dict[int, Window]]:
    by_pollutant = {name: readings.by_source(kpi.kind, name) for name in POLLUTANTS}
    stations = sorted({station for told in by_pollutant.values() for station in told})
    empty = _series([])
    return {
        station: _aqi({name: told.get(station, empty) for name, told in by_pollutant.items()}, zone_ms)
        for station in stations
    }


def _aqi(station: Mapping[str, Series], zone_ms: int) -> dict[int, Window]:
    """A station's index of every hour for which twelve hours of means say one."""
    time = np.concatenate([series.time for series in station.values()])
    return {end: _aqi_at(station, end) for end in _ends(time, HOUR_MS, nowcast.HOURS * HOUR_MS, zone_ms)}


def _aqi_at(station: Mapping[str, Series], end: int) -> Window:
    hourly: dict[str, list[float | None]] = {}
    n = 0
    for name, series in station.items():
        hours = [series.between(end - (age + 1) * HOUR_MS, end - age * HOUR_MS) for age in range(nowcast.HOURS)]
        hourly[name] = [float(hour.value.mean()) if len(hour.value) else None for hour in hours]
        n += sum(len(hour.value) for hour in hours)
    return Window(nowcast.hour_index(hourly), n)


def _quantile(kpi: Definition, seen: Series) -> float:
    return float(np.sort(seen.value)[math.floor(QUANTILES[kpi.measure] * (len(seen.value) - 1))])


def _share(kpi: Definition, seen: Series) -> float:
    within = np.ones(len(seen.value), dtype=np.bool_)
    if kpi.at_most is not None:
        within &= seen.value <= kpi.at_most
    if kpi.at_least is not None:
        within &= seen.value >= kpi.at_least
    return 100.0 * int(within.sum()) / len(within)


def _rate(kpi: Definition, seen: Series) -> float | None:
    elapsed = int(seen.time[-1] - seen.time[0])
    return float(seen.value[-1] - seen.value[0]) * PER_MS[kpi.per] / elapsed if elapsed else None


MEASURES: dict[str, Callable[[Definition, Series], float | None]] = {
    "count": lambda _, seen: float(len(seen.value)),
    "sum": lambda _, seen: math.fsum(seen.value.tolist()),
    "mean": lambda _, seen: math.fsum(seen.value.tolist()) / len(seen.value),
    "min": lambda _, seen: float(seen.value.min()),
    "max": lambda _, seen: float(seen.value.max()),
    "last": lambda _, seen: float(seen.value[-1]),
    "change": lambda _, seen: float(seen.value[-1] - seen.value[0]),
    "rate": _rate,
    "share": _share,
    "p50": _quantile,
    "p90": _quantile,
    "p95": _quantile,
}
"""What a window of readings says; never asked about an empty one."""

PUT_TOGETHER: dict[str, Callable[[list[float]], float]] = {
    "max": max,
    "min": min,
    "sum": math.fsum,
    "mean": lambda values: math.fsum(values) / len(values),
}
