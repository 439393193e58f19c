"""An alert is in the log before any wall shows it, and no wall shows an alert that is in none."""

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from small_world import NOON, A, catalogue, held_up, senml

from sensors.batch import Batch, encode
from sensors.errors import Unavailable
from sensors.journal import Record
from streams.alert import Command, Rule
from streams.annunciator import HELD_MS
from streams.beat_engine import CHECKPOINT_MS, Engine
from streams.checkpoint import ROLL_UP
from streams.live import Delta
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio
SOON_MS = CHECKPOINT_MS // 5
WINDOW_MS = 300_000
FAST, PLACE = f"fast-{A}-1", "fast_place-22-1"


def rules() -> dict[str, Rule]:
    fast = Rule(
        "fast", "x", "x", "x", "x", "warning", "so", "x", "x", "x", "x", "x", "x", 60, kpi="fastest", above=60.0,
        clear=50.0,
    )  # fmt: skip
    return {"fast": fast, "fast_place": msgspec.structs.replace(fast, id="fast_place", scope="place")}


class CheckedLive(MemoryLive):
    """Holds every alert that it is told against the log, before anybody could see it; may be away."""

    def __init__(self, store: SqlStore) -> None:
        super().__init__("e")
        self.is_away = False
        self.told: list[tuple[str, str]] = []
        self._store = store

    async def publish(self, changes: Mapping[str, bytes | None]) -> int:
        self._answer()
        for alert in (key[2:] for key, value in changes.items() if key.startswith("a:") and value is not None):
            steps = self._store.alert_steps(alert)
            assert steps, f"{alert} is shown and in no log"
            self.told.append((alert, steps[-1].op))
        return await super().publish(changes)

    async def since(self, epoch: str, sequence: int) -> Delta:
        self._answer()
        return await super().since(epoch, sequence)

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable("live store: away")


class Centre:
    """An engine over a database and a live store, with partition 0 and the roll-up, soon after its last checkpoint."""

    def __init__(self, store: SqlStore, live: MemoryLive, patience_s: float | None = None) -> None:
        self.store, self.live, self.now = store, live, NOON
        self._offset = 0

        async def report(told: Report) -> None:
            await self.engine.report(told)

        self.engine = Engine(
            catalogue(rules()), store, live, lambda: self.now, report, patience_s=patience_s, roll_up_wait_s=0.0
        )

    async def start(self) -> None:
        await self.engine.own(0)
        await self.engine.own_roll_up()
        await self.engine.beat(self.now, final=True)
        await self.engine.keeper.ended()

    def follow(self, other: "Centre") -> None:
        """Go on with the other's journal, at its time."""
        self.now, self._offset = other.now, other._offset

    async def beat(self, speed: float | None = None) -> None:
        """One more, soon after the last."""
        self.now += SOON_MS
        if speed is not None:
            topics, payloads = [f"ioc/{A}/traffic/cam"], [senml("speed", self.now, speed)]
            batch = Batch(0, self._offset, self.now, "b", 0, topics, payloads, [self.now])
            await self.engine.observe(Record(0, self._offset, encode(batch)))
            self._offset += 1
        await self.engine.beat(self.now)


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    made = SqlStore(f"sqlite:///{tmp_path}/history.sqlite")
    made.migrate()
    return made


async def value_of(live: MemoryLive, key: str) -> Any:
    value = (await live.since("", 0)).changes[key]
    assert value is not None
    return msgspec.json.decode(value)


async def shown(live: MemoryLive) -> set[str]:
    changes = (await live.since("", 0)).changes
    return {key for key, value in changes.items() if key.startswith("a:") and value is not None}


async def test_each_step_of_an_alert_is_written_on_its_beat_and_only_then_shown(store: SqlStore) -> None:
    live = CheckedLive(store)
    centre = Centre(store, live)
    await centre.start()
    await centre.beat(40)
    assert store.recover(0).at == NOON, "nothing is due yet"
    await centre.beat(90)
    assert sorted(live.told) == [(FAST, "raise"), (PLACE, "raise")]
    centre.engine.order(Command("c1", centre.now, "truc-ban", "acknowledge", FAST))
    await centre.beat()
    assert live.told[-1] == (FAST, "acknowledge")
    assert store.recover(0).at == centre.now
    await centre.beat(95)
    assert store.recover(0).at < centre.now, "what is no step waits for its second"


async def test_while_the_database_takes_its_time_values_are_shown_and_an_alert_only_once_it_is_written(
    store: SqlStore, tmp_path: Path
) -> None:
    live = CheckedLive(store)
    centre = Centre(store, live, patience_s=0.0)
    await centre.start()
    with held_up(tmp_path / "history.sqlite"):
        while centre.now < NOON + HELD_MS:
            await centre.beat(90)
        assert (await value_of(live, f"k:fastest@{A}"))["v"] == 90
        assert await shown(live) == set()
    await centre.engine.beat(centre.now, final=True)
    assert sorted(live.told) == [(FAST, "raise"), (PLACE, "raise")]


