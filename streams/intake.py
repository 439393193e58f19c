"""The intake: a beat's batches are decoded into columns; what cannot be used becomes a rejection.

Nearly all messages are plain SenML and are decoded by hundreds (`sensors.decoders.packs`); the others, events, statuses
and everything out of the ordinary, one by one in order of arrival. Readings are not judged here, events are.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sensors.batch import JournaledBatch, topic_text
from sensors.decoders import cloudevents, senml
from sensors.decoders.packs import PackDecoder
from sensors.errors import MessageRejected
from sensors.journal import Record
from sensors.key import key_of
from sensors.kind import Kind
from sensors.payloads import Payloads
from sensors.reading import DeskEvent, Pack
from streams.beat import Rejection
from streams.catalogue import Catalogue
from streams.clock import Clocks
from streams.columns import Floats, Ints, present
from streams.identity import SeenSet
from streams.ledger import ACCEPTED, DUPLICATE, REJECTED, TOO_LATE
from streams.pane import EMPTY
from streams.route import Route, Routed, Routes
from streams.source import STATUSES, Sources, Spoken
from streams.ticket import STEPS, Derived, TicketBook
from streams.verdict import Readings

PAYLOAD_KEPT_BYTES = 65_536
RECORD_KEPT_BYTES = 1_024
REJECTIONS_A_CHECKPOINT = 500
"""Kept of one second's rejections; the others are counted by their reason only: junk must fill neither disk nor memory,
and one message can be rejected a thousand times, reading by reading."""

_DECODERS: dict[str, Callable[[bytes, int, Kind], Pack | DeskEvent]] = {
    "senml": senml.decode,
    "cloudevents": cloudevents.decode,
}
_Columns = tuple[Ints, Ints, Ints, Floats]
"""Message, quantity, time, value of readings."""


class Taken(NamedTuple):
    """A beat's messages in columns, in order of arrival: kind (−1 unknown), outcome (UNDECIDED where the readings
    decide) and time received; the `readings` in them; and how far events brought the time of their groups."""

    kind: Ints
    outcome: Ints
    received_at: Ints
    readings: Readings
    reached: dict[int, int]


class Intake:
    """Holds batches between two beats, and decodes them on the beat: `observe` …, `take`, `clear`.

    What a beat leaves behind besides columns: `rejections`, and how often each of the `reasons` was given,
    `readings_rejected`, `new_keys` (identities of events and of messages without a time or a readable number, by
    kind), `foreign` (records that no bridge wrote: offset, why not, first bytes), `gap` (ordinals that never came),
    `bridges` (each bridge's last batch) and `overtaken` (when bridges were overtaken last, by their own word).
    """

    def __init__(
        self, number: int, catalogue: Catalogue, sources: Sources, tickets: TicketBook, seen: list[SeenSet],
        clocks: Clocks,
    ) -> None:  # fmt: skip
        self._number = number
        self._catalogue = catalogue
        self._sources = sources
        self._tickets = tickets
        self._seen = seen
        self._clocks = clocks
        self._routes = Routes(catalogue, sources)
        kinds = [catalogue.kinds[name] for name in catalogue.kind_index]
        self._decoders = [PackDecoder(kind) if kind.format == "senml" else None for kind in kinds]
        self._quantities = [
            np.array([catalogue.quantity_index[kind.id, name] for name in kind.quantities], dtype=np.int64)
            for kind in kinds
        ]
        self.next_ordinal = self.sealed_at = 0
        self.clear()

    def clear(self) -> None:
        """The next beat begins: nothing is held."""
        self._batches: list[tuple[int, int, JournaledBatch]] = []
        self.pending = self.pending_bytes = 0
        self.gap = 0
        self.bridges: dict[str, JournaledBatch] = {}
        self.overtaken: dict[str, int] = {}
        self.new_keys: dict[int, list[int]] = {}
        self.reasons: Counter[str] = Counter()
        self.readings_rejected = 0
        self._rejected: list[tuple[int, int, str, str]] = []
        self._arrived: set[tuple[int, int]] = set()
        self.foreign: list[tuple[int, str, bytes]] = []

    def observe(self, offset: int, batch: JournaledBatch) -> None:
        """Take one journaled batch in. Messages whose ordinals have been taken before are passed over."""
        self.bridges[batch.bridge] = batch
        if batch.overtaken:  # of two bridges of one name the last batch may be the other's
            self.overtaken[batch.bridge] = max(batch.overtaken_at, self.overtaken.get(batch.bridge, 0))
        skip = max(0, self.next_ordinal - batch.first)
        self.gap += max(0, batch.first - self.next_ordinal)
        if skip < batch.count:
            self._batches.append((offset, skip, batch))
            self.pending += batch.count - skip
            self.pending_bytes += len(batch.text)
        self.next_ordinal = max(self.next_ordinal, batch.after)
        self.sealed_at = max(self.sealed_at, batch.sealed_at)

    def refuse(self, record: Record, rejected: MessageRejected) -> None:
        """Take a record in that no bridge wrote."""
        self.foreign.append((record.offset, rejected.detail, record.batch[:RECORD_KEPT_BYTES]))

    def refused(self, now: int) -> list[Rejection]:
        """Such records as rejections of the beat at `now`: they have no ordinals, so theirs count down from −1 with the
        offset."""
        return [
            Rejection(self._number, -1 - offset, 0, now, "", "bad_record", f"journal record {offset}: {detail}", begin)
            for offset, detail, begin in self.foreign
        ]

    def take(self) -> Taken:
        """Decode everything held."""
        self._lay_out()
        routed, rejected = self._routes.of(self._keys, self._topics)
        for message, reason in rejected.items():
            self._reject(message, reason)
        columns, left = self._take_plain(routed)
        spelled: list[tuple[int, int, int, float]] = []
        for message in left.tolist():
            self._take_one(message, self._routes.table[routed.route[message]], spelled)
        self._tell_sources(routed.source)
        readings = self._readings(columns, spelled, routed)
        return Taken(routed.kind, self._outcome, self._received, readings, self._reached)

    def _lay_out(self) -> None:
        """The columns of the messages held: one entry each, in order of arrival."""
        count = self.pending
        sizes = [batch.count - skip for _, skip, batch in self._batches]
        keys = [np.frombuffer(batch.topic_keys, "<u8")[skip:] for _, skip, batch in self._batches]
        self._keys = np.concatenate(keys)
        self._topics = Payloads.joined(
            [_texts(batch.topics, batch.topic_sizes, skip) for _, skip, batch in self._batches]
        )
        self._payloads = Payloads.joined([_texts(batch.text, batch.sizes, skip) for _, skip, batch in self._batches])
        times = [np.frombuffer(batch.received_at, "<i8")[skip:] for _, skip, batch in self._batches]
        self._received = np.concatenate(times).astype(np.int64)
        self._offset = np.repeat(np.array([offset for offset, _, _ in self._batches], dtype=np.int64), sizes)
        firsts = [batch.first + skip for _, skip, batch in self._batches]
        begins = np.cumsum([0, *sizes])[:-1]
        self._ordinal = np.repeat(np.array(firsts, dtype=np.int64) - begins, sizes) + np.arange(count)
        skips = np.array([skip for _, skip, _ in self._batches], dtype=np.int64)
        self._place = np.arange(count) - np.repeat(begins - skips, sizes)
        self._renumbered = np.repeat(np.array([batch.renumbered for *_, batch in self._batches], dtype=np.bool_), sizes)
        self._redelivered = {
            int(begin) + index - skip
            for begin, (_, skip, batch) in zip(begins, self._batches, strict=True)
            for index in batch.redelivered
        }
        self._outcome, self._field, self._status = (np.zeros(count, np.int64) for _ in range(3))
        self._judged, self._aside, self._said = (np.zeros(count, np.bool_) for _ in range(3))
        self._observed, self._sequence = np.full(count, EMPTY, np.int64), np.full(count, -1, np.int64)
        self._statuses: list[tuple[int, int, bool]] = []
        self._unreadable: list[int] = []
        self._reached: dict[int, int] = {}

    # Many at once

    def _take_plain(self, routed: Routed) -> tuple[list[_Columns], Ints]:
        """Decode the plain packs; returns their reading columns by kind, and the messages that are left."""
        left = routed.kind >= 0
        found: list[_Columns] = []
        for kind in present(routed.kind[left]):
            decoder = self._decoders[kind]
            mine = np.flatnonzero((routed.kind == kind) & ~routed.is_status)
            if decoder is None or not len(mine):
                continue
            payloads = self._payloads if len(mine) == self.pending else self._payloads.pick(mine)
            packs = decoder.decode(payloads, self._received[mine])
            plain = mine[packs.is_plain]
            left[plain] = False
            self._said[plain] = True
            self._sequence[plain] = packs.number[packs.is_plain]
            message = mine[packs.message]
            np.maximum.at(self._observed, message, packs.time)
            found.append((message, self._quantities[kind][packs.quantity], packs.time, packs.value))
        return found, np.flatnonzero(left)

    # One by one

    def _take_one(self, message: int, route: Route, spelled: list[tuple[int, int, int, float]]) -> None:
        payload, received_at = self._payloads[message], int(self._received[message])
        try:
            if route.topic.is_status:
                self._take_status(message, payload)
                return
            decoded = _DECODERS[route.kind.format](payload, received_at, route.kind)
        except MessageRejected as rejected:
            if rejected.sequence is not None:
                self._sequence[message] = rejected.sequence
            elif not route.topic.is_status and not self._is_told_again(message, route.kind_index):
                self._unreadable.append(route.source)
            self._reject(message, rejected)
            return
        if isinstance(decoded, Pack):
            self._take_pack(message, route, decoded, spelled)
        else:
            self._take_event(message, route, decoded, spelled)

    def _take_status(self, message: int, payload: bytes) -> None:
        if payload not in (b"online", b"offline"):
            raise MessageRejected("bad_payload", "a status is the word online or offline")
        self._outcome[message] = ACCEPTED
        self._statuses.append((message, int(self._received[message]), payload == b"online"))

    def _take_pack(self, message: int, route: Route, pack: Pack, spelled: list[tuple[int, int, int, float]]) -> None:
        newest = max((reading.time for reading in pack.readings), default=EMPTY)
        self._say(message, newest if pack.is_timed else EMPTY, pack.sequence)
        self._status[message] = STATUSES.index(pack.status)
        if not pack.is_timed:
            self._judged[message] = True
            if self._is_told_again(message, route.kind_index):
                self._outcome[message] = DUPLICATE
                return
        self._aside[message] = pack.status != "measuring"
        if not pack.readings:
            self._outcome[message] = ACCEPTED
        for reading in pack.readings:
            spelled.append((message, route.quantities[reading.quantity], reading.time, reading.value))
        for part, bad in enumerate(pack.bad, start=1):
            self.readings_rejected += 1
            self._keep(message, part, bad.reason, bad.detail)

    def _take_event(
        self, message: int, route: Route, event: DeskEvent, spelled: list[tuple[int, int, int, float]]
    ) -> None:
        received_at = int(self._received[message])
        self._say(message, event.time if event.is_timed else EMPTY, event.sequence)
        key = key_of(f"{event.source}\0{event.id}")
        if self._seen_before(route.kind_index, key):
            self._outcome[message] = DUPLICATE
            return
        if not self._is_in_time(route, event.time, received_at):
            self._outcome[message] = TOO_LATE
            self._keep(message, 0, "too_late", f"observed {(received_at - event.time) // 1000} s before it came")
            return
        self._outcome[message] = ACCEPTED
        self._note_new(route.kind_index, key)
        self._judged[message] = True
        self._field[message] = self._catalogue.field_index.get(str(event.data.get("field", "")), 0)
        for derived in self._derive(route, event, received_at):
            spelled.append((message, route.quantities[derived.quantity], derived.time, derived.value))

    def _say(self, message: int, observed: int, sequence: int | None) -> None:
        """The message can be used; `observed` is EMPTY where the device gave no time."""
        self._said[message], self._observed[message] = True, observed
        if sequence is not None:
            self._sequence[message] = sequence

    def _is_in_time(self, route: Route, time: int, received_at: int) -> bool:
        """Whether an event may count, by the same rules as readings (streams.verdict); if so, time has reached it."""
        lateness = int(self._catalogue.lateness_ms[route.kind_index])
        running = self._reached.get(route.group, int(self._clocks.newest[route.group]))
        stream = int(self._sources.columns["stream"][route.source])
        newest, received = self._sources.streams["newest"], self._sources.streams["received"]
        own, silence = int(newest[stream]), max(0, received_at - int(received[stream]))
        if time < running - lateness or (own != EMPTY and time <= own and time < own + silence - lateness):
            return False
        self._reached[route.group] = max(running, min(time, received_at))
        if time > own:
            newest[stream], received[stream] = time, received_at
        return True

    def _derive(self, route: Route, event: DeskEvent, received_at: int) -> list[Derived]:
        if event.event not in STEPS:
            value = event.data[route.kind.events[event.event].requires[0]]
            return [Derived(route.kind.events[event.event].requires[0], event.time, float(value))]
        day = (event.time + self._catalogue.zone_ms) // 86_400_000
        desk = f"{route.topic.unit}/{route.topic.source}"
        ticket = f"{day}/{event.data['ticket']}"
        field = str(event.data.get("field", ""))
        derived = self._tickets.step(desk, ticket, event.event, event.time, received_at, field)
        return [reading for reading in derived if reading.quantity in route.quantities]

    def _is_told_again(self, message: int, kind: int) -> bool:
        """Whether the broker delivers again what nothing in it tells apart, or the bridge had it journaled before it
        numbered it anew; if not, it is noted."""
        said = key_of(f"{self._topic(message)}\0{self._payloads[message]!r}")
        copy = key_of(f"{said}\0{self._received[message]}\0{self._place[message]}")
        if message in self._redelivered and self._seen_before(kind, said):
            return True
        if self._renumbered[message] and self._seen_before(kind, copy):
            return True
        self._note_new(kind, said)
        self._note_new(kind, copy)
        return False

    def _seen_before(self, kind: int, key: int) -> bool:
        if (kind, key) in self._arrived:
            return True
        return bool(self._seen[kind].contains(np.array([key], dtype=np.uint64))[0])

    def _note_new(self, kind: int, key: int) -> None:
        self.new_keys.setdefault(kind, []).append(key)
        self._arrived.add((kind, key))

    # What comes of it

    def _reject(self, message: int, rejected: MessageRejected) -> None:
        self._outcome[message] = REJECTED
        self._keep(message, 0, rejected.reason, rejected.detail)

    def keep_too_late(self, messages: list[int], details: list[str]) -> None:
        """Keep messages that came too late, as what cannot be used is kept: with their payload."""
        for message, detail in zip(messages, details, strict=True):
            self._keep(message, 0, "too_late", detail)

    def _keep(self, message: int, part: int, reason: str, detail: str) -> None:
        if reason != "too_late":  # an outcome of its own
            self.reasons[reason] += 1
        heapq.heappush(self._rejected, (message, part, reason, detail[:500]))
        if len(self._rejected) > REJECTIONS_A_CHECKPOINT:
            heapq.heappop(self._rejected)

    def rejections(self) -> list[Rejection]:
        """The beat's last ones, in order of arrival; all of one message hold the same payload."""
        payloads = {message: self._payloads[message][:PAYLOAD_KEPT_BYTES] for message, *_ in self._rejected}
        return [
            Rejection(
                self._number, int(self._ordinal[message]), part, int(self._received[message]),
                self._topic(message)[:1024], reason, detail, payloads[message],
            )
            for message, part, reason, detail in sorted(self._rejected)
        ]  # fmt: skip

    def _topic(self, message: int) -> str:
        return topic_text(self._topics[message])

    def _tell_sources(self, source: Ints) -> None:
        sources = self._sources
        said = np.flatnonzero(self._said)
        sources.spoke(Spoken(source[said], self._received[said], self._observed[said], self._status[said]))
        numbered = np.flatnonzero(self._sequence >= 0)
        sources.count(source[numbered], self._sequence[numbered], self._observed[numbered])
        sources.cannot_read(self._unreadable)
        for message, at, is_online in self._statuses:
            # What a source says after its good-bye takes that back.
            if is_online or not (source[said[said > message]] == source[message]).any():
                sources.tell_status(int(source[message]), at, is_online)

    def _readings(
        self, columns: list[_Columns], spelled: list[tuple[int, int, int, float]], routed: Routed
    ) -> Readings:
        if spelled or not columns:
            ints = np.array([row[:3] for row in spelled], dtype=np.int64).reshape(-1, 3)
            columns = [*columns, (*ints.T, np.array([row[3] for row in spelled], dtype=np.float64))]
        message, quantity, time, value = columns[0]
        if len(columns) > 1:
            message, quantity, time, value = (np.concatenate(parts) for parts in zip(*columns, strict=True))
            order = np.argsort(message, kind="stable")
            message, quantity, time, value = message[order], quantity[order], time[order], value[order]
        return Readings(
            routed.group[message], quantity, routed.source[message], self._field[message], time, value, message,
            self._offset[message], self._judged[message], self._aside[message], self._received[message],
        )  # fmt: skip


def _texts(text: bytes, sizes: bytes, skip: int) -> Payloads:
    """A batch's topics or payloads but the first `skip`."""
    texts = Payloads(text, np.frombuffer(sizes, "<u4").astype(np.int64))
    return texts.cut(skip, len(texts))
