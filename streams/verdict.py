"""The verdict on readings: new, told before, or too late; in columns, a beat at a time.

Too late means older than the watermark of its kind and unit by more than the kind's lateness. A reading that is
not newer than what its own source has said before is also too late once the source's own time, run on with the
clock of reception, is past it by the lateness: after that, identities may have been forgotten.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.identity import Keys, SeenSet, reading_keys
from streams.pane import EMPTY, Ints

Flags = NDArray[np.bool_]


class Readings(NamedTuple):
    """The intake's reading columns as arrays (streams.intake has their meaning), with the time of reception."""

    group: Ints
    quantity: Ints
    source: Ints
    field: Ints
    time: Ints
    value: NDArray[np.float64]
    message: Ints
    offset: Ints
    judged: Flags
    aside: Flags
    received_at: Ints

    def pick(self, chosen: NDArray[np.generic]) -> "Readings":
        return Readings(*(column[chosen] for column in self))


class Verdict(NamedTuple):
    """For each reading: `duplicate`, `late`, `running` (the watermark of its group when it came), and its key."""

    duplicate: Flags
    late: Flags
    running: Ints
    keys: Keys


class Streams:
    """For each source and quantity, the newest observed time and when that was received (ms UTC)."""

    def __init__(self, quantities: int) -> None:
        self._quantities = quantities
        self.newest: Ints = np.full(0, EMPTY, np.int64)
        self.received: Ints = np.zeros(0, np.int64)

    def reserve(self, sources: int) -> None:
        """Make room for sources 0 … sources−1."""
        size = sources * self._quantities
        if size > len(self.newest):
            room = max(size, 2 * len(self.newest)) - len(self.newest)
            self.newest = np.r_[self.newest, np.full(room, EMPTY, np.int64)]
            self.received = np.r_[self.received, np.zeros(room, np.int64)]

    def index(self, readings: Readings) -> Ints:
        return readings.source * self._quantities + readings.quantity

    def restore(self, source: int, observed: int, received_at: int) -> None:
        """Start a source again: nothing it says up to `observed` is new without a look at the identities."""
        self.reserve(source + 1)
        span = slice(source * self._quantities, (source + 1) * self._quantities)
        self.newest[span] = observed
        self.received[span] = received_at

    def advance(self, readings: Readings) -> None:
        index = self.index(readings)
        newer = readings.time > self.newest[index]
        np.maximum.at(self.newest, index, readings.time)
        self.received[index[newer]] = readings.received_at[newer]


def running_maximum(groups: Ints, times: Ints, before: Ints) -> tuple[Ints, Ints]:
    """For each entry the largest time of its group up to and with it, and up to but without it, in given order.

    `before` gives, for each entry, its group's maximum before the first entry (EMPTY: none).
    """
    if len(groups) and bool((groups == groups[0]).all()):
        order: Ints | None = None
        sorted_groups = np.zeros(len(groups), np.int64)
    else:
        dense = np.unique(groups, return_inverse=True)[1].astype(np.int64)
        order = np.argsort(dense, kind="stable")
        sorted_groups = dense[order]
    base = sorted_groups << np.int64(42)
    ordered_times = times if order is None else times[order]
    ordered_before = before if order is None else before[order]
    start = np.maximum(ordered_before, 0)
    through = np.maximum.accumulate(base + np.maximum(ordered_times, start)) - base
    first = np.r_[True, sorted_groups[1:] != sorted_groups[:-1]]
    without = np.where(first, start, np.r_[np.int64(0), through[:-1]])
    if order is None:
        return through, without
    inclusive, exclusive = np.empty_like(through), np.empty_like(without)
    inclusive[order], exclusive[order] = through, without
    return inclusive, exclusive


def judge(
    readings: Readings, newest: Ints, units: int, lateness_ms: Ints, streams: Streams, source_keys: Keys,
    quantity_keys: Keys, seen: list[SeenSet],
) -> Verdict:
    """The verdict on each reading, given the watermarks by group (`newest`) and what has been seen by kind."""
    kind = readings.group // units
    lateness = lateness_ms[kind]
    running, _ = running_maximum(readings.group, readings.time, newest[readings.group])
    late = readings.time < running - lateness
    index = streams.index(readings)
    _, before = running_maximum(index, readings.time, streams.newest[index])
    repeated = (readings.time <= before) & ~readings.judged
    duplicate = np.zeros(len(late), dtype=np.bool_)
    keys = reading_keys(source_keys[readings.source], quantity_keys[readings.quantity], readings.time)
    if repeated.any():
        duplicate = _duplicates(readings, keys, repeated, kind, seen)
        silence = np.maximum(readings.received_at - streams.received[index], 0)
        own = np.where(streams.newest[index] == EMPTY, 0, streams.newest[index])
        # A source heard for the first time in this beat has no clock yet that could have run on.
        late |= repeated & (streams.newest[index] != EMPTY) & (readings.time < own + silence - lateness)
    return Verdict(duplicate & ~readings.judged, late, running, keys)


def _duplicates(readings: Readings, keys: Keys, repeated: Flags, kind: Ints, seen: list[SeenSet]) -> Flags:
    """Which of the repeated readings are told before: in an earlier beat, or earlier in this one."""
    duplicate = np.zeros(len(keys), dtype=np.bool_)
    for number in np.unique(kind[repeated]):
        chosen = np.flatnonzero(repeated & (kind == number))
        duplicate[chosen] = seen[int(number)].contains(keys[chosen])
    candidates = np.flatnonzero(~readings.judged)
    _, first = np.unique(keys[candidates], return_index=True)
    again = np.ones(len(candidates), dtype=np.bool_)
    again[first] = False
    duplicate[candidates[again]] = True
    return duplicate & repeated