async def test_who_is_in_danger_waits_two_seconds_for_a_database_and_no_longer(store: SqlStore, tmp_path: Path) -> None:
    centre = Centre(store, MemoryLive("e"), patience_s=0.0)
    await centre.start()
    with held_up(tmp_path / "history.sqlite"):
        await centre.beat(90)
        raised_at = centre.now
        while centre.now < raised_at + HELD_MS:
            assert await shown(centre.live) == set()
            await centre.beat()
        assert await shown(centre.live) == {f"a:{FAST}", f"a:{PLACE}"}
        assert store.alert(FAST) is None
    await centre.engine.beat(centre.now, final=True)
    assert [step.op for step in store.alert_steps(FAST)] == ["raise"]


async def test_a_live_store_that_has_lost_everything_hears_of_no_alert_before_its_log_has_it(
    store: SqlStore, tmp_path: Path
) -> None:
    class Forgetful(CheckedLive):
        forgot = False

        def renewed(self) -> bool:
            forgot, self.forgot = self.forgot, False
            return forgot

    live = Forgetful(store)
    centre = Centre(store, live, patience_s=0.0)
    await centre.start()
    with held_up(tmp_path / "history.sqlite"):
        await centre.beat(90)
        live.forgot = True
        await centre.beat(95)
        assert await shown(live) == set()
    await centre.engine.beat(centre.now, final=True)
    assert await shown(live) == {f"a:{FAST}", f"a:{PLACE}"}


async def test_an_alert_of_a_partition_that_another_worker_has_written_since_is_shown_to_nobody(
    store: SqlStore, tmp_path: Path
) -> None:
    centre = Centre(store, MemoryLive("e"))
    await centre.start()
    with closing(sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)) as other:
        other.execute("UPDATE checkpoint SET at = at + 1 WHERE partition = 0")
    await centre.beat(90)
    assert await shown(centre.live) == {f"a:{PLACE}"}, "the roll-up is ours, and has heard it"
    assert centre.engine.owned == []


async def test_an_alert_that_a_worker_told_and_never_wrote_is_taken_back_by_the_next_one(store: SqlStore) -> None:
    live = CheckedLive(store)
    first = Centre(store, live)
    await first.start()
    await first.beat(90)
    told = dict((await live.since("", 0)).changes)
    known = told[f"a:{FAST}"]
    assert known is not None
    lost = msgspec.json.decode(known) | {"id": "fast-lost-1"}
    others = lost | {"id": "fast-others-1", "partition": 1}
    await MemoryLive.publish(
        live, {"a:fast-lost-1": msgspec.json.encode(lost), "a:fast-others-1": msgspec.json.encode(others)}
    )
    second = Centre(store, live)
    second.now = first.now
    live.is_away = True
    await second.engine.own(0)
    await second.engine.own_roll_up()
    live.is_away = False
    assert "a:fast-lost-1" in await shown(live)
    second.now += SOON_MS
    await second.engine.beat(second.now)
    assert await shown(live) == {f"a:{FAST}", f"a:{PLACE}", "a:fast-others-1"}


async def test_what_a_worker_could_not_tell_of_a_partition_it_does_not_tell_once_that_is_anothers(
    store: SqlStore,
) -> None:
    live = CheckedLive(store)
    first, second = Centre(store, live), Centre(store, live)
    await first.start()
    live.is_away = True
    await first.beat(90)
    for partition in (0, ROLL_UP):
        first.engine.disown(partition)
    live.is_away = False
    second.follow(first)
    await second.start()
    second.now += WINDOW_MS
    await second.beat(40)
    assert (await value_of(live, f"a:{FAST}"))["state"] == "unack_returned"
    told = await said_of_partitions(live)
    await first.beat()
    assert await said_of_partitions(live) == told


async def said_of_partitions(live: MemoryLive) -> dict[str, bytes | None]:
    """All but bridges, which speak to several workers."""
    return {key: value for key, value in (await live.since("", 0)).changes.items() if not key.startswith("b:")}


class Interrupted(MemoryLive):
    """Something else goes on while it is asked for the first time."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def since(self, epoch: str, sequence: int) -> Delta:
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return await super().since(epoch, sequence)


async def test_an_alert_that_is_raised_while_it_is_looked_what_an_earlier_worker_left_is_not_taken_back(
    store: SqlStore,
) -> None:
    live = Interrupted("e")
    centre = Centre(store, live)
    live.meanwhile = partial(centre.beat, 90)
    await centre.engine.own(0)
    assert live.meanwhile is None
    assert await shown(live) == {f"a:{FAST}", f"a:{PLACE}"}


async def test_an_alert_says_which_partition_it_is_of(store: SqlStore) -> None:
    centre = Centre(store, MemoryLive("e"))
    await centre.start()
    await centre.beat(90)
    owners = [(await value_of(centre.live, f"a:{alert}"))["partition"] for alert in (FAST, PLACE)]
    assert owners == [0, ROLL_UP]
