"""A replay: past beats made again from the journal, by the same engine, into a live store of its own.

    the newest states kept before FROM ──▶ every beat since, as fast as it goes ──▶ from FROM on, at the speed asked for

The database and the journal are only read. A beat is made again with its own time, its own records and its own
commands (streams.checkpoint.BeatMark). Where one engine has everything, what is published is what was published then,
byte for byte, under an epoch of its own. Where the engine was started anew in between, its numbering of changes began
again; the replay's goes on.

In a cluster every worker beats at times of its own, and keeps states at moments of its own. Each partition begins with
its own and follows its own beats; the roll-up begins last, and takes a report in on the beat on which it had heard it.
What a worker that fell had said and never wrote is not said again, and numbers of changes are the replay's own.
"""

import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import structlog

from sensors.errors import SettingsError
from sensors.journal import JournalReader, Record
from streams.alert import Command
from streams.beat_engine import Engine
from streams.catalogue import Catalogue
from streams.checkpoint import ROLL_UP, BeatMark, Recovered
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.snapshot_store import SnapshotStore
from streams.sql_store import SqlStore

READ_RECORDS = 64
UNHEARD_MS = 60_000
"""What was said longer before the roll-up's moment is in its state; a part of it told again, of windows that this state
has no more, would be taken for the whole."""

log = structlog.get_logger("replay")


class Reel(NamedTuple):
    """What a replay needs: the states that it begins with, the beats of each partition and of the roll-up by their
    time, and the commands that were carried out on them."""

    states: dict[int, Recovered]
    beats: dict[int, dict[int, BeatMark]]
    commands: dict[int, list[Command]]


def load_reel(store: SqlStore, partitions: int, begin: int, end: int) -> Reel:
    """Read it from the database; raises SettingsError when no states were kept before `begin`, or nothing was since."""
    kept = store.kept()
    others = sorted(kept.keys() - {ROLL_UP, *range(partitions)})
    if others:
        raise SettingsError(f"--partitions {partitions}: có cả / there is partition {others[-1]} too")
    moments = beginning(kept, range(partitions), begin)
    beats: dict[int, dict[int, BeatMark]] = {}
    for number, after in moments.items():
        for mark in store.beats(number, after, end):
            beats.setdefault(mark.now, {})[number] = mark
    if not any(now >= begin for now in beats):
        raise SettingsError("FROM TO: không có nhịp nào trong khoảng này / the engine made no beat in this span")
    states, beats = store.kept_states(moments), dict(sorted(beats.items()))
    place = next((marks[ROLL_UP] for marks in beats.values() if ROLL_UP in marks), None)
    if place is None or place.offset > states[ROLL_UP].offset + 1:
        raise SettingsError(
            "FROM: khi đó nhịp của số liệu toàn địa phương chưa được giữ / the beats of the whole place's figures were "
            "not kept then, by an earlier version: choose a later one"
        )
    commands: dict[int, list[Command]] = {}
    for at, command in store.applied_commands(min(moments.values()), end):
        commands.setdefault(at, []).append(command)
    return Reel(states, beats, commands)


def beginning(kept: Mapping[int, Sequence[int]], partitions: Sequence[int], begin: int) -> dict[int, int]:
    """The moments by `begin` (ms UTC) with whose states to begin, of `kept` ones: the roll-up's newest, and of each
    partition the newest that is not after it; one moment of all, where no state is older by that.

    What a partition that begins earlier says once more changes nothing (streams.roll_up); one that began later would
    have said something that nobody heard.
    """
    possible = [
        at for at in kept.get(ROLL_UP, ()) if all(number in kept and kept[number][0] <= at for number in partitions)
    ]
    last = max((at for at in possible if at <= begin), default=None)
    if last is None:
        raise SettingsError(_nothing_kept(possible))
    moments = {number: max(at for at in kept[number] if at <= last) for number in partitions} | {ROLL_UP: last}
    shared = set[int].intersection(*(set(kept[number]) for number in moments))
    common = max((at for at in shared if at <= last), default=-1)
    return dict.fromkeys(moments, common) if common >= min(moments.values()) else moments


