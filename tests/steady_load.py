"""A load that goes on while disasters strike, and what must have become of it.

`SteadyLoad` publishes speeds of many sources at a steady rate in a time of their own, faster than ours, so that
windows of five minutes close twice a minute; and water levels in our time, each set by hand and lasting until the
next. It knows everything that it published: `speed_truth` and `level_truth` are plain NumPy over that.
"""

import itertools
import json
import random
import threading
import time

import series_truth
from mqtt_brokers import Publisher
from series_truth import Series, Truth

SOURCES_A_UNIT = 4
A_SECOND = 240
STEP_MS = 2_500
BACK_MS = 48 * 3_600_000
"""The speeds begin two days ago: at 12 times our time, the longest suite does not catch up with the present."""

OUTSTANDING_MAX = 2_000
WINDOW_MS = 300_000
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
LOW_M, HIGH_M = 0.3, 0.6


class SteadyLoad:
    """Starts paused. `go` and `pause` as often as wanted; `close` at the end."""

    def __init__(self, port: int, units: list[str], seed: int, name: str = "load") -> None:
        self.units = units
        self.speeds: dict[str, Series] = {unit: [] for unit in units}
        self.levels: dict[str, Series] = {unit: [] for unit in units}
        self._device = Publisher(port, name, inflight=200)
        self._chance = random.Random(seed)
        self._round = 0
        self._start = int(time.time() * 1000 - BACK_MS) // WINDOW_MS * WINDOW_MS
        self._lock = threading.Lock()
        self._goes, self._is_paused, self._is_over = threading.Event(), threading.Event(), threading.Event()
        self._is_paused.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def published(self) -> int:
        """Messages given to the client so far: what must be counted once, sooner or later."""
        return self._device.published

    @property
    def acknowledged(self) -> int:
        return self._device.acknowledged

    def go(self) -> None:
        self._is_paused.clear()
        self._goes.set()

    def goes_on(self, count: int) -> None:
        """Return when so many more messages have been published."""
        self._device.until_published(self.published + count)

    def pause(self, timeout_s: float) -> int:
        """Stop after a whole round of all sources, wait for every PUBACK; returns how many messages got one."""
        self._goes.clear()
        assert self._is_paused.wait(timeout_s), "the load does not pause"
        self._device.settle(timeout_s)
        assert self._device.acknowledged == self._device.published
        return self._device.acknowledged

    def set_level(self, unit: str, metres: float) -> None:
        """The gauge of the unit says this now; it holds until the next."""
        with self._lock:
            before = self.levels[unit][-1][0] if self.levels[unit] else 0
            now = max(int(time.time() * 1000), before + 1)
            self._tell(f"ioc/{unit}/level/gauge", "level", "m", now, metres, len(self.levels[unit]))
            self.levels[unit].append((now, metres))

    def repeat_levels(self) -> None:
        """Every gauge says again what it said last."""
        for unit in self.units:
            self.set_level(unit, self.levels[unit][-1][1])

    def is_high(self, unit: str) -> bool:
        return self.levels[unit][-1][1] > LOW_M

    def flip_level(self, unit: str) -> None:
        """From low to high, or from high to low."""
        self.set_level(unit, LOW_M if self.is_high(unit) else HIGH_M)

    def turns(self, unit: str) -> int:
        """How often the unit's level has changed sides; it began low."""
        told = [metres for _, metres in self.levels[unit]]
        return sum(before != after for before, after in itertools.pairwise(told))

    def close(self) -> None:
        self._is_over.set()
        self._goes.set()
        self._thread.join(30)
        self._device.close()

    def _tell(self, topic: str, name: str, measure: str, at: int, value: float, number: int) -> None:
        record = {"n": name, "u": measure, "t": at / 1000, "v": value, "seq": number}
        self._device.publish(topic, json.dumps([record]).encode())

    def _run(self) -> None:
        while self._goes.wait() and not self._is_over.is_set():
            self._tell_round()
            if not self._goes.is_set():
                self._is_paused.set()

    def _tell_round(self) -> None:
        at = self._start + self._round * STEP_MS
        due = time.monotonic()
        for source in range(SOURCES_A_UNIT):
            for unit in self.units:
                value = self._chance.randint(20, 120)
                self._device.wait_for_room(OUTSTANDING_MAX, self._is_over)
                if self._is_over.is_set():
                    return
                with self._lock:
                    self._tell(f"ioc/{unit}/traffic/s{source}", "speed", "km/h", at, value, self._round)
                self.speeds[unit].append((at, value))
            due += len(self.units) / A_SECOND
            self._is_over.wait(max(0.0, due - time.monotonic()))
        self._round += 1


def speed_truth(load: SteadyLoad, units: list[str]) -> Truth:
    """The mean and the number of readings of every five minutes in these units together."""
    return series_truth.means([reading for unit in units for reading in load.speeds[unit]], WINDOW_MS, WINDOW_MS)


def level_truth(load: SteadyLoad, units: list[str]) -> Truth:
    """At every full minute: the highest of the gauges' newest levels of the hour before, and how many readings.

    Up to the minute that all of them have reached.
    """
    windows = [series_truth.windows(load.levels[unit], HOUR_MS, MINUTE_MS) for unit in units]
    if not all(windows):
        return {}  # no full minute yet
    first, last = min(min(each) for each in windows), min(max(each) for each in windows)
    truth: Truth = {}
    for end in range(first, last + 1, MINUTE_MS):
        held = [each[end] for each in windows if end in each]
        if held:
            truth[end] = (float(max(found[-1] for found in held)), sum(map(len, held)))
    return truth
