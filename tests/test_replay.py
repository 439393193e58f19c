"""A replay makes the beats of a past period again: what it publishes is what was published then, byte for byte."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from small_world import NOON, A, B, catalogue, cloudevent, senml
from told import Message, take_in

from sensors.errors import SettingsError
from sensors.packing import Packer
from sensors.sqlite_journal import SqliteJournal
from streams.alert import Command, Rule
from streams.beat_engine import Engine
from streams.catalogue import Catalogue
from streams.journal_replay import Replay, load_reel
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio
PARTITIONS = 2
MINUTE = 60_000
Frames = dict[int, dict[str, bytes | None]]
"""What changed with each sequence number."""


def rules() -> dict[str, Rule]:
    fast = Rule(
        "fast", "x", "x", "x", "x", "warning", "so", "x", "x", "x", "x", "x", "x", 60, kpi="speed", above=60.0,
        clear=50.0, hold_s=20.0, clear_hold_s=20.0,
    )  # fmt: skip
    place = msgspec.structs.replace(fast, id="fast_place", scope="place")
    gone = Rule(
        "gone", "x", "x", "x", "x", "notice", "so", "x", "x", "x", "x", "x", "x", 60, silent="traffic", silent_s=200
    )
    return {rule.id: rule for rule in (fast, place, gone)}


def story(minutes: int) -> Iterator[Message]:
    """Traffic of two units (one station falls silent, some messages late, doubled and broken) and a desk."""
    for second in range(0, minutes * 60, 5):
        now = NOON + second * 1000
        for number, unit in enumerate((A, B)):
            if number and 600 < second % 3_600 < 1_200:
                continue
            speed = 40 + 30 * (second // 300 % 2) + number
            late = 90_000 if second % 35 == 0 else 0
            payload = senml("speed", now - late, speed, seq=second // 5)
            yield Message(f"ioc/{unit}/traffic/cam", payload, now)
            if second % 50 == 0:
                yield Message(f"ioc/{unit}/traffic/cam", payload, now)
        if second % 30 == 0:
            ticket, desk = f"A{second // 30}", f"ioc/{A}/queue/desk"
            yield Message(desk, cloudevent("queue", "taken", now, second, ticket=ticket), now)
            yield Message(desk, cloudevent("queue", "called", now + 9, 10_000 + second, ticket=ticket), now + 9)
        if second % 500 == 0:
            yield Message(f"ioc/{A}/traffic/cam", b"{broken", now)


class World(NamedTuple):
    """What a run left behind, and what it published by sequence number."""

    store: SqlStore
    journal: SqliteJournal
    frames: Frames
    made: Catalogue


async def lived(folder: Path, minutes: int) -> World:
    """The engine over a journal that fills up, in beats of unequal lengths; an alert is acknowledged by a person."""
    made = catalogue(rules())
    store = SqlStore(f"sqlite:///{folder}/history.sqlite")
    store.migrate()
    journal = SqliteJournal.open(folder / "journal.sqlite", PARTITIONS)
    live, now = Watched("then"), NOON

    async def report(told: Report) -> None:
        await engine.report(told)

    engine = Engine(made, store, live, lambda: now, report, journal.ends_ordinals)
    for number in range(PARTITIONS):
        await engine.own(number)
    await engine.own_roll_up()
    packer, told = Packer("bridge", PARTITIONS, await journal.next_ordinals()), list(story(minutes))
    beat = 0
    while told or beat % 50:
        beat += 1
        now += 500 if beat % 3 else 730
        while told and told[0].received_at <= now:
            take_in(packer, told.pop(0))
        await journal.append(packer.seal(now))
        for number in range(PARTITIONS):
            for record in await journal.read(number, engine.offset(number), 100):
                await engine.observe(record)
        if beat == 900:
            (alert,) = [alert for alert in store.alerts(True, 10) if alert.rule == "fast" and alert.scope == A]
            command = Command("c1", now, "truc-ban", "acknowledge", alert.id)
            store.record_command(command)
            engine.order(command)
        await engine.beat(now)
    return World(store, journal, live.frames, made)


class Watched(MemoryLive):
    """A live store that notes what every publish changed."""

    def __init__(self, epoch: str) -> None:
        super().__init__(epoch)
        self.frames: Frames = {}

    async def publish(self, changes: Mapping[str, bytes | None]) -> int:
        before = self._state.sequence
        after = await super().publish(changes)
        if after != before:
            self.frames[after] = dict((await self.since(self._state.epoch, before)).changes)
        return after


async def no_wait(now: int) -> None:
    pass


async def replayed(world: World, begin: int, end: int) -> Frames:
    reel = load_reel(world.store, PARTITIONS, begin, end)
    watched = Watched("now")
    shown = Replay(world.made, reel, world.journal, begin, watched)
    await shown.open()
    watched.frames.clear()
    await shown.run(no_wait)
    shown.close()
    return watched.frames


@pytest.mark.long
async def test_a_replay_publishes_what_was_published_then_byte_for_byte(tmp_path: Path) -> None:
    world = await lived(tmp_path, minutes=90)
    begin, end = NOON + 65 * MINUTE, NOON + 80 * MINUTE
    frames = await replayed(world, begin, end)
    assert len(frames) > 1_000
    assert frames == {number: world.frames[number] for number in frames}
    kinds = {key[0] for changes in frames.values() for key in changes}
    assert kinds == {"k", "a", "l", "b", "p", "s"}
    await world.journal.close()


async def test_a_replay_from_the_first_minute_begins_with_nothing_and_orders_are_carried_out_again(
    tmp_path: Path,
) -> None:
    world = await lived(tmp_path, minutes=9)
    frames = await replayed(world, NOON + MINUTE, NOON + 9 * MINUTE)
    assert frames == {number: world.frames[number] for number in frames}
    acknowledged = [
        value for changes in frames.values() for key, value in changes.items()
        if key.startswith("a:fast-") and b"truc-ban" in (value or b"")
    ]  # fmt: skip
    assert acknowledged
    await world.journal.close()


async def test_a_span_of_which_nothing_was_kept_is_refused_in_words(tmp_path: Path) -> None:
    world = await lived(tmp_path, minutes=2)
    with pytest.raises(SettingsError, match="chưa giữ trạng thái nào"):
        load_reel(world.store, PARTITIONS, NOON - 60 * MINUTE, NOON)
    with pytest.raises(SettingsError, match="không có nhịp nào"):
        load_reel(world.store, PARTITIONS, NOON + 600 * MINUTE, NOON + 700 * MINUTE)
    await world.journal.close()
