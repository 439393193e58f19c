"""The oracle: from the messages of a city in the order they were published, it knows what the centre must answer.

A second implementation, on purpose: imports run simulators → sensors only, so nothing of the processor is used but
the decoders. `outcome` has the rules for messages, `numbering` what sources sent, `expectation` the KPI windows,
`alarm` the alerts.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec

from sensors.kind import Kind
from sensors.place import Place
from sensors.topic import Topic, parse, partition_of
from simulators.alarm import Arrivals, Key, Rule, Sequence, of_silence, sequences
from simulators.expectation import Definition, Readings, Window, Windows, windows
from simulators.numbering import Numbering, Sent
from simulators.outcome import Judge, Verdict

MINUTE_MS = 60_000
Row = tuple[int, str, int]
"""Partition, kind, minute (ms UTC, by reception)."""


class Ledger(msgspec.Struct):
    """Counts of messages by outcome, and of readings in them."""

    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    too_late: int = 0
    rejected: int = 0
    readings: int = 0
    set_aside: int = 0

    def add(self, verdict: Verdict) -> None:
        self.received += 1
        setattr(self, verdict.outcome, getattr(self, verdict.outcome) + 1)
        self.readings += len(verdict.readings)
        self.set_aside += verdict.aside


class Oracle:
    """Tell it every message with `hear`; then ask."""

    def __init__(self, place: Place, kinds: Mapping[str, Kind], partitions: int, at: int) -> None:
        """`at` (ms UTC): a moment of the run, for the offset of the place's time zone."""
        moment = datetime.fromtimestamp(at / 1000, UTC)
        offset = ZoneInfo(place.zone).utcoffset(moment)
        assert offset is not None
        self.zone_ms = round(offset.total_seconds()) * 1000
        self._place, self._kinds, self._partitions = place, kinds, partitions
        self._judge = Judge(place, kinds, self.zone_ms)
        self._readings, self._numbering = Readings(), Numbering()
        self.arrived: dict[tuple[str, str], Arrivals] = {}
        self.heard: dict[Topic, list[tuple[int, bool]]] = {}
        self.rows: dict[Row, Ledger] = {}
        self.reasons: Counter[str] = Counter()

    def hear(self, topic: str, payload: bytes, received_at: int) -> Verdict:
        """Take the next message in."""
        verdict = self._judge.judge(topic, payload, received_at)
        row = (partition_of(topic, self._partitions), verdict.kind, received_at // MINUTE_MS * MINUTE_MS)
        self.rows.setdefault(row, Ledger()).add(verdict)
        self.reasons.update(verdict.reasons)
        self._readings.add(verdict.readings)
        if verdict.readings:
            first = verdict.readings[0]
            self.arrived.setdefault((first.kind, first.unit), []).append((received_at, verdict.readings))
        self._note_heard(topic, payload, received_at, verdict)
        if verdict.topic is not None:
            self._numbering.note(verdict.topic, verdict.sequence, verdict.is_readable)
        return verdict

    def _note_heard(self, topic: str, payload: bytes, received_at: int, verdict: Verdict) -> None:
        """A source is heard when a message of it can be read, or when it says that it is here (or no longer)."""
        if verdict.outcome != "rejected":
            name = parse(topic)
            source = name._replace(is_status=False)
            self.heard.setdefault(source, []).append((received_at, not name.is_status or payload == b"online"))

    def lateness_ms(self, kind: str) -> int:
        """How late a reading of this kind may be and still count."""
        return self._kinds[kind].lateness_s * 1000

    def total(self) -> Ledger:
        """The whole ledger."""
        return _sum(self.rows.values())

    def by_kind(self) -> dict[tuple[int, str], Ledger]:
        """The ledger by partition and kind, all minutes together."""
        found: dict[tuple[int, str], list[Ledger]] = {}
        for (partition, kind, _), counts in self.rows.items():
            found.setdefault((partition, kind), []).append(counts)
        return {key: _sum(counts) for key, counts in found.items()}

    def sent(self) -> dict[Topic, Sent]:
        """What each numbering source has sent."""
        return self._numbering.sent()

    def windows(self, kpi: Definition) -> Windows:
        """Every window of a KPI that says something, whether it is closed by now or not."""
        found = windows(kpi, self._readings, self._place, self.zone_ms)
        return {key: window for key, window in found.items() if says_something(window)}

    def value_alerts(
        self, rules: Mapping[str, Rule], kpis: Mapping[str, Definition], until: int
    ) -> dict[Key, Sequence]:
        """What rules on KPIs do up to `until` (ms UTC), if messages were told as they were received; the whole place's
        only if they were not so late that they could not count any more."""
        settle = {name: kind.settle_s * 1000 for name, kind in self._kinds.items()}
        return sequences(rules, kpis, self.arrived, settle, self._place.code, self.zone_ms, until)

    def silence_alerts(self, rules: Mapping[str, Rule], until: int) -> dict[Key, Sequence]:
        """What rules on silence do up to `until`, for every source that was ever heard."""
        found = {
            (rule.id, source.unit, source.source): of_silence(rule, heard, until)
            for rule in rules.values() for source, heard in self.heard.items() if source.kind == rule.silent
        }  # fmt: skip
        return {key: sequence for key, sequence in found.items() if sequence.steps or not sequence.is_sure}

    def closed(self, kpi: Definition, found: Windows) -> set[tuple[str, int]]:
        """Of `found`, the windows that must be closed: a unit's, when the unit's own time has gone past its end and
        the kind's settling; a district's and the place's, when no unit of the place has that window open."""
        settle = self._kinds[kpi.kind].settle_s * 1000
        units = self._place.units
        is_open = {
            (scope, end) for scope, end in found
            if scope in units and end > self._judge.watermarks[kpi.kind, scope] - settle
        }  # fmt: skip
        ends = {end for _, end in is_open}
        return {(scope, end) for scope, end in found if (scope, end) not in is_open and
                (scope in units or end not in ends)}  # fmt: skip


def says_something(window: Window) -> bool:
    """A window without a value and without readings behind it is never told."""
    return window.value is not None or window.n > 0


def _sum(rows: Iterable[Ledger]) -> Ledger:
    total = Ledger()
    for row in rows:
        for name in Ledger.__struct_fields__:
            setattr(total, name, getattr(total, name) + getattr(row, name))
    return total
