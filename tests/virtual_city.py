"""A world in virtual time, by a seed: devices and desks, an unreliable broker, a bridge that dies, and a journal.

Nothing sleeps and nothing is mocked: city, packing and batches are the real ones; only the broker, the journal's disk
and the clock are made here. `virtual_centre` plays engine, database, live store and walls over the journal.

    publish ──▶ broker (QoS 1: again until acknowledged, DUP) ──▶ bridge (Packer) ──▶ journal (records by time)
"""

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import msgspec
from small_world import NOON, A, B, C, cloudevent, place, senml
from told import Message, take_in

from sensors.batch import encode
from sensors.csv_place import shipped_place
from sensors.journal import Record
from sensors.packing import Counts, Packer
from sensors.toml_definitions import load_kinds
from simulators.city import City
from simulators.equipment import Equipment
from simulators.scenario import Scenario, Trouble
from simulators.toml_scenarios import load_equipment

MINUTES = 8
SPAN_MS = MINUTES * 60_000
STEP_MS = 250
"""How often broker and bridge get their turn."""

ACK_WAIT_MS = 3_000
KINDS = {name: kind for name, kind in load_kinds().items() if name in ("traffic", "air", "queue", "rating")}
UNITS = (A, B, C)
TROUBLE = Trouble(late_share=0.05, late_up_to_s=400, duplicate_share=0.05, malformed_share=0.03)


class Sent(NamedTuple):
    """A message as its source sends it; `number` names it for the broker."""

    at: int
    number: int
    topic: str
    payload: bytes


class Delivered(NamedTuple):
    """A message at the bridge's door."""

    at: int
    sent: Sent
    is_again: bool


# --- what is said ---


def small_city(seed: int) -> City:
    """Eight devices of a kind and a few desks in three units, with their honest troubles."""
    whole = load_equipment(shipped_place())
    stations = {
        kind: msgspec.structs.replace(whole.stations[kind], count=8, units=[], spread="even")
        for kind in ("traffic", "air")
    }
    desks = msgspec.structs.replace(whole.desks, tickets_per_day=900, portal_ratings_per_day=200)
    equipment = Equipment(stations=stations, desks=desks, fields={"dat_dai": whole.fields["dat_dai"]})
    scenario = Scenario(id="virtual", name_vi="Ảo", name_en="Virtual", trouble=TROUBLE)
    return City(place(), KINDS, scenario, equipment, seed, NOON, round_the_clock=True)


def odd_sources(draw: Random) -> list[tuple[int, str, bytes]]:
    """What the city has not: no time of their own, clocks ahead and behind, good-byes, junk, unknown places."""
    said: list[tuple[int, str, bytes]] = []
    for _ in range(50):
        at, unit = NOON + draw.randrange(SPAN_MS), draw.choice(UNITS)
        speed = round(draw.uniform(5, 110), 1)
        said.append((at, *draw.choice((
            (f"ioc/{unit}/traffic/khong-gio", b'[{"n":"speed","v":%.1f},{"n":"flow","v":%d}]' % (speed, at % 900)),
            (f"ioc/{unit}/traffic/nhanh", senml("speed", at + draw.randrange(100_000), speed)),
            (f"ioc/{unit}/traffic/cham", senml("speed", at - draw.randrange(500_000), speed, seq=at % 40)),
            (f"ioc/{unit}/traffic/cham/status", draw.choice((b"online", b"offline", b"asleep"))),
            (f"ioc/{unit}/air/nam-2000", senml("pm25", 946_684_800_000 + at % 10_000_000, speed)),
            (f"ioc/{unit}/rating/quay-9", cloudevent("rating", "given", at, at, score=1 + at % 5, field="dat_dai")),
            (f"ioc/{unit}/rating/quay-9", b'{"specversion":"1.0"'),
            ("ioc/99999/traffic/la", senml("speed", at, speed)),
            ("khac/chu-de", b"?"),
        ))))  # fmt: skip
    return said


def everything_said(seed: int) -> list[Sent]:
    """All messages of the world in order of sending."""
    draw = Random(seed)
    messages = small_city(seed).messages(NOON, NOON + SPAN_MS)
    said = [(message.time, message.topic, message.payload) for message in messages]
    ordered = sorted(said + odd_sources(draw))
    return [Sent(at, number, topic, payload) for number, (at, topic, payload) in enumerate(ordered)]


# --- the broker ---


