"""Event time: a watermark for each kind in each unit (architecture §5).

The watermark is the newest observed time of that kind in that unit. One for every pair, not one for the
partition: so a lying, idle or historical source bends nobody else's time, and yesterday's backlog of one station
is not too late because another one is live. Decoders bound how far a device's clock may run ahead.

When nothing arrives, the watermark *runs on* with the processing clock, so that silence closes windows too.
"""

import msgspec
import numpy as np

from streams.columns import Ints
from streams.pane import EMPTY


class Clocks:
    """`newest` and `advanced_at` [kinds × units], flat: newest observed time, and `now` when it last grew (ms UTC)."""

    def __init__(self, groups: int) -> None:
        self.newest: Ints = np.full(groups, EMPTY, np.int64)
        self.advanced_at: Ints = np.full(groups, EMPTY, np.int64)

    def advance(self, groups: Ints, times: Ints, now: int) -> None:
        """Let the watermark of each of `groups` (each once) reach its time, if that is newer."""
        newer = times > self.newest[groups]
        self.newest[groups[newer]] = times[newer]
        self.advanced_at[groups[newer]] = now

    def reach(self, groups: Ints, times: Ints, now: int) -> None:
        """Let the watermark of each group reach the newest of its times; groups may come often."""
        reached = np.full(len(self.newest), EMPTY, np.int64)
        np.maximum.at(reached, groups, times)
        there = np.flatnonzero(reached != EMPTY)
        self.advance(there, reached[there], now)

    def running(self, now: int) -> Ints:
        """The watermarks, run on with the clock while nothing arrives; EMPTY where nothing ever did."""
        known = self.newest != EMPTY
        idle = np.where(known, np.maximum(now - np.where(known, self.advanced_at, now), 0), 0)
        return np.where(known, np.where(known, self.newest, 0) + idle, EMPTY)

    def restore(self, times: dict[int, tuple[int, int]]) -> None:
        """By group, the watermark and `now` when it last grew."""
        for group, (newest, advanced_at) in times.items():
            self.newest[group] = newest
            self.advanced_at[group] = advanced_at


class ClockState(msgspec.Struct):
    """What a checkpoint keeps of time: by "<kind>/<unit>" the newest observed time and `now` when that last grew; for
    every KPI and unit the end of the newest closed window; the units whose open windows are still to be told; and up to
    when the journal was known (ms UTC; 0 where an earlier version kept it: up to the checkpoint)."""

    newest: dict[str, tuple[int, int]]
    closed: dict[str, dict[str, int]]
    touched: dict[str, list[str]] = {}
    heard_to: int = 0


def pack(state: ClockState) -> bytes:
    return msgspec.msgpack.encode(state)


def unpack(packed: bytes) -> ClockState:
    return msgspec.msgpack.decode(packed, type=ClockState) if packed else ClockState({}, {})
