"""Honest troubles: late, doubled and spoiled messages, calibrating stations, devices that fall silent for hours."""

from collections.abc import Iterator

import numpy as np

from simulators.chance import Chance, Floats, Ints, Keys, Truths, uniform
from simulators.fleet import Steps
from simulators.payload import Message
from simulators.scenario import Trouble
from simulators.scene import DAY_MS

SOONEST_LATE_MS = 5_000
DOUBLED_WITHIN_MS = 5_000
HEALTHY, LATE, DOUBLED, SPOILED = range(4)


class Troubles:
    """What goes wrong with whom and when, all by the seed."""

    def __init__(self, chance: Chance, trouble: Trouble, devices: int) -> None:
        self._trouble = trouble
        self._devices = devices
        self._message, self._calibration, self._silence = (
            chance.key("trouble", name) for name in ("message", "calibration", "silence")
        )
        self.latest_ms = max(SOONEST_LATE_MS, DOUBLED_WITHIN_MS, trouble.late_up_to_s * 1000)

    def fates(self, keys: Keys, sequence: Ints) -> tuple[Ints, Floats]:
        """What becomes of each message, and a number in [0, 1) that says how late, or spoiled in which way."""
        drawn = uniform(keys ^ np.uint64(self._message), sequence)
        trouble = self._trouble
        shares = np.cumsum([trouble.late_share, trouble.duplicate_share, trouble.malformed_share])
        fate = np.select([drawn < share for share in shares], [LATE, DOUBLED, SPOILED], HEALTHY)
        return fate, uniform(keys ^ np.uint64(self._message) ^ np.uint64(2), sequence)

    def send(self, fate: int, how: float, time: int, topic: str, payload: bytes) -> list[Message]:
        """What is published of a message; `how` says how late, or spoiled in which way."""
        if fate == LATE:
            return [Message(time + SOONEST_LATE_MS + int(how * (self.latest_ms - SOONEST_LATE_MS)), topic, payload)]
        if fate == SPOILED:
            return [Message(time, topic, spoil(payload, how))]
        if fate == DOUBLED:
            again = Message(time + 1 + int(how * DOUBLED_WITHIN_MS), topic, payload)
            return [again, Message(time, topic, payload)]
        return [Message(time, topic, payload)]

    def calibrating(self, keys: Keys, steps: Steps, offset: int) -> Truths:
        """Which of an air station's readings fall into a calibration of its local day."""
        day, within = np.divmod(steps.time + offset, DAY_MS)
        length = self._trouble.calibration_min * 60_000
        own = keys[steps.device] ^ np.uint64(self._calibration)
        begin = uniform(own, day * 2) * (DAY_MS - length)
        chosen = uniform(own, day * 2 + 1) < self._trouble.calibrations_per_day
        return np.asarray(chosen & (within >= begin) & (within < begin + length))

    def silenced(self, day: int, offset: int) -> Iterator[tuple[int, int, int]]:
        """(number among all devices, from, to) of those that say nothing for some hours of a local day (ms UTC)."""
        length = int(self._trouble.silent_h * 3_600_000)
        for number in range(self._trouble.silent_sources):
            who, begin = uniform(self._silence, np.array([day * 4_000 + number * 2, day * 4_000 + number * 2 + 1]))
            at = day * DAY_MS - offset + int(begin * (DAY_MS - length))
            yield int(who * self._devices), at, at + length


def spoil(payload: bytes, how: float) -> bytes:
    """A message as a broken device or line makes it: cut short, a wrong unit, an impossible value, no clock."""
    kind = int(how * 4)
    if kind == 0:
        return payload[: len(payload) * 2 // 3]
    if not payload.startswith(b"["):
        return payload.replace(b'"data":', b'"date":', 1)
    old, new = {
        1: (b'"u":"', b'"u":"mol of '),
        2: (b'"v":', b'"v":-99999,"vd":"","was":'),
        3: (b'"bt":', b'"bt":300000000,"was":'),
    }[kind]
    return payload.replace(old, new, 1)
