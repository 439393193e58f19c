"""The roll-up: partitions' shares of a window are merged into former districts and the whole place.

State-based: for each window the newest share of each partition counts, so a share that is told twice, or again
after a crash, changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from streams.alert import Alert, AlertStep, Command
from streams.alert_life import AlertBook
from streams.beat import Counts, State, Value
from streams.catalogue import Catalogue, bound_of, reach_ms
from streams.checkpoint import ROLL_UP, Checkpoint, Mail, Partial, Recovered, SummaryRow
from streams.measure import combine
from streams.pane import EMPTY, concatenate, group
from streams.partial import Share, amended, cells_of, picked, unpack_share
from streams.partition import Beat
from streams.window import Closed

KEPT_MS = 120_000
"""A window that nobody spoke of for so long leaves the memory once the database has all of it; `unknown` and `restore`
bring it back."""

HOUSEKEEPING_MS = 60_000
TURN_MS = 3_000
"""For so long after its beginning a window waits for the partitions of the one before it: workers beat one by one."""


class Report(msgspec.Struct, array_like=True, frozen=True):
    """What a partition tells the roll-up on a beat: shares, and which sources are silent (None: not looked).

    `generation` is that of the consumer group in which its worker got the partition: a worker that was stopped and
    does not know yet that it lost it speaks for an older one, and is not heard. `at` is the beat, and `written` the
    beat of the partition's last committed checkpoint, both by the worker's clock (ms UTC).
    """

    partition: int
    partials: list[Partial]
    silent: dict[str, int] | None
    generation: int = 0
    at: int = 0
    written: int = 0


class _Standing(msgspec.Struct, array_like=True):
    """What the roll-up keeps in its checkpoint beside rows: newest open values, and the silent sources by partition."""

    values: list[Value]
    silent: dict[int, dict[str, int]]


def standing_values(packed: bytes) -> list[Value]:
    """The newest open values in a checkpoint of the roll-up."""
    return msgspec.msgpack.decode(packed, type=_Standing).values


@dataclass
class _Window:
    """By partition, its newest share of a window and the beat on which it was told; `spoken_at`: by anybody, last."""

    shares: dict[int, Share] = field(default_factory=dict)
    beats: dict[int, int] = field(default_factory=dict)
    spoken_at: int = 0

    def take(self, share: Share, is_patch: bool, beat: int) -> None:
        before = self.shares.get(share.partition)
        self.shares[share.partition] = amended(before, share) if before is not None and is_patch else share
        self.beats[share.partition] = beat

    def is_written(self, written: Mapping[int, int]) -> bool:
        """Whether committed checkpoints have every share, given the last beat that is written of each partition."""
        return all(beat <= written.get(partition, 0) for partition, beat in self.beats.items())


class RollUp:
    """The merged windows of districts and the whole place, with their own alerts and checkpoint."""

    def __init__(self, catalogue: Catalogue, recovered: Recovered, now: int) -> None:
        self._catalogue = catalogue
        self._windows: dict[tuple[str, int], _Window] = {}
        self._written: dict[int, int] = {}  # by partition, the last beat that is written
        self._committed_at = recovered.at
        self._told_to: dict[str, int] = {}  # by KPI, the end of the last window that anybody ever spoke of
        self._dirty: set[tuple[str, int]] = set()
        self._closed: dict[tuple[str, str, int], Closed] = {}
        self._newest: dict[tuple[str, str], Value] = {}
        self._silent: dict[int, dict[str, int]] = {}
        self._generations: dict[int, int] = {}
        self._heard: dict[int, int] = {}  # by partition, the beat of its newest report
        rules = {name: rule for name, rule in catalogue.rules.items() if rule.scope == "place"}
        self._alerts = AlertBook(rules, recovered.occurrences, recovered.alerts, recovered.pending_holds)
        self._has_begun = False
        self._expected, self._expected_at = recovered.offset, recovered.at
        self._beats = max(recovered.offset, 0)
        self._kept_house_at = recovered.at or now
        self._clear_checkpoint()
        self.restore(recovered.partials, recovered.values, now)
        if recovered.open_values:
            standing = msgspec.msgpack.decode(recovered.open_values, type=_Standing)
            self._newest.update({(value.kpi, value.scope): value for value in standing.values})
            self._silent = standing.silent
        for value in self._newest.values():
            self._told_to[value.kpi] = max(value.end, self._told_to.get(value.kpi, value.end))

    def _clear_checkpoint(self) -> None:
        self._values: list[Value] = []
        self._changed: dict[str, Alert] = {}
        self._steps: list[AlertStep] = []
        self._applied: list[tuple[str, int]] = []

    def unknown(self, partials: list[Partial]) -> list[tuple[str, int]]:
        """The windows (KPI, end) among these that it holds no share of, and that others may have spoken of: `restore`
        them first.

        Not those after the last of its KPI: what the database has of them is still to be heard. So what is known on a
        beat does not hang on when others' checkpoints were written.
        """
        keys = {(partial.kpi, partial.end) for partial in partials if partial.kpi in self._catalogue.kpis}
        return sorted((kpi, end) for kpi, end in keys - self._windows.keys() if end <= self._told_to.get(kpi, end - 1))

    def restore(self, partials: list[Partial], values: list[Value], now: int) -> None:
        """Take back what the database has of windows: shares of all partitions, and what was said of them."""
        for value in values:
            self._closed[value.kpi, value.scope, value.end] = Closed(value.revision, value.n, value.value)
            known = self._newest.get((value.kpi, value.scope))
            if known is None or known.end <= value.end:
                self._newest[value.kpi, value.scope] = value
        self.receive(partials, now)

    def receive(self, partials: list[Partial], now: int, beat: int = 0) -> None:
        """Take partitions' shares in, told on a `beat` (0: the database has them); of each partition and window the
        newest counts."""
        for partial in partials:
            if partial.kpi not in self._catalogue.kpis:
                continue
            key = (partial.kpi, partial.end)
            window = self._windows.setdefault(key, _Window())
            window.take(unpack_share(partial), partial.is_patch, beat)
            window.spoken_at = now
            self._told_to[partial.kpi] = max(partial.end, self._told_to.get(partial.kpi, partial.end))
            self._dirty.add(key)

    def report(self, report: Report, now: int) -> None:
        """Take one partition's report of a beat in, unless its worker has lost the partition since."""
        if report.generation < self._generations.get(report.partition, 0):
            return
        self._generations[report.partition] = report.generation
        self._written[report.partition] = report.written
        self._heard[report.partition] = report.at
        self.receive(report.partials, now, report.at)
        if report.silent is not None:
            self._silent[report.partition] = report.silent

    def catch_up(self, partition: int, shares: list[tuple[int, Partial]], now: int) -> None:
        """Take in what the database has of a partition, each share with the time of its checkpoint (ms UTC), where that
        is later than what was heard."""
        for at, partial in shares:
            window = self._windows.get((partial.kpi, partial.end))
            if window is None or window.beats.get(partition, -1) < at:
                self.receive([partial], now, at)

    def heard(self, now: int) -> dict[int, int]:
        """By partition, how old its newest report is at `now` (ms)."""
        return {partition: now - at for partition, at in self._heard.items()}

    def silent(self) -> dict[str, int]:
        """All sources now silent: "unit/kind/source" → when they last spoke (ms UTC)."""
        return {name: at for sources in self._silent.values() for name, at in sources.items()}

    def newest_values(self) -> list[Value]:
        """The newest value of every KPI and scope."""
        return list(self._newest.values())

    def command(self, command: Command, now: int) -> None:
        """Carry out a person's command; raises CommandRefused in words."""
        self._alerts.apply(command, now)
        self._applied.append((command.id, now))

    def open_alerts(self) -> list[Alert]:
        """Every alert that is not closed."""
        return self._alerts.open()

    def has_alert(self, alert: str) -> bool:
        return any(known.id == alert for known in self._alerts.open())

    def evaluate(self, now: int) -> Beat:
        """Merge what changed; step the place's own alerts."""
        beat = Beat(ROLL_UP, now)
        due, self._dirty = self._dirty, set()
        for kpi, end in sorted(due, key=lambda key: (key[1], key[0])):
            if self._is_turning(kpi, end, now):
                self._dirty.add((kpi, end))
            else:
                self._merge(beat, kpi, end)
        self._step_alerts(beat, now)
        self._beats += 1
        beat.offset = self._beats
        if now // HOUSEKEEPING_MS != self._kept_house_at // HOUSEKEEPING_MS:
            self._keep_house(now)
        return beat

    def _is_turning(self, kpi: str, end: int, now: int) -> bool:
        """Whether a window has begun just now, and partitions have still to tell their shares that told one of the
        window shown: until then that one stays."""
        shown = self._newest.get((kpi, self._catalogue.place.code))
        every_ms = self._catalogue.kpis[kpi].every_s * 1000
        if shown is None or shown.end >= end or reach_ms(self._catalogue.kpis[kpi]) <= every_ms:
            return False
        if not 0 <= now - (end - every_ms) < TURN_MS:
            return False
        before = self._windows.get((kpi, shown.end))
        return before is not None and not before.shares.keys() <= self._windows[kpi, end].shares.keys()

    def _merge(self, beat: Beat, kpi_id: str, end: int) -> None:
        kpi = self._catalogue.kpis[kpi_id]
        catalogue, shares = self._catalogue, list(self._windows[kpi_id, end].shares.values())
        named = [catalogue.unit_index.get(unit, -1) for share in shares for unit in share.units]
        known_units = np.flatnonzero(np.array(named, dtype=np.int64) >= 0)
        if not len(known_units):
            return
        units = np.array(named, dtype=np.int64)[known_units]
        told = picked(concatenate([cells_of(share, bound_of(kpi)) for share in shares]), known_units)
        districts = catalogue.scope_of_unit[units]
        by_district = group(told, districts, len(catalogue.scope_codes) - 1)
        whole = group(told, np.zeros(len(units), np.int64), 1)
        cells = concatenate([by_district, whole])
        values = combine(kpi, cells)
        closed = all(share.is_closed for share in shares)
        for scope in [*np.unique(districts).tolist(), len(catalogue.scope_codes) - 1]:
            raw = float(values[scope])
            newest = int(cells.last_time[scope])
            value = self._value(
                kpi_id, self._catalogue.scope_codes[scope], end, kpi.window_s * 1000, None if np.isnan(raw) else raw,
                int(cells.n[scope]), int(cells.sources[scope]), end if newest == EMPTY else newest, closed,
            )  # fmt: skip
            if value is None:
                continue
            if value.state != "provisional":
                self._values.append(value)
                beat.closed.append(value)
            known = self._newest.get((kpi_id, value.scope))
            if known is None or known.end <= end:
                self._newest[kpi_id, value.scope] = value
                beat.current.append(value)

    def _value(
        self,
        kpi: str,
        scope: str,
        end: int,
        window_ms: int,
        number: float | None,
        n: int,
        sources: int,
        as_of: int,
        closed: bool,
    ) -> Value | None:
        state: State = "provisional"
        revision = 0
        before = self._closed.get((kpi, scope, end))
        if closed or before is not None:
            # Said to be closed once, a window is amended step by step, also while a unit that is late is still open.
            # Unknown of the same readings: it was told under another definition, and stays as that had it.
            if before is not None and before.n == n and number in (before.value, None):
                return None
            revision = 0 if before is None else before.revision + 1
            state = "final" if before is None else "corrected"
            self._closed[kpi, scope, end] = Closed(revision, n, number)
        return Value(kpi, scope, end - window_ms, end, number, n, sources, state, revision, as_of)

    def _step_alerts(self, beat: Beat, now: int) -> None:
        place = self._catalogue.place.code
        if not self._has_begun:
            self._has_begun = True
            self._alerts.withdraw_undefined({place}, now)
        for rule in self._catalogue.rules.values():
            if rule.scope != "place" or not rule.kpi:
                continue
            value = self._newest.get((rule.kpi, place))
            if value is not None:
                fresh = now - value.as_of <= self._catalogue.kpis[rule.kpi].fresh_s * 1000
                self._alerts.observe_value(rule.id, place, value.value if fresh else None, value.n, now)
        beat.alerts, beat.steps = self._alerts.take()
        self._changed.update((alert.id, alert) for alert in beat.alerts)
        self._steps.extend(beat.steps)

    def _keep_house(self, now: int) -> None:
        self._kept_house_at = now
        # While the database takes nothing, it could not give back what is forgotten here.
        before = min(now - KEPT_MS, self._committed_at)
        for key, window in list(self._windows.items()):
            if window.spoken_at <= before and window.is_written(self._written):
                del self._windows[key]
        self._closed = {key: closed for key, closed in self._closed.items() if (key[0], key[2]) in self._windows}

    def committed(self, at: int) -> None:
        """The roll-up's own checkpoint of the beat `at` has been written."""
        self._committed_at = at

    def checkpoint(self, now: int, mails: list[Mail], summaries: list[SummaryRow], beats: bytes = b"") -> Checkpoint:
        """Everything changed since the last checkpoint. Call right after `evaluate`; `beats` are passed on."""
        # Sorted: in which order they were first told is forgotten with the process.
        still_open = [value for _, value in sorted(self._newest.items()) if value.state == "provisional"]
        standing = _Standing(still_open, dict(sorted(self._silent.items())))
        result = Checkpoint(
            partition=ROLL_UP,
            expected=self._expected,
            offset=self._beats,
            ordinal=0,
            at=now,
            clock=b"",
            totals=Counts(),
            values=self._values,
            alerts=list(self._changed.values()),
            steps=self._steps,
            applied=self._applied,
            mails=mails,
            summaries=summaries,
            pending_holds=self._alerts.packed_holds(),
            open_values=msgspec.msgpack.encode(standing),
            beats=beats,
            expected_at=self._expected_at,
        )
        self._expected, self._expected_at = self._beats, now
        self._clear_checkpoint()
        return result
