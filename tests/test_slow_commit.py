"""A database that takes its time: the beats go on, nothing is acknowledged meanwhile, and all is written once.

Another connection that holds SQLite's write lock holds a real commit up. The engine's patience is none at all, so that
no beat waits, and no clock is looked at.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from small_world import NOON, A, catalogue, held_up, kept_moments, senml

from sensors.batch import MESSAGES_MAX, Batch, encode
from sensors.journal import Record
from streams.alert import Command, Rule
from streams.beat import Counts
from streams.beat_engine import QUICK_BEAT_S, STOPPED_MS, UNWRITTEN_MAX, Engine
from streams.checkpoint import ROLL_UP, Checkpoint
from streams.checkpoint_writer import CheckpointWriter
from streams.disk_watch import waits_source
from streams.fault import WAITS_MS, Seen
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio
SOON_S = 20
FAST = Rule(
    "fast", "Nhanh", "Fast", "Nhanh", "Fast", "notice", "so", "c", "c", "k", "k", "r", "r", 60, kpi="fastest",
    above=60.0, clear=0.0,
)  # fmt: skip


class Centre:
    """An engine with two partitions and the roll-up over a database of its own, and their journal."""

    def __init__(self, store: SqlStore, path: Path, patience_s: float | None = 0.0, is_alone: bool = True) -> None:
        self.store, self.path, self.now = store, path, NOON
        self.store.migrate()
        self.live = MemoryLive("e")
        self.acknowledged: list[tuple[int, int]] = []
        self.fenced: list[int] = []
        self._told: dict[int, list[Record]] = {0: [], 1: []}

        async def report(told: Report) -> None:
            await self.engine.report(told)

        self.engine = Engine(
            catalogue({"fast": FAST}), store, self.live, lambda: self.now, report, fenced=self.fenced.append,
            patience_s=patience_s, is_alone=is_alone, roll_up_wait_s=0.0,
        )  # fmt: skip

    async def start(self) -> None:
        for partition in (0, 1):
            await self.engine.own(partition)
        await self.engine.own_roll_up()

    def record(self, partition: int, speed: float, messages: int = 1) -> Record:
        """The partition's next record: readings of now."""
        told = self._told[partition]
        payloads = [senml("speed", self.now + place, speed) for place in range(messages)]
        topics = [f"ioc/{A}/traffic/cam-{partition}-{len(told)}"] * messages
        ordinal = len(told) * messages
        batch = Batch(partition, ordinal, self.now, "b", 0, topics, payloads, [self.now] * messages)
        told.append(Record(partition, len(told), encode(batch)))
        return told[-1]

    async def give(self, *records: Record) -> None:
        for record in records:

            async def acknowledge(record: Record = record) -> None:
                self.acknowledged.append((record.partition, record.offset))

            await self.engine.observe(record, acknowledge)

    async def beat(self, after_ms: int = 500) -> None:
        self.now += after_ms
        await self.engine.beat(self.now)

    async def until(self, holds: Callable[[], Any]) -> None:
        """Beat until it is so."""
        async with asyncio.timeout(SOON_S):
            while not holds():
                await asyncio.sleep(0.01)  # SQLite's own thread waits for its lock by the clock
                await self.beat(10)

    async def written(self, at: int) -> None:
        """Without a beat, until the database has the checkpoint of this moment."""
        async with asyncio.timeout(SOON_S):
            while self.store.recover(0).at != at:
                await asyncio.sleep(0)

    async def shown(self, key: str) -> Any:
        value = (await self.live.since("", 0)).changes.get(key)
        return json.loads(value) if value is not None else None

    @property
    def accepted(self) -> int:
        """How many messages the database has as counted."""
        return self.store.ledger_totals().accepted

    def held_up(self, *instead: str) -> AbstractContextManager[None]:
        """Inside, the database takes no commit; at the end that of whoever held it up, with what these wrote."""
        return held_up(self.path, *instead)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


@pytest.fixture
async def centre(path: Path) -> Centre:
    """One that has written once, so that nothing is due before a second has passed."""
    centre = Centre(SqlStore(f"sqlite:///{path}"), path)
    await centre.start()
    await centre.engine.beat(NOON, final=True)
    await centre.engine.keeper.ended()
    return centre