class Broker:
    """Keeps every message it took until the bridge acknowledges it. Its three connections run at paces of their own,
    so what comes over different ones overtakes; what is not acknowledged in time comes again, marked."""

    def __init__(self, draw: Random, said: list[Sent]) -> None:
        self._draw = draw
        self._coming = said
        self._next = 0
        self._lag = [0, 0, 0]
        self._due: dict[int, tuple[int, Sent, bool]] = {}
        self.lost: list[Sent] = []
        self.taken: list[Sent] = []

    def deliver(self, now: int) -> list[Delivered]:
        """What reaches the bridge now."""
        self._lag = [lag if self._draw.random() < 0.98 else self._draw.randrange(4_000) for lag in self._lag]
        while self._next < len(self._coming) and self._coming[self._next].at <= now:
            self._take(self._coming[self._next])
            self._next += 1
        ready = sorted((due, number) for number, (due, _, _) in self._due.items() if due <= now)
        delivered = []
        for _, number in ready:
            _, sent, is_again = self._due[number]
            self._due[number] = (now + ACK_WAIT_MS, sent, True)
            delivered.append(Delivered(now, sent, is_again))
        return delivered

    def _take(self, sent: Sent) -> None:
        if self._draw.random() < 0.02:
            self.lost.append(sent)  # before the door: nobody was promised anything
            return
        self.taken.append(sent)
        self._due[sent.number] = (sent.at + self._lag[hash_of(sent.topic) % 3], sent, False)

    def acknowledged(self, number: int) -> None:
        self._due.pop(number, None)

    def reconnected(self, now: int) -> None:
        """The bridge is back: what it has not acknowledged comes again, at once."""
        self._due = {number: (min(due, now), sent, again) for number, (due, sent, again) in self._due.items()}

    @property
    def idle(self) -> bool:
        return self._next == len(self._coming) and not self._due


def hash_of(text: str) -> int:
    """A hash that is the same in every process."""
    return sum(map(ord, text))


# --- the bridge and its journal ---


@dataclass
class Journal:
    """Records by partition, each with when it was there. What was appended stays."""

    partitions: int
    records: dict[int, list[tuple[int, Record]]] = field(default_factory=dict)
    ordinals: dict[int, int] = field(default_factory=dict)
    journaled: list[Delivered] = field(default_factory=list)

    def append(self, packer: Packer, held: list[Delivered], now: int) -> None:
        for batch in packer.seal(now, Counts()):
            assert batch.first == self.ordinals.get(batch.partition, 0), "the numbering has a gap"
            listed = self.records.setdefault(batch.partition, [])
            listed.append((now, Record(batch.partition, len(listed), encode(batch))))
            self.ordinals[batch.partition] = batch.after
        self.journaled += held

    def since(self, partition: int, offset: int, until: int) -> list[Record]:
        """Records from `offset` on that were there by `until`."""
        found = []
        for at, record in self.records.get(partition, ())[offset:]:
            if at > until:
                break
            found.append(record)
        return found

    def numbered_by(self, until: int) -> dict[int, int]:
        """By partition, the ordinal after the last message that was there by `until`."""
        return {
            partition: sum(len(msgspec.msgpack.decode(record.batch)[5]) for at, record in listed if at <= until)
            for partition, listed in self.records.items()
        }


@dataclass
class World:
    """What the seed makes: everything said, what became of it on the way, and the journal that there is in the end."""

    seed: int
    said: list[Sent]
    lost: list[Sent]
    journal: Journal
    ended_at: int


def world(seed: int, partitions: int) -> World:
    """Play devices, broker and bridge to the end: until everything the broker took has been acknowledged."""
    draw = Random(seed * 31 + 7)
    said = everything_said(seed)
    broker, journal = Broker(draw, said), Journal(partitions)
    packer, held, down_until, now = Packer("cau-noi", partitions, {}), list[Delivered](), 0, NOON
    while not broker.idle:
        now += STEP_MS
        if now < down_until:
            continue
        if down_until:
            packer, held, down_until = Packer("cau-noi", partitions, journal.ordinals), [], 0
            broker.reconnected(now)
        for delivered in broker.deliver(now):
            take_in(packer, Message(delivered.sent.topic, delivered.sent.payload, now, delivered.is_again))
            held.append(delivered)
        if draw.random() < 0.01:
            down_until = now + draw.randrange(1, 8_000)  # dead: what it held is nowhere, and was not acknowledged
            continue
        if held and draw.random() < 0.7:
            journal.append(packer, held, now)
            if draw.random() < 0.01:
                down_until = now + draw.randrange(1, 8_000)  # dead between journal and acknowledgement
                continue
            for delivered in held:
                broker.acknowledged(delivered.sent.number)
            held = []
        assert now < NOON + SPAN_MS + 600_000, "the broker is never done"
    assert {sent.number for sent in broker.taken} == {delivered.sent.number for delivered in journal.journaled}
    return World(seed, said, broker.lost, journal, now)
