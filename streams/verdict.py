"""The verdict on readings: new, told before, or too late; in columns, a beat at a time.

Too late means older than the watermark of its kind and unit by more than the kind's lateness. The watermark is the
newest observed time in order of arrival, but never later than that arrival: a device whose clock is ahead can push
nobody's time. A reading that is not newer than what its own source has said before is also too late once the source's
own time, run on with the clock of reception, is past it by the lateness: after that, identities may be forgotten.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.columns import Columns, Flags, Ints, begins_run, present, shifted, stable_order
from streams.identity import Keys, SeenSet, reading_keys


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
    """For each reading: `duplicate`, `late`, and `running`, the watermark of its group when it came."""

    duplicate: Flags
    late: Flags
    running: Ints


def running_maximum(groups: Ints, times: Ints, before: Ints, bound: int) -> tuple[Ints, Ints]:
    """For each entry the largest time of its group up to and with it, and up to but without it, in given order.

    `before` gives, for each entry, its group's maximum before the first entry (EMPTY: none); groups are under `bound`.
    """
    start = np.maximum(before, 0)
    ordered = bool((groups[1:] >= groups[:-1]).all())
    order = None if ordered else stable_order(groups, bound)
    sorted_groups = groups if order is None else groups[order]
    first = begins_run(sorted_groups)
    base = np.cumsum(first) << np.int64(42)
    lifted = np.maximum(times, start)
    lifted, start = (lifted, start) if order is None else (lifted[order], start[order])
    through = np.maximum.accumulate(base + lifted) - base
    without = np.where(first, start, shifted(through, 0))
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
    reading its stream, its lateness (ms), its identity (`keys`) and its kind. `streams` learn what was said."""
    running, _ = running_maximum(
        readings.group, np.minimum(readings.time, readings.received_at), newest[readings.group], len(newest)
    )
    late = readings.time < running - lateness
    _, before = running_maximum(stream, readings.time, streams["newest"][stream], streams.rows)
    repeated = (readings.time <= before) & ~readings.judged
    duplicate = np.zeros(len(late), dtype=np.bool_)
    if repeated.any():
        # What was told before is a reading of the same stream: of all the others nothing is to be asked.
        is_asked = np.zeros(streams.rows, dtype=np.bool_)
        is_asked[stream[repeated]] = True
        asked = np.flatnonzero(is_asked[stream])
        time, received, is_again = readings.time[asked], readings.received_at[asked], repeated[asked]
        heard = _heard_at(time, received, stream[asked], before[asked], streams)
        silence = np.maximum(received - heard, 0)
        late[asked] |= is_again & (time < before[asked] + silence - lateness[asked])
        duplicate[asked] = _duplicates(keys[asked], readings.judged[asked], late[asked], is_again, kind[asked], seen)
    _learn(streams, stream, readings, before)
    return Verdict(duplicate, late, running)


def _learn(streams: Columns, stream: Ints, readings: Readings, before: Ints) -> None:
    """The newest observed time that each stream has said, and when that was received."""
    newer = (readings.time > before) & ~readings.judged
    which = stream[newer]
    # In order of arrival: of each stream the last that was newer stays, which is the newest.
    streams["newest"][which] = readings.time[newer]
    streams["received"][which] = readings.received_at[newer]


def _heard_at(time: Ints, received: Ints, stream: Ints, before: Ints, streams: Columns) -> Ints:
    """For each reading, when the newest that its stream had said until then (`before`) was received."""
    order = stable_order(stream, streams.rows)
    place = np.arange(len(order))
    of = stream[order]
    is_newest = (time > before)[order]
    # The place of the newest one so far: each is later in its stream than those it surpasses.
    last = np.maximum.accumulate(np.where(is_newest, place, -1))
    last = shifted(last, -1)
    begins = np.maximum.accumulate(np.where(begins_run(of), place, 0))
    heard = np.where(last >= begins, received[order][last], streams["received"][of])
    result = np.empty_like(heard)
    result[order] = heard
    return result


def identities(source_keys: Keys, quantity_keys: Keys, readings: Readings) -> Keys:
    """The identity of each reading: source, quantity and observed time."""
    return reading_keys(source_keys[readings.source], quantity_keys[readings.quantity], readings.time)


def _duplicates(keys: Keys, judged: Flags, late: Flags, repeated: Flags, kind: Ints, seen: list[SeenSet]) -> Flags:
    """Which of the repeated readings are told before, and not too late then: in an earlier beat, or earlier in this."""
    duplicate = np.zeros(len(keys), dtype=np.bool_)
    for number in present(kind[repeated]):
        chosen = np.flatnonzero(repeated & (kind == number))
        duplicate[chosen] = seen[number].contains(keys[chosen])
    candidates = np.flatnonzero(~judged)
    _, first, which = np.unique(keys[candidates], return_index=True, return_inverse=True)
    again = ~late[candidates[first]][which]
    again[first] = False
    duplicate[candidates[again]] = True
    return duplicate & repeated
