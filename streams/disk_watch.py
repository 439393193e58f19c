"""Looks every second at what may ail the centre (disk, journal, database, bridge, broker) and tells the live store.

It needs neither the journal nor the database to say so: the wall hears of a full disk because nothing has to be
written first. What a look finds is asked of `sources`: functions of the time that return the faults they see.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from sensors.disk_room import DiskGauge
from sensors.errors import Unavailable
from sensors.journal import Record
from sensors.mqtt_probe import MqttProbe
from sensors.room import RESUME_FACTOR
from streams.bridge import Bridges, words
from streams.fault import WAITS_MS, Fault, Seen, What, changes, fold, left_behind
from streams.kafka_ends import KafkaEnds
from streams.live import LiveStore

LOOK_S = 1.0
OVERTAKEN_MS = 300_000
"""So long is told that a bridge was overtaken: it happens in an instant, and somebody must see it."""

Source = Callable[[int], Mapping[What, Seen]]
log = structlog.get_logger("faults")


class FaultWatch:
    """Publishes `f:<what>` for what its sources see at each look, and deletes it when they see it no more.

    Where several tell, each is a `teller` by a name of its own. What one that died has left is deleted at the first
    look of the next that begins.
    """

    def __init__(self, live: LiveStore, clock: Callable[[], int], *sources: Source, teller: str = "") -> None:
        """A source answers within microseconds; more of them may be added to `sources` as parts come up."""
        self._live = live
        self._clock = clock
        self._teller = teller
        self.sources = list(sources)
        self._told: dict[What, Fault] = {}
        self._has_tidied = False

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
            said = changes(self._told, faults, self._teller) | await self._left_behind(now)
            if said:
                await self._live.publish(said)
        except Unavailable:
            return
        self._has_tidied = True
        self._log(faults)
        self._told = faults

    async def _left_behind(self, now: int) -> dict[str, None]:
        if self._has_tidied:
            return {}
        held = (await self._live.since("", 0)).changes
        told = {key: value for key, value in held.items() if key.startswith("f:") and value is not None}
        return dict.fromkeys(left_behind(told, now))

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


def journal_source(newest: Callable[[], Mapping[int, Record]], started: int) -> Source:
    """An embedded journal, asked for its last records at every look: which bridges are missed, and whose are late.

    Not the heartbeats that the engine has read: while it catches up, those are old.
    """
    bridges, known = Bridges(started), dict[int, Record]()

    def look(now: int) -> Mapping[What, Seen]:
        try:
            records = newest()
        except Unavailable as reason:
            return {"journal_waits": Seen(detail=str(reason))}
        bridges.hear(words({number: one for number, one in records.items() if known.get(number) != one}), now)
        known.update(records)
        return _told_of(bridges, now)

    return look


def ends_source(ends: KafkaEnds) -> Source:
    """A cluster's journal, as its ends were looked at last; nothing on a worker that does not judge the bridges.

    While Kafka does not answer, nobody can tell whether it is the bridges that say nothing: none is named then.
    """

    def look(now: int) -> Mapping[What, Seen]:
        if ends.bridges is None:
            return {}
        told = {} if ends.is_away else _told_of(ends.bridges, now)
        if ends.is_slow and not ends.is_away:
            told.setdefault("journal_slow", Seen())
        if (ends.is_slow or ends.is_away) and ends.bridges.is_unheard(now):
            told["bridge_silent"] = Seen()
        return told

    return look


def overtaken_source(overtaken: Mapping[str, int]) -> Source:
    """Bridges that others have overtaken, and when that was last so (ms UTC): not when a worker came to read it."""

    def look(now: int) -> Mapping[What, Seen]:
        lately = ", ".join(sorted(name for name, at in list(overtaken.items()) if now - at <= OVERTAKEN_MS))
        return {"bridge_overtaken": Seen(lately, lately)} if lately else {}

    return look


def broker_source(probe: MqttProbe, tells: Callable[[], bool] = lambda: True) -> Source:
    """The broker, by what it acknowledges; of several workers that probe it, told by the one that `tells`."""

    def look(now: int) -> Mapping[What, Seen]:
        is_deaf = probe.is_deaf(now)  # which also asks
        return {"broker_deaf": Seen()} if is_deaf and tells() else {}

    return look


def _told_of(bridges: Bridges, now: int) -> dict[What, Seen]:
    """By name where there are several."""
    missed, late = bridges.missed(now), bridges.late(now)
    told: dict[What, Seen] = {}
    if missed or bridges.is_unheard(now):
        told["bridge_silent"] = _named(missed, bridges)
    if late:
        told["journal_slow"] = _named(late, bridges)
    return told


def _named(names: Sequence[str], bridges: Bridges) -> Seen:
    told = ", ".join(names) if len(bridges.names) > 1 else ""
    return Seen(told, told)


def _left(free: int, needed: int) -> Seen:
    left, wanted = f"{free >> 20}\u00a0MB", f"{needed >> 20}\u00a0MB"
    return Seen(f"còn {left}, cần {wanted}", f"{left} left, {wanted} needed")
