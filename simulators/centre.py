"""The city's desks day by day: each day is made once, its events are counted by source, and troubles are laid on."""

from bisect import bisect_left
from collections.abc import Callable
from datetime import date

import numpy as np

from sensors.kind import Kind
from sensors.place import Place
from simulators import desk as desks
from simulators.chance import Chance
from simulators.desk import Told
from simulators.equipment import Equipment
from simulators.payload import Message, event
from simulators.scenario import Scenario
from simulators.scene import DAY_MS, HOUR_MS
from simulators.trouble import DOUBLED, DOUBLED_WITHIN_MS, LATE, SPOILED, Troubles, spoil

DAYS_KEPT = 3
SOURCES = {"queue": "quay-1", "terminal": "danh-gia-1", "portal": "cong-dvc"}


class Centre:
    """All one-stop desks of a place from `start` (ms UTC) on."""

    def __init__(
        self, place: Place, kinds: dict[str, Kind], equipment: Equipment, scenario: Scenario, chance: Chance,
        start: int, offset: int, round_the_clock: bool, is_free: Callable[[int], tuple[int, bool]], troubles: Troubles,
    ) -> None:  # fmt: skip
        self._place, self._kinds, self._equipment, self._scenario = place, kinds, equipment, scenario
        self._chance, self._start, self._offset = chance, start, offset
        self._round_the_clock, self._weekday, self._troubles = round_the_clock, is_free, troubles
        people = sum(unit.population for unit in place.units.values()) or 1
        self._parts = {code: unit.population / people for code, unit in place.units.items()}
        visitors = equipment.desks.tickets_per_day
        self._desks = [desks.desk_for(code, visitors * part, place.opening_hours, equipment)
                       for code, part in self._parts.items()]  # fmt: skip
        hours = sum(opening.end - opening.begin for opening in desks.sessions(place.opening_hours, True, False))
        self._usual_hours = hours or 7.5
        self._run = f"{chance.key('run', scenario.id, round_the_clock) >> 40:06x}"
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

    def topics(self) -> list[str]:
        """Where desks may speak."""
        ways = [("queue", "queue"), ("rating", "terminal"), ("rating", "portal")]
        return [f"ioc/{code}/{kind}/{SOURCES[source]}" for kind, source in ways if kind in self._kinds
                for code in self._parts]  # fmt: skip

    def _day_of(self, time: int) -> int:
        return (time + self._offset) // DAY_MS

    def _sent_on(self, day: int) -> list[Message]:
        found = self._sent.get(day)
        if found is None:
            for before in range(max(self._counts), day):
                self._make(before)
            found = self._sent[day] = self._make(day)
            while len(self._sent) > DAYS_KEPT:
                self._sent.pop(next(iter(self._sent)))
        return found

    def _make(self, day: int) -> list[Message]:
        counts = dict(self._counts[day])
        named: list[tuple[int, str, int, bytes]] = []
        for code, told in self._told_on(day):
            named += self._numbered(day, code, told, counts)
        self._counts[day + 1] = counts
        return self._troubled(named)

    def _told_on(self, day: int) -> list[tuple[str, list[Told]]]:
        weekday, is_free = self._weekday(day)
        open_in = desks.sessions(self._place.opening_hours, not is_free, self._round_the_clock)
        told = []
        for desk in self._desks:
            own = self._chance.generator("desk", desk.unit, day)
            crowd = self._scenario.visitors / self._usual_hours
            made = desks.day(desk, open_in, crowd, weekday == 0, self._equipment, own)
            mean = self._equipment.desks.portal_ratings_per_day * self._parts[desk.unit]
            told.append((desk.unit, made + desks.portal_ratings(mean, self._equipment, own)))
        return told

    def _numbered(
        self, day: int, code: str, told: list[Told], counts: dict[str, int]
    ) -> list[tuple[int, str, int, bytes]]:
        """(time, topic, sequence, payload); what was before the city's start is not counted."""
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
            named.append((time, topic, sequence, event(self._kinds[kind], name, origin, id_, time, sequence, data)))
        return named

    def _troubled(self, named: list[tuple[int, str, int, bytes]]) -> list[Message]:
        topics = {topic: self._chance.key("device", topic) for _, topic, _, _ in named}
        keys = np.array([topics[topic] for _, topic, _, _ in named], dtype=np.uint64)
        fates, hows = self._troubles.fates(keys, np.array([sequence for _, _, sequence, _ in named], dtype=np.int64))
        sent = []
        for (time, topic, _, payload), fate, how in zip(named, fates.tolist(), hows.tolist(), strict=True):
            if fate == SPOILED:
                payload = spoil(payload, how)
            sent.append(Message(time + self._troubles.delay(how) if fate == LATE else time, topic, payload))
            if fate == DOUBLED:
                sent.append(Message(time + 1 + int(how * DOUBLED_WITHIN_MS), topic, payload))
        return sorted(sent)
