"""A replay: past beats made again from the journal, by the same engine, into a live store of its own.

    the newest state kept before FROM ──▶ every beat since, as fast as it goes ──▶ from FROM on, at the speed asked for

The database and the journal are only read. A beat is made again with its own time, its own records and its own
commands (streams.checkpoint.BeatMark), so what it publishes is what it published then, byte for byte, under an epoch of
its own. Where the engine was started anew in between, its numbering of changes began again; the replay's goes on.
"""

import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import structlog

from sensors.errors import SettingsError
from sensors.journal import JournalReader
from streams.alert import Command
from streams.beat_engine import Engine
from streams.catalogue import Catalogue
from streams.checkpoint import ROLL_UP, BeatMark, Recovered
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.snapshot_store import SnapshotStore
from streams.sql_store import SqlStore

READ_RECORDS = 64
log = structlog.get_logger("replay")


class Reel(NamedTuple):
    """What a replay needs: the states that it begins with, the beats of each partition by their time, and the commands
    that were carried out on them."""

    states: dict[int, Recovered]
    beats: dict[int, dict[int, BeatMark]]
    commands: dict[int, list[Command]]


def load_reel(store: SqlStore, partitions: int, begin: int, end: int) -> Reel:
    """Read it from the database; raises SettingsError when no state was kept before `begin`, or nothing was since."""
    moments = store.kept_moments([*range(partitions), ROLL_UP])
    after = max((moment for moment in moments if moment <= begin), default=None)
    if after is None:
        raise SettingsError(_nothing_kept(moments))
    states = store.kept_states(after)
    beats: dict[int, dict[int, BeatMark]] = {}
    for number in range(partitions):
        for mark in store.beats(number, after, end):
            beats.setdefault(mark.now, {})[number] = mark
    if not any(now >= begin for now in beats):
        raise SettingsError("FROM TO: không có nhịp nào trong khoảng này / the engine made no beat in this span")
    commands: dict[int, list[Command]] = {}
    for at, command in store.applied_commands(after, end):
        commands.setdefault(at, []).append(command)
    return Reel(states, dict(sorted(beats.items())), commands)


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
        self.store = SnapshotStore(reel.states)
        self.now = min(reel.beats)
        self.warm_up = [now for now in reel.beats if now < begin]
        self.shown = [now for now in reel.beats if now >= begin]
        self.live = live or MemoryLive(f"replay-{secrets.token_hex(6)}")
        self.engine = Engine(catalogue, self.store, self.live, self._clock, self._report, lambda: self._received)

    def _clock(self) -> int:
        return self.now

    async def _report(self, report: Report) -> None:
        await self.engine.report(report)

    async def open(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Own everything, and make every beat before `begin` again; `progress` is told how many were made."""
        for number in sorted(self._reel.states):
            if number != ROLL_UP:
                await self.engine.own(number)
        await self.engine.own_roll_up()
        for made, now in enumerate(self.warm_up, start=1):
            await self._beat(now)
            progress(made)
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
            await self._feed(number, mark.offset)
            self._received[number] = mark.received
        for command in self._reel.commands.get(now, ()):
            self.engine.order(command)
        await self.engine.beat(now)

    async def _feed(self, number: int, until: int) -> None:
        offset = self.engine.offset(number)
        while offset < until:
            records = await self._journal.read(number, offset, min(READ_RECORDS, until - offset))
            records = [record for record in records if record.offset < until]
            if not records:
                log.warning("the journal has lost records", partition=number, offset=offset, until=until)
                return
            for record in records:
                await self.engine.observe(record)
            offset = records[-1].offset + 1

    def close(self) -> None:
        self.store.close()
