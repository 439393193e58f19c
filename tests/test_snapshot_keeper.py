"""Once an hour the whole state is kept, and the beats do not wait for it."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from small_world import NOON, A, catalogue, kept_moments, senml
from sqlalchemy.engine import Connection

from sensors.batch import Batch, encode
from sensors.errors import Unavailable
from sensors.journal import Record
from streams.beat_engine import UNWRITTEN_MAX, Engine
from streams.checkpoint import ROLL_UP, Checkpoint
from streams.disk_watch import waits_source
from streams.fault import fold
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio
HOUR = 3_600_000
OWNED = [ROLL_UP, 0, 1]
SOON_S = 20


class SlowStore(SqlStore):
    """A database of which a whole state is read as slowly as the test says."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.reading = threading.Event()
        self.may_read = threading.Event()
        self.before_commit: Callable[[], None] = lambda: None

    def packed_state(self, connection: Connection, partition: int, horizons: Mapping[str, int]) -> bytes:
        self.reading.set()
        assert self.may_read.wait(SOON_S)
        return super().packed_state(connection, partition, horizons)

    def commit_all(self, checkpoints: Sequence[Checkpoint]) -> set[int]:
        self.before_commit()
        return super().commit_all(checkpoints)


class UnreadableStore(SqlStore):
    """A database that takes checkpoints, and of which a state cannot be read."""

    is_readable = False

    def packed_state(self, connection: Connection, partition: int, horizons: Mapping[str, int]) -> bytes:
        if not self.is_readable:
            raise Unavailable("disk I/O error")
        return super().packed_state(connection, partition, horizons)


class Centre:
    """An engine with two partitions, at a time that the test tells."""

    def __init__(self, store: SqlStore, now: int) -> None:
        self.store, self.now = store, now
        self.store.migrate()
        self._offset = 0
        self._begin()

    def _begin(self) -> None:
        async def report(told: Report) -> None:
            await engine.report(told)

        engine = self.engine = Engine(catalogue(), self.store, MemoryLive("e"), lambda: self.now, report)

    async def start(self) -> None:
        """Begin, or begin again from what the database has."""
        self._begin()
        for partition in (0, 1):
            await self.engine.own(partition)
        await self.engine.own_roll_up()

    async def beat(self, now: int, messages: int = 1) -> None:
        """One beat, of a record of partition 0."""
        self.now = now
        payloads = [senml("speed", now + place, 40) for place in range(messages)]
        topics = [f"ioc/{A}/traffic/cam"] * messages
        batch = Batch(0, self._offset, now, "b", 0, topics, payloads, [now] * messages)
        await self.engine.observe(Record(0, self._offset, encode(batch)))
        self._offset += 1
        await self.engine.beat(now)

    @property
    def kept(self) -> list[int]:
        return kept_moments(self.store, OWNED)

    @property
    def written(self) -> int:
        return self.store.recover(0).at


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'history.sqlite'}"


async def begun(store: SqlStore, now: int = NOON - 5_000) -> Centre:
    centre = Centre(store, now)
    await centre.start()
    return centre


async def test_beats_and_their_checkpoints_go_on_while_the_state_is_kept_as_it_was_when_the_hour_began(
    url: str,
) -> None:
    centre = await begun(store := SlowStore(url))
    store.may_read.set()
    await centre.beat(NOON - 3_000)
    await centre.engine.keeper.ended()
    assert centre.kept == [NOON - 3_000], "the first of all"
    store.may_read.clear()
    for second in range(-1, 5):
        await centre.beat(NOON + second * 1_000)
        assert centre.written == centre.now
    assert centre.kept == [NOON - 3_000]
    store.may_read.set()
    await centre.engine.keeper.ended()
    assert centre.kept == [NOON - 3_000, NOON]
    kept = store.kept_states(dict.fromkeys(OWNED, NOON))
    assert {number: state.at for number, state in kept.items()} == dict.fromkeys(OWNED, NOON)
    assert kept[0].offset == 3
    await centre.beat(NOON + 10_000)
    await centre.beat(NOON + HOUR - 1_000)
    await centre.engine.keeper.ended()
    assert len(centre.kept) == 2, "once an hour"


