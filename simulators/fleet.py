"""The fleet: the measuring devices of one kind in columns, with the steps at which each of them speaks."""

from typing import NamedTuple

import numpy as np

from sensors.kind import Kind
from sensors.place import Place
from simulators.chance import Chance, Floats, Ints, Keys, uniform
from simulators.equipment import Stations, spread


class Devices(NamedTuple):
    """Devices of one kind; every column has one entry a device.

    `phase` (ms) is where in its period a device speaks, `period` (ms) how often, `jitter` (ms) how unpunctually.
    """

    kind: Kind
    unit: Ints
    topics: list[str]
    keys: Keys
    phase: Ints
    period: int
    jitter: int

    def trait(self, name: int) -> Floats:
        """A lasting property of each device in [0, 1): its site, its age, its temper."""
        return uniform(self.keys, np.full(len(self.topics), -1 - name))


class Steps(NamedTuple):
    """Who speaks when: index of the device, the observed time (ms UTC), the device's count of its messages."""

    device: Ints
    time: Ints
    sequence: Ints

    def of(self, kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> "Steps":
        return Steps(self.device[kept], self.time[kept], self.sequence[kept])


def devices(kind: Kind, stations: Stations, place: Place, chance: Chance, factor: float, period_s: int) -> Devices:
    """The devices of one kind: as many as the equipment says, times `factor`."""
    codes = list(place.units)
    placed = spread(stations, place, factor)
    topics = [f"ioc/{codes[unit]}/{kind.id}/{name}" for unit, name in placed]
    keys = chance.keys(topics, "device")
    period = period_s * 1000
    jitter = period // 6 if period >= 3_600_000 else 0
    phase = (uniform(keys, np.full(len(topics), -100)) * (period - jitter)).astype(np.int64)
    return Devices(kind, np.array([unit for unit, _ in placed], dtype=np.int64), topics, keys, phase, period, jitter)


def steps(fleet: Devices, start: int, begin: int, end: int) -> Steps:
    """The steps observed in [begin, end); a device counts its own from the city's `start` on."""
    first = -(-(begin - fleet.jitter - fleet.phase) // fleet.period)
    after = -(-(end - fleet.phase) // fleet.period)
    each = np.maximum(0, after - first)
    device = np.repeat(np.arange(len(fleet.topics)), each)
    within = np.arange(len(device)) - np.repeat(np.cumsum(each) - each, each)
    number = first[device] + within
    time = fleet.phase[device] + number * fleet.period
    if fleet.jitter:
        time = time + (uniform(fleet.keys[device] ^ np.uint64(1), number) * fleet.jitter).astype(np.int64)
    sequence = number + (fleet.phase[device] - start) // fleet.period
    found = Steps(device, time, sequence)
    return found.of((time >= begin) & (time < end) & (sequence >= 0))
