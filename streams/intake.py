"""The intake: batches are decoded into columns; what cannot be used becomes a rejection. Nothing is judged yet."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from sensors import batch as batches
from sensors.decoders import cloudevents, senml
from sensors.errors import MessageRejected
from sensors.kind import Kind
from sensors.reading import DeskEvent, Pack
from sensors.topic import Topic, parse
from streams.beat import Rejection
from streams.catalogue import Catalogue
from streams.checkpoint import SourceRow
from streams.clock import Clocks
from streams.identity import SeenSet, key_of
from streams.ticket import STEPS, Derived, TicketBook

UNDECIDED, DUPLICATE, TOO_LATE, ACCEPTED, REJECTED = range(5)
SOURCES_MAX = 100_000
PAYLOAD_KEPT_BYTES = 65_536
ROUTES_CACHED = 200_000

_DECODERS: dict[str, Callable[[bytes, int, Kind], Pack | DeskEvent]] = {
    "senml": senml.decode,
    "cloudevents": cloudevents.decode,
}


class Route:
    """Where a topic's messages go: resolved once, then looked up."""

    __slots__ = ("decode", "group", "kind", "kind_index", "quantities", "source", "topic", "unit")

    def __init__(self, topic: Topic, catalogue: Catalogue, source: int) -> None:
        self.topic = topic
        self.kind = catalogue.kinds[topic.kind]
        self.kind_index = catalogue.kind_index[topic.kind]
        self.unit = catalogue.unit_index[topic.unit]
        self.group = self.kind_index * len(catalogue.unit_codes) + self.unit
        self.source = source
        self.decode = _DECODERS[self.kind.format]
        self.quantities = {name: catalogue.quantity_index[topic.kind, name] for name in self.kind.quantities}


class Sources:
    """The sources of a partition, in columns; indices never change while the partition lives here."""

    def __init__(self) -> None:
        self.index: dict[tuple[str, str, str], int] = {}
        self.rows: list[list[Any]] = []
        self.keys: list[int] = []
        self.dirty: set[int] = set()

    def intern(self, topic: Topic) -> int:
        """The index of a source, new or known; raises MessageRejected when there are too many."""
        key = (topic.unit, topic.kind, topic.source)
        found = self.index.get(key)
        if found is None:
            if len(self.rows) >= SOURCES_MAX:
                raise MessageRejected("too_many_sources", f"more than {SOURCES_MAX} in one partition")
            found = self.index[key] = len(self.rows)
            self.rows.append([*key, 0, 0, 0, "measuring", True, None])
            self.keys.append(key_of("/".join(key)))
        return found

    def spoke(self, source: int, at: int, status: str, sequence: int | None) -> None:
        row = self.rows[source]
        if not row[3]:
            row[3] = at
        if at > row[4]:
            row[4] = at
        row[6], row[7] = status, True
        if sequence is not None:
            row[8] = sequence
        self.dirty.add(source)

    def take_dirty(self) -> list[SourceRow]:
        rows = [SourceRow(*self.rows[index]) for index in sorted(self.dirty)]
        self.dirty.clear()
        return rows

    def restore(self, rows: list[SourceRow]) -> None:
        for row in rows:
            index = self.intern(Topic(row.unit, row.kind, row.source))
            self.rows[index] = list(msgspec.structs.astuple(row))