async def test_when_an_hour_begins_everything_is_written_at_once_so_that_its_state_is_of_one_moment(url: str) -> None:
    centre = await begun(SqlStore(url))
    await centre.beat(NOON - 1_500)
    await centre.beat(NOON - 1_000, messages=UNWRITTEN_MAX)
    await centre.beat(NOON - 500)
    assert [centre.store.recover(partition).at for partition in (0, 1)] == [NOON - 1_000, NOON - 500]
    await centre.beat(NOON)
    await centre.engine.keeper.ended()
    assert centre.kept == [NOON - 1_500, NOON]


async def test_an_engine_that_ends_gives_up_what_it_is_keeping_and_leaves_nothing_open(url: str) -> None:
    centre = await begun(store := SlowStore(url))
    await centre.beat(NOON)
    assert store.reading.wait(SOON_S)
    # The clock stands: no checkpoint is due but the last one, and by then the end has been told.
    store.before_commit = store.may_read.set
    stop = asyncio.Event()
    stop.set()
    await centre.engine.run(stop)
    assert centre.kept == []
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await centre.start()
    await centre.beat(NOON + 60_000)
    await centre.engine.keeper.ended()
    assert centre.kept == [NOON + 60_000], "the next start in this hour keeps it"


async def test_an_engine_that_starts_again_in_an_hour_that_has_its_state_keeps_no_other(url: str) -> None:
    centre = await begun(SqlStore(url))
    await centre.beat(NOON)
    await centre.engine.keeper.ended()
    await centre.start()
    await centre.beat(NOON + 60_000)
    await centre.beat(NOON + 120_000)
    await centre.engine.keeper.ended()
    assert centre.kept == [NOON]


async def test_what_cannot_be_kept_is_a_warning_until_another_state_is_and_the_beats_go_on(url: str) -> None:
    centre = await begun(store := UnreadableStore(url))
    for second in range(3):
        await centre.beat(NOON + second * 1_000)
    await centre.engine.keeper.ended()
    await centre.beat(NOON + 3_000)
    assert centre.written == NOON + 3_000
    assert centre.kept == []
    assert centre.engine.keeper.unkept == {"state_not_kept": (NOON, "disk I/O error")}
    told = fold({}, waits_source(centre.engine.keeper.unkept)(NOON + 5_000), NOON + 5_000)["state_not_kept"]
    assert (told.en, told.detail) == ("The state for replays could not be kept", "disk I/O error")
    store.is_readable = True
    await centre.beat(NOON + HOUR)
    await centre.engine.keeper.ended()
    assert (centre.kept, centre.engine.keeper.unkept) == ([NOON + HOUR], {})
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_while_one_hours_state_is_still_being_kept_the_next_hours_waits(url: str) -> None:
    centre = await begun(store := SlowStore(url))
    await centre.beat(NOON)
    await centre.beat(NOON + HOUR)
    store.may_read.set()
    await centre.engine.keeper.ended()
    assert centre.kept == [NOON]
    await centre.beat(NOON + HOUR + 1_000)
    await centre.engine.keeper.ended()
    assert centre.kept == [NOON, NOON + HOUR + 1_000]


async def test_a_mistake_of_ours_in_keeping_ends_the_engine(url: str) -> None:
    class Broken(SqlStore):
        def packed_state(self, connection: Connection, partition: int, horizons: Mapping[str, int]) -> bytes:
            raise AssertionError("ours")

    centre = await begun(Broken(url))
    await centre.beat(NOON)
    with pytest.raises(AssertionError, match="ours"):
        await centre.engine.keeper.ended()
    with pytest.raises(AssertionError, match="ours"):
        await centre.beat(NOON + 1_000)
