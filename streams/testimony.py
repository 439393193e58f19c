"""What the journal's messages say, decoded into plain columns for the audit: nothing is judged here.

The worker decodes in `intake` for speed and judges as it goes; the audit must not lean on it. What the two share are
the decoders and the topic grammar.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sensors.batch import Batch
from sensors.decoders import cloudevents, senml
from sensors.errors import MessageRejected
from sensors.kind import Kind
from sensors.place import Place
from sensors.reading import DeskEvent, Pack
from sensors.topic import parse

DAY_MS = 86_400_000
STEPS = ("taken", "called", "served", "left")
TOPICS_CACHED = 200_000

Columns = dict[str, np.ndarray[Any, np.dtype[Any]]]
Delivered = tuple[bool, int, bool]
"""Whether the broker marked a message DUP, its place in its batch, and whether that was numbered anew."""

_DECODERS: dict[str, Callable[[bytes, int, Kind], Pack | DeskEvent]] = {
    "senml": senml.decode,
    "cloudevents": cloudevents.decode,
}
_READING = {
    "number": np.int64, "message": np.int64, "part": np.int32, "record": np.int64, "source": np.int32,
    "quantity": np.int32, "time": np.int64, "received": np.int64, "value": np.float64, "timed": np.bool_,
    "aside": np.bool_, "pack": np.int64, "redelivered": np.bool_, "place": np.int64, "renumbered": np.bool_,
}  # fmt: skip
_EVENT = {
    "number": np.int64, "part": np.int32, "record": np.int64, "source": np.int32, "time": np.int64,
    "received": np.int64, "origin": np.object_, "id": np.object_, "step": np.object_, "day": np.int64,
    "ticket": np.object_, "field": np.object_, "quantity": np.int32, "value": np.float64,
}  # fmt: skip


class Witness(NamedTuple):
    """A source that the audit hears: `number` in the source table, and what its messages are decoded with."""

    number: int
    kind: Kind
    decode: Callable[[bytes, int, Kind], Pack | DeskEvent]
    quantities: dict[str, int]


class Testimony:
    """Columns of readings and events, filled by `hear` and emptied by `take_readings` and `take_events`.

    `quantities` and `sources` are the tables that the columns' numbers point into; they only grow. `messages` counts
    what was heard, `unusable` what no reading could be taken from.
    """

    def __init__(self, place: Place, kinds: dict[str, Kind], zone_ms: int) -> None:
        self._place, self._kinds, self._zone_ms = place, kinds, zone_ms
        self.quantities = [(kind.id, name) for kind in kinds.values() for name in kind.quantities]
        self.sources: list[tuple[str, str, str]] = []
        self._number_of: dict[tuple[str, str, str], int] = {}
        self._witnesses: dict[str, Witness | None] = {}
        self._next_ordinal: dict[int, int] = {}
        self._said = 0
        self.messages = self.unusable = 0
        self._readings: list[tuple[Any, ...]] = []
        self._events: list[tuple[Any, ...]] = []

    def hear(self, record: int, batch: Batch) -> None:
        """Take one journaled batch in; messages whose ordinals were heard before are passed over."""
        known = max(self._next_ordinal.get(batch.partition, 0) - batch.first, 0)
        self._next_ordinal[batch.partition] = max(self._next_ordinal.get(batch.partition, 0), batch.after)
        redelivered = set(batch.redelivered)
        for index in range(known, len(batch.topics)):
            self.messages += 1
            try:
                self._message(
                    (batch.partition, record), batch.topics[index], batch.payloads[index], batch.received_at[index],
                    (index in redelivered, index, batch.renumbered),
                )  # fmt: skip
            except MessageRejected:
                self.unusable += 1

    def __len__(self) -> int:
        """Readings and events waiting to be taken."""
        return len(self._readings) + len(self._events)

    def take_readings(self) -> Columns:
        """The readings heard since the last call (streams/audit/tables.sql has the columns)."""
        taken, self._readings = self._readings, []
        return _columns(_READING, taken)

    def take_events(self) -> Columns:
        """The desks' events heard since the last call."""
        taken, self._events = self._events, []
        return _columns(_EVENT, taken)

    def _message(self, at: tuple[int, int], topic: str, payload: bytes, received: int, delivered: Delivered) -> None:
        witness = self._witnesses[topic] if topic in self._witnesses else self._meet(topic)
        if witness is None:  # a source's liveness: no reading in it
            return
        decoded = witness.decode(payload, received, witness.kind)
        if isinstance(decoded, Pack):
            pack = 0 if decoded.is_timed else hash((topic, payload)) or 1
            self._pack(witness, decoded, at, received, pack, delivered)
        else:
            self._event(witness, decoded, at, received)

    def _meet(self, name: str) -> Witness | None:
        topic = parse(name)
        if topic.unit not in self._place.units:
            raise MessageRejected("unknown_unit")
        if topic.kind not in self._kinds:
            raise MessageRejected("unknown_kind")
        if len(self._witnesses) >= TOPICS_CACHED:
            self._witnesses.clear()
        witness = None
        if not topic.is_status:
            kind = self._kinds[topic.kind]
            numbers = {name: number for number, (of, name) in enumerate(self.quantities) if of == kind.id}
            key = (topic.unit, topic.kind, topic.source)
            number = self._number_of.setdefault(key, len(self.sources))
            if number == len(self.sources):
                self.sources.append(key)
            witness = Witness(number, kind, _DECODERS[kind.format], numbers)
        self._witnesses[name] = witness
        return witness

    def _pack(
        self, witness: Witness, said: Pack, at: tuple[int, int], received: int, pack: int, delivered: Delivered
    ) -> None:
        message, aside = self._said, said.status != "measuring"
        for quantity, time, value in said.readings:
            self._readings.append(
                (self._said, message, *at, witness.number, witness.quantities[quantity], time, received, value,
                 said.is_timed, aside, pack, *delivered)
            )  # fmt: skip
            self._said += 1

    def _event(self, witness: Witness, said: DeskEvent, at: tuple[int, int], received: int) -> None:
        field = str(said.data.get("field", ""))
        ticket, quantity, value = str(said.data.get("ticket", "")), witness.quantities.get(said.event, -1), math.nan
        if said.event not in STEPS:
            name = witness.kind.events[said.event].requires[0]
            ticket, quantity, value = "", witness.quantities[name], float(said.data[name])
        self._events.append(
            (self._said, *at, witness.number, said.time, received, said.source, said.id, said.event,
             (said.time + self._zone_ms) // DAY_MS, ticket, field if field in self._place.fields else "", quantity,
             value)
        )  # fmt: skip
        self._said += 1


def _columns(types: dict[str, Any], rows: list[tuple[Any, ...]]) -> Columns:
    columns = zip(*rows, strict=True) if rows else ((),) * len(types)
    return {name: np.array(column, dtype=kind) for (name, kind), column in zip(types.items(), columns, strict=True)}
