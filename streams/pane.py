"""Panes of one series: tumbling cells in columns, a ring of them for each row (architecture §5).

A *series* is one quantity of one kind at one pane size, kept by unit or by source; a *row* is one unit (or one
source of it), narrowed to a field where some KPI asks for it. A cell is mergeable: counts and sums add, bounds
and newest readings compare. Sums are kept in whole millionths, so that they are exact and the order of arrival
does not change a bit of them (a float64 holds whole numbers up to 9·10¹⁵).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams import histogram
from streams.columns import Floats, Ints, lengths_of, runs_of, stable_order

MILLION = 1_000_000.0
EMPTY = np.iinfo(np.int64).min
NOT_KEPT = -(1 << 36)
"""Hits of what was counted for other bounds. So far below zero that readings never make up for it: a sum with it is
negative too, and nobody knows it."""


Bound = tuple[float | None, float | None]
"""Of a share: at_most, at_least."""


class SeriesSpec(NamedTuple):
    """What a series keeps. `reach` is how many panes back must stay readable; `bounds` the share bounds counted in
    `hits`; `bin_high` the top of the quantile bins, 0 for none."""

    kind: str
    quantity: str
    pane_ms: int
    by_source: bool
    by_field: bool
    reach: int
    bounds: tuple[Bound, ...]
    bin_high: float

    @property
    def name(self) -> str:
        by = "source" if self.by_source else "unit"
        return f"{self.kind}/{self.quantity}/{self.pane_ms // 1000}/{by}"


class Cells(NamedTuple):
    """Mergeable cells in columns of one length; `total` in whole millionths; `hits` below 0 where not known (NOT_KEPT);
    `bins` [length, bins], which add up to less than `n` where some were not kept; the offsets bound the journal records
    behind them, within one partition (first > last: none)."""

    n: Ints
    sources: Ints
    total: Floats
    low: Floats
    high: Floats
    first_time: Ints
    first_value: Floats
    last_time: Ints
    last_value: Floats
    hits: Ints
    bins: NDArray[np.uint32]
    first_offset: Ints
    last_offset: Ints


NEVER = np.iinfo(np.int64).max


AHEAD_MS = 120_000
"""How far a reading may be ahead of its arrival, and so of the watermark (the decoders' bound)."""


def slack_of(reach: int) -> int:
    """Panes that the ring has beyond its reach: how far time may run on within one fold."""
    return max(16, reach // 4)


class PaneRing:
    """The cells of one series: arrays [rows, ring]; rows are made as entities appear."""

    def __init__(self, spec: SeriesSpec) -> None:
        self.spec = spec
        # Readings that are ahead of the watermark must not push out what it still reaches.
        self.size = spec.reach + slack_of(spec.reach) + AHEAD_MS // spec.pane_ms + 1
        self.rows: dict[tuple[str, str], int] = {}
        self.row_keys: list[tuple[str, str]] = []
        self.row_unit = np.zeros(0, np.int64)
        self.row_field = np.zeros(0, np.int64)
        self.dirty: set[int] = set()
        self.newest_pane = EMPTY
        self.bin_count = histogram.bin_count(spec.bin_high) if spec.bin_high else 0
        self._capacity = 0
        self._grow(8)

    def _grow(self, capacity: int) -> None:
        shape = (capacity, self.size)
        old = self._capacity
        fresh: dict[str, NDArray[np.generic]] = {
            "tag": np.full(shape, EMPTY, np.int64),
            "n": np.zeros(shape, np.int64),
            "total": np.zeros(shape),
            "low": np.full(shape, np.inf),
            "high": np.full(shape, -np.inf),
            "first_time": np.full(shape, NEVER, np.int64),
            "first_value": np.zeros(shape),
            "last_time": np.full(shape, EMPTY, np.int64),
            "last_value": np.zeros(shape),
            "first_offset": np.full(shape, NEVER, np.int64),
            "last_offset": np.full(shape, EMPTY, np.int64),
            "hits": np.zeros((*shape, len(self.spec.bounds)), np.int64),
            "bins": np.zeros((*shape, self.bin_count), np.uint32),
        }
        for name, array in fresh.items():
            if old:
                array[:old] = getattr(self, name)
            setattr(self, name, array)
        self._capacity = capacity

    tag: Ints
    n: Ints
    total: Floats
    low: Floats
    high: Floats
    first_time: Ints
    first_value: Floats
    last_time: Ints
    last_value: Floats
    first_offset: Ints
    last_offset: Ints
    hits: Ints
    bins: NDArray[np.uint32]

    def row(self, entity: str, field: str, unit: int, field_index: int) -> int:
        """The row of an entity (a unit code, or "unit/source") and field, made if it is new."""
        key = (entity, field)
        index = self.rows.get(key)
        if index is None:
            index = len(self.row_keys)
            if index == self._capacity:
                self._grow(self._capacity * 2)
            self.rows[key] = index
            self.row_keys.append(key)
            self.row_unit = np.append(self.row_unit, unit)
            self.row_field = np.append(self.row_field, field_index)
        return index

    def fold(self, rows: Ints, panes: Ints, times: Ints, values: Floats, offsets: Ints) -> Ints:
        """Add readings to their cells; returns the flat indices of the cells touched, each once.

        All columns have one length. A reading whose pane the ring has already given up is an error of ours:
        the lateness rule upstream must have held it back.
        """
        flat = rows * self.size + panes % self.size
        order = stable_order(flat, self._capacity * self.size)
        flat, panes, times, values, offsets = flat[order], panes[order], times[order], values[order], offsets[order]
        starts = runs_of(flat)
        lengths = lengths_of(starts, len(flat))
        cell = flat[starts]
        self._renew(cell, panes[starts])
        self.newest_pane = max(self.newest_pane, int(panes.max()))
        self._merge(
            cell,
            n=lengths,
            total=np.add.reduceat(np.rint(values * MILLION), starts),
            low=np.minimum.reduceat(values, starts),
            high=np.maximum.reduceat(values, starts),
            first=_end_of(times, values, starts, lengths, np.minimum, np.inf),
            last=_end_of(times, values, starts, lengths, np.maximum, -np.inf),
            offsets=(np.minimum.reduceat(offsets, starts), np.maximum.reduceat(offsets, starts)),
        )
        for index, (at_most, at_least) in enumerate(self.spec.bounds):
            within = np.ones(len(values), np.int64)
            if at_most is not None:
                within &= values <= at_most
            if at_least is not None:
                within &= values >= at_least
            self.hits.reshape(-1, len(self.spec.bounds))[cell, index] += np.add.reduceat(within, starts)
        if self.bin_count:
            bins = histogram.bins_of(values, self.bin_count)
            np.add.at(self.bins.reshape(-1), flat * self.bin_count + bins, np.uint32(1))
        self.dirty.update(cell.tolist())
        return cell

    def _renew(self, cell: Ints, pane: Ints) -> None:
        tag = self.tag.reshape(-1)
        assert bool((tag[cell] <= pane).all()), "a reading older than the ring reached fold()"
        stale = cell[tag[cell] != pane]
        if len(stale):
            self.n.reshape(-1)[stale] = 0
            self.total.reshape(-1)[stale] = 0
            self.low.reshape(-1)[stale] = np.inf
            self.high.reshape(-1)[stale] = -np.inf
            self.first_time.reshape(-1)[stale] = NEVER
            self.last_time.reshape(-1)[stale] = EMPTY
            self.first_offset.reshape(-1)[stale] = NEVER
            self.last_offset.reshape(-1)[stale] = EMPTY
            if self.spec.bounds:
                self.hits.reshape(-1, len(self.spec.bounds))[stale] = 0
            if self.bin_count:
                self.bins.reshape(-1, self.bin_count)[stale] = 0
            tag[cell] = pane

    def _merge(
        self,
        cell: Ints,
        n: Ints,
        total: Floats,
        low: Floats,
        high: Floats,
        first: tuple[Ints, Floats],
        last: tuple[Ints, Floats],
        offsets: tuple[Ints, Ints],
    ) -> None:
        self.n.reshape(-1)[cell] += n
        self.total.reshape(-1)[cell] += total
        _keep(self.low.reshape(-1), cell, low, np.minimum)
        _keep(self.high.reshape(-1), cell, high, np.maximum)
        _keep(self.first_offset.reshape(-1), cell, offsets[0], np.minimum)
        _keep(self.last_offset.reshape(-1), cell, offsets[1], np.maximum)
        first_time, first_value = self.first_time.reshape(-1), self.first_value.reshape(-1)
        time, value = first
        wins = (time < first_time[cell]) | ((time == first_time[cell]) & (value < first_value[cell]))
        first_time[cell[wins]], first_value[cell[wins]] = time[wins], value[wins]
        last_time, last_value = self.last_time.reshape(-1), self.last_value.reshape(-1)
        time, value = last
        wins = (time > last_time[cell]) | ((time == last_time[cell]) & (value > last_value[cell]))
        last_time[cell[wins]], last_value[cell[wins]] = time[wins], value[wins]

    def grid(self, first_pane: int, panes: int) -> tuple[Ints, Floats, Ints, Ints, Ints]:
        """Counts, sums (millionths), newest times and bounding offsets of single cells, [rows, panes]; count 0 where
        there is none."""
        index = np.arange(first_pane, first_pane + panes)
        slot, used = index % self.size, slice(0, len(self.row_keys))
        live = self.tag[used][:, slot] == index
        return (
            np.where(live, self.n[used][:, slot], 0),
            np.where(live, self.total[used][:, slot], 0.0),
            np.where(live, self.last_time[used][:, slot], EMPTY),
            np.where(live, self.first_offset[used][:, slot], NEVER),
            np.where(live, self.last_offset[used][:, slot], EMPTY),
        )

    def window(self, rows: Ints, first_pane: int, panes: int, bound: int) -> Cells:
        """The merge of `panes` panes from `first_pane` on, for each of `rows`; `bound` picks the share bound, −1 none.

        Cells of rows without readings have n = 0.
        """
        index = np.arange(first_pane, first_pane + panes)
        slot = index % self.size
        # Only what is there: a desk's minutes are mostly empty.
        filled, pane = (self.tag[rows[:, None], slot] == index).nonzero()
        flat = rows[filled] * self.size + slot[pane]
        starts = runs_of(filled)
        there, ends = filled[starts], starts + lengths_of(starts, len(filled)) - 1

        def merged(column: NDArray[Any], ufunc: np.ufunc, empty: float) -> NDArray[Any]:
            result = np.full((len(rows), *column.shape[1:]), empty, column.dtype)
            if len(starts):
                result[there] = ufunc.reduceat(column[flat], starts, axis=0)
            return result

        def at_end(column: NDArray[Any], cells: Ints, empty: float) -> NDArray[Any]:
            result = np.full(len(rows), empty, column.dtype)
            result[there] = column.reshape(-1)[flat[cells]]
            return result

        counts = merged(self.n.reshape(-1), np.add, 0)
        hits = self.hits[:, :, bound].reshape(-1) if bound >= 0 else None
        # Panes follow each other in time: the oldest reading is in the first that holds any, the newest in the last.
        return Cells(
            n=counts,
            sources=(counts > 0).astype(np.int64),
            total=merged(self.total.reshape(-1), np.add, 0),
            low=merged(self.low.reshape(-1), np.minimum, np.inf),
            high=merged(self.high.reshape(-1), np.maximum, -np.inf),
            first_time=at_end(self.first_time, starts, NEVER),
            first_value=at_end(self.first_value, starts, 0),
            last_time=at_end(self.last_time, ends, EMPTY),
            last_value=at_end(self.last_value, ends, 0),
            hits=np.zeros(len(rows), np.int64) if hits is None else merged(hits, np.add, 0),
            bins=merged(self.bins.reshape(self._capacity * self.size, self.bin_count), np.add, 0),
            first_offset=merged(self.first_offset.reshape(-1), np.minimum, NEVER),
            last_offset=merged(self.last_offset.reshape(-1), np.maximum, EMPTY),
        )


def _keep(array: NDArray[np.generic], cell: Ints, value: NDArray[np.generic], ufunc: np.ufunc) -> None:
    array[cell] = ufunc(array[cell], value)


def _end_of(
    times: Ints, values: Floats, starts: Ints, lengths: Ints, ufunc: np.ufunc, never: float
) -> tuple[Ints, Floats]:
    """Of each run the least (or largest) time, and of the values then the least (or largest)."""
    time = ufunc.reduceat(times, starts)
    at_end = np.where(times == np.repeat(time, lengths), values, never)
    return time, ufunc.reduceat(at_end, starts)


def group(cells: Cells, groups: Ints, length: int) -> Cells:
    """Merge cells into `length` groups; `groups` gives each cell's group. Empty groups have n = 0."""
    if len(groups) <= length and (np.bincount(groups, minlength=length) <= 1).all():
        return _placed(cells, groups, length)
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = runs_of(ordered)
    present = ordered[starts]

    def merged(column: NDArray[Any], ufunc: np.ufunc, empty: float) -> NDArray[Any]:
        result = np.full((length, *column.shape[1:]), empty, column.dtype)
        if len(starts):
            result[present] = ufunc.reduceat(column[order], starts, axis=0)
        return result

    n, sources = merged(cells.n, np.add, 0), merged(cells.sources, np.add, 0)
    total, hits = merged(cells.total, np.add, 0), merged(cells.hits, np.add, 0)
    low, high = merged(cells.low, np.minimum, np.inf), merged(cells.high, np.maximum, -np.inf)
    bins = merged(cells.bins, np.add, 0)
    first_time, first_value = _ends(cells.first_time, cells.first_value, groups, length, newest=False)
    last_time, last_value = _ends(cells.last_time, cells.last_value, groups, length, newest=True)
    offsets = merged(cells.first_offset, np.minimum, NEVER), merged(cells.last_offset, np.maximum, EMPTY)
    return Cells(n, sources, total, low, high, first_time, first_value, last_time, last_value, hits, bins, *offsets)


_NOTHING = (0, 0, 0.0, np.inf, -np.inf, NEVER, 0.0, EMPTY, 0.0, 0, 0, NEVER, EMPTY)
"""What a cell without readings has in each column."""


def _placed(cells: Cells, places: Ints, length: int) -> Cells:
    """Cells each in a place of its own: nothing is to be merged."""
    columns: list[NDArray[Any]] = list(cells)
    result = []
    for column, empty in zip(columns, _NOTHING, strict=True):
        laid = np.full((length, *column.shape[1:]), empty, column.dtype)
        laid[places] = column
        result.append(laid)
    return Cells._make(result)


def _ends(time: Ints, value: Floats, groups: Ints, length: int, newest: bool) -> tuple[Ints, Floats]:
    """For each group the value at the newest (or oldest) time; ties go to the larger (smaller) value."""
    order = np.lexsort((value, time, groups)) if newest else np.lexsort((-value, -time, groups))
    times = np.full(length, EMPTY if newest else NEVER, np.int64)
    values = np.zeros(length)
    times[groups[order]] = time[order]
    values[groups[order]] = value[order]
    return times, values


def concatenate(parts: list[Cells]) -> Cells:
    """Cells of several partitions one behind the other, ready for `group`.

    Kept cells have as many bins as their quantity's `high` and the KPIs of then asked for: all get those of the widest.
    """
    width = max(part.bins.shape[1] for part in parts)
    return Cells(*(np.concatenate(columns) for columns in zip(*(_widened(part, width) for part in parts), strict=True)))


def _widened(cells: Cells, width: int) -> Cells:
    missing = width - cells.bins.shape[1]
    return cells._replace(bins=np.pad(cells.bins, ((0, 0), (0, missing)))) if missing else cells