async def test_the_wall_hears_what_is_new_while_a_checkpoint_hangs_and_only_acknowledging_waits(centre: Centre) -> None:
    with centre.held_up():
        for number in range(1, 6):
            await centre.give(centre.record(0, 10.0 * number), centre.record(1, 50))
            await centre.beat(1_000)
            assert (await centre.shown(f"k:fastest@{A}"))["v"] == max(10.0 * number, 50)
            assert (await centre.shown("p:0"))["at"] == centre.now
        assert (await centre.shown("l:0"))["in_flight"] == 5
        assert (centre.acknowledged, centre.accepted) == ([], 0)
    await centre.until(lambda: len(centre.acknowledged) == 10)
    assert sorted(centre.acknowledged) == [(partition, offset) for partition in (0, 1) for offset in range(5)]
    assert centre.accepted == 10
    assert (await centre.shown("l:0"))["in_flight"] == 0
    assert centre.engine.keep_from() == {0: 5, 1: 5}


async def test_what_hangs_is_told_after_three_seconds_while_beats_go_on(centre: Centre) -> None:
    look = waits_source(centre.engine.waits)
    with centre.held_up():
        await centre.give(centre.record(0, 40))
        await centre.beat(1_000)
        since = centre.now
        assert look(since + WAITS_MS - 1) == {}
        for _ in range(6):
            await centre.beat()
        assert look(centre.now) == {"checkpoint_waits": Seen()}
    await centre.until(lambda: centre.acknowledged)
    assert look(centre.now) == {"checkpoint_waits": Seen()}
    await centre.until(lambda: look(centre.now) == {})  # one was quick


async def test_between_two_slow_checkpoints_others_have_their_turn_at_the_database(centre: Centre) -> None:
    with centre.held_up():
        for _ in range(2):  # the second is due by then
            await centre.give(centre.record(0, 40))
            await centre.beat(1_000)
    await centre.until(lambda: centre.acknowledged)
    assert centre.engine.waits == {}, "nothing is being written after the beat that found the first one written"
    await centre.beat()
    assert centre.engine.waits
    await centre.until(lambda: len(centre.acknowledged) == 2)


async def test_a_beat_waits_for_a_checkpoint_that_is_soon_written(path: Path) -> None:
    centre = Centre(SqlStore(f"sqlite:///{path}"), path, patience_s=SOON_S)
    await centre.start()
    for second in range(1, 4):
        await centre.give(centre.record(0, 40))
        await centre.beat(1_000)
        assert centre.acknowledged == [(0, offset) for offset in range(second)]


async def test_a_clock_that_is_set_back_keeps_no_checkpoint_from_being_written(path: Path) -> None:
    centre = Centre(SqlStore(f"sqlite:///{path}"), path, patience_s=None)
    await centre.start()
    centre.now += 50 * 60_000
    for told, step_ms in enumerate((500, 1_000, -45 * 60_000, 1_000, 1_000), start=1):
        await centre.give(centre.record(0, 40))
        await centre.beat(step_ms)
        assert centre.store.recover(0).ordinal == told
        assert centre.store.recover(ROLL_UP).at == centre.now


async def test_another_worker_writes_while_a_checkpoint_hangs_and_its_partition_is_dropped_unacknowledged(
    centre: Centre,
) -> None:
    with centre.held_up("UPDATE checkpoint SET at = at + 1 WHERE partition = 0"):
        await centre.give(centre.record(0, 40), centre.record(1, 40))
        await centre.beat(1_000)
    await centre.until(lambda: centre.acknowledged)
    assert (centre.acknowledged, centre.engine.owned, centre.fenced) == ([(1, 0)], [1], [0])


async def test_a_partition_that_is_taken_back_while_its_checkpoint_hangs_is_acknowledged_by_its_new_state_alone(
    centre: Centre,
) -> None:
    """A rebalance revokes all and gives it back: what was begun before is written, and fences the new state."""
    first, second = centre.record(0, 40), centre.record(0, 50)
    with centre.held_up():
        await centre.give(first)
        await centre.beat(1_000)
        centre.engine.disown(0)
        await centre.engine.own(0)
        assert centre.engine.offset(0) == 0
        await centre.give(first)
        await centre.beat(1_000)
    await centre.until(lambda: centre.fenced)
    assert centre.store.recover(0).offset == 1
    assert centre.acknowledged == []
    assert centre.engine.owned == [1]
    await centre.give(first, second)  # as Kafka tells them again
    await centre.until(lambda: len(centre.acknowledged) == 2)
    assert (centre.acknowledged, centre.accepted, centre.fenced) == ([(0, 0), (0, 1)], 2, [0])


async def test_a_partition_that_came_back_is_not_dropped_for_what_its_old_state_could_not_write(centre: Centre) -> None:
    with centre.held_up("UPDATE checkpoint SET at = at + 1 WHERE partition = 0"):
        await centre.give(centre.record(0, 40))
        await centre.beat(1_000)
        centre.engine.disown(0)
    await centre.engine.own(0)
    await centre.give(centre.record(1, 40))
    await centre.until(lambda: centre.acknowledged)
    assert (centre.engine.owned, centre.fenced) == ([0, 1], [])