class Intake:
    """The columns filled between two beats.

    Reading columns (one entry a reading): `quantity`, `time`, `value`, `message` (index of its message).
    Message columns: `ordinal`, `received_at`, `outcome`, `offset` (journal), `kinds` (−1 where unknown), `group`
    (kind × units + unit), `source`, `field`, `judged` (1: not to be judged for lateness or repetition), `aside` (1:
    device calibrating or at fault; kept, never counted).
    """

    def __init__(self, number: int, catalogue: Catalogue, sources: Sources, tickets: TicketBook, seen: list[SeenSet],
                 clocks: Clocks) -> None:
        self._number = number
        self._catalogue = catalogue
        self._sources = sources
        self._tickets = tickets
        self._seen = seen
        self._clocks = clocks
        self._routes: dict[str, Route] = {}
        self.next_ordinal = 0
        self.clear()

    def clear(self) -> None:
        """Empty columns for the next beat."""
        self.quantity: list[int] = []
        self.time: list[int] = []
        self.value: list[float] = []
        self.message: list[int] = []
        self.ordinal: list[int] = []
        self.received_at: list[int] = []
        self.outcome: list[int] = []
        self.offset: list[int] = []
        self.kinds: list[int] = []
        self.group: list[int] = []
        self.source: list[int] = []
        self.field: list[int] = []
        self.judged: list[int] = []
        self.aside: list[int] = []
        self.rejections: list[Rejection] = []
        self.readings_rejected = 0
        self.new_keys: dict[int, list[int]] = {}
        self._arrived: set[tuple[int, int]] = set()
        self.gap = 0
        self.bridges: dict[str, tuple[int, int]] = {}

    def observe(self, offset: int, batch: batches.Batch) -> None:
        """Take one journaled batch in. Messages whose ordinals have been taken before are passed over."""
        self.bridges[batch.bridge] = (batch.pending, batch.sealed_at)
        skip = max(0, self.next_ordinal - batch.first)
        self.gap += max(0, batch.first - self.next_ordinal)
        redelivered = set(batch.redelivered)
        first = self._make_room(offset, batch, skip) - skip
        for index in range(skip, len(batch.topics)):
            self._take(
                first + index, batch.topics[index], batch.payloads[index], batch.received_at[index],
                index in redelivered,
            )
        self.next_ordinal = max(self.next_ordinal, batch.after)

    def _make_room(self, offset: int, batch: batches.Batch, skip: int) -> int:
        """Extend the message columns by a batch's messages; returns the index of the first."""
        first = len(self.ordinal)
        self.ordinal.extend(range(batch.first + skip, batch.after))
        self.received_at.extend(batch.received_at[skip:])
        count = len(self.ordinal) - first
        for column, value in (
            (self.outcome, UNDECIDED), (self.offset, offset), (self.kinds, -1), (self.group, 0), (self.source, 0),
            (self.field, 0), (self.judged, 0), (self.aside, 0),
        ):  # fmt: skip
            column.extend([value] * count)
        return first

    def _take(self, message: int, name: str, payload: bytes, received_at: int, redelivered: bool) -> None:
        try:
            route = self._routes.get(name) or self._resolve(name)
            self.kinds[message] = route.kind_index
            if route.topic.is_status:
                self._status(route, payload, received_at, message)
                return
            decoded = route.decode(payload, received_at, route.kind)
            self.group[message], self.source[message] = route.group, route.source
            if type(decoded) is Pack:
                self._pack(route, decoded, message, received_at, name, payload, redelivered)
            else:
                assert isinstance(decoded, DeskEvent)
                self._event(route, decoded, message, received_at)
        except MessageRejected as rejected:
            self.outcome[message] = REJECTED
            ordinal = self.ordinal[message]
            self._reject(ordinal, 0, received_at, name, rejected.reason, rejected.detail, payload)

    def _resolve(self, name: str) -> Route:
        topic = parse(name)
        if topic.unit not in self._catalogue.unit_index:
            raise MessageRejected("unknown_unit", f"{topic.unit} is no unit of {self._catalogue.place.id}")
        if topic.kind not in self._catalogue.kinds:
            known = ", ".join(sorted(self._catalogue.kinds))
            raise MessageRejected("unknown_kind", f"{topic.kind} is none of {known}")
        route = Route(topic, self._catalogue, self._sources.intern(topic))
        if len(self._routes) >= ROUTES_CACHED:
            self._routes.clear()
        self._routes[name] = route
        return route

    def _pack(
        self, route: Route, pack: Pack, message: int, received_at: int, name: str, payload: bytes, redelivered: bool
    ) -> None:
        self._sources.spoke(route.source, received_at, pack.status, pack.sequence)
        if not pack.is_timed:
            self.judged[message] = 1
            key = key_of(f"{name}\0{payload!r}")
            if redelivered and self._seen_before(route.kind_index, key):
                self.outcome[message] = DUPLICATE
                return
            self._note_new(route.kind_index, key)
        if pack.status != "measuring":
            self.aside[message] = 1
        if not pack.readings:
            self.outcome[message] = ACCEPTED
        quantities = route.quantities
        for quantity, time, value in pack.readings:
            self.quantity.append(quantities[quantity])
            self.time.append(time)
            self.value.append(value)
            self.message.append(message)
        for part, bad in enumerate(pack.bad, start=1):
            self.readings_rejected += 1
            self._reject(self.ordinal[message], part, received_at, name, bad.reason, bad.detail, payload)

    def _event(self, route: Route, event: DeskEvent, message: int, received_at: int) -> None:
        self._sources.spoke(route.source, received_at, "measuring", event.sequence)
        key = key_of(f"{event.source}\0{event.id}")
        if self._seen_before(route.kind_index, key):
            self.outcome[message] = DUPLICATE
            return
        newest = int(self._clocks.newest[route.group])
        if event.time < newest - int(self._catalogue.lateness_ms[route.kind_index]):
            self.outcome[message] = TOO_LATE
            return
        self.outcome[message] = ACCEPTED
        self._note_new(route.kind_index, key)
        self.judged[message] = 1
        self.field[message] = self._catalogue.field_index.get(str(event.data.get("field", "")), 0)
        for derived in self._derive(route, event, received_at):
            self.quantity.append(route.quantities[derived.quantity])
            self.time.append(derived.time)
            self.value.append(derived.value)
            self.message.append(message)

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

    def _seen_before(self, kind: int, key: int) -> bool:
        if (kind, key) in self._arrived:
            return True
        return bool(self._seen[kind].contains(np.array([key], dtype=np.uint64))[0])

    def _note_new(self, kind: int, key: int) -> None:
        self.new_keys.setdefault(kind, []).append(key)
        self._arrived.add((kind, key))

    def _status(self, route: Route, payload: bytes, received_at: int, message: int) -> None:
        if payload not in (b"online", b"offline"):
            raise MessageRejected("bad_payload", "a status is the word online or offline")
        row = self._sources.rows[route.source]
        if payload == b"online":
            self._sources.spoke(route.source, received_at, row[6], None)
        row[7] = payload == b"online"
        self._sources.dirty.add(route.source)
        self.outcome[message] = ACCEPTED

    def _reject(self, ordinal: int, part: int, at: int, topic: str, reason: str, detail: str, payload: bytes) -> None:
        kept = payload[:PAYLOAD_KEPT_BYTES]
        self.rejections.append(
            Rejection(self._number, ordinal, part, at, topic[:1024], reason, detail[:500], kept)
        )
