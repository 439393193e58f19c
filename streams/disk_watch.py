"""Looks every second at what may ail the centre (disk, journal, database, bridge, broker) and tells the live store.

It needs neither the journal nor the database to say so: the wall hears of a full disk because nothing has to be
written first. What a look finds is asked of `sources`: functions of the time that return the faults they see.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import structlog

from sensors.disk_room import DiskGauge
from sensors.errors import Unavailable
from sensors.mqtt_probe import MqttProbe
from sensors.room import RESUME_FACTOR
from streams.fault import WAITS_MS, Fault, Seen, What, changes, fold
from streams.live import LiveStore

LOOK_S = 1.0
BRIDGE_SILENT_MS = 10_000
SLOW_MS = 2_000
"""A heartbeat a second is at most a little over a second old when it is first seen; the rest is the journal's."""

OVERTAKEN_MS = 300_000
"""So long is told that a bridge was overtaken: it happens in an instant, and somebody must see it."""

Source = Callable[[int], Mapping[What, Seen]]
log = structlog.get_logger("faults")


class FaultWatch:
    """Publishes `f:<what>` for what its sources see at each look, and deletes it when they see it no more."""

    def __init__(self, live: LiveStore, clock: Callable[[], int], *sources: Source) -> None:
        """A source answers within microseconds; more of them may be added to `sources` as parts come up."""
        self._live = live
        self._clock = clock
        self.sources = list(sources)
        self._told: dict[What, Fault] = {}

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """One look; a live store that does not answer is told at the next one."""
        now = self._clock()
        seen: dict[What, Seen] = {}
        for source in self.sources:
            seen |= source(now)
        faults = fold(self._told, seen, now)
        try:
            said = changes(self._told, faults)
            if said:
                await self._live.publish(said)
        except Unavailable:
            return
        self._log(faults)
        self._told = faults

    def _log(self, faults: Mapping[What, Fault]) -> None:
        for what, fault in faults.items():
            if what not in self._told:
                log.warning("fault", what=what, detail=fault.detail)
        for what in self._told:
            if what not in faults:
                log.warning("fault is over", what=what)


def disk_source(gauge: DiskGauge) -> Source:
    """The room of a disk."""

    def look(_: int) -> Mapping[What, Seen]:
        try:
            level = gauge.look()
        except Unavailable as reason:
            return {"journal_waits": Seen(detail=str(reason))}
        free, limits = gauge.room.free, gauge.limits
        if level == "full":
            return {"disk_full": _left(free, int(limits.full * RESUME_FACTOR))}
        return {"disk_low": _left(free, limits.low_of(gauge.room))} if level == "low" else {}

    return look


def waits_source(waiting: Mapping[What, tuple[int, str]]) -> Source:
    """What an engine waits for, or could not do, since when (ms UTC) and why, in words: told after WAITS_MS."""

    def look(now: int) -> Mapping[What, Seen]:
        return {what: Seen(detail=reason) for what, (since, reason) in list(waiting.items()) if now - since >= WAITS_MS}

    return look


def bridge_source(newest: Callable[[], int | None], started: int) -> Source:
    """The journal itself, whose newest record is at most a heartbeat old; `newest` gives its time in ms UTC.

    Not the heartbeats that the engine has read: while it catches up, those are old.
    """

    def look(now: int) -> Mapping[What, Seen]:
        try:
            heard = newest()
        except Unavailable as reason:
            return {"journal_waits": Seen(detail=str(reason))}
        silent_ms = now - max(heard or 0, started)
        return {"bridge_silent": Seen()} if silent_ms > BRIDGE_SILENT_MS else {}

    return look


def journal_source(newest: Callable[[], int | None], started: int) -> Source:
    """How old the journal's newest record is when it is first seen: what a slow disk's sync took is in that.

    Slow until a record is young again. What was sealed before `started` (ms UTC) is not judged.
    """
    judged, is_slow = started, False

    def look(now: int) -> Mapping[What, Seen]:
        nonlocal judged, is_slow
        with contextlib.suppress(Unavailable):  # `bridge_source` tells it
            heard = newest() or 0
            if heard > judged:
                judged, is_slow = heard, now - heard >= SLOW_MS
        return {"journal_slow": Seen()} if is_slow else {}

    return look


def overtaken_source(overtaken: Mapping[str, int]) -> Source:
    """Bridges that others have overtaken, and when that was last so (ms UTC): not when a worker came to read it."""

    def look(now: int) -> Mapping[What, Seen]:
        lately = ", ".join(sorted(name for name, at in list(overtaken.items()) if now - at <= OVERTAKEN_MS))
        return {"bridge_overtaken": Seen(lately, lately)} if lately else {}

    return look


def broker_source(probe: MqttProbe) -> Source:
    """The embedded broker, by what it acknowledges."""

    def look(now: int) -> Mapping[What, Seen]:
        return {"broker_deaf": Seen()} if probe.is_deaf(now) else {}

    return look


def _left(free: int, needed: int) -> Seen:
    left, wanted = f"{free >> 20}\u00a0MB", f"{needed >> 20}\u00a0MB"
    return Seen(f"còn {left}, cần {wanted}", f"{left} left, {wanted} needed")