async def test_a_worker_that_was_stopped_does_not_take_what_it_had_begun_to_write_for_anothers(path: Path) -> None:
    class AskedLate(SqlStore):
        may_answer = threading.Event()

        def offsets(self) -> dict[int, int]:
            assert self.may_answer.wait(SOON_S)
            return super().offsets()

    centre = Centre(store := AskedLate(f"sqlite:///{path}"), path, is_alone=False)
    await centre.start()
    store.may_answer.set()
    await centre.beat()
    await centre.engine.beat(centre.now, final=True)
    store.may_answer.clear()
    with centre.held_up():
        await centre.give(centre.record(0, 40))
        await centre.beat(1_000)
        written_at = centre.now
        waking = asyncio.create_task(centre.beat(STOPPED_MS + 1))
        for _ in range(100):
            await asyncio.sleep(0)
    await centre.written(written_at)
    store.may_answer.set()
    await asyncio.wait_for(waking, SOON_S)
    assert (centre.engine.owned, centre.acknowledged) == ([0, 1], [(0, 0)])


async def test_the_roll_up_comes_back_only_when_what_was_begun_before_is_written(centre: Centre) -> None:
    """Its shares are of partitions that nobody drops with it, and that do not tell them again."""
    with centre.held_up():
        await centre.give(centre.record(0, 40))
        await centre.beat(1_000)
        written_at = centre.now
        centre.engine.disown(ROLL_UP)
        coming = asyncio.create_task(centre.engine.own_roll_up())
        for _ in range(100):
            await asyncio.sleep(0)
        assert not coming.done()
    await asyncio.wait_for(coming, SOON_S)
    assert centre.store.recover(ROLL_UP).at == written_at
    await centre.until(lambda: centre.store.recover(ROLL_UP).at > written_at)
    assert centre.fenced == []


async def test_a_command_that_is_carried_out_while_a_checkpoint_hangs_is_applied_once(centre: Centre) -> None:
    await centre.give(centre.record(0, 90))
    await centre.beat()
    await centre.until(lambda: not centre.engine.waits)
    alert = f"fast-{A}-1"
    assert await centre.shown(f"a:{alert}")
    command = Command("c1", centre.now, "truc-ban", "comment", alert, "đã gọi")
    centre.store.record_command(command)
    with centre.held_up():
        await centre.beat(1_000)
        centre.engine.order(command)
        await centre.beat()
        assert centre.store.command_state("c1") == ("waiting", "")
        centre.engine.disown(1)
        centre.engine.order(command)  # the database lists it still
        await centre.beat()
    await centre.until(lambda: centre.store.command_state("c1") == ("applied", ""))
    assert [step.text for step in centre.store.alert_steps(alert)].count("đã gọi") == 1


async def test_a_command_that_was_begun_to_be_written_is_not_carried_out_by_the_partitions_next_state(
    centre: Centre,
) -> None:
    await centre.give(centre.record(0, 90))
    await centre.beat()
    await centre.until(lambda: not centre.engine.waits)
    alert = f"fast-{A}-1"
    command = Command("c1", centre.now, "truc-ban", "comment", alert, "đã gọi")
    centre.store.record_command(command)
    with centre.held_up():
        centre.engine.order(command)
        await centre.beat(1_000)
        centre.engine.disown(0)
        centre.engine.order(command)  # the database lists it still
    await centre.written(centre.now)
    await centre.engine.own(0)
    await centre.beat()
    await centre.give(centre.record(0, 80))
    await centre.beat(1_000)
    await centre.engine.beat(centre.now, final=True)
    assert (centre.engine.owned, centre.store.command_state("c1")) == ([0, 1], ("applied", ""))
    assert [step.text for step in centre.store.alert_steps(alert)].count("đã gọi") == 1


async def test_a_refusal_that_hangs_holds_no_beat_up(centre: Centre) -> None:
    command = Command("c1", centre.now, "truc-ban", "acknowledge", "fast-none-1")
    centre.store.record_command(command)
    with centre.held_up():
        centre.engine.order(command)
        await centre.beat()
        assert (await centre.shown("p:0"))["at"] == centre.now
        assert centre.store.command_state("c1") == ("waiting", "")
    await centre.until(lambda: (centre.store.command_state("c1") or "")[0] == "refused")


