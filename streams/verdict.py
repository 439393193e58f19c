"""The verdict on readings: new, told before, or too late; in columns, a beat at a time.

Too late means older than the watermark of its kind and unit by more than the kind's lateness. The watermark is the
newest observed time in order of arrival, but never later than that arrival: a device whose clock is ahead can push
nobody's time. A reading that is not newer than what its own source has said before is also too late once the source's
own time, run on with the clock of reception, is past it by the lateness: after that, identities may be forgotten.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.columns import Columns, present, stable_order
from streams.identity import Keys, SeenSet, reading_keys
from streams.pane import EMPTY, Ints

Flags = NDArray[np.bool_]


class Readings(NamedTuple):
    """Readings in columns, in order of arrival. `group` is kind × units + unit, `field` a field of public services,
    `message` the index of the message, `offset` its journal record; `judged`: not to be judged for repetition;
    `aside`: device calibrating or at fault, kept and never counted; times in ms UTC."""

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


def running_maximum(groups: Ints, times: Ints, before: Ints, bound: int) -> tuple[Ints, Ints]:
    """For each entry the largest time of its group up to and with it, and up to but without it, in given order.

    `before` gives, for each entry, its group's maximum before the first entry (EMPTY: none); groups are under `bound`.
    """
    start = np.maximum(before, 0)
    ordered = bool((groups[1:] >= groups[:-1]).all())
    order = None if ordered else stable_order(groups, bound)
    sorted_groups = groups if order is None else groups[order]
    changes = sorted_groups[1:] != sorted_groups[:-1]
    first = np.r_[True, changes]
    base = np.r_[np.int64(0), np.cumsum(changes)] << np.int64(42)
    lifted = np.maximum(times, start)
    lifted, start = (lifted, start) if order is None else (lifted[order], start[order])
    through = np.maximum.accumulate(base + lifted) - base
    without = np.where(first, start, np.r_[np.int64(0), through[:-1]])
    if order is None:
        return through, without
    inclusive, exclusive = np.empty_like(through), np.empty_like(without)
    inclusive[order], exclusive[order] = through, without
    return inclusive, exclusive


def judge(
    readings: Readings, stream: Ints, newest: Ints, lateness: Ints, streams: Columns, keys: Keys,
    kind: Ints, seen: list[SeenSet],
) -> Verdict:  # fmt: skip
    """The verdict on each reading, given the watermarks by group (`newest`), what has been seen by kind, and for each
    reading its stream, its lateness (ms), its identity (`keys`) and its kind. `streams` are told what is new."""
    running, _ = running_maximum(
        readings.group, np.minimum(readings.time, readings.received_at), newest[readings.group], len(newest)
    )
    late = readings.time < running - lateness
    own = streams["newest"][stream]
    _, before = running_maximum(stream, readings.time, own, streams.rows)
    repeated = (readings.time <= before) & ~readings.judged
    duplicate = np.zeros(len(late), dtype=np.bool_)
    if repeated.any():
        duplicate = _duplicates(keys, readings.judged, repeated, kind, seen)
        silence = np.maximum(readings.received_at - streams["received"][stream], 0)
        late |= repeated & (readings.time < np.where(own == EMPTY, 0, own) + silence - lateness)
    return Verdict(duplicate, late, running, keys)


def advance(streams: Columns, stream: Ints, time: Ints, received_at: Ints) -> None:
    """Accepted readings, in order of arrival: the newest observed time of their streams, and when that came."""
    newest = streams["newest"]
    newer = time > newest[stream]
    np.maximum.at(newest, stream, time)
    streams["received"][stream[newer]] = received_at[newer]


def identities(source_keys: Keys, quantity_keys: Keys, readings: Readings) -> Keys:
    """The identity of each reading: source, quantity and observed time."""
    return reading_keys(source_keys[readings.source], quantity_keys[readings.quantity], readings.time)


def _duplicates(keys: Keys, judged: Flags, repeated: Flags, kind: Ints, seen: list[SeenSet]) -> Flags:
    """Which of the repeated readings are told before: in an earlier beat, or earlier in this one."""
    duplicate = np.zeros(len(keys), dtype=np.bool_)
    for number in present(kind[repeated]):
        chosen = np.flatnonzero(repeated & (kind == number))
        duplicate[chosen] = seen[number].contains(keys[chosen])
    candidates = np.flatnonzero(~judged)
    _, first = np.unique(keys[candidates], return_index=True)
    again = np.ones(len(candidates), dtype=np.bool_)
    again[first] = False
    duplicate[candidates[again]] = True
    return duplicate & repeated