def _nothing_kept(moments: Sequence[int]) -> str:
    since = f" ({moments[0]} ms UTC)" if moments else ""
    return (
        f"FROM: chưa giữ trạng thái nào trước lúc này{since} / no state was kept before then{since}: "
        "states are kept at the first start, then every hour, for seven days"
    )


class Replay:
    """One replay of [begin, end] ms UTC. `now` is the time of the last beat made; `live` is what a gateway shows, and
    `store` what the engine writes (streams.past_store answers from it)."""

    def __init__(
        self, catalogue: Catalogue, reel: Reel, journal: JournalReader, begin: int, live: MemoryLive | None = None
    ) -> None:
        self._reel = reel
        self._journal = journal
        self._received: dict[int, int] = {}
        self._ahead: dict[int, deque[Record]] = {number: deque() for number in reel.states}
        self._roll_up_from = reel.states[ROLL_UP].at
        self._heard: dict[int, int] | None = None  # by partition up to which beat, on a beat of the roll-up
        self._unheard: dict[int, deque[Report]] = {number: deque() for number in reel.states}
        self.store = SnapshotStore(reel.states)
        self.now = min(reel.beats)
        self.warm_up = [now for now in reel.beats if now < begin]
        self.shown = [now for now in reel.beats if now >= begin]
        self.live = live or MemoryLive(f"replay-{secrets.token_hex(6)}")
        # Not alone: its roll-up waits for no report, as those that it is to hear are there at once.
        self.engine = Engine(
            catalogue, self.store, self.live, self._clock, self._report, lambda: self._received, is_alone=False,
            roll_up_wait_s=0.0,
        )  # fmt: skip

    def _clock(self) -> int:
        return self.now

    async def _report(self, report: Report) -> None:
        if report.at > self._roll_up_from - UNHEARD_MS:
            self._unheard[report.partition].append(report)
            await self._hear(report.partition)

    async def _hear(self, number: int) -> None:
        """Let the roll-up take in what it had heard of a partition on its beat, if this is one.

        Of a partition of which it knew nothing yet, as it was started anew, it knew what the database had: about all.
        """
        unheard = self._unheard[number]
        while self._heard is not None and unheard and unheard[0].at <= self._heard.get(number, self.now):
            await self.engine.report(unheard.popleft())

    async def open(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Own everything, and make every beat before `begin` again; `progress` is told how many were made."""
        for number in sorted(self._reel.states):
            if number != ROLL_UP:
                await self.engine.own(number)
        for made, now in enumerate(self.warm_up, start=1):
            await self._beat(now)
            progress(made)
        await self.engine.own_roll_up()
        # From here on changes are numbered as they were for those who looked then.
        self.live.renumber(max(mark.sequence for mark in self._reel.beats[self.shown[0]].values()))

    async def run(self, pace: Callable[[int], Awaitable[None]]) -> None:
        """Make the beats from `begin` on; `pace` waits until a beat's time has come."""
        for now in self.shown:
            await pace(now)
            await self._beat(now)

    async def _beat(self, now: int) -> None:
        marks = self._reel.beats[now]
        self.now = now
        # Changes that were no beat's, such as faults of the centre, have had numbers too.
        self.live.skip_to(max(mark.sequence for mark in marks.values()))
        for number, mark in sorted(marks.items()):
            if number == ROLL_UP:
                await self.engine.own_roll_up()
                self._heard = {partition: now - age for partition, age in mark.heard.items()}
            else:
                await self._feed(number, mark.offset)
                self._received[number] = mark.received
        for number in self._unheard:
            await self._hear(number)
        for command in self._reel.commands.get(now, ()):
            self.engine.order(command)
        await self.engine.beat(now, only=marks)
        self._heard = None

    async def _feed(self, number: int, until: int) -> None:
        ahead = self._ahead[number]
        while (offset := self.engine.offset(number)) < until:
            if not ahead:
                # As many as there are: to ask Kafka for one is as slow as to ask it for all of these.
                ahead.extend(await self._journal.read(number, offset, READ_RECORDS))
            if not ahead or ahead[0].offset >= until:
                log.warning("the journal has lost records", partition=number, offset=offset, until=until)
                return
            await self.engine.observe(ahead.popleft())

    def close(self) -> None:
        self.store.close()