async def test_an_engine_that_is_to_end_while_a_checkpoint_hangs_writes_all_and_ends(centre: Centre) -> None:
    stop = asyncio.Event()
    with centre.held_up():
        await centre.give(centre.record(0, 40))
        await centre.beat(1_000)
        await centre.give(centre.record(0, 50))
        running = asyncio.create_task(centre.engine.run(stop))
        stop.set()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not running.done()
    await asyncio.wait_for(running, SOON_S)
    assert (centre.acknowledged, centre.accepted) == ([(0, 0), (0, 1)], 2)
    assert centre.store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_mistake_of_ours_in_a_commit_that_nobody_waited_for_ends_the_engine(path: Path) -> None:
    class Broken(SqlStore):
        def commit_all(self, checkpoints: Sequence[Checkpoint]) -> set[int]:
            super().commit_all(checkpoints)
            raise AssertionError("ours")

    centre = Centre(Broken(f"sqlite:///{path}"), path)
    await centre.start()
    with centre.held_up():
        await centre.beat()
    with pytest.raises(AssertionError, match="ours"):
        await asyncio.wait_for(centre.engine.run(asyncio.Event()), SOON_S)


async def test_a_partition_takes_in_its_share_while_a_checkpoint_hangs_then_waits_at_the_beats_pace(
    centre: Centre,
) -> None:
    records = [centre.record(0, 40, MESSAGES_MAX) for _ in range(2 * UNWRITTEN_MAX // MESSAGES_MAX)]
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def next_beat() -> float:
        sequence = (await centre.live.since("", 0)).sequence
        before = centre.now
        centre.now += 500
        async with asyncio.timeout(SOON_S):
            while (await centre.shown("p:0"))["at"] <= before:
                await centre.live.changed(sequence, 1.0)
                sequence = (await centre.live.since("", 0)).sequence
        return loop.time()

    with centre.held_up():
        await centre.beat(1_000)
        running = asyncio.create_task(centre.engine.run(stop))
        feeding = asyncio.create_task(centre.give(*records))
        while (await centre.shown("p:0"))["offset"] * MESSAGES_MAX < UNWRITTEN_MAX:
            await next_beat()
        begun, *_, ended = [await next_beat() for _ in range(4)]
        assert (await centre.shown("p:0"))["offset"] * MESSAGES_MAX == UNWRITTEN_MAX
        assert ended - begun > 2 * QUICK_BEAT_S, "it does not wake the engine for nothing"
        assert centre.acknowledged == []
    await asyncio.wait_for(feeding, SOON_S)
    stop.set()
    await asyncio.wait_for(running, SOON_S)
    assert (len(centre.acknowledged), centre.accepted) == (len(records), 2 * UNWRITTEN_MAX)


async def test_what_was_taken_in_after_a_checkpoint_was_made_still_counts_when_that_is_written(centre: Centre) -> None:
    records = [centre.record(0, 40, MESSAGES_MAX) for _ in range(UNWRITTEN_MAX // MESSAGES_MAX + 1)]
    with centre.held_up():
        await centre.beat(1_000)
        since, _ = centre.engine.waits["checkpoint_waits"]
        for record in records[:-1]:
            giving = asyncio.create_task(centre.give(record))
            await asyncio.sleep(0)
            await centre.beat(0)
            await giving
    await centre.written(since)
    with centre.held_up():
        await centre.until(lambda: centre.engine.waits.get("checkpoint_waits", (0, ""))[0] > since)
        giving = asyncio.create_task(centre.give(records[-1]))
        for _ in range(10):
            await asyncio.sleep(0)
            await centre.beat()
        assert not giving.done()
    await centre.until(giving.done)


async def test_a_commit_for_which_nobody_waits_any_more_wakes_the_engine_when_it_ends(path: Path) -> None:
    centre, woken = Centre(SqlStore(f"sqlite:///{path}"), path), asyncio.Event()
    writer = CheckpointWriter(centre.store, lambda: NOON, woken.set)
    first, second = (Checkpoint(0, expected, 0, 0, at, b"", Counts()) for expected, at in ((-1, NOON), (0, NOON + 1)))
    writer.begin([first])
    await writer.wait(None)
    assert writer.take() == [(first, True)]
    assert not woken.is_set()
    with centre.held_up():
        writer.begin([second])
        await writer.wait(0.0)
        assert (writer.take(), writer.is_writing) == ([], True)
    await asyncio.wait_for(woken.wait(), SOON_S)
    assert writer.take() == [(second, True)]
    assert (writer.take(), writer.is_writing) == ([], False)


async def test_the_hours_state_is_kept_as_of_its_checkpoint_also_when_that_is_written_later(path: Path) -> None:
    centre = Centre(SqlStore(f"sqlite:///{path}"), path)
    centre.now -= 1_000
    await centre.start()
    with centre.held_up():
        await centre.beat(1_000)
        await centre.beat()
    await centre.written(NOON)
    await centre.until(lambda: kept_moments(centre.store, [ROLL_UP, 0, 1]))
    assert kept_moments(centre.store, [ROLL_UP, 0, 1]) == [NOON]
