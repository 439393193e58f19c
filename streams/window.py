"""Windows of one KPI: a window is a merge of panes; it is provisional, then final, and corrected when amended."""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams import vn_aqi
from streams.beat import State, Value
from streams.catalogue import AQI_POLLUTANTS, NOWCAST_HOURS, Catalogue, bound_of, reach_ms
from streams.columns import Floats, Ints
from streams.kpi import Kpi
from streams.measure import combine, measure, spread
from streams.pane import EMPTY, MILLION, NEVER, Cells, PaneRing, group

_HOUR_MS = 3_600_000
MERGE_MS = 20


class Closed(NamedTuple):
    """What was last said of a closed window."""

    revision: int
    n: int
    value: float | None


class Frame(NamedTuple):
    """One window of all units: merged cells and values [units], NaN where unknown. `end` is ms UTC.

    `lost` [units]: those whose panes of it have been given up in part, because they are far ahead of others; None where
    there can be none. `is_closed`: no unit that has readings in it still has it open.
    """

    end: int
    cells: Cells
    values: Floats
    lost: NDArray[np.bool_] | None
    is_closed: bool = False

    @property
    def is_told(self) -> NDArray[np.bool_]:
        """The units of which it says anything."""
        return np.asarray((self.cells.n > 0) | (self.cells.sources > 0))


