"""A world in virtual time, by a seed: devices and desks, an unreliable broker, a bridge that dies, and a journal.

Nothing sleeps and nothing is mocked: city, inbox, packing and batches are the real ones; only the broker, the journal's
disk and the clock are made here. `virtual_centre` plays engine, database, live store and walls over the journal.

    publish ──▶ broker (QoS 1: again until acknowledged, DUP) ──▶ bridge (Inbox, Packer) ──▶ journal (records by time)
"""

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

import msgspec
from small_world import NOON, A, B, C, cloudevent, place, senml

from sensors.batch import Batch, decode, encode
from sensors.csv_place import shipped_place
from sensors.journal import Record
from sensors.mqtt_inbox import Inbox
from sensors.packet import Publish
from sensors.packing import Packer
from sensors.toml_definitions import load_kinds
from simulators.city import City
from simulators.equipment import Equipment
from simulators.scenario import Scenario, Trouble
from simulators.toml_scenarios import load_equipment

MINUTES = 8
SPAN_MS = MINUTES * 60_000
STRAGGLERS_MS = 75 * 60_000
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


def stragglers(draw: Random) -> list[tuple[int, str, bytes]]:
    """A desk and a station that had no line for over an hour: late, and yet not behind their unit."""
    said: list[tuple[int, str, bytes]] = []
    for number in range(6):
        at, unit = NOON + STRAGGLERS_MS + draw.randrange(60_000), draw.choice(UNITS)
        observed = NOON + draw.randrange(SPAN_MS)
        score = cloudevent("rating", "given", observed, -number, score=1 + number % 5)
        said.append((at, f"ioc/{unit}/rating/quay-tre", score))
        for step, waited in (("taken", 0), ("called", 45_000)):
            event = cloudevent("queue", step, observed + waited, 100 + 2 * number + (waited > 0), ticket=f"T{number}")
            said.append((at, f"ioc/{unit}/queue/quay-tre", event))
        said.append((at, f"ioc/{unit}/air/tram-tre", senml("pm25", observed, 20.5 + number)))
    return said


def everything_said(seed: int) -> list[Sent]:
    """All messages of the world in order of sending."""
    draw = Random(seed)
    messages = small_city(seed).messages(NOON, NOON + SPAN_MS)
    said = [(message.time, message.topic, message.payload) for message in messages]
    ordered = sorted(said + odd_sources(draw) + stragglers(draw))
    return [Sent(at, number, topic, payload) for number, (at, topic, payload) in enumerate(ordered)]


# --- the broker ---


class Broker:
    """Keeps every message it took until the bridge acknowledges it. Its three ways run at paces of their own, so what
    comes over different ones overtakes; what is not acknowledged in time comes again, marked. A message's number on
    the wire (`mid`) is good for one connection; here no two connections share one, so that each can be told."""

    def __init__(self, draw: Random, said: list[Sent]) -> None:
        self._draw = draw
        self._coming = said
        self._next = 0
        self._lag = [0, 0, 0]
        self._due: dict[int, tuple[int, Sent, bool]] = {}
        self._connection = 0
        self._current: set[bytes] = set()
        self.by_mid: dict[bytes, Sent] = {}
        self.lost: list[Sent] = []
        self.taken: list[Sent] = []

    def deliver(self, now: int) -> list[Publish]:
        """What reaches the bridge now."""
        self._lag = [lag if self._draw.random() < 0.98 else self._draw.randrange(4_000) for lag in self._lag]
        while self._next < len(self._coming) and self._coming[self._next].at <= now:
            self._take(self._coming[self._next])
            self._next += 1
        ready = sorted((due, number) for number, (due, _, _) in self._due.items() if due <= now)
        return [self._deliver(number, now) for _, number in ready]

    def _deliver(self, number: int, now: int) -> Publish:
        _, sent, is_again = self._due[number]
        self._due[number] = (now + ACK_WAIT_MS, sent, True)
        mid = (1 + (number + 977 * self._connection) % 65_535).to_bytes(2, "big")
        self.by_mid[mid] = sent
        self._current.add(mid)
        return Publish(sent.topic.encode(), sent.payload, mid, is_again)

    def _take(self, sent: Sent) -> None:
        if self._draw.random() < 0.02:
            self.lost.append(sent)  # before the door: nobody was promised anything
            return
        self.taken.append(sent)
        self._due[sent.number] = (sent.at + self._lag[sum(map(ord, sent.topic)) % 3], sent, False)

    def acknowledged(self, mids: list[bytes]) -> None:
        for mid in mids:
            assert mid in self._current, "acknowledged by a number of another connection"
            self._due.pop(self.by_mid[mid].number, None)

    def reconnected(self, now: int) -> None:
        """Numbers begin anew, and what has not been acknowledged comes again, at once."""
        self._connection += 1
        self._current = set()
        self._due = {number: (min(due, now), sent, again) for number, (due, sent, again) in self._due.items()}

    @property
    def idle(self) -> bool:
        return self._next == len(self._coming) and not self._due


