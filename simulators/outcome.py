"""What must become of each message: the rules of the system told a second time, one message after the other.

Part of the oracle. Deliberately plain: sets and dictionaries that never forget, no batches, no columns. It shares
the decoders with the processor, and nothing else.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sensors.decoders import cloudevents, senml
from sensors.errors import MessageRejected
from sensors.kind import Kind
from sensors.place import Place
from sensors.reading import DeskEvent, Pack
from sensors.topic import Topic, parse

Outcome = Literal["accepted", "duplicate", "too_late", "rejected"]
UNKNOWN_KIND = "unknown"
DAY_MS = 86_400_000
STEPS = ("taken", "called", "served", "left")


class Counted(NamedTuple):
    """A reading that counts: whose it is, when it was observed (ms UTC), and its value in the kind's unit."""

    kind: str
    quantity: str
    unit: str
    source: str
    field: str
    time: int
    value: float


class Verdict(NamedTuple):
    """`reasons` has one entry for every rejection that must be kept: of the message, or of records of its pack.

    `topic` is None when the source is not one of the place's; `sequence` None when no number could be read.
    `aside` are readings of a device that calibrates or is at fault.
    """

    outcome: Outcome
    kind: str
    topic: Topic | None
    sequence: int | None
    is_readable: bool
    readings: list[Counted]
    aside: int
    reasons: list[str]


class Judge:
    """Judges messages in the order in which they arrive."""

    def __init__(self, place: Place, kinds: Mapping[str, Kind], zone_ms: int) -> None:
        self._place, self._kinds, self._zone_ms = place, kinds, zone_ms
        self.watermarks: dict[tuple[str, str], int] = {}
        self._told: set[tuple[str, str, str, str, int]] = set()
        self._events: set[tuple[str, str, str]] = set()
        self._steps: dict[tuple[str, str, int, str], dict[str, int]] = {}

    def judge(self, name: str, payload: bytes, received_at: int) -> Verdict:
        """The verdict on a message of topic `name` received at `received_at` (ms UTC)."""
        topic: Topic | None = None
        try:
            topic = self._known(name)
            if topic.is_status:
                if payload not in (b"online", b"offline"):
                    raise MessageRejected("bad_payload")
                return Verdict("accepted", topic.kind, None, None, True, [], 0, [])
            kind = self._kinds[topic.kind]
            if kind.format == "senml":
                return self._pack(topic, senml.decode(payload, received_at, kind), received_at)
            return self._event(topic, cloudevents.decode(payload, received_at, kind), received_at)
        except MessageRejected as rejected:
            kind_id = UNKNOWN_KIND if topic is None else topic.kind
            source = None if topic is None or topic.is_status else topic
            number = rejected.sequence
            return Verdict("rejected", kind_id, source, number, number is not None, [], 0, [rejected.reason])

    def _known(self, name: str) -> Topic:
        topic = parse(name)
        if topic.unit not in self._place.units:
            raise MessageRejected("unknown_unit")
        if topic.kind not in self._kinds:
            raise MessageRejected("unknown_kind")
        return topic

    def _pack(self, topic: Topic, pack: Pack, received_at: int) -> Verdict:
        outcomes: set[Outcome] = set() if pack.readings else {"accepted"}
        accepted = []
        for quantity, time, value in pack.readings:
            identity = (topic.unit, topic.kind, topic.source, quantity, time)
            if identity in self._told:
                outcomes.add("duplicate")
            elif self._is_late(topic, time):
                outcomes.add("too_late")
            else:
                outcomes.add("accepted")
                self._told.add(identity)
                accepted.append(Counted(topic.kind, quantity, topic.unit, topic.source, "", time, value))
        reasons = [str(bad.reason) for bad in pack.bad]
        self._advance(accepted, received_at)
        if pack.status != "measuring":
            return Verdict(_best(outcomes), topic.kind, topic, pack.sequence, True, [], len(accepted), reasons)
        return Verdict(_best(outcomes), topic.kind, topic, pack.sequence, True, accepted, 0, reasons)

    def _event(self, topic: Topic, event: DeskEvent, received_at: int) -> Verdict:
        identity = (topic.kind, event.source, event.id)
        outcome: Outcome = "accepted"
        readings: list[Counted] = []
        if identity in self._events:
            outcome = "duplicate"
        elif self._is_late(topic, event.time):
            outcome = "too_late"
        else:
            self._events.add(identity)
            readings = [reading for reading in self._implied(topic, event) if not self._is_late(topic, reading.time)]
            self._advance(readings, received_at)
        return Verdict(outcome, topic.kind, topic, event.sequence, True, readings, 0, [])

    def _implied(self, topic: Topic, event: DeskEvent) -> list[Counted]:
        """The readings that an event implies: a rating its score; a ticket's steps waits and services."""
        field = str(event.data.get("field", ""))
        if field not in self._place.fields:
            field = ""
        if event.event not in STEPS:
            quantity = self._kinds[topic.kind].events[event.event].requires[0]
            value = float(event.data[quantity])
            return [Counted(topic.kind, quantity, topic.unit, topic.source, field, event.time, value)]
        day = (event.time + self._zone_ms) // DAY_MS
        ticket = (topic.unit, topic.source, day, str(event.data["ticket"]))
        steps = self._steps.setdefault(ticket, {})
        if event.event in steps:
            return []
        steps[event.event] = event.time
        return [
            Counted(topic.kind, quantity, topic.unit, topic.source, field, time, value)
            for quantity, time, value in _of_ticket(event.event, steps)
            if quantity in self._kinds[topic.kind].quantities
        ]

    def _is_late(self, topic: Topic, time: int) -> bool:
        watermark = self.watermarks.get((topic.kind, topic.unit))
        return watermark is not None and time < watermark - self._kinds[topic.kind].lateness_s * 1000

    def _advance(self, readings: list[Counted], received_at: int) -> None:
        """A device whose clock is ahead cannot push the watermark beyond the time of reception; what is set aside
        tells the time too."""
        for reading in readings:
            key = (reading.kind, reading.unit)
            reached = min(reading.time, received_at)
            self.watermarks[key] = max(reached, self.watermarks.get(key, reached))


def _best(outcomes: set[Outcome]) -> Outcome:
    """A message has one outcome: the best of its readings'."""
    order: tuple[Outcome, ...] = ("accepted", "too_late", "duplicate")
    return next(outcome for outcome in order if outcome in outcomes)


def _of_ticket(step: str, steps: Mapping[str, int]) -> list[tuple[str, int, float]]:
    found: list[tuple[str, int, float]] = []
    if step in ("taken", "left"):
        found.append((step, steps[step], 1.0))
    for quantity, first, second in (("wait", "taken", "called"), ("service", "called", "served")):
        if step in (first, second) and first in steps and second in steps and steps[second] >= steps[first]:
            found.append((quantity, steps[second], (steps[second] - steps[first]) / 1000))
    return found
