"""Folding: readings that count go into the panes of every series that keeps them, and windows say what changes."""

import numpy as np

from streams.beat import Value
from streams.catalogue import Catalogue
from streams.clock import Clocks
from streams.columns import Ints, present
from streams.pane import EMPTY, NEVER, PaneRing, slack_of
from streams.source import Sources
from streams.verdict import Readings
from streams.window import Frame, WindowBook

Said = list[tuple[Frame, list[Value]]]
"""Windows, each with the values that are new in it."""


class Folding:
    """The rings of all series and the books of all KPIs of a partition, which advances `clocks` and names `sources`."""

    def __init__(self, catalogue: Catalogue, clocks: Clocks, sources: Sources) -> None:
        self._catalogue = catalogue
        self._clocks = clocks
        self._sources = sources
        self._units = len(catalogue.unit_codes)
        kinds = range(len(catalogue.kinds))
        self.rings = {name: PaneRing(spec) for name, spec in catalogue.series.items()}
        self.books = {kpi.id: WindowBook(kpi, catalogue, self.rings) for kpi in catalogue.kpis.values()}
        self.books_of_kind = [[book for book in self.books.values() if book.kind_index == kind] for kind in kinds]
        self._books_of_series = {
            name: [book for book in self.books.values() if name in catalogue.series_of[book.kpi.id]]
            for name in catalogue.series
        }
        self._series_of_quantity: list[list[str]] = [[] for _ in catalogue.quantity_ids]
        # How far time may run on within one fold: less than the shortest ring of the kind has room for.
        self._step_ms = np.full(len(kinds), NEVER, np.int64)
        # By series: the row of its ring of each entity (a unit or a source) and field, −1 where it has none yet.
        self._rows: dict[str, Ints] = {}
        for name, spec in catalogue.series.items():
            self._series_of_quantity[catalogue.quantity_index[spec.kind, spec.quantity]].append(name)
            kind = catalogue.kind_index[spec.kind]
            self._step_ms[kind] = min(int(self._step_ms[kind]), slack_of(spec.reach) * spec.pane_ms)
            fields = len(catalogue.field_index) if spec.by_field else 1
            self._rows[name] = np.full((self._units, fields), -1, np.int64)

    def fold(self, readings: Readings, running: Ints, now: int) -> Said:
        """Fold readings, given the watermark of its group when each came (`running`), in stretches of event time that
        the rings can hold, closing windows between them. The clocks reach those watermarks."""
        clocks = self._clocks
        newest = clocks.newest[readings.group]
        base = np.where(newest == EMPTY, _first(readings.time, readings.group)[readings.group], newest)
        step = self._step_ms[readings.group // self._units]
        stretch = np.maximum(running - base, 0) // step
        if not stretch.any():
            said = self._fold_stretch(readings)
            clocks.reach(readings.group, running, now)
            return said
        said, stretches = [], np.unique(stretch).tolist()
        for number in stretches:
            chosen = np.flatnonzero(stretch == number)
            part = readings.pick(chosen)
            groups = np.array(present(part.group), dtype=np.int64)
            if number:
                clocks.advance(groups, _first(base[chosen] + number * step[chosen], part.group)[groups], now)
                said += self._close_settled(groups)
            said += self._fold_stretch(part)
            clocks.reach(part.group, running[chosen], now)
            if len(stretches) > 1:
                said += self._close_settled(groups)
        return said

    def _close_settled(self, groups: Ints) -> Said:
        said: Said = []
        for kind in present(groups // self._units):
            newest = self._clocks.newest[kind * self._units : (kind + 1) * self._units]
            settled = np.where(newest == EMPTY, EMPTY, newest - self._catalogue.settle_ms[kind])
            for book in self.books_of_kind[kind]:
                said += book.close(settled)
        return said

    def _fold_stretch(self, part: Readings) -> Said:
        units = part.group % self._units
        touched: list[tuple[WindowBook, Ints, Ints]] = []
        for quantity in present(part.quantity):
            chosen = np.flatnonzero(part.quantity == quantity)
            for name in self._series_of_quantity[quantity]:
                ring = self.rings[name]
                for book in self._books_of_series[name]:
                    book.touch(units[chosen], part.time[chosen])
                    touched.append((book, units[chosen], part.time[chosen]))
                rows = self._row_numbers(name, ring, part, chosen, units)
                panes = (part.time[chosen] + self._catalogue.zone_ms) // ring.spec.pane_ms
                ring.fold(rows, panes, part.time[chosen], part.value[chosen], part.offset[chosen])
        return [said for book, where, times in touched for said in book.amend(where, times)]

    def _row_numbers(self, name: str, ring: PaneRing, part: Readings, chosen: Ints, units: Ints) -> Ints:
        spec = ring.spec
        entity = part.source[chosen] if spec.by_source else units[chosen]
        fields = part.field[chosen] if spec.by_field else np.zeros(len(chosen), np.int64)
        known = self._rows[name]
        if len(known) <= int(entity.max()):
            room = np.full((len(self._sources) + len(known), known.shape[1]), -1, np.int64)
            known = self._rows[name] = np.concatenate((known, room))
        rows = known[entity, fields]
        fresh = np.flatnonzero(rows < 0)
        if len(fresh):
            _, first = np.unique(entity[fresh] * known.shape[1] + fields[fresh], return_index=True)
            for at in fresh[first].tolist():
                source, unit, field = int(part.source[chosen[at]]), int(units[chosen[at]]), int(fields[at])
                known[entity[at], field] = self._make_row(ring, source, unit, field)
            rows = known[entity, fields]
        return rows

    def _make_row(self, ring: PaneRing, source: int, unit: int, field: int) -> int:
        code = self._catalogue.unit_codes[unit]
        entity = f"{code}/{self._sources.names[source][2]}" if ring.spec.by_source else code
        return ring.row(entity, list(self._catalogue.field_index)[field], unit, field)


def _first(values: Ints, where: Ints) -> Ints:
    """The smallest of `values` for each place that `where` names, NEVER for others."""
    result = np.full(int(where.max()) + 1, NEVER, np.int64)
    np.minimum.at(result, where, values)
    return result
