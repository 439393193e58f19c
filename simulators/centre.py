"""The city's desks day by day: each day is made once, its events are counted by source, and troubles are laid on."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from datetime import date
from math import prod
from typing import NamedTuple

import numpy as np

from sensors.kind import Kind
from sensors.place import Place
from simulators import desk as desks
from simulators.chance import Chance
from simulators.desk import Told
from simulators.equipment import Equipment
from simulators.injection import Heard, Injections
from simulators.payload import Message, event
from simulators.scenario import Scenario
from simulators.scene import DAY_MS, HOUR_MS
from simulators.trouble import Troubles

DAYS_KEPT = 3
SOURCES = {"queue": "quay-1", "terminal": "danh-gia-1", "portal": "cong-dvc"}
WAYS = (("queue", "queue"), ("rating", "terminal"), ("rating", "portal"))


class Named(NamedTuple):
    """A message of a desk before anything goes wrong with it; `time` is when it is observed and sent (ms UTC)."""

    time: int
    topic: str
    sequence: int
    payload: bytes


def desk_topics(place: Place, kinds: dict[str, Kind]) -> list[str]:
    """Where desks may speak."""
    return [f"ioc/{code}/{kind}/{SOURCES[source]}" for kind, source in WAYS if kind in kinds for code in place.units]


class Centre:
    """All one-stop desks of a place from `start` (ms UTC) on. Their sources are numbered from `first` on."""

    def __init__(
        self, place: Place, kinds: dict[str, Kind], equipment: Equipment, scenario: Scenario, chance: Chance,
        start: int, offset: int, round_the_clock: bool, is_free: Callable[[int], tuple[int, bool]], troubles: Troubles,
        injections: Injections, first: int,
    ) -> None:  # fmt: skip
        self._place, self._kinds, self._equipment, self._scenario = place, kinds, equipment, scenario
        self._chance, self._start, self._offset = chance, start, offset
        self._round_the_clock, self._weekday, self._troubles = round_the_clock, is_free, troubles
        self._injections = injections
        self._number = {topic: first + at for at, topic in enumerate(desk_topics(place, kinds))}
        people = sum(unit.population for unit in place.units.values()) or 1
        self._parts = {code: unit.population / people for code, unit in place.units.items()}
        visitors = equipment.desks.tickets_per_day
        self._desks = [desks.desk_for(code, visitors * part, place.opening_hours, equipment)
                       for code, part in self._parts.items()]  # fmt: skip
        hours = sum(opening.end - opening.begin for opening in desks.sessions(place.opening_hours, True, False))
        self._usual_hours = hours or 7.5
        self._run = f"{chance.key('run', scenario.id, round_the_clock) >> 40:06x}"
        self._named: dict[int, list[Named]] = {}
        self._sent: dict[int, list[Message]] = {}
        self._counts: dict[int, dict[str, int]] = {self._day_of(start): {}}

    def between(self, begin: int, end: int) -> list[Message]:
        """Messages sent in [begin, end), an interval of one local day; a late one may be of the day before."""
        found = []
        for day in (self._day_of(begin) - 1, self._day_of(begin)):
            if day >= self._day_of(self._start):
                sent = self._sent_on(day)
                found += sent[bisect_left(sent, (begin,)) : bisect_left(sent, (end,))]
        return found

    def heard(self, begin: int, end: int) -> Iterator[Heard]:
        """What is observed in [begin, end), by days, before anything goes wrong."""
        for day in range(max(self._day_of(begin), self._day_of(self._start)), self._day_of(end - 1) + 1):
            named = [one for one in self._named_on(day) if begin <= one.time < end]
            yield self._columns(named)

    def _day_of(self, time: int) -> int:
        return (time + self._offset) // DAY_MS

    def _sent_on(self, day: int) -> list[Message]:
        found = self._sent.get(day)
        if found is None:
            found = self._sent[day] = self._troubled(self._named_on(day))
            while len(self._sent) > DAYS_KEPT:
                self._sent.pop(next(iter(self._sent)))
        return found

    def _named_on(self, day: int) -> list[Named]:
        found = self._named.get(day)
        if found is None:
            for before in range(max(self._counts), day):
                self._make(before)
            found = self._named[day] = self._make(day)
            while len(self._named) > DAYS_KEPT:
                self._named.pop(next(iter(self._named)))
        return found

    def _make(self, day: int) -> list[Named]:
        counts = dict(self._counts[day])
        named: list[Named] = []
        for code, told in self._told_on(day):
            named += self._numbered(day, code, told, counts)
        self._counts[day + 1] = counts
        return named

    def _told_on(self, day: int) -> list[tuple[str, list[Told]]]:
        weekday, is_free = self._weekday(day)
        open_in = desks.sessions(self._place.opening_hours, not is_free, self._round_the_clock)
        on_duty = desks.sessions(self._place.opening_hours, True, False)
        told = []
        for desk in self._desks:
            own = self._chance.generator("desk", desk.unit, day)
            crowded = [crowd for crowd in self._scenario.crowds if desk.unit in crowd.units]
            visitors = self._scenario.visitors * prod(crowd.visitors for crowd in crowded)
            serves = open_in or (on_duty if any(crowd.on_duty for crowd in crowded) else [])
            made = desks.day(desk, serves, visitors / self._usual_hours, weekday == 0, self._equipment, own)
            mean = self._equipment.desks.portal_ratings_per_day * self._parts[desk.unit]
            told.append((desk.unit, made + desks.portal_ratings(mean, self._equipment, own)))
        return told

    def _numbered(self, day: int, code: str, told: list[Told], counts: dict[str, int]) -> list[Named]:
        """What was before the city's start is not counted."""
        named = []
        stamp = date.fromordinal(day + date(1970, 1, 1).toordinal()).strftime("%Y%m%d")
        for number, (hour, kind, name, data) in enumerate(told):
            time = day * DAY_MS - self._offset + round(hour * HOUR_MS)
            if time < self._start or kind not in self._kinds:
                continue
            source = SOURCES[str(data["channel"]) if kind == "rating" else "queue"]
            topic = f"ioc/{code}/{kind}/{source}"
            sequence = counts[topic] = counts.get(topic, -1) + 1
            origin, id_ = f"urn:ioc:{code}:{source}", f"{self._run}-{stamp}-{number}"
            payload = event(self._kinds[kind], name, origin, id_, time, sequence, data)
            named.append(Named(time, topic, sequence, payload))
        return named

    def _columns(self, named: list[Named]) -> Heard:
        who, time, sequence = (
            np.array(column, dtype=np.int64)
            for column in ([self._number[one.topic] for one in named], [one.time for one in named],
                           [one.sequence for one in named])
        )  # fmt: skip
        return Heard(who, time, sequence)

    def _troubled(self, named: list[Named]) -> list[Message]:
        topics = {one.topic: self._chance.key("device", one.topic) for one in named}
        heard = self._columns(named)
        keys = np.array([topics[one.topic] for one in named], dtype=np.uint64)
        fates, hows = self._troubles.fates(keys, heard.sequence)
        hits = self._injections.hits(*heard)
        sent = []
        rows = zip(named, fates.tolist(), hows.tolist(), hits.tolist(), strict=True)
        for (time, topic, _, payload), fate, how, hit in rows:
            if hit >= 0:
                sent += self._injections.send(hit, time, topic, payload)
            else:
                sent += self._troubles.send(fate, how, time, topic, payload)
        return sorted(sent)
