"""A worker that was stopped and wakes up after another has taken its partition over: it must do no harm."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from small_world import NOON, A, B, catalogue, senml

from sensors.batch import Batch, encode
from sensors.journal import Record
from streams.beat_engine import Engine
from streams.checkpoint import ROLL_UP
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore
from streams.sync import SyncState

MINUTE = 60_000


class Emptied(MemoryLive):
    """A live store that can lose everything, as Redis does when it is killed, and says so as Redis' shell does."""

    def __init__(self) -> None:
        super().__init__("one")
        self._is_new = False

    def restart(self) -> None:
        self._state, self._is_new = SyncState("two"), True

    def renewed(self) -> bool:
        is_new, self._is_new = self._is_new, False
        return is_new


class Workers:
    """Engines over one database and one live store, a clock in common, and the journal of partition 0."""

    def __init__(self, folder: Path) -> None:
        self.store = SqlStore(f"sqlite:///{folder}/history.sqlite")
        self.store.migrate()
        self.live = Emptied()
        self.now = NOON
        self.reports: dict[str, list[Report]] = {}
        self.acknowledged: list[int] = []
        self._ordinal = self._offset = 0

    def engine(self, name: str) -> Engine:
        told = self.reports.setdefault(name, [])

        async def report(one: Report) -> None:
            told.append(one)

        return Engine(catalogue(), self.store, self.live, lambda: self.now, report, is_alone=False)

    def record(self, *readings: tuple[str, int, float]) -> Record:
        """The journal's next record: (unit, observed at, speed)."""
        topics = [f"ioc/{unit}/traffic/cam" for unit, _, _ in readings]
        payloads = [senml("speed", at, value) for _, at, value in readings]
        batch = Batch(0, self._ordinal, self.now, "bridge", 0, topics, payloads, [self.now] * len(readings), [])
        record = Record(0, self._offset, encode(batch))
        self._ordinal, self._offset = batch.after, self._offset + 1
        return record

    async def give(self, engine: Engine, *records: Record) -> None:
        for record in records:

            async def acknowledge(offset: int = record.offset) -> None:
                self.acknowledged.append(offset)

            await engine.observe(record, acknowledge)

    async def shown(self) -> dict[str, bytes | None]:
        """The live store's values and alerts."""
        delta = await self.live.since("", 0)
        return {key: value for key, value in delta.changes.items() if key[:2] in ("k:", "a:")}

    def offset(self) -> int:
        return self.store.recover(0).offset


def test_what_a_worker_evaluated_that_no_longer_owns_the_partition_is_told_to_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        workers = Workers(tmp_path)
        stopped, other = workers.engine("stopped"), workers.engine("other")
        await stopped.own(0)
        await workers.give(stopped, workers.record((A, NOON, 40)))
        await stopped.beat(workers.now, final=True)
        unseen = workers.record((A, NOON + 1_000, 60))
        await workers.give(stopped, unseen)  # and here it is stopped: taken in, not evaluated
        workers.now += 10_000
        await other.own(0)
        await workers.give(other, unseen, workers.record((A, NOON + 2_000, 80), (A, NOON + 6 * MINUTE, 50)))
        await other.beat(workers.now, final=True)
        shown = await workers.shown()
        workers.now += 10_000
        workers.reports["stopped"].clear()
        await stopped.beat(workers.now, final=True)
        told = [report for report in workers.reports["stopped"] if report.partials]
        assert not told, "stale shares would replace the true ones in the whole place's figures"
        assert await workers.shown() == shown
        assert workers.offset() == 3
        assert stopped.owned == []

    asyncio.run(story())


def test_a_record_after_a_gap_is_not_taken_so_that_nothing_before_it_can_be_passed_over(tmp_path: Path) -> None:
    async def story() -> None:
        workers = Workers(tmp_path)
        worker = workers.engine("one")
        await worker.own(0)
        records = [workers.record((A, NOON + step * 1_000, 40 + step)) for step in range(4)]
        await workers.give(worker, records[0])
        await worker.beat(workers.now, final=True)
        worker.disown(0)  # a rebalance, with a later record already in the agent's hands
        await workers.give(worker, records[3])
        workers.now += 5_000
        await worker.beat(workers.now, final=True)
        assert workers.offset() == 1
        await workers.give(worker, *records[1:])  # as Kafka tells them again, from what was acknowledged
        workers.now += 5_000
        await worker.beat(workers.now, final=True)
        totals = workers.store.ledger_totals()
        assert (totals.received, totals.accepted) == (4, 4)
        assert workers.acknowledged == [0, 1, 2, 3]

    asyncio.run(story())


def test_a_live_store_that_came_back_empty_is_told_everything_again(tmp_path: Path) -> None:
    async def story() -> None:
        workers = Workers(tmp_path)
        worker = workers.engine("one")
        await worker.own(0)
        await workers.give(worker, workers.record((A, NOON, 40), (B, NOON, 50), (A, NOON + 6 * MINUTE, 45)))
        await worker.beat(workers.now, final=True)
        shown = await workers.shown()
        assert len(shown) > 4
        workers.live.restart()
        workers.now += 500
        await worker.beat(workers.now)
        workers.now += 500
        await worker.beat(workers.now)
        again = await workers.shown()
        assert again.keys() >= shown.keys()

    asyncio.run(story())


class Revoking(Emptied):
    """While it is told something, Kafka gives a partition to another worker."""

    def __init__(self) -> None:
        super().__init__()
        self.revoke: Callable[[], None] = lambda: None

    async def publish(self, changes: Mapping[str, bytes | None]) -> int:
        self.revoke()
        return await super().publish(changes)


def test_what_is_revoked_in_the_midst_of_its_recovery_takes_nothing_in_and_harms_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        workers = Workers(tmp_path)
        workers.live = live = Revoking()
        worker = workers.engine("one")
        record = workers.record((A, NOON, 40))
        live.revoke = lambda: worker.disown(0)
        await workers.give(worker, record)
        live.revoke = lambda: worker.disown(ROLL_UP)
        await worker.report(Report(0, [], None, 0, workers.now, 0))
        live.revoke = lambda: None
        assert (worker.owned, worker.owns_roll_up) == ([], False)
        await workers.give(worker, record)
        workers.now += 5_000
        await worker.beat(workers.now, final=True)
        assert (workers.acknowledged, workers.store.ledger_totals().accepted) == ([0], 1)

    asyncio.run(story())
