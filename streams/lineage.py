"""The way back from one number to its messages: the journal's messages of one window, judged one by one.

A plain second telling of what `streams.intake` and `streams.verdict` do in columns: the first telling of a reading
counts, what is too late by its kind's lateness does not, what a device under calibration says is set aside. Two things
a stretch of the journal cannot tell by itself come from the history: which whole messages were too late (they are kept
as such), and between which records a unit's value lies. Records before those are read for what had been told before;
nothing of them is counted.
"""

import heapq
from typing import NamedTuple

from sensors import batch as batches
from sensors.decoders import cloudevents, senml
from sensors.errors import MessageRejected
from sensors.journal import Record
from sensors.kind import Kind
from sensors.reading import DeskEvent, Pack
from sensors.topic import Topic, parse
from streams.catalogue import Catalogue, reach_ms
from streams.explanation import Linked, MessageLine, Outcome, ReadingLine
from streams.kpi import Kpi
from streams.linkage import Linkage, Mate
from streams.payload import shown
from streams.stretch import Stretch, Told
from streams.tally import Tally
from streams.ticket import STEPS, Derived
from streams.timekeeper import NEVER, Timekeeper

DECODED_MAX = 200_000
"""Messages of the kind and units that are decoded unless more are asked for: some seconds of work."""

TOPICS_CACHED = 200_000

_RANK: dict[Outcome, int] = {
    "counted": 5, "set_aside": 4, "too_late": 3, "duplicate": 2, "other_window": 1, "rejected": 0,
}  # fmt: skip


class _Judged(NamedTuple):
    """What became of a message; `observed` is the newest time it gives itself (NEVER: none)."""

    outcome: Outcome
    readings: list[ReadingLine]
    observed: int = NEVER
    reason: str = ""
    detail: str = ""
    step: str = ""
    ticket: str = ""
    linked: tuple[Mate, ...] = ()


