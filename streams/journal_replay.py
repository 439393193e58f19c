"""A replay: past beats made again from the journal, by the same engine, into a live store of its own.

    the newest states kept before FROM ──▶ every beat since, as fast as it goes ──▶ from FROM on, at the speed asked for

The database and the journal are only read. A beat is made again with its own time, its own records and its own
commands (streams.checkpoint.BeatMark). Where one engine has everything, what is published is what was published then,
byte for byte, under an epoch of its own. Where the engine was started anew in between, its numbering of changes began
again; the replay's goes on.

In a cluster every worker beats at times of its own, and keeps states at moments of its own. Each partition begins with
its own, no later than what the roll-up had heard of it when that kept its, and follows its own beats; the roll-up takes
a report in on the beat on which it had heard it. So it knows on every beat what it knew then, from the first one on.
What a worker that fell had said and never wrote is not said again, and numbers of changes are the replay's own.
"""

import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import pairwise

import structlog

from sensors.errors import SettingsError
from sensors.journal import JournalReader, Record
from streams.alert import Command
from streams.beat_engine import Engine
from streams.catalogue import Catalogue
from streams.checkpoint import ROLL_UP, BeatMark
from streams.memory_live import MemoryLive
from streams.reel import Reel, Step, beginning, in_order, unrecorded
from streams.roll_up import Report
from streams.snapshot_store import SnapshotStore
from streams.sql_store import SqlStore

READ_RECORDS = 64
UNHEARD_MS = 60_000
"""Of partitions whose shares an earlier version kept with the roll-up's state: what was said longer before its moment
is in them; a part of it told again, of windows that this state has no more, would be taken for the whole."""

log = structlog.get_logger("replay")


def load_reel(store: SqlStore, partitions: int, begin: int, end: int) -> Reel:
    """Read it from the database; raises SettingsError when no states were kept before `begin`, or nothing was since."""
    kept = store.kept()
    others = sorted(kept.keys() - {ROLL_UP, *range(partitions)})
    if others:
        raise SettingsError(f"--partitions {partitions}: có cả / there is partition {others[-1]} too")
    moments, heard = beginning(kept, range(partitions), begin, store.heard_at)
    beats: dict[int, dict[int, BeatMark]] = {}
    for number, after in moments.items():
        for mark in store.beats(number, after, end):
            beats.setdefault(mark.now, {})[number] = mark
    if not any(begin <= now <= end for now in beats):
        raise SettingsError("FROM TO: không có nhịp nào trong khoảng này / the engine made no beat in this span")
    states = store.kept_states(moments)
    steps = in_order({now: marks for now, marks in beats.items() if now <= end})
    following = next(iter(in_order({now: marks for now, marks in beats.items() if now > end})), None)
    place = next((marks[ROLL_UP] for _, marks in steps if ROLL_UP in marks), None)
    if place is None or place.offset > states[ROLL_UP].offset + 1:
        raise SettingsError(
            "FROM: khi đó nhịp của số liệu toàn địa phương chưa được giữ / the beats of the whole place's figures were "
            "not kept then, by an earlier version: choose a later one"
        )
    if states[ROLL_UP].has_shares and not all(state.has_shares for state in states.values()):
        raise SettingsError(
            "FROM: trạng thái khi đó được giữ bởi hai phiên bản / the states of then were kept by two versions: "
            "choose another hour"
        )
    commands: dict[int, list[Command]] = {}
    for at, command in store.applied_commands(min(moments.values()), end):
        commands.setdefault(at, []).append(command)
    return Reel(states, heard, steps, following, commands, unrecorded(moments, steps))


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
        self._heard = reel.heard
        self._unheard: dict[int, deque[Report]] = {number: deque() for number in reel.states}
        told_from = reel.states[ROLL_UP].at - UNHEARD_MS
        self._told_from = {number: -1 if state.has_shares else told_from for number, state in reel.states.items()}
        self.store = SnapshotStore(reel.states)
        first = next(place for place, step in enumerate(reel.steps) if step.now >= begin)
        self.now = reel.steps[0].now
        self.warm_up, self.shown = reel.steps[:first], reel.steps[first:]
        self.live = live or MemoryLive(f"replay-{secrets.token_hex(6)}")
        # Not alone: its roll-up waits for no report, as those that it is to hear are there at once.
        self.engine = Engine(
            catalogue, self.store, self.live, self._clock, self._report, lambda: self._received, is_alone=False,
            roll_up_wait_s=0.0,
        )  # fmt: skip

    def _clock(self) -> int:
        return self.now

    async def _report(self, report: Report) -> None:
        if report.at > self._told_from[report.partition]:
            self._unheard[report.partition].append(report)
            await self._hear(report.partition)

    async def _hear(self, number: int) -> None:
        """Let the roll-up take in what it had heard of a partition on its last beat."""
        unheard = self._unheard[number]
        while unheard and unheard[0].at <= self._heard[number]:
            await self.engine.report(unheard.popleft())

    async def open(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Own everything, and make every beat before `begin` again; `progress` is told how many were made."""
        for number in sorted(self._reel.states):
            if number != ROLL_UP:
                await self.engine.own(number)
        await self.engine.own_roll_up()
        steps = [*self.warm_up, *self.shown[:1]]
        for made, (step, following) in enumerate(pairwise(steps), start=1):
            await self._beat(step, following)
            progress(made)
        # From here on changes are numbered as they were for those who looked then.
        self.live.renumber(max(mark.sequence for mark in self.shown[0].marks.values()))

    async def run(self, pace: Callable[[int], Awaitable[None]]) -> None:
        """Make the beats from `begin` on; `pace` waits until a beat's time has come."""
        for step, following in zip(self.shown, [*self.shown[1:], self._reel.following], strict=True):
            await pace(step.now)
            await self._beat(step, following)

    async def _beat(self, step: Step, following: Step | None) -> None:
        now, marks = step
        self.now = now
        self.engine.take_written(following is None or not self._waited(step, following))
        # Changes that were no beat's, such as faults of the centre, have had numbers too.
        self.live.skip_to(max(mark.sequence for mark in marks.values()))
        for number, mark in sorted(marks.items()):
            if number == ROLL_UP:
                self._hear_to(mark)
            else:
                await self._feed(number, mark.offset)
                self._received[number] = mark.received
        for number in self._unheard:
            await self._hear(number)
        for command in self._reel.commands.get(now, ()):
            self.engine.order(command)
        await self.engine.beat(now, only=marks)

    def _waited(self, step: Step, following: Step) -> bool:
        """Whether the database was behind on this beat. Of several workers, each of which waited for checkpoints of its
        own, that is not told again."""
        is_one = step.marks.keys() == following.marks.keys() == self._reel.states.keys()
        return is_one and any(mark.waited and not mark.begins for mark in following.marks.values())

    def _hear_to(self, mark: BeatMark) -> None:
        heard = mark.heard_to()
        if mark.begins:
            # Of what its new worker had not heard it knew what the database had.
            written = self.store.written_at()
            heard = {number: max(written[number], heard.get(number, 0)) for number in self._heard}
        self._heard = {number: max(at, heard.get(number, at)) for number, at in self._heard.items()}

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