class WindowBook:
    """The windows of one KPI over the units of one partition. Times inside are ms UTC; panes count local time."""

    def __init__(self, kpi: Kpi, catalogue: Catalogue, rings: dict[str, PaneRing]) -> None:
        self.kpi = kpi
        self._catalogue = catalogue
        self._rings = [rings[name] for name in catalogue.series_of[kpi.id]]
        self._units = len(catalogue.unit_codes)
        spec = self._rings[0].spec
        self._bound = spec.bounds.index(bound_of(kpi)) if kpi.measure == "share" else -1
        self._field = catalogue.field_index[kpi.field]
        self.kind_index = catalogue.kind_index[kpi.kind]
        self.window_ms, self.every_ms, self.pane_ms = kpi.window_s * 1000, kpi.every_s * 1000, kpi.pane_s * 1000
        self.reach_ms = reach_ms(kpi)
        # Merging costs by panes: five of them on every beat, a day of them every five seconds.
        self.interval_ms = min(5_000, MERGE_MS * (kpi.window_s // kpi.pane_s))
        self.closed_to: Ints = np.full(self._units, EMPTY, np.int64)
        self.data_to: Ints = np.full(self._units, EMPTY, np.int64)
        self.touched = np.zeros(self._units, dtype=np.bool_)
        self.evaluated_at = 0
        self.closed: dict[tuple[int, int], Closed] = {}

    def end_after(self, times: Ints) -> Ints:
        """The end of the first window that closes after each time."""
        zone = self._catalogue.zone_ms
        return (times + zone) // self.every_ms * self.every_ms + self.every_ms - zone

    def touch(self, units: Ints, times: Ints) -> None:
        """Readings of `units` at `times` are about to be folded: empty stretches before them need no windows."""
        first = np.full(self._units, NEVER, np.int64)
        np.minimum.at(first, units, times)
        seen = np.flatnonzero(first != NEVER)
        self.touched[seen] = True
        start = self.end_after(first[seen]) - self.every_ms
        fresh = (self.closed_to[seen] == EMPTY) | (
            (start > self.closed_to[seen]) & (self.closed_to[seen] >= self._last_end(self.data_to[seen]))
        )
        self.closed_to[seen[fresh]] = start[fresh]
        np.maximum.at(self.data_to, units, times)

    def _last_end(self, data_to: Ints) -> Ints:
        """The end of the last window that data up to `data_to` can be seen in."""
        known = np.where(data_to == EMPTY, 0, data_to)
        ends = self.end_after(known + self.reach_ms) - self.every_ms
        return np.where(data_to == EMPTY, EMPTY, np.maximum(ends, self.end_after(known)))

    def close(self, limits: Ints) -> list[tuple[Frame, list[Value]]]:
        """Close every window that ends by each unit's limit; `limits` [units] is the settled watermark, ms UTC."""
        zone = self._catalogue.zone_ms
        known = np.where(limits == EMPTY, 0, limits)
        reached = np.where(limits == EMPTY, EMPTY, (known + zone) // self.every_ms * self.every_ms - zone)
        upto = np.minimum(reached, self._last_end(self.data_to))
        pending = (self.closed_to != EMPTY) & (upto > self.closed_to)
        if not pending.any():
            return []
        said = []
        # Each unit's own stretch, and not the one from the oldest to the newest: a clock that begins again at the year
        # 2000 would stop the processor for minutes.
        stretches = np.unique(np.stack((self.closed_to[pending], upto[pending])), axis=1).T.tolist()
        every = self.every_ms
        for end in sorted({end for last, to in stretches for end in range(last + every, to + 1, every)}):
            due = np.flatnonzero(pending & (self.closed_to < end) & (upto >= end))
            said.append(self._say(end, due, closing=True))
        self.closed_to[pending] = upto[pending]
        return said

    def amend(self, units: Ints, times: Ints) -> list[tuple[Frame, list[Value]]]:
        """Say again the closed windows that readings of `units` at `times` fall into, where their value changed."""
        first = self.end_after(times)
        behind = first <= self.closed_to[units]
        if not behind.any():
            return []
        ends: dict[int, set[int]] = {}
        pairs = np.unique(np.stack((units[behind], first[behind])), axis=1)
        for unit, begin in pairs.T.tolist():
            last = min(int(self.closed_to[unit]), begin + self.reach_ms - self.every_ms)
            for end in range(begin, last + 1, self.every_ms):
                ends.setdefault(end, set()).add(unit)
        return [self._say(end, np.array(sorted(ends[end])), closing=True) for end in sorted(ends)]

    def current(self, newest: Ints, now: int) -> list[tuple[Frame, list[Value]]]:
        """The windows still open, of the units touched since the last time; `newest` [units] are watermarks.

        When is a matter of the clock alone, so that a recovered book speaks on the same beats as one that never fell.
        """
        before, self.evaluated_at = self.evaluated_at, now
        if not self.touched.any() or now // self.interval_ms == before // self.interval_ms:
            return []
        units = np.flatnonzero(self.touched & (newest != EMPTY))
        self.touched[:] = False
        ends = self.end_after(newest[units])
        still_open = ends > self.closed_to[units]
        return [
            self._say(int(end), units[still_open & (ends == end)], closing=False) for end in np.unique(ends[still_open])
        ]

    def begun(self, since: int, reached: int, told: Collection[int]) -> list[Frame]:
        """The window in which time stands that has gone from `since` to `reached` (ms UTC), if it sees anything: when
        it begins, and when something was told of older ones only. `told` are the ends of those told on this beat.

        What reaches back past its beginning is told of all units at once: else the place's newest window would have
        only those that happened to speak since it began. A tumbling window is empty then.
        """
        before, end = self.end_after(np.array([since, reached])).tolist()
        if self.reach_ms <= self.every_ms or end in told or (before == end and not told):
            return []
        frame = self.frame(end)
        # A silent unit's time ran on and goes back when it speaks late: the window may be closed already.
        is_closed = not self._open_units(frame).any()
        return [frame._replace(is_closed=is_closed)] if frame.is_told.any() else []

    def _open_units(self, frame: Frame) -> NDArray[np.bool_]:
        """The units that have readings in the window and have not closed it."""
        return np.asarray((frame.cells.n > 0) & (self.closed_to < frame.end))

    def _say(self, end: int, units: Ints, closing: bool) -> tuple[Frame, list[Value]]:
        frame = self.frame(end)
        is_open = self._open_units(frame)
        if closing:
            is_open[units] = False
        frame = frame._replace(is_closed=not is_open.any())
        values = []
        for unit in units.tolist():
            if not frame.cells.n[unit] and np.isnan(frame.values[unit]):
                continue
            said = self._value(frame, unit, closing)
            if said is not None:
                values.append(said)
        return frame, values

    def _value(self, frame: Frame, unit: int, closing: bool) -> Value | None:
        raw = float(frame.values[unit])
        value = None if np.isnan(raw) else raw
        n = int(frame.cells.n[unit])
        state: State = "provisional"
        revision = 0
        if closing:
            before = self.closed.get((unit, frame.end))
            if before is not None and (before.n, before.value) == (n, value):
                return None
            revision = 0 if before is None else before.revision + 1
            state = "final" if before is None else "corrected"
            self.closed[unit, frame.end] = Closed(revision, n, value)
        newest = int(frame.cells.last_time[unit])
        return Value(
            self.kpi.id, self._catalogue.unit_codes[unit], frame.end - self.window_ms, frame.end, value, n,
            int(frame.cells.sources[unit]), state, revision, frame.end if newest == EMPTY else newest,
            *_offsets(frame.cells, unit),
        )  # fmt: skip

    def forget(self, before: Ints) -> None:
        """Drop what was said of each unit's windows that ended before its `before`: nothing can amend them any more."""
        limits = before.tolist()
        old = [key for key in self.closed if key[1] < limits[key[0]]]
        for key in old:
            del self.closed[key]

    def frame(self, end: int) -> Frame:
        """Merge the window that ends at `end`, for all units at once."""
        if self.kpi.measure == "vn_aqi":
            cells = self._aqi_cells(end)
        else:
            ring = self._rings[0]
            rows = np.arange(len(ring.row_keys))
            if self._field:
                rows = np.flatnonzero(ring.row_field == self._field)
            panes = self.window_ms // self.pane_ms
            first = (end + self._catalogue.zone_ms) // self.pane_ms - panes
            cells = ring.window(rows, first, panes, self._bound)
            if self.kpi.across:
                counts = cells.n
                cells = spread(self.kpi, cells, measure(self.kpi, cells))
                cells = cells._replace(n=np.where(cells.sources > 0, counts, 0))
            cells = group(cells, ring.row_unit[rows], self._units)
        return Frame(end, cells, combine(self.kpi, cells), self._lost(end))

    def _lost(self, end: int) -> NDArray[np.bool_] | None:
        panes = self.reach_ms // self.pane_ms
        index = np.arange(panes) + (end + self._catalogue.zone_ms) // self.pane_ms - panes
        behind = [ring for ring in self._rings if ring.newest_pane - ring.size >= index[0]]
        if not behind:
            return None
        lost = np.zeros(self._units, dtype=np.bool_)
        for ring in behind:
            gone = (ring.tag[: len(ring.row_keys), index % ring.size] > index).any(axis=1)
            lost[ring.row_unit[gone]] = True
        return lost

    def _aqi_cells(self, end: int) -> Cells:
        """The hour's VN_AQI of each station, as cells of sources merged by unit."""
        entities = sorted({key[0] for ring in self._rings for key in ring.row_keys})
        place = {entity: index for index, entity in enumerate(entities)}
        hourly: dict[str, Floats] = {}
        shape = (len(entities), NOWCAST_HOURS)
        first_offset, last_offset = np.full(shape[0], NEVER, np.int64), np.full(shape[0], EMPTY, np.int64)
        n, last = np.zeros(len(entities), np.int64), np.full(len(entities), EMPTY, np.int64)
        unit_of = np.zeros(len(entities), np.int64)
        newest_hour = (end + self._catalogue.zone_ms) // _HOUR_MS - 1
        for pollutant, ring in zip(AQI_POLLUTANTS, self._rings, strict=True):
            means = np.full(shape, np.nan)
            if ring.row_keys:
                at = np.array([place[key[0]] for key in ring.row_keys], dtype=np.int64)
                unit_of[at] = ring.row_unit
                counts, totals, times, firsts, lasts = ring.grid(newest_hour - NOWCAST_HOURS + 1, NOWCAST_HOURS)
                hours = np.where(counts > 0, totals / MILLION / np.maximum(counts, 1), np.nan)
                means[at] = hours[:, ::-1]
                n[at] += counts.sum(axis=1)
                last[at] = np.maximum(last[at], times.max(axis=1))
                first_offset[at] = np.minimum(first_offset[at], firsts.min(axis=1))
                last_offset[at] = np.maximum(last_offset[at], lasts.max(axis=1))
            hourly[pollutant] = means
        index = vn_aqi.hour_aqi(hourly)[0]
        width = len(entities)
        cells = Cells(
            n, np.zeros(width, np.int64), np.zeros(width), np.zeros(width), np.zeros(width),
            np.zeros(width, np.int64), np.zeros(width), last, np.zeros(width), np.zeros(width, np.int64),
            np.zeros((width, 0), np.uint32), first_offset, last_offset,
        )  # fmt: skip
        known = spread(self.kpi, cells, index)
        return group(known._replace(n=np.where(known.sources > 0, n, 0)), unit_of, self._units)


def _offsets(cells: Cells, unit: int) -> tuple[int, int]:
    first, last = int(cells.first_offset[unit]), int(cells.last_offset[unit])
    return (first, last) if first <= last else (-1, -1)