class Lineage:
    """One window of one KPI over `units`: `begin` a stretch, `take` its records in order; again for every partition."""

    def __init__(
        self, kpi: Kpi, catalogue: Catalogue, units: frozenset[str], end: int, listed: int, most: int = DECODED_MAX
    ) -> None:
        """`listed` messages are kept to be shown, and `most` are decoded."""
        self.kpi = kpi
        self.end = end
        self.start = end - reach_ms(kpi)
        self.tally = Tally(kpi, catalogue, end)
        self.ahead_ms: dict[tuple[str, str], int] = {}
        self.unit_n: dict[str, int] = {}
        self.outcomes: dict[str, int] = {}
        self.records = self.messages = self.decoded = 0
        self._kind: Kind = catalogue.kinds[kpi.kind]
        self._units = units
        self._time = Timekeeper(self._kind.lateness_s * 1000)
        self._topics: dict[str, Topic | None] = {}
        self._seen: set[tuple[str | bytes | int, ...]] = set()
        self._linkage = Linkage(catalogue.zone_ms, 2 * int(catalogue.lateness_ms.max()))
        self._listed = listed
        self.most = most
        self._near: list[tuple[int, int, int, int, Told, _Judged]] = []
        self._far: list[tuple[int, int, int, int, Told, _Judged]] = []

    @property
    def is_full(self) -> bool:
        """Whether no more may be decoded."""
        return self.decoded >= self.most

    def begin(self, stretch: Stretch) -> None:
        """The records that follow are of this stretch, or come before it in its partition."""
        self._stretch = stretch
        self._next_ordinal = 0
        self._linkage.begin()

    def take(self, record: Record) -> None:
        """Judge the messages of one record; those of other kinds and units are passed over undecoded, and so is a
        record that no bridge wrote."""
        self.records += 1
        try:
            batch = batches.decode(record.batch)
        except MessageRejected:
            return
        self.messages += len(batch.topics)
        skip = max(0, self._next_ordinal - batch.first)
        self._next_ordinal = max(self._next_ordinal, batch.after)
        again = set(batch.redelivered)
        for index, name in enumerate(batch.topics[skip:], start=skip):
            topic = self._topic(name)
            if topic is not None and not self.is_full:
                self._hear(
                    Told(
                        topic, name, record.partition, record.offset, batch.first + index, batch.received_at[index],
                        index in again, index, batch.renumbered, batch.payloads[index],
                    )
                )  # fmt: skip

    def lines(self) -> list[MessageLine]:
        """The messages listed, newest first: those of this window before those of others."""
        rest = self._listed - len(self._near)
        chosen = self._near + (heapq.nlargest(rest, self._far) if rest > 0 else [])
        return [self._line(told, judged) for *_, told, judged in sorted(chosen, reverse=True)]

    def _topic(self, name: str) -> Topic | None:
        if name not in self._topics:
            try:
                topic: Topic | None = parse(name)
            except MessageRejected:
                topic = None
            if topic is not None and (topic.kind != self.kpi.kind or topic.unit not in self._units or topic.is_status):
                topic = None
            if len(self._topics) >= TOPICS_CACHED:
                self._topics.clear()
            self._topics[name] = topic
        return self._topics[name]

    def _hear(self, told: Told) -> None:
        self.decoded += 1
        is_inside = self._stretch.holds(told.topic.unit, told.offset)
        judged = self._judge(told, is_inside)
        if not is_inside:
            return
        self.outcomes[judged.outcome] = self.outcomes.get(judged.outcome, 0) + 1
        source = (told.topic.unit, told.topic.source)
        if judged.outcome == "counted" and judged.observed != NEVER:
            ahead = judged.observed - told.received_at
            self.ahead_ms[source] = max(ahead, self.ahead_ms.get(source, ahead))
        heap = self._near if _RANK[judged.outcome] > 1 else self._far
        entry = (told.received_at, told.partition, told.offset, told.ordinal, told, judged)
        if len(heap) < self._listed:
            heapq.heappush(heap, entry)
        elif self._listed:
            heapq.heappushpop(heap, entry)

    def _judge(self, told: Told, is_inside: bool) -> _Judged:
        try:
            if self._kind.format == "senml":
                return self._pack(told, senml.decode(told.payload, told.received_at, self._kind), is_inside)
            return self._event(told, cloudevents.decode(told.payload, told.received_at, self._kind), is_inside)
        except MessageRejected as rejected:
            return _Judged("rejected", [], reason=rejected.reason, detail=rejected.detail)

    def _pack(self, told: Told, pack: Pack, is_inside: bool) -> _Judged:
        observed = max((reading.time for reading in pack.readings), default=NEVER) if pack.is_timed else NEVER
        is_repeated = False
        if not pack.is_timed:
            key = (told.name, told.payload)
            copy = (*key, told.received_at, told.place)
            is_repeated = (told.redelivered and key in self._seen) or (told.renumbered and copy in self._seen)
            self._seen.update((key, copy))
        lines = []
        for quantity, time, value in pack.readings:
            outcome: Outcome = "duplicate" if is_repeated else self._verdict(told, quantity, time, pack.is_timed)
            if outcome == "counted" and pack.status == "measuring":
                self._count(told, quantity, time, value, "", is_inside)
            elif outcome == "counted":
                outcome = "set_aside"
            lines.append(ReadingLine(quantity, time, value, self._seen_from_here(outcome, quantity, time, "")))
        detail = pack.status if pack.status != "measuring" else ""
        return _Judged(_best(lines), lines, observed, detail=detail)

    def _verdict(self, told: Told, quantity: str, time: int, is_timed: bool) -> Outcome:
        """Whether a reading counts, and if not, why."""
        stream, key = (told.name, quantity), (told.name, quantity, time)
        late, repeated = self._time.judge(told.topic.unit, stream, time, told.received_at, is_timed)
        if repeated and key in self._seen:
            return "duplicate"
        if late or told.ordinal in self._stretch.too_late:
            return "too_late"
        self._time.reach(told.topic.unit, min(time, told.received_at))
        if is_timed:
            self._seen.add(key)
        return "counted"

    def _event(self, told: Told, event: DeskEvent, is_inside: bool) -> _Judged:
        field = str(event.data.get("field", ""))
        lines: list[ReadingLine] = []
        linked: list[Mate] = []
        key = (event.source, event.id)
        outcome: Outcome = "duplicate" if key in self._seen else "counted"
        if outcome == "counted" and not self._is_in_time(told, event):
            outcome = "too_late"
        if outcome == "counted":
            self._seen.add(key)
            self._time.reach(told.topic.unit, min(event.time, told.received_at))
            for (quantity, time, value), mates in self._derived(told, event, field):
                self._count(told, quantity, time, value, field, is_inside)
                seen = self._seen_from_here("counted", quantity, time, field)
                lines.append(ReadingLine(quantity, time, value, seen))
                linked += mates if quantity == self.kpi.quantity else []
            outcome = _best(lines)
        elif not self._is_wanted(self.kpi.quantity, event.time, field):
            outcome = "other_window"
        observed = event.time if event.is_timed else NEVER
        ticket = str(event.data.get("ticket", ""))
        return _Judged(outcome, lines, observed, step=event.event, ticket=ticket, linked=tuple(linked))

    def _is_in_time(self, told: Told, event: DeskEvent) -> bool:
        late = self._time.judge_event(told.topic.unit, told.name, event.time, told.received_at)
        return not late and told.ordinal not in self._stretch.too_late

    def _derived(self, told: Told, event: DeskEvent, field: str) -> list[tuple[Derived, list[Mate]]]:
        if event.event in STEPS:
            found = self._linkage.step(told, event, field)
            return [(derived, mates) for derived, mates in found if derived.quantity in self._kind.quantities]
        quantity = self._kind.events[event.event].requires[0]
        return [(Derived(quantity, event.time, float(event.data[quantity])), [])]

    def _is_wanted(self, quantity: str, time: int, field: str) -> bool:
        """Whether a reading belongs to the KPI and this window."""
        is_ours = quantity in self.tally.quantities and (not self.kpi.field or field == self.kpi.field)
        return is_ours and self.start <= time < self.end

    def _seen_from_here(self, outcome: Outcome, quantity: str, time: int, field: str) -> Outcome:
        return outcome if self._is_wanted(quantity, time, field) else "other_window"

    def _count(self, told: Told, quantity: str, time: int, value: float, field: str, is_inside: bool) -> None:
        if is_inside and self._is_wanted(quantity, time, field):
            self.tally.add((told.topic.unit, told.topic.source), quantity, time, value)
            self.unit_n[told.topic.unit] = self.unit_n.get(told.topic.unit, 0) + 1

    def _line(self, told: Told, judged: _Judged) -> MessageLine:
        payload = shown(told.payload, self._kind)
        linked = [
            Linked(step, time, one.name, one.partition, one.offset, one.ordinal, one.received_at,
                   shown(one.payload, self._kind).text)
            for step, time, one in judged.linked
        ]  # fmt: skip
        return MessageLine(
            told.name, told.partition, told.offset, told.ordinal, told.received_at, judged.outcome, judged.reason,
            judged.detail, judged.readings, judged.step, judged.ticket, linked, payload.text, payload.encoding,
            len(told.payload), payload.is_reduced,
        )  # fmt: skip


def _best(lines: list[ReadingLine]) -> Outcome:
    """Of a message: the best that became of any of its readings."""
    return max((line.outcome for line in lines), key=_RANK.__getitem__, default="other_window")
