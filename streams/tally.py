"""The readings behind one window, gathered one by one and worked out again: sources, panes, the value.

Deliberately without rings, checkpoints or roll-ups: all readings are at hand, and only the formulas
(`streams.measure`, `streams.vn_aqi`) are those of the processor. `streams.duckdb_audit` shares not even these.
"""

from typing import NamedTuple

import numpy as np

from streams import histogram, vn_aqi
from streams.catalogue import AQI_POLLUTANTS, NOWCAST_HOURS, Catalogue
from streams.columns import Floats, Ints
from streams.explanation import AirLine, PaneLine
from streams.kpi import Kpi
from streams.measure import QUANTILES, combine, measure, spread
from streams.pane import EMPTY, MILLION, NEVER, Cells, group

_HOUR_MS = 3_600_000


class Result(NamedTuple):
    """The window's value (None: nothing known), its readings and sources; and by source, in order of appearance,
    readings, value (NaN: none of its own) and newest time."""

    value: float | None
    n: int
    sources: int
    source_n: Ints
    source_value: Floats
    source_newest: Ints


class Tally:
    """Counted readings of one KPI's window that ends at `end` (ms UTC), by source (unit, name)."""

    def __init__(self, kpi: Kpi, catalogue: Catalogue, end: int) -> None:
        self._kpi = kpi
        self._catalogue = catalogue
        self._end = end
        self.quantities = AQI_POLLUTANTS if kpi.measure == "vn_aqi" else (kpi.quantity,)
        self.sources: dict[tuple[str, str], int] = {}
        self._source: list[int] = []
        self._quantity: list[int] = []
        self._time: list[int] = []
        self._value: list[float] = []

    def add(self, source: tuple[str, str], quantity: str, time: int, value: float) -> None:
        """Count one reading."""
        self._source.append(self.sources.setdefault(source, len(self.sources)))
        self._quantity.append(self.quantities.index(quantity))
        self._time.append(time)
        self._value.append(value)

    def result(self) -> Result:
        """Work the window out."""
        by_source = self._cells()
        if self._kpi.measure == "vn_aqi":
            own = vn_aqi.hour_aqi(self._hourly())[0] if self.sources else np.zeros(0)
        else:
            own = measure(self._kpi, by_source)
        cells = by_source
        if self._kpi.across:
            known = spread(self._kpi, by_source, own)
            cells = known._replace(n=np.where(known.sources > 0, by_source.n, 0))
        whole = group(cells, np.zeros(len(self.sources), np.int64), 1)
        raw = float(combine(self._kpi, whole)[0])
        return Result(
            None if np.isnan(raw) else raw, int(whole.n[0]), int(whole.sources[0]),
            by_source.n, own * self._kpi.factor, by_source.last_time,
        )  # fmt: skip

    def panes(self) -> list[PaneLine]:
        """What was counted in each pane of each quantity, in order of time."""
        pane_ms, zone, width = self._kpi.pane_s * 1000, self._catalogue.zone_ms, len(self.quantities)
        pane = (np.array(self._time, np.int64) + zone) // pane_ms
        value = np.array(self._value, np.float64)
        keys, where = np.unique(pane * width + np.array(self._quantity, np.int64), return_inverse=True)
        n, total = np.bincount(where, minlength=len(keys)), np.zeros(len(keys))
        low, high = np.full(len(keys), np.inf), np.full(len(keys), -np.inf)
        np.add.at(total, where, np.rint(value * MILLION))
        np.minimum.at(low, where, value)
        np.maximum.at(high, where, value)
        lines = []
        for index, key in enumerate(keys.tolist()):
            start, quantity = key // width * pane_ms - zone, self.quantities[key % width]
            figures = (int(n[index]), float(total[index] / MILLION), float(low[index]), float(high[index]))
            lines.append(PaneLine(quantity, start, start + pane_ms, *figures))
        return lines

    def air(self) -> list[AirLine]:
        """The hourly means behind a VN_AQI, with what the index is taken of; nothing for other measures."""
        if self._kpi.measure != "vn_aqi":
            return []
        lines = []
        for quantity, hours in self._hourly().items():
            taken = vn_aqi.nowcast(hours) if quantity in ("pm25", "pm10") else hours[:, 0]
            index = vn_aqi.sub_index(quantity, taken)
            for (unit, source), at in self.sources.items():
                if not np.isnan(hours[at]).all():
                    means = [_maybe(mean) for mean in hours[at].tolist()]
                    lines.append(AirLine(unit, source, quantity, means, _maybe(taken[at]), _maybe(index[at])))
        return sorted(lines, key=lambda line: (line.unit, line.source, self.quantities.index(line.quantity)))

    def _cells(self) -> Cells:
        """One cell a source, of all its readings."""
        width = len(self.sources)
        bins = 0
        if self._kpi.measure in QUANTILES:
            kind = self._catalogue.kinds[self._kpi.kind]
            bins = histogram.bin_count(kind.quantities[self._kpi.quantity].high)
        cells = _no_cells(width, bins)
        time, value = np.array(self._time, np.int64), np.array(self._value, np.float64)
        source = np.array(self._source, np.int64)
        np.add.at(cells.n, source, 1)
        np.add.at(cells.total, source, np.rint(value * MILLION))
        np.minimum.at(cells.low, source, value)
        np.maximum.at(cells.high, source, value)
        np.minimum.at(cells.first_time, source, time)
        np.maximum.at(cells.last_time, source, time)
        # Of several readings at one moment the larger is the newest and the smaller the oldest, in whatever order.
        is_first, is_last = time == cells.first_time[source], time == cells.last_time[source]
        np.minimum.at(cells.first_value, source[is_first], value[is_first])
        np.maximum.at(cells.last_value, source[is_last], value[is_last])
        np.add.at(cells.hits, source, self._is_hit(value))
        if bins:
            np.add.at(cells.bins, (source, histogram.bins_of(value, bins)), np.uint32(1))
        return cells._replace(sources=(cells.n > 0).astype(np.int64))

    def _is_hit(self, value: Floats) -> Ints:
        within = np.ones(len(value), np.int64)
        if self._kpi.at_most is not None:
            within &= value <= self._kpi.at_most
        if self._kpi.at_least is not None:
            within &= value >= self._kpi.at_least
        return within

    def _hourly(self) -> dict[str, Floats]:
        """Every pollutant's hourly means [sources, 12], newest hour first, NaN where nothing was measured."""
        shape = (len(self.sources), NOWCAST_HOURS)
        newest = (self._end + self._catalogue.zone_ms) // _HOUR_MS - 1
        quantity = np.array(self._quantity, np.int64)
        hour = newest - (np.array(self._time, np.int64) + self._catalogue.zone_ms) // _HOUR_MS
        value, source = np.rint(np.array(self._value, np.float64) * MILLION), np.array(self._source, np.int64)
        means = {}
        for place, name in enumerate(self.quantities):
            mine = quantity == place
            n, total = np.zeros(shape, np.int64), np.zeros(shape)
            np.add.at(n, (source[mine], hour[mine]), 1)
            np.add.at(total, (source[mine], hour[mine]), value[mine])
            means[name] = np.where(n > 0, total / MILLION / np.maximum(n, 1), np.nan)
        return means


def _no_cells(width: int, bins: int) -> Cells:
    return Cells(
        n=np.zeros(width, np.int64), sources=np.zeros(width, np.int64), total=np.zeros(width),
        low=np.full(width, np.inf), high=np.full(width, -np.inf), first_time=np.full(width, NEVER, np.int64),
        first_value=np.full(width, np.inf), last_time=np.full(width, EMPTY, np.int64),
        last_value=np.full(width, -np.inf), hits=np.zeros(width, np.int64),
        bins=np.zeros((width, bins), np.uint32), first_offset=np.full(width, NEVER, np.int64),
        last_offset=np.full(width, EMPTY, np.int64),
    )  # fmt: skip


def _maybe(number: float) -> float | None:
    return None if np.isnan(number) else float(number)
