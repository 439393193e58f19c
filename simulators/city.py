"""The city: a seeded place of devices and desks whose messages can be asked for any interval, in order of sending.

The same seed, scenario and start give the same messages to the byte, however the interval is cut: everything is made
in whole blocks of one minute (desks: whole days), and every draw is a hash of the seed and a counter.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from itertools import count
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from sensors.kind import Kind
from sensors.place import Place
from simulators import ground, urban
from simulators.centre import Centre, desk_topics
from simulators.chance import Chance, Floats, Ints, Truths
from simulators.equipment import Equipment, mean_rate
from simulators.fleet import Devices, Steps, devices, steps
from simulators.injection import Heard, Injected, Injections
from simulators.payload import Message, packs
from simulators.scenario import Scenario
from simulators.scene import DAY_MS, HOUR_MS, Scene, urban_density
from simulators.trouble import Troubles
from simulators.weather import STEP_MS, Weather

BLOCK_MS = 60_000
RAINING_PERIOD_S = 60
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
EPOCH = date(1970, 1, 1).toordinal()

Blocks = dict[int, list[Message]]


class Fleet(NamedTuple):
    """Devices of one kind, the model of what they read, and their first number among all devices."""

    devices: Devices
    model: Callable[[Steps, Scene], dict[str, Floats]]
    first: int


class City:
    """A simulated city. `start` (ms UTC) is when its devices are switched on, cut to ten minutes: they count their
    messages from then on, and nothing is said before. `rate` is the wished mean of device messages a second in dry
    weather: it multiplies how many devices there are (desks keep their visitors); None is the equipment's own.
    """

    def __init__(
        self, place: Place, kinds: dict[str, Kind], scenario: Scenario, equipment: Equipment, seed: int, start: int,
        rate: float | None = None, round_the_clock: bool = False,
    ) -> None:  # fmt: skip
        self.start = start // STEP_MS * STEP_MS
        self._place, self._kinds, self._scenario = place, kinds, scenario
        self._chance = Chance(seed)
        at_start = datetime.fromtimestamp(self.start / 1000, UTC)
        self._offset = round((ZoneInfo(place.zone).utcoffset(at_start) or at_start - at_start).total_seconds()) * 1000
        self._weather = Weather(self._chance, place, scenario, self.start)
        self._urban = urban_density(place)
        self._air_key = self._chance.key("air")
        factor = 1.0 if rate is None else rate / mean_rate(equipment, kinds)
        self._fleets = self._make_fleets(equipment, factor)
        measuring = [topic for fleet in self._fleets for topic in fleet.devices.topics]
        self._sources = measuring + desk_topics(place, kinds)
        self._troubles = Troubles(self._chance, scenario.trouble, len(measuring))
        self._injections = Injections(
            scenario.faults, self._sources, kinds, self._chance, self.start, self._offset, self._walk
        )
        self._centre = Centre(
            place, kinds, equipment, scenario, self._chance, self.start, self._offset, round_the_clock, self._weekday,
            self._troubles, self._injections, len(measuring),
        )  # fmt: skip
        self._late: dict[int, Blocks] = {}
        self._last: tuple[int, list[Message]] = (-1, [])

    def sources(self) -> list[str]:
        """The topics of all devices and desks."""
        return list(self._sources)

    def injected(self, begin: int, end: int) -> list[Injected]:
        """Exactly what each fault recipe did to the messages observed in [begin, end) ms UTC."""
        return self._injections.injected(max(begin, self.start), end)

    def idle_faults(self) -> list[int]:
        """The numbers (from 1) of the fault recipes that concern no source of this city."""
        return self._injections.idle()

    def messages(self, begin: int, end: int | None) -> Iterator[Message]:
        """All messages sent in [begin, end) ms UTC in order of time; without an end, for ever."""
        begin = max(begin, self.start)
        first = begin // BLOCK_MS
        for number in count(first) if end is None else range(first, -(-end // BLOCK_MS)):
            for message in self._block(number):
                if begin <= message.time and (end is None or message.time < end):
                    yield message

    def _block(self, number: int) -> list[Message]:
        """The messages sent in one block: its own, and late ones of blocks before."""
        if self._last[0] == number:
            return self._last[1]
        spill = -(-self._troubles.latest_ms // BLOCK_MS)
        sent = self._centre.between(number * BLOCK_MS, (number + 1) * BLOCK_MS)
        for before in self._befores(number, spill):
            if before not in self._late:
                self._late[before] = self._observe(before)
                self._late[before].pop(before, None)
            sent += self._late[before].get(number, [])
        own = self._observe(number)
        sent += own.pop(number, [])
        self._late = {at: late for at, late in self._late.items() if number - spill <= at < number} | {number: own}
        self._last = number, sorted(sent)
        return self._last[1]

    def _befores(self, number: int, spill: int) -> list[int]:
        """The earlier blocks of which something may be sent in this one."""
        found = set(range(number - spill, number))
        for begin, end in self._injections.late_from(number * BLOCK_MS, (number + 1) * BLOCK_MS):
            found |= set(range(begin // BLOCK_MS, min(-(-end // BLOCK_MS), number)))
        return sorted(before for before in found if before >= self.start // BLOCK_MS)

    def _walk(self, chosen: Truths, begin: int, end: int) -> Iterator[Heard]:
        """What the chosen sources observe in [begin, end), before any fault: whole blocks and days of it."""
        fleets = [one for one in self._fleets if chosen[one.first : one.first + len(one.devices.topics)].any()]
        for number in range(max(begin, self.start) // BLOCK_MS, -(-end // BLOCK_MS) if fleets else 0):
            scene, silenced = self._scene(number * BLOCK_MS), self._silenced(number)
            for fleet in fleets:
                heard = self._heard(fleet, self._steps(fleet.devices, number, scene), silenced)
                yield Heard(heard.device + fleet.first, heard.time, heard.sequence)
        if chosen[sum(len(one.devices.topics) for one in self._fleets) :].any():
            yield from self._centre.heard(begin, end)

    def _silenced(self, number: int) -> list[tuple[int, int, int]]:
        return list(self._troubles.silenced((number * BLOCK_MS + self._offset) // DAY_MS, self._offset))

    def _observe(self, number: int) -> Blocks:
        """What devices observe in one block, by the block in which it is sent."""
        scene, silenced = self._scene(number * BLOCK_MS), self._silenced(number)
        blocks: Blocks = {}
        for fleet in self._fleets:
            heard = self._heard(fleet, self._steps(fleet.devices, number, scene), silenced)
            for message in self._said(fleet, heard, scene) if len(heard.time) else ():
                blocks.setdefault(message.time // BLOCK_MS, []).append(message)
        return blocks

    def _steps(self, fleet: Devices, number: int, scene: Scene) -> Steps:
        found = steps(fleet, self.start, number * BLOCK_MS, (number + 1) * BLOCK_MS)
        return self._adapted(fleet, found, scene) if fleet.kind.id == "level" else found

    def _adapted(self, fleet: Devices, found: Steps, scene: Scene) -> Steps:
        """Gauges of water look every minute, and say what they see every ten minutes, in rain every minute."""
        per_step = STEP_MS // fleet.period
        unit = fleet.unit[found.device]
        within = found.sequence % per_step
        raining_before = scene.sky.raining_before[unit]
        is_raining = scene.sky.is_raining[unit]
        sequence = found.sequence // per_step + (per_step - 1) * raining_before + within
        return found._replace(sequence=sequence).of(is_raining | (within == 0))

    def _heard(self, fleet: Fleet, found: Steps, silenced: list[tuple[int, int, int]]) -> Steps:
        for who, begin, end in silenced:
            if fleet.first <= who < fleet.first + len(fleet.devices.topics):
                is_silent = (found.device == who - fleet.first) & (found.time >= begin) & (found.time < end)
                found = found.of(~is_silent)
        return found

    def _said(self, fleet: Fleet, found: Steps, scene: Scene) -> Iterator[Message]:
        own = fleet.devices
        fates, hows = self._troubles.fates(own.keys[found.device], found.sequence)
        hits = self._injections.hits(found.device + fleet.first, found.time, found.sequence)
        payloads = self._payloads(fleet, found, scene, hits)
        columns = (found.time, found.device, fates, hows, hits)
        for payload, time, device, fate, how, hit in zip(payloads, *(one.tolist() for one in columns), strict=True):
            if hit >= 0:
                yield from self._injections.send(hit, time, own.topics[device], payload)
            else:
                yield from self._troubles.send(fate, how, time, own.topics[device], payload)

    def _payloads(self, fleet: Fleet, found: Steps, scene: Scene, hits: Ints) -> Iterator[bytes]:
        kind, calibrating = fleet.devices.kind, self._calibrating(fleet.devices, found)
        values = fleet.model(found, scene)
        if (hits < 0).all():
            return packs(kind, found, values, calibrating)

        def at(time: int) -> dict[str, Floats]:
            return fleet.model(found._replace(time=np.full_like(found.time, time)), self._scene(time))

        values = self._injections.altered(hits, kind, found.time, values, at)
        shown = found._replace(time=self._injections.shown(hits, kind, found.time))
        aside = self._injections.calibrating(hits)
        return packs(kind, shown, values, aside if calibrating is None else aside | calibrating)

    def _calibrating(self, fleet: Devices, found: Steps) -> Truths | None:
        if fleet.kind.id != "air" or not self._scenario.trouble.calibrations_per_day:
            return None
        return self._troubles.calibrating(fleet.keys, found, self._offset)

    def _scene(self, time: int) -> Scene:
        day = (time + self._offset) // DAY_MS
        weekday, is_free = self._weekday(day)
        year_day = date.fromordinal(day + EPOCH).timetuple().tm_yday
        step = time // STEP_MS
        sky = self._weather.sky(step)
        traffic = self._traffic((time + self._offset) % DAY_MS / HOUR_MS)
        return Scene(self._offset, weekday, is_free, year_day, sky, step * STEP_MS, self._urban, traffic)

    def _traffic(self, hour: float) -> Floats:
        """Each unit's factor of vehicles at a local hour."""
        factor = np.full(len(self._place.units), self._scenario.traffic)
        for crowd in self._scenario.crowds:
            if crowd.from_h <= hour < crowd.to_h:
                factor[[code in crowd.units for code in self._place.units]] *= crowd.traffic
        return factor

    def _weekday(self, day: int) -> tuple[int, bool]:
        """The weekday of a local day (counted from 1970), and whether it is free; a scenario may make it another."""
        if self._scenario.every_day_is:
            weekday = WEEKDAYS.index(self._scenario.every_day_is)
            return weekday, weekday >= 5
        local = date.fromordinal(day + EPOCH)
        return local.weekday(), not self._place.is_working_day(local)

    def _make_fleets(self, equipment: Equipment, factor: float) -> list[Fleet]:
        fleets: list[Fleet] = []
        first = 0
        for kind, stations in equipment.stations.items():
            if kind in self._kinds:
                period = RAINING_PERIOD_S if kind == "level" else self._kinds[kind].cadence_s
                own = devices(self._kinds[kind], stations, self._place, self._chance, factor, period)
                fleets.append(Fleet(own, self._model(own), first))
                first += len(own.topics)
        return fleets

    def _model(self, own: Devices) -> Callable[[Steps, Scene], dict[str, Floats]]:
        if own.kind.id == "air":
            return lambda found, scene: urban.air(own, found, scene, self._air_key)
        model = {"traffic": urban.traffic, "noise": urban.noise, "rain": ground.rain, "level": ground.level,
                 "slope": ground.slope}[own.kind.id]  # fmt: skip
        return lambda found, scene: model(own, found, scene)
