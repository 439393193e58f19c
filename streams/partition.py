"""One partition of the processor: batches in, beats and checkpoints out; deterministic, `now` is an argument.

    observe(record) … observe(record) → evaluate(now) → Beat        twice a second
                                        checkpoint(now) → Checkpoint  once a second, right after a beat

Whatever a checkpoint carries never happens again; whatever it does not is replayed from the journal.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from sensors import batch as batches
from sensors.journal import Record
from streams.alert import Alert, AlertStep, Command
from streams.alert_life import AlertBook
from streams.beat import Counts, Rejection, Value
from streams.catalogue import Catalogue
from streams.checkpoint import Checkpoint, LedgerRow, Partial, Recovered, SeenRow
from streams.clock import Clocks, ClockState, pack, unpack
from streams.identity import SeenSet
from streams.intake import ACCEPTED, DUPLICATE, REJECTED, TOO_LATE, UNDECIDED, Intake, Sources
from streams.pane import EMPTY, Ints, PaneRing
from streams.pane_store import pane_rows, restore_panes
from streams.partial import pack_partial
from streams.ticket import TicketBook
from streams.verdict import Readings, Streams, judge
from streams.window import Closed, Frame, WindowBook

SILENCE_CHECK_MS = 5_000
HOUSEKEEPING_MS = 60_000


@dataclass
class Beat:
    """What one `evaluate` says. `current` are the newest values of what changed, `closed` what goes to history;
    `partials` the mergeable shares for the roll-up; `bridges` name → (pending, sealed_at)."""

    partition: int
    now: int
    current: list[Value] = field(default_factory=list)
    closed: list[Value] = field(default_factory=list)
    partials: list[Partial] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    steps: list[AlertStep] = field(default_factory=list)
    silent: dict[str, int] | None = None
    bridges: dict[str, tuple[int, int]] = field(default_factory=dict)
    totals: Counts = field(default_factory=Counts)
    offset: int = 0
    watermark: int = EMPTY


class Partition:
    """The state of one partition between two checkpoints. Recovered from what the last checkpoint wrote."""

    def __init__(self, number: int, catalogue: Catalogue, recovered: Recovered, now: int) -> None:
        self.number = number
        self._catalogue = catalogue
        self._units = len(catalogue.unit_codes)
        kinds = len(catalogue.kinds)
        self._clocks = Clocks(kinds * self._units)
        self._seen = [SeenSet() for _ in range(kinds)]
        self._sources = Sources()
        self._tickets = TicketBook(recovered.tickets)
        self._streams = Streams(len(catalogue.quantity_ids))
        self._rings = {name: PaneRing(spec) for name, spec in catalogue.series.items()}
        self._rows: dict[str, dict[tuple[int, int], int]] = {name: {} for name in catalogue.series}
        self._books = {kpi.id: WindowBook(kpi, catalogue, self._rings) for kpi in catalogue.kpis.values()}
        self._books_of_kind = [
            [book for book in self._books.values() if book.kind_index == kind] for kind in range(kinds)
        ]
        self._series_of_quantity = [
            [
                name
                for name, spec in catalogue.series.items()
                if catalogue.quantity_index[spec.kind, spec.quantity] == quantity
            ]
            for quantity in range(len(catalogue.quantity_ids))
        ]
        self._step_ms = np.full(kinds, np.iinfo(np.int64).max, np.int64)
        for name, spec in catalogue.series.items():
            kind = catalogue.kind_index[spec.kind]
            slack = self._rings[name].size - spec.reach
            self._step_ms[kind] = min(int(self._step_ms[kind]), slack * spec.pane_ms)
        self._intake = Intake(number, catalogue, self._sources, self._tickets, self._seen, self._clocks)
        rules = {name: rule for name, rule in catalogue.rules.items() if rule.scope == "unit"}
        self._alerts = AlertBook(rules, recovered.occurrences, recovered.alerts, recovered.pending_holds)
        self._newest: dict[tuple[str, str], Value] = {}
        self._silence_checked_at = 0
        self._kept_house_at = now
        self._expected = recovered.offset
        self.offset = self.checkpointed = max(recovered.offset, 0)
        self._totals = recovered.totals
        self._clear_checkpoint()
        self._restore(recovered, now)

    def _clear_checkpoint(self) -> None:
        self._values: list[Value] = []
        self._partials: dict[tuple[str, int], Partial] = {}
        self._alerts_changed: dict[str, Alert] = {}
        self._steps: list[AlertStep] = []
        self._rejections: list[Rejection] = []
        self._ledger: dict[tuple[str, int], Counts] = {}
        self._seen_rows: list[SeenRow] = []
        self._applied: list[str] = []
        self._tickets_done: list[tuple[str, str]] = []

    def _restore(self, recovered: Recovered, now: int) -> None:
        catalogue = self._catalogue
        self._intake.next_ordinal = recovered.ordinal
        self._sources.restore(recovered.sources)
        for row in recovered.sources:
            self._streams.restore(self._sources.index[row.unit, row.kind, row.source], row.observed, row.last_seen)
        for seen in recovered.seen:
            kind, keys = msgspec.msgpack.decode(seen.keys, type=tuple[str, bytes])
            if kind in catalogue.kind_index:
                self._seen[catalogue.kind_index[kind]].add(np.frombuffer(keys, dtype=np.uint64), seen.until)
        state = unpack(recovered.clock)
        newest = {}
        for name, time in state.newest.items():
            kind, unit = name.split("/")
            if kind in catalogue.kind_index and unit in catalogue.unit_index:
                newest[catalogue.kind_index[kind] * self._units + catalogue.unit_index[unit]] = time
        self._clocks.restore(newest, now)
        restore_panes(self._rings, recovered.panes, catalogue)
        for kpi, ends in state.closed.items():
            book = self._books.get(kpi)
            for unit, end in ends.items() if book else ():
                assert book is not None
                if unit in catalogue.unit_index:
                    book.closed_to[catalogue.unit_index[unit]] = end
        for value in recovered.values:
            book = self._books.get(value.kpi)
            if book is not None and value.scope in catalogue.unit_index:
                book.closed[catalogue.unit_index[value.scope], value.end] = Closed(value.revision, value.n, value.value)
                known = self._newest.get((value.kpi, value.scope))
                if known is None or known.end < value.end:
                    self._newest[value.kpi, value.scope] = value
        for book in self._books.values():
            for series in catalogue.series_of[book.kpi.id]:
                ring = self._rings[series]
                if len(ring.row_keys):
                    data_to = ring.last_time[: len(ring.row_keys)].max(axis=1)
                    np.maximum.at(book.data_to, ring.row_unit, data_to)
            book.touched |= book.data_to != EMPTY

    @property
    def pending(self) -> int:
        """Messages taken in since the last beat."""
        return len(self._intake.ordinal)

    @property
    def next_ordinal(self) -> int:
        """The ordinal of the next message that the partition expects."""
        return self._intake.next_ordinal

    def committed(self, offset: int) -> None:
        """The checkpoint up to `offset` has been written."""
        self.checkpointed = offset

    def newest_values(self) -> list[Value]:
        """The newest closed values known after recovery: what a fresh live store is told first."""
        return list(self._newest.values())

    def observe(self, record: Record) -> None:
        """Take one journal record in; records before the checkpoint are passed over."""
        if record.offset < self.offset:
            return
        self._intake.observe(record.offset, batches.decode(record.batch))
        self.offset = record.offset + 1

    def command(self, command: Command, now: int) -> None:
        """Carry out a person's command; raises CommandRefused in words."""
        self._alerts.apply(command, now)
        self._applied.append(command.id)

    def has_alert(self, alert: str) -> bool:
        """Whether the alert is open in this partition."""
        return any(known.id == alert for known in self._alerts.open())

    def evaluate(self, now: int) -> Beat:
        """Judge and fold what has arrived, close windows, step alerts; everything that `now` makes true."""
        beat = Beat(self.number, now, bridges=self._intake.bridges)
        intake = self._intake
        settled_ordinals = len(intake.ordinal)
        self._settle(now, beat)
        limits = self._clocks.running(now)
        for kind, books in enumerate(self._books_of_kind):
            span = slice(kind * self._units, (kind + 1) * self._units)
            settled = np.where(limits[span] == EMPTY, EMPTY, limits[span] - self._catalogue.settle_ms[kind])
            for book in books:
                self._take(beat, book.close(settled))
                self._take(beat, book.current(self._clocks.newest[span], now))
        self._step_alerts(beat, now)
        self._count(settled_ordinals)
        intake.clear()
        beat.totals = self._totals
        beat.offset = self.offset
        newest = self._clocks.newest
        beat.watermark = int(newest.max())
        return beat

    def _settle(self, now: int, beat: Beat) -> None:
        intake = self._intake
        self._rejections.extend(intake.rejections)
        new_keys = {kind: np.array(keys, dtype=np.uint64) for kind, keys in intake.new_keys.items()}
        if intake.time:
            readings = self._columns()
            self._streams.reserve(len(self._sources.rows))
            verdict = judge(
                readings, self._clocks.newest, self._units, self._catalogue.lateness_ms, self._streams,
                np.array(self._sources.keys, dtype=np.uint64), self._catalogue.quantity_keys, self._seen,
            )
            accepted = ~(verdict.duplicate | verdict.late)
            kinds = readings.group // self._units
            fresh = accepted & ~readings.judged
            for kind in np.unique(kinds[fresh]).tolist():
                keys = verdict.keys[fresh & (kinds == kind)]
                new_keys[kind] = np.concatenate((new_keys[kind], keys)) if kind in new_keys else keys
            self._streams.advance(readings.pick(accepted))
            self._note_observed(readings.pick(accepted))
            self._outcomes(readings, verdict.duplicate, verdict.late, accepted)
            counted = accepted & ~readings.aside
            self._fold(readings.pick(counted), verdict.running[counted], now, beat)
        self._remember(new_keys)

    def _columns(self) -> Readings:
        intake = self._intake
        message = np.array(intake.message, dtype=np.int64)

        def of_message(column: list[int], kind: type = np.int64) -> Any:
            return np.array(column, dtype=kind)[message]

        return Readings(
            of_message(intake.group), np.array(intake.quantity, dtype=np.int64), of_message(intake.source),
            of_message(intake.field), np.array(intake.time, dtype=np.int64), np.array(intake.value, dtype=np.float64),
            message, of_message(intake.offset), of_message(intake.judged, np.bool_),
            of_message(intake.aside, np.bool_), of_message(intake.received_at),
        )

    def _note_observed(self, readings: Readings) -> None:
        """Keep each source's newest observed time in its row."""
        order = np.lexsort((readings.time, readings.source))
        source, time = readings.source[order], readings.time[order]
        last = np.flatnonzero(np.r_[source[1:] != source[:-1], np.ones(min(1, len(source)), dtype=np.bool_)])
        for index, newest in zip(source[last].tolist(), time[last].tolist(), strict=True):
            row = self._sources.rows[index]
            row[5] = max(row[5], newest)

    def _remember(self, new_keys: dict[int, np.ndarray[tuple[int], np.dtype[np.uint64]]]) -> None:
        names = list(self._catalogue.kind_index)
        arrived = max(self._intake.received_at, default=0)
        for kind, keys in new_keys.items():
            until = arrived + 2 * int(self._catalogue.lateness_ms[kind])
            self._seen[kind].add(keys, until)
            self._seen_rows.append(SeenRow(until, msgspec.msgpack.encode((names[kind], keys.tobytes()))))

    def _outcomes(self, readings: Readings, duplicate: np.ndarray, late: np.ndarray, accepted: np.ndarray) -> None:
        intake = self._intake
        rank = np.where(accepted, ACCEPTED, np.where(late & ~duplicate, TOO_LATE, DUPLICATE)).astype(np.int64)
        starts = np.flatnonzero(np.r_[True, readings.message[1:] != readings.message[:-1]])
        best = np.maximum.reduceat(rank, starts)
        for message, outcome in zip(readings.message[starts].tolist(), best.tolist(), strict=True):
            if intake.outcome[message] == UNDECIDED:
                intake.outcome[message] = outcome
        totals = self._totals
        totals.readings += int((accepted & ~readings.aside).sum())
        totals.readings_set_aside += int((accepted & readings.aside).sum())
        totals.readings_duplicate += int(duplicate.sum())
        totals.readings_too_late += int((late & ~duplicate).sum())

    def _fold(self, readings: Readings, running: Ints, now: int, beat: Beat) -> None:
        """Fold in stretches of event time that the rings can hold, closing windows between them."""
        if not len(readings.time):
            return
        newest = self._clocks.newest[readings.group]
        first = np.full(len(self._clocks.newest), np.iinfo(np.int64).max, np.int64)
        np.minimum.at(first, readings.group, readings.time)
        base = np.where(newest == EMPTY, first[readings.group], newest)
        step = self._step_ms[readings.group // self._units]
        stretch = np.maximum(running - base, 0) // step
        stretches = np.unique(stretch).tolist()
        for number in stretches:
            chosen = stretch == number
            part = readings.pick(chosen)
            groups, where = np.unique(part.group, return_inverse=True)
            if number:
                self._clocks.advance(groups, _first(base[chosen] + number * step[chosen], where, len(groups)), now)
                self._close_settled(groups, beat)
            self._fold_stretch(part, beat)
            reached = np.zeros(len(groups), np.int64)
            np.maximum.at(reached, where, running[chosen])
            self._clocks.advance(groups, reached, now)
            if len(stretches) > 1:
                self._close_settled(groups, beat)

    def _close_settled(self, groups: Ints, beat: Beat) -> None:
        for kind in np.unique(groups // self._units).tolist():
            newest = self._clocks.newest[kind * self._units : (kind + 1) * self._units]
            settled = np.where(newest == EMPTY, EMPTY, newest - self._catalogue.settle_ms[kind])
            for book in self._books_of_kind[kind]:
                self._take(beat, book.close(settled))

    def _fold_stretch(self, part: Readings, beat: Beat) -> None:
        units = part.group % self._units
        amended: list[tuple[WindowBook, Ints, Ints]] = []
        for quantity in np.unique(part.quantity).tolist():
            chosen = np.flatnonzero(part.quantity == quantity)
            for name in self._series_of_quantity[quantity]:
                ring = self._rings[name]
                for book in self._books.values():
                    if name in self._catalogue.series_of[book.kpi.id]:
                        book.touch(units[chosen], part.time[chosen])
                        amended.append((book, units[chosen], part.time[chosen]))
                rows = self._row_numbers(name, ring, part, chosen, units)
                panes = (part.time[chosen] + self._catalogue.zone_ms) // ring.spec.pane_ms
                ring.fold(rows, panes, part.time[chosen], part.value[chosen], part.offset[chosen])
        for book, touched, times in amended:
            self._take(beat, book.amend(touched, times))

    def _row_numbers(self, name: str, ring: PaneRing, part: Readings, chosen: Ints, units: Ints) -> Ints:
        spec = ring.spec
        entity = part.source[chosen] if spec.by_source else units[chosen]
        fields = part.field[chosen] if spec.by_field else np.zeros(len(chosen), np.int64)
        combined, where = np.unique(entity * 256 + fields, return_inverse=True)
        known = self._rows[name]
        numbers = np.empty(len(combined), np.int64)
        for index, key in enumerate(combined.tolist()):
            pair = (key // 256, key % 256)
            row = known.get(pair)
            if row is None:
                row = known[pair] = self._make_row(ring, pair, part, chosen[where == index][0], units)
            numbers[index] = row
        return numbers[where]

    def _make_row(self, ring: PaneRing, pair: tuple[int, int], part: Readings, example: int, units: Ints) -> int:
        unit = int(units[example])
        code = self._catalogue.unit_codes[unit]
        entity = code
        if ring.spec.by_source:
            entity = f"{code}/{self._sources.rows[int(part.source[example])][2]}"
        names = list(self._catalogue.field_index)
        return ring.row(entity, names[pair[1]], unit, pair[1])

    def _take(self, beat: Beat, said: list[tuple[Frame, list[Value]]]) -> None:
        """Keep what windows say: closed values go to history, all go to the wall when they are the newest."""
        for frame, values in said:
            if not values:
                continue
            kpi = self._catalogue.kpis[values[0].kpi]
            closed = all(value.state != "provisional" for value in values)
            partial = pack_partial(kpi.id, self.number, frame, self._catalogue, closed)
            beat.partials.append(partial)
            self._partials[kpi.id, frame.end] = partial
            for value in values:
                if value.state != "provisional":
                    self._values.append(value)
                    beat.closed.append(value)
                known = self._newest.get((value.kpi, value.scope))
                if known is None or known.end <= value.end:
                    self._newest[value.kpi, value.scope] = value
                    beat.current.append(value)

    def _step_alerts(self, beat: Beat, now: int) -> None:
        for rule in self._catalogue.rules.values():
            if rule.scope != "unit" or not rule.kpi:
                continue
            fresh_ms = self._catalogue.kpis[rule.kpi].fresh_s * 1000
            for code in self._catalogue.unit_codes:
                value = self._newest.get((rule.kpi, code))
                if value is not None:
                    known = value.value if now - value.as_of <= fresh_ms else None
                    self._alerts.observe_value(rule.id, code, known, value.n, now)
        if now - self._silence_checked_at >= SILENCE_CHECK_MS:
            self._silence_checked_at = now
            self._check_silence(beat, now)
        beat.alerts, beat.steps = self._alerts.take()
        self._alerts_changed.update((alert.id, alert) for alert in beat.alerts)
        self._steps.extend(beat.steps)

    def _check_silence(self, beat: Beat, now: int) -> None:
        """A source that never said anything usable is not silent: its rejections are what shows."""
        beat.silent = {}
        spoken = [row for row in self._sources.rows if row[3]]
        for rule in self._catalogue.rules.values():
            if not rule.silent:
                continue
            for unit, kind, source, _, last_seen, _, _, online, _ in spoken:
                if kind == rule.silent:
                    self._alerts.observe_silence(rule.id, unit, source, last_seen if online else 0, now)
        for unit, kind, source, _, last_seen, _, _, online, _ in spoken:
            if self._catalogue.kinds[kind].is_silent(last_seen, online, now):
                beat.silent[f"{unit}/{kind}/{source}"] = last_seen

    def _count(self, messages: int) -> None:
        """Enter the outcomes of the messages taken in into totals and ledger rows."""
        intake, totals = self._intake, self._totals
        totals.received += messages + intake.gap
        totals.readings_rejected += intake.readings_rejected
        names = [*self._catalogue.kind_index, "unknown"]
        if not messages:
            return
        kinds, received, outcomes = (
            np.array(column, dtype=np.int64) for column in (intake.kinds, intake.received_at, intake.outcome)
        )
        # Packed into one number each, for one plain sort: names has the kinds, and "unknown" for −1 at its end.
        packed = (received // 60_000 * len(names) + kinds % len(names)) * 8 + outcomes
        cells, counts = np.unique(packed, return_counts=True)
        for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
            place, outcome = divmod(cell, 8)
            minute, kind = divmod(place, len(names))
            row = self._ledger.setdefault((names[kind], minute * 60_000), Counts())
            for target in (row, totals):
                if outcome == ACCEPTED:
                    target.accepted += count
                elif outcome == DUPLICATE:
                    target.duplicate += count
                elif outcome == TOO_LATE:
                    target.too_late += count
                elif outcome == REJECTED:
                    target.rejected += count
            row.received += count

    def checkpoint(self, now: int) -> Checkpoint:
        """Everything changed since the last checkpoint, as one transaction's content. Call right after `evaluate`."""
        catalogue = self._catalogue
        kinds = list(catalogue.kind_index)
        newest = {
            f"{kinds[number // self._units]}/{catalogue.unit_codes[number % self._units]}": time
            for number, time in enumerate(self._clocks.newest.tolist())
            if time != EMPTY
        }
        closed = {
            kpi: {
                catalogue.unit_codes[unit]: int(book.closed_to[unit])
                for unit in np.flatnonzero(book.closed_to != EMPTY).tolist()
            }
            for kpi, book in self._books.items()
        }
        dropped = self._keep_house(now) if now - self._kept_house_at >= HOUSEKEEPING_MS else {}
        result = Checkpoint(
            partition=self.number,
            expected=self._expected,
            offset=self.offset,
            ordinal=self._intake.next_ordinal,
            at=now,
            clock=pack(ClockState(newest, {kpi: ends for kpi, ends in closed.items() if ends})),
            totals=msgspec.structs.replace(self._totals),
            panes=pane_rows(self._rings),
            tickets=self._tickets.take_dirty(),
            tickets_done=self._tickets_done,
            sources=self._sources.take_dirty(),
            seen=self._seen_rows,
            values=self._values,
            partials=list(self._partials.values()),
            alerts=list(self._alerts_changed.values()),
            steps=self._steps,
            rejections=self._rejections,
            ledger=[LedgerRow(kind, minute, counts) for (kind, minute), counts in self._ledger.items()],
            applied=self._applied,
            pending_holds=self._alerts.packed_holds(),
            dropped_panes_before=dropped,
            seen_until=now if dropped else 0,
        )
        self._expected = self.offset
        self._clear_checkpoint()
        return result

    def _keep_house(self, now: int) -> dict[str, int]:
        """Once a minute: forget identities, tickets and windows that nothing can touch any more."""
        self._kept_house_at = now
        for seen in self._seen:
            seen.drop(now)
        lateness = int(self._catalogue.lateness_ms.max())
        self._tickets_done = self._tickets.forget(now - 2 * lateness)
        newest = self._clocks.newest
        for book in self._books.values():
            span = newest[book.kind_index * self._units : (book.kind_index + 1) * self._units]
            known = span[span != EMPTY]
            if len(known):
                book.forget(int(known.min()) - int(self._catalogue.lateness_ms[book.kind_index]) - 2 * book.reach_ms)
        dropped = {}
        for name, ring in self._rings.items():
            tags = ring.tag[: len(ring.row_keys)]
            if tags.size and bool((tags != EMPTY).any()):
                dropped[name] = int(tags.max(axis=1).min()) - ring.size
        return dropped


def _first(values: Ints, where: Ints, length: int) -> Ints:
    """The smallest of `values` for each place `where` names."""
    result = np.full(length, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(result, where, values)
    return result