# --- the journal ---


@dataclass
class Journal:
    """Records by partition, each with when it was there. What was appended stays."""

    partitions: int
    records: dict[int, list[tuple[int, Record]]] = field(default_factory=dict)
    ordinals: dict[int, int] = field(default_factory=dict)
    journaled: list[tuple[Sent, bool]] = field(default_factory=list)
    """Every message in the order of its numbering within its partition, and whether the broker had marked it."""

    def append(self, batches: list[Batch], now: int) -> None:
        for batch in batches:
            assert batch.first == self.ordinals.get(batch.partition, 0), "the numbering has a gap"
            listed = self.records.setdefault(batch.partition, [])
            listed.append((now, Record(batch.partition, len(listed), encode(batch))))
            self.ordinals[batch.partition] = batch.after

    def since(self, partition: int, offset: int, until: int) -> list[Record]:
        """Records from `offset` on that were there by `until`."""
        listed = self.records.get(partition, [])[offset:]
        return [record for at, record in listed if at <= until]

    def numbered_by(self, until: int) -> dict[int, int]:
        """By partition, the ordinal after the last message that was there by `until`."""
        return {
            partition: sum(len(decode(record.batch).topics) for at, record in listed if at <= until)
            for partition, listed in self.records.items()
        }


# --- the bridge ---


class Bridge:
    """The real inbox and packer of one process of the bridge, without its threads and sockets."""

    def __init__(self, broker: Broker, journal: Journal) -> None:
        self._broker, self._journal = broker, journal
        self._inbox = Inbox()
        self._packer = Packer("cau-noi", journal.partitions, journal.ordinals)
        self._journaled = 0

    def read(self, now: int) -> None:
        publishes = self._broker.deliver(now)
        if publishes:
            self._inbox.put(publishes, now)

    def write(self, now: int, dies: bool) -> None:
        """Journal what is held, then acknowledge it, unless it dies in between."""
        taken = self._inbox.take()
        for arrived in taken:
            self._packer.add(arrived.publishes, arrived.received_at)
        counts = self._inbox.counts()
        self._journal.append(self._packer.seal(now, counts), now)
        published = [one for arrived in taken for one in arrived.publishes]
        self._journal.journaled += [(self._broker.by_mid[one.mid], one.is_redelivered) for one in published]
        self._journaled += len(published)
        assert counts.arrived == self._journaled + counts.held + counts.repeated, "the bridge's own ledger is off"
        if not dies:
            self._inbox.acknowledge(taken, self._broker.acknowledged)

    def lose_connection(self, now: int) -> None:
        self._inbox.reconnected()
        self._broker.reconnected(now)


@dataclass
class World:
    """What the seed makes: everything said, what was lost on the way, and the journal that there is in the end."""

    seed: int
    said: list[Sent]
    lost: list[Sent]
    journal: Journal
    ended_at: int


def world(seed: int, partitions: int) -> World:
    """Play devices, broker and bridge to the end: until everything the broker took has been acknowledged."""
    draw = Random(seed * 31 + 7)
    said = everything_said(seed)
    broker, journal, now, down_until = Broker(draw, said), Journal(partitions), NOON, 0
    bridge: Bridge | None = Bridge(broker, journal)
    while not broker.idle:
        now += STEP_MS
        assert now < NOON + STRAGGLERS_MS + 600_000, "the broker is never done"
        if bridge is None and now >= down_until:
            broker.reconnected(now)
            bridge = Bridge(broker, journal)
        if bridge is not None and not _turn(bridge, draw, now):
            bridge, down_until = None, now + draw.randrange(1, 8_000)
    assert {sent.number for sent in broker.taken} == {sent.number for sent, _ in journal.journaled}
    return World(seed, said, broker.lost, journal, now)


def _turn(bridge: Bridge, draw: Random, now: int) -> bool:
    """A quarter of a second of the bridge; whether it lives on. What it held when it dies is nowhere, and was not
    acknowledged; between journal and acknowledgement it is in the journal, and comes again."""
    bridge.read(now)
    fate = draw.random()
    if fate < 0.01:
        return False
    if fate < 0.02:
        bridge.write(now, dies=True)
        return False
    if fate < 0.7:
        bridge.write(now, dies=False)
    if fate > 0.99:
        bridge.lose_connection(now)
    return True
