"""One partition of the processor: batches in, beats and checkpoints out; deterministic, `now` is an argument.

    observe(record) … observe(record) → evaluate(now) → Beat        twice a second
                                        checkpoint(now) → Checkpoint  once a second, right after a beat

Whatever a checkpoint carries never happens again; whatever it does not is replayed from the journal.
"""

from collections import Counter
from dataclasses import dataclass, field

import msgspec
import numpy as np

from sensors.batch import JournaledBatch, journaled
from sensors.errors import MessageRejected
from sensors.journal import Record
from streams.alert import Alert, AlertStep, Command
from streams.alert_life import AlertBook
from streams.beat import Counts, Rejection, Value
from streams.catalogue import Catalogue
from streams.checkpoint import Checkpoint, Partial, Recovered, SeenRow
from streams.clock import Clocks, ClockState, pack, unpack
from streams.columns import Flags, Ints, present, runs_of
from streams.folding import Folding, Said
from streams.identity import Keys, SeenSet
from streams.intake import REJECTIONS_A_CHECKPOINT, Intake, Taken
from streams.ledger import ACCEPTED, DUPLICATE, TOO_LATE, UNDECIDED, Ledger
from streams.pane import EMPTY
from streams.pane_store import pane_rows, restore_panes
from streams.partial import amended_partial, pack_partial
from streams.source import Sources
from streams.ticket import TicketBook
from streams.verdict import Readings, Verdict, identities, judge
from streams.window import Closed, Frame

ABSENT_MS = 10_000
"""Who has not known for longer than this what there was has been away, and is not just a beat behind its journal."""

SILENCE_CHECK_MS = 5_000
HOUSEKEEPING_MS = 60_000
ROWS_IN_TURN = 60
"""Each row's old panes are dropped once an hour: for a hundred thousand sources the work is spread over its minutes."""
TICKETS_KEPT_MS = 36 * 3_600_000
"""A ticket lives through its day, however short the longest lateness is."""


_encode_values = msgspec.msgpack.Encoder().encode
_decode_values = msgspec.msgpack.Decoder(list[Value]).decode


@dataclass
class Beat:
    """What one `evaluate` says. `current` are the newest values of what changed, `closed` what goes to history;
    `partials` the mergeable shares for the roll-up; `bridges` each bridge's last batch, `overtaken` when bridges were
    overtaken last; `numbered` (numbered, unreadable, missing) over the sources that number their messages."""

    partition: int
    now: int
    current: list[Value] = field(default_factory=list)
    closed: list[Value] = field(default_factory=list)
    partials: list[Partial] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    steps: list[AlertStep] = field(default_factory=list)
    silent: dict[str, int] | None = None
    bridges: dict[str, JournaledBatch] = field(default_factory=dict)
    overtaken: dict[str, int] = field(default_factory=dict)
    totals: Counts = field(default_factory=Counts)
    numbered: tuple[int, int, int] = (0, 0, 0)
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
        widths = {kind.id: len(kind.quantities) if kind.format == "senml" else 1 for kind in catalogue.kinds.values()}
        self._sources = Sources(widths)
        self._tickets = TicketBook(recovered.tickets)
        self._folding = Folding(catalogue, self._clocks, self._sources)
        kind_names = list(catalogue.kind_index)
        firsts = [min(catalogue.quantity_index[kind, name] for name in catalogue.kinds[kind].quantities)
                  for kind in kind_names]  # fmt: skip
        self._first_quantity = np.array(firsts, dtype=np.int64)
        self._stream_width = np.array([widths[kind] for kind in kind_names], dtype=np.int64)
        self._intake = Intake(number, catalogue, self._sources, self._tickets, self._seen, self._clocks)
        rules = {name: rule for name, rule in catalogue.rules.items() if rule.scope == "unit"}
        self._alerts = AlertBook(rules, recovered.occurrences, recovered.alerts, recovered.pending_holds)
        self._has_begun = False
        self._newest: dict[tuple[str, str], Value] = {}
        self._numbered = (0, 0, 0)
        self._kept_house_at = recovered.at or now
        self._expected, self._expected_at = recovered.offset, recovered.at
        self.offset = self.checkpointed = max(recovered.offset, 0)
        self._settled = (self.offset, recovered.ordinal)
        self._received_to = 0
        self._ledger = Ledger(list(catalogue.kind_index), recovered.totals)
        self._clear_checkpoint()
        self._restore(recovered)

    def _clear_checkpoint(self) -> None:
        self._values: list[Value] = []
        self._partials: dict[tuple[str, int], Partial] = {}
        self._alerts_changed: dict[str, Alert] = {}
        self._steps: list[AlertStep] = []
        self._rejections: list[Rejection] = []
        self._reasons: Counter[str] = Counter()
        self._seen_rows: list[SeenRow] = []
        self._applied: list[tuple[str, int]] = []
        self._tickets_done: list[tuple[str, str]] = []

    def _restore(self, recovered: Recovered) -> None:
        catalogue = self._catalogue
        self._intake.next_ordinal = recovered.ordinal
        self._sources.restore(recovered.source_names, recovered.source_blocks, recovered.source_changes)
        self._numbered = self._sources.numbering.totals()
        for seen in recovered.seen:
            kind, keys = msgspec.msgpack.decode(seen.keys, type=tuple[str, bytes])
            if kind in catalogue.kind_index:
                self._seen[catalogue.kind_index[kind]].add(np.frombuffer(keys, dtype=np.uint64), seen.until)
        state = unpack(recovered.clock)
        self._heard_to = self._silence_checked_at = state.heard_to or recovered.at
        times = {}
        for name, reached in state.newest.items():
            kind, unit = name.split("/")
            if kind in catalogue.kind_index and unit in catalogue.unit_index:
                times[catalogue.kind_index[kind] * self._units + catalogue.unit_index[unit]] = reached
        self._clocks.restore(times)
        restore_panes(self._folding.rings, recovered.panes, catalogue)
        for kpi, ends in state.closed.items():
            book = self._folding.books.get(kpi)
            for unit, end in ends.items() if book else ():
                assert book is not None
                if unit in catalogue.unit_index:
                    book.closed_to[catalogue.unit_index[unit]] = end
        for value in recovered.values:
            book = self._folding.books.get(value.kpi)
            if book is not None and value.scope in catalogue.unit_index:
                book.closed[catalogue.unit_index[value.scope], value.end] = Closed(value.revision, value.n, value.value)
                known = self._newest.get((value.kpi, value.scope))
                if known is None or known.end < value.end:
                    self._newest[value.kpi, value.scope] = value
        open_values = _decode_values(recovered.open_values) if recovered.open_values else []
        books = self._folding.books
        self._newest.update({(value.kpi, value.scope): value for value in open_values if value.kpi in books})
        for book in books.values():
            book.evaluated_at = self._heard_to
            for series in catalogue.series_of[book.kpi.id]:
                ring = self._folding.rings[series]
                if len(ring.row_keys):
                    data_to = ring.last_time[: len(ring.row_keys)].max(axis=1)
                    np.maximum.at(book.data_to, ring.row_unit, data_to)
            touched = [catalogue.unit_index[unit] for unit in state.touched.get(book.kpi.id, ())
                       if unit in catalogue.unit_index]  # fmt: skip
            book.touched[touched] = True

    @property
    def pending(self) -> int:
        """Messages taken in since the last beat, and records that no bridge wrote."""
        return self._intake.pending + len(self._intake.foreign)

    @property
    def pending_bytes(self) -> int:
        """The payloads of their batches."""
        return self._intake.pending_bytes

    @property
    def next_ordinal(self) -> int:
        """The ordinal of the next message that the partition expects."""
        return self._intake.next_ordinal

    def committed(self, offset: int) -> None:
        """The checkpoint up to `offset` has been written."""
        self.checkpointed = offset

    def newest_values(self) -> list[Value]:
        """The newest values known: what a fresh live store is told first."""
        return list(self._newest.values())

    def observe(self, record: Record) -> None:
        """Take one journal record in; records before the checkpoint are passed over.

        One that no bridge wrote is a rejection, and no message of the ledger: no bridge has numbered it.
        """
        if record.offset < self.offset:
            return
        try:
            batch = journaled(record.batch)
        except MessageRejected as rejected:
            self._intake.refuse(record, rejected)
        else:
            self._intake.observe(record.offset, batch)
        self.offset = record.offset + 1

    def command(self, command: Command, now: int) -> None:
        """Carry out a person's command; raises CommandRefused in words."""
        self._alerts.apply(command, now)
        self._applied.append((command.id, now))

    def open_alerts(self) -> list[Alert]:
        """Every alert that is not closed."""
        return self._alerts.open()

    def has_alert(self, alert: str) -> bool:
        """Whether the alert is open in this partition."""
        return any(known.id == alert for known in self._alerts.open())

    def evaluate(self, now: int, end: int | None = 0) -> Beat:
        """Judge and fold what has arrived, close windows, step alerts; everything that `now` makes true.

        `end` is the journal's next ordinal, None where it is not known yet. After an absence time goes only as far as
        the journal has been read: of what it still has to tell nothing is too late, and nobody was silent.
        """
        beat = Beat(self.number, now, bridges=self._intake.bridges, overtaken=self._intake.overtaken)
        before, self._heard_to = self._heard_to, self._known_to(now, end)
        heard_to = self._heard_to
        self._settle(heard_to, beat)
        limits, limits_before = self._clocks.running(heard_to), self._clocks.running(before)
        for kind, books in enumerate(self._folding.books_of_kind):
            span = slice(kind * self._units, (kind + 1) * self._units)
            settled = np.where(limits[span] == EMPTY, EMPTY, limits[span] - self._catalogue.settle_ms[kind])
            turn = self._reached(kind, limits_before[span], before), self._reached(kind, limits[span], heard_to)
            for book in books:
                self._take(beat, book.close(settled))
                said = book.current(self._clocks.newest[span], heard_to)
                self._take(beat, said)
                for frame in book.begun(*turn, [frame.end for frame, _ in said]):
                    self._share(beat, book.kpi.id, frame)
        self._step_alerts(beat, now)
        self._intake.clear()
        self._settled = (self.offset, self._intake.next_ordinal)
        beat.totals = self._ledger.totals
        beat.numbered = self._numbered
        beat.offset = self.offset
        beat.watermark = int(self._clocks.newest.max())
        return beat

    def _known_to(self, now: int, end: int | None) -> int:
        """Up to when it is known what there was (ms UTC)."""
        is_behind = now - self._heard_to > ABSENT_MS and (end is None or self._intake.next_ordinal < end)
        return min(now, max(self._heard_to, self._intake.sealed_at)) if is_behind else now

    def _reached(self, kind: int, limits: Ints, now: int) -> int:
        """How far time has come in readings of a kind, whose watermarks have run on to `limits` at `now`: it is the
        clock's while they are not so late that they could not count any more; then all partitions enter a window on the
        same beat."""
        newest = int(limits.max())
        return now if 0 <= now - newest <= self._catalogue.lateness_ms[kind] else max(newest, 0)

    def _settle(self, now: int, beat: Beat) -> None:
        intake = self._intake
        self._ledger.totals.received += intake.gap
        refused = intake.refused(now)
        self._keep_rejections(refused, Counter(rejection.reason for rejection in refused))
        if not intake.pending:
            return
        taken = intake.take()
        new_keys = {kind: np.array(keys, dtype=np.uint64) for kind, keys in intake.new_keys.items()}
        if len(taken.readings.time):
            self._judge(taken, new_keys, now, beat)
        if taken.reached:
            groups = np.array(sorted(taken.reached), dtype=np.int64)
            times = np.array([taken.reached[group] for group in groups.tolist()], dtype=np.int64)
            self._clocks.advance(groups, times, now)
        self._remember(new_keys, int(taken.received_at.max()))
        self._received_to = int(taken.received_at[-1])
        self._ledger.totals.readings_rejected += intake.readings_rejected
        self._ledger.count(taken.kind, taken.received_at, taken.outcome)
        self._keep_rejections(intake.rejections(), intake.reasons)
        self._numbered = self._sources.numbering.totals()

    def _keep_rejections(self, rejections: list[Rejection], reasons: Counter[str]) -> None:
        self._rejections = [*self._rejections, *rejections][-REJECTIONS_A_CHECKPOINT:]
        self._reasons.update(reasons)

    def _judge(self, taken: Taken, new_keys: dict[int, Keys], now: int, beat: Beat) -> None:
        """Decide on the readings, and fold those that count."""
        readings, catalogue = taken.readings, self._catalogue
        kinds = readings.group // self._units
        stream = self._streams_of(readings, kinds)
        keys = identities(self._sources.keys, catalogue.quantity_keys, readings)
        verdict = judge(
            readings, stream, self._clocks.newest, catalogue.lateness_ms[kinds], self._sources.streams, keys, kinds,
            self._seen,
        )  # fmt: skip
        accepted = ~(verdict.duplicate | verdict.late)
        fresh = accepted & ~readings.judged
        for kind in present(kinds[fresh]):
            found = keys[fresh & (kinds == kind)]
            new_keys[kind] = np.concatenate((new_keys[kind], found)) if kind in new_keys else found
        self._sources.observed(readings.source[accepted], readings.time[accepted])
        self._outcomes(taken, verdict, accepted)
        counted = accepted & ~readings.aside
        if counted.any():
            self._take(beat, self._folding.fold(readings.pick(counted), verdict.running[counted], now))
        # What is set aside tells the time all the same.
        self._clocks.reach(readings.group[accepted], verdict.running[accepted], now)

    def _streams_of(self, readings: Readings, kinds: Ints) -> Ints:
        """The stream of each reading; an event's kind has one for all its quantities."""
        local = np.where(readings.judged, 0, readings.quantity - self._first_quantity[kinds])
        width = self._stream_width[kinds]
        return self._sources.columns["stream"][readings.source] + np.minimum(local, width - 1)

    def _remember(self, new_keys: dict[int, Keys], arrived: int) -> None:
        """Keep identities for twice the kind's lateness, in steps of half of it: what has one end is dropped at once,
        in memory as in the database."""
        names = list(self._catalogue.kind_index)
        for kind, keys in new_keys.items():
            lateness = int(self._catalogue.lateness_ms[kind])
            step = max(lateness // 2, 1_000)
            until = -(-(arrived + 2 * lateness) // step) * step
            self._seen[kind].add(keys, until)
            self._seen_rows.append(SeenRow(until, msgspec.msgpack.encode((names[kind], keys.tobytes()))))

    def _outcomes(self, taken: Taken, verdict: Verdict, accepted: Flags) -> None:
        """The outcome of every message whose readings decide: accepted if any of them was new and in time."""
        readings, totals = taken.readings, self._ledger.totals
        is_late = verdict.late & ~verdict.duplicate
        rank = np.where(accepted, ACCEPTED, np.where(is_late, TOO_LATE, DUPLICATE))
        starts = runs_of(readings.message)
        best = np.maximum.reduceat(rank, starts)
        message = readings.message[starts]
        open_ = taken.outcome[message] == UNDECIDED
        taken.outcome[message[open_]] = best[open_]
        late = np.flatnonzero(open_ & (best == TOO_LATE))
        behind = (verdict.running - readings.time)[starts[late]] // 1000
        self._intake.keep_too_late(message[late].tolist(), [f"{seconds} s behind its unit" for seconds in behind])
        totals.readings += int((accepted & ~readings.aside).sum())
        totals.readings_set_aside += int((accepted & readings.aside).sum())
        totals.readings_duplicate += int(verdict.duplicate.sum())
        totals.readings_too_late += int(is_late.sum())

    def _take(self, beat: Beat, said: Said) -> None:
        """Keep what windows say: closed values go to history, all go to the wall when they are the newest."""
        for frame, values in said:
            if not values:
                continue
            self._share(beat, values[0].kpi, frame)
            for value in values:
                if value.state != "provisional":
                    self._values.append(value)
                    beat.closed.append(value)
                known = self._newest.get((value.kpi, value.scope))
                if known is None or known.end <= value.end:
                    self._newest[value.kpi, value.scope] = value
                    beat.current.append(value)

    def _share(self, beat: Beat, kpi: str, frame: Frame) -> None:
        """Tell the roll-up, and keep, this partition's share of a window."""
        partial = pack_partial(self._catalogue.kpis[kpi], self.number, frame, self._catalogue.unit_codes)
        beat.partials.append(partial)
        before = self._partials.get((kpi, frame.end))
        self._partials[kpi, frame.end] = partial if before is None else amended_partial(before, partial)

    def _step_alerts(self, beat: Beat, now: int) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._alerts.withdraw_undefined({self._catalogue.place.code, *self._catalogue.unit_codes}, now)
        for rule in self._catalogue.rules.values():
            if rule.scope != "unit" or not rule.kpi:
                continue
            fresh_ms = self._catalogue.kpis[rule.kpi].fresh_s * 1000
            for code in self._catalogue.unit_codes:
                value = self._newest.get((rule.kpi, code))
                if value is not None:
                    known = value.value if now - value.as_of <= fresh_ms else None
                    self._alerts.observe_value(rule.id, code, known, value.n, now)
        for rule in self._catalogue.rules.values():
            if rule.figure == "ledger_difference":
                name, difference = f"phan-vung-{self.number}", float(abs(self._ledger.difference))
                self._alerts.observe_figure(rule.id, self._catalogue.place.code, name, difference, now)
        if now == self._heard_to and now // SILENCE_CHECK_MS != self._silence_checked_at // SILENCE_CHECK_MS:
            self._silence_checked_at = now
            self._check_silence(beat, now)
        beat.alerts, beat.steps = self._alerts.take()
        self._alerts_changed.update((alert.id, alert) for alert in beat.alerts)
        self._steps.extend(beat.steps)

    def _check_silence(self, beat: Beat, now: int) -> None:
        """A source that never said anything usable is not silent: its rejections are what shows."""
        beat.silent = {}
        for kind in self._catalogue.kinds.values():
            rules = [rule for rule in self._catalogue.rules.values() if rule.silent == kind.id]
            sources, last_seen = self._sources.spoken(kind.id)
            limits_ms = [kind.silent_ms, *(rule.silent_s * 1000 for rule in rules)]
            least = min(limit for limit in limits_ms if limit) if any(limits_ms) else 0
            # Nearly all have just spoken: only of the others, and of those that were silent, is anything to be said.
            quiet = np.flatnonzero(now - last_seen > least) if least else np.zeros(0, np.int64)
            for source, heard in zip(sources[quiet].tolist(), last_seen[quiet].tolist(), strict=True):
                unit, _, name = self._sources.names[source]
                if kind.silent_ms and now - heard > kind.silent_ms:
                    beat.silent[f"{unit}/{kind.id}/{name}"] = self._sources.last_seen(source)
                for rule in rules:
                    self._alerts.observe_silence(rule.id, unit, name, heard, now)
            for rule in rules:
                self._hear_again(kind.id, rule.id, now)

    def _hear_again(self, kind: str, rule: str, now: int) -> None:
        """Tell the alerts of a silence rule of sources that they still watch and that may be speaking again."""
        for unit, device in self._alerts.watched(rule):
            source = self._sources.index.get((unit, kind, device))
            if source is not None:
                self._alerts.observe_silence(rule, unit, device, self._sources.heard(source), now)

    def checkpoint(self, now: int, beats: bytes = b"") -> Checkpoint:
        """Everything changed since the last checkpoint, as one transaction's content, as of the last `evaluate`: what
        was observed since then is not in it.

        `beats` are passed on (streams.checkpoint).
        """
        catalogue = self._catalogue
        kinds = list(catalogue.kind_index)
        newest = {
            f"{kinds[number // self._units]}/{catalogue.unit_codes[number % self._units]}": (time, advanced_at)
            for number, (time, advanced_at) in enumerate(
                zip(self._clocks.newest.tolist(), self._clocks.advanced_at.tolist(), strict=True)
            )
            if time != EMPTY
        }
        closed = {
            kpi: {catalogue.unit_codes[unit]: int(book.closed_to[unit]) for unit in ended.tolist()}
            for kpi, book in self._folding.books.items()
            if len(ended := np.flatnonzero(book.closed_to != EMPTY))
        }
        touched = {
            kpi: [catalogue.unit_codes[unit] for unit in np.flatnonzero(book.touched).tolist()]
            for kpi, book in self._folding.books.items()
            if book.touched.any()
        }
        is_due = now // HOUSEKEEPING_MS != self._kept_house_at // HOUSEKEEPING_MS
        # Messages are judged by when they were received, which in a backlog is long ago. Until the first one after a
        # start nobody knows when, and nothing is forgotten. A bridge whose clock is ahead is not believed.
        received_to = min(self._received_to, now)
        dropped = self._keep_house(now, received_to) if is_due else []
        offset, ordinal = self._settled
        # Sorted: in which order they were first told is forgotten with the process.
        still_open = [value for _, value in sorted(self._newest.items()) if value.state == "provisional"]
        blocks, changes, until = self._sources.take_changed()
        result = Checkpoint(
            partition=self.number,
            expected=self._expected,
            offset=offset,
            ordinal=ordinal,
            at=now,
            clock=pack(ClockState(newest, closed, touched, self._heard_to)),
            totals=msgspec.structs.replace(self._ledger.totals),
            panes=pane_rows(self._folding.rings),
            tickets=self._tickets.take_dirty(),
            tickets_done=self._tickets_done,
            source_names=self._sources.take_new(),
            source_blocks=blocks,
            source_changes=changes,
            source_changes_until=until,
            seen=self._seen_rows,
            values=self._values,
            partials=list(self._partials.values()),
            alerts=list(self._alerts_changed.values()),
            steps=self._steps,
            rejections=self._rejections,
            reasons=dict(self._reasons),
            ledger=self._ledger.take(),
            applied=self._applied,
            pending_holds=self._alerts.packed_holds(),
            dropped_panes=dropped,
            seen_until=received_to if is_due else 0,
            open_values=_encode_values(still_open),
            beats=beats,
            expected_at=self._expected_at,
        )
        self._expected, self._expected_at = offset, now
        self._clear_checkpoint()
        return result

    def _keep_house(self, now: int, received_to: int) -> list[tuple[str, str, str, int]]:
        """Once a minute: forget identities and tickets that nothing received from `received_to` (ms UTC) on can touch
        any more, and windows that nothing can."""
        self._kept_house_at = now
        for seen in self._seen:
            seen.drop(received_to)
        lateness = int(self._catalogue.lateness_ms.max())
        self._tickets_done = self._tickets.forget(received_to - max(2 * lateness, TICKETS_KEPT_MS))
        newest = self._clocks.newest
        for book in self._folding.books.values():
            span = newest[book.kind_index * self._units : (book.kind_index + 1) * self._units]
            kept_ms = int(self._catalogue.lateness_ms[book.kind_index]) + 2 * book.reach_ms
            book.forget(np.where(span == EMPTY, 0, span - kept_ms))
        return self._old_panes(now // HOUSEKEEPING_MS)

    def _old_panes(self, minute: int) -> list[tuple[str, str, str, int]]:
        """The rows of rings whose turn it is, one in sixty, each with the pane before which it holds nothing any more.

        Row by row: a source that has long been silent keeps its own panes, and nobody else's.
        """
        found = []
        for name, ring in self._folding.rings.items():
            rows = np.arange(minute % ROWS_IN_TURN, len(ring.row_keys), ROWS_IN_TURN)
            newest = ring.tag[rows].max(axis=1, initial=EMPTY)
            for row, pane in zip(rows.tolist(), newest.tolist(), strict=True):
                if pane != EMPTY:
                    found.append((name, *ring.row_keys[row], pane - ring.size))
        return found
