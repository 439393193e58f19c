"""A replay makes the beats of a past period again: what it publishes is what was published then, byte for byte."""

import sqlite3
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import msgspec
import pytest
import sqlalchemy as sa
from small_world import NOON, A, B, catalogue, cloudevent, kept_moments, senml, write_foreign
from told import Message, take_in

from sensors.broker_refusal import Refusal
from sensors.errors import SettingsError
from sensors.packing import Packer
from sensors.sqlite_journal import SqliteJournal
from streams.alert import Command, Rule
from streams.beat_engine import Engine
from streams.catalogue import Catalogue
from streams.checkpoint import ROLL_UP, SummaryRow
from streams.journal_replay import Replay, load_reel
from streams.memory_live import MemoryLive
from streams.past_store import PastStore
from streams.reel import SETTLED_MS
from streams.roll_up import Report
from streams.span import MS_MAX
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio
PARTITIONS = 2
MINUTE = 60_000
ANSWERED_BEATS = 60
Frames = dict[int, dict[str, bytes | None]]
"""What changed with each sequence number."""

Answers = dict[str, Any]
"""What a store answers, by question."""


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


def story(minutes: int, begun: int) -> Iterator[Message]:
    """Traffic of two units (one station falls silent, some messages late, doubled, broken and lost) and a desk."""
    for second in range(0, minutes * 60, 5):
        now = begun + second * 1000
        for number, unit in enumerate((A, B)):
            if number and (600 < second % 3_600 < 1_200 or second % 95 == 40):
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
    """What a run left behind, what it published by sequence number, what its store answered at some moments, and how
    the place's figures stood on each beat of the roll-up."""

    store: SqlStore
    journal: SqliteJournal
    frames: Frames
    made: Catalogue
    answers: dict[int, Answers]
    stood: dict[int, dict[str, bytes]]


def answers_of(store: SqlStore | PastStore, made: Catalogue) -> Answers:
    """Every question of a gateway to which time makes a difference."""
    found: Answers = {
        "sources": store.sources(), "missing": store.missing(100), "numbered": store.numbered_totals(),
        "totals": store.ledger_totals(), "minutes": store.ledger_rows(0, MS_MAX, 100_000),
        "rejections": store.rejections(1_000), "reasons": store.rejection_reasons(),
        "refused": store.refusals_total(), "refusals": store.refusals(100), "summary": store.newest_summary(),
        "open": store.alerts(True, 1_000), "alerts": store.alerts(False, 1_000),
    }  # fmt: skip
    for alert in found["alerts"]:
        found[f"alert {alert.id}"] = store.alert(alert.id), store.alert_steps(alert.id)
    for kpi in made.kpis:
        found[f"windows {kpi}"] = store.windows(kpi, 0, MS_MAX, 100_000)
        for scope in (A, B, made.place.code):
            found[f"newest {kpi} {scope}"] = store.newest_value(kpi, scope)
            found[f"history {kpi} {scope}"] = store.history(kpi, scope, 0, MS_MAX, 100_000)
    return found


async def lived(folder: Path, minutes: int, begun: int = NOON, held_up: Container[int] = ()) -> World:
    """The engine over a journal that fills up, in beats of unequal lengths; an alert is acknowledged by a person, the
    broker refuses clients, and summaries are made. On the beats that are to be `held_up`, by their numbers, another
    connection has the database locked, and none waits for it."""
    made = catalogue(rules())
    store = SqlStore(f"sqlite:///{folder}/history.sqlite")
    store.migrate()
    journal = SqliteJournal.open(folder / "journal.sqlite", PARTITIONS)
    live, now, answers = Watched("then"), begun, dict[int, Answers]()

    async def report(told: Report) -> None:
        await engine.report(told)

    patience_s = 0.0 if held_up else None
    engine = Engine(made, store, live, lambda: now, report, journal.ends_ordinals, patience_s=patience_s)
    for number in range(PARTITIONS):
        await engine.own(number)
    await engine.own_roll_up()
    packer, told = Packer("bridge", PARTITIONS, await journal.next_ordinals()), list(story(minutes, begun))
    holder = sqlite3.connect(folder / "history.sqlite", isolation_level=None)
    beat = 0
    while told or beat % 50:
        beat += 1
        now += 500 if beat % 3 else 730
        while told and told[0].received_at <= now:
            take_in(packer, told.pop(0))
        await journal.append(packer.seal(now))
        if beat % 400 == 7:
            write_foreign(folder / "journal.sqlite", beat % PARTITIONS, b"no bridge's", now)
        for number in range(PARTITIONS):
            for record in await journal.read(number, engine.offset(number), 100):
                await engine.observe(record)
        if beat == 900:
            (alert,) = [alert for alert in store.alerts(True, 10) if alert.rule == "fast" and alert.scope == A]
            command = Command("c1", now, "truc-ban", "acknowledge", alert.id)
            store.record_command(command)
            engine.order(command)
        if holder.in_transaction != (beat in held_up):
            holder.execute("COMMIT" if holder.in_transaction else "BEGIN IMMEDIATE")
        if beat % 100 == 50:
            store.record_refusals(now, [(beat, Refusal("10.0.0.7:4711", "too_large", "maximum payload"))], beat)
            engine.queue_summary(SummaryRow(f"s{beat}", now, "", b"{}", f"{beat}", ""), [])
        await engine.beat(now)
        if beat % ANSWERED_BEATS == 0:
            answers[now] = answers_of(store, made)
    holder.close()
    if held_up:
        await engine.beat(now + 500, final=True)
    await engine.keeper.ended()
    return World(store, journal, live.frames, made, answers, {})


class Worker:
    """One of two over one database: it beats at times of its own, and its reports take their time to the roll-up."""

    def __init__(self, world: World, reports: list[tuple[int, Report]], *partitions: int) -> None:
        self.now = 0
        self._world, self._reports, self._partitions = world, reports, partitions
        self._spoken = 0
        self.live = MemoryLive("w")
        self.engine = Engine(
            world.made, world.store, self.live, lambda: self.now, self._report, world.journal.ends_ordinals,
            is_alone=False, roll_up_wait_s=0.0,
        )  # fmt: skip

    async def _report(self, told: Report) -> None:
        self._spoken += 1
        self._reports.append((self.now + (30, 2_900, 700)[self._spoken % 3], told))

    async def beat(self, now: int) -> None:
        self.now = now
        for number in self._partitions:
            await (self.engine.own_roll_up() if number == ROLL_UP else self.engine.own(number))
            if number != ROLL_UP:
                for record in await self._world.journal.read(number, self.engine.offset(number), 100):
                    await self.engine.observe(record)
        if ROLL_UP in self._partitions:
            while self._reports and self._reports[0][0] <= now:
                await self.engine.report(self._reports.pop(0)[1])
        await self.engine.beat(now)
        if ROLL_UP in self._partitions:
            self._world.stood[now] = await standing(self.live)

    def take(self, *partitions: int) -> None:
        """Own these from now on, and drop, unwritten, what is not among them."""
        for number in set(self._partitions) - set(partitions):
            self.engine.disown(number)
        self._partitions = partitions


async def lived_by_two(folder: Path, minutes: int, begun: int, handed_over: int = MS_MAX, heir: int = 1) -> World:
    """The story by two workers, the second with the roll-up; at `handed_over` (ms UTC) the `heir` takes everything."""
    made = catalogue(rules())
    store = SqlStore(f"sqlite:///{folder}/history.sqlite")
    store.migrate()
    journal = SqliteJournal.open(folder / "journal.sqlite", PARTITIONS)
    world = World(store, journal, {}, made, {}, {})
    reports: list[tuple[int, Report]] = []
    workers = [Worker(world, reports, 0), Worker(world, reports, 1, ROLL_UP)]
    packer, told = Packer("bridge", PARTITIONS, await journal.next_ordinals()), list(story(minutes, begun))
    for beat in range(1, minutes * 200):
        now = begun + beat * 310
        while told and told[0].received_at <= now:
            take_in(packer, told.pop(0))
        await journal.append(packer.seal(now))
        if beat == 1_620:
            (alert,) = [alert for alert in store.alerts(True, 10) if alert.rule == "fast" and alert.scope == A]
            command = Command("c1", now, "truc-ban", "acknowledge", alert.id)
            store.record_command(command)
            for worker in workers:
                worker.engine.order(command)
        if now >= handed_over > now - 310:
            workers[1 - heir].take()
            workers[heir].take(0, 1, ROLL_UP)
        if beat % 14 == 1 and now < handed_over:
            # The one with the roll-up takes its time, and hears what the other says on a beat after its own.
            await workers[0].beat(now + 4)
            reports[:] = [(now, report) for _, report in reports]
        await workers[beat % 2].beat(now)
        if beat % (2 * ANSWERED_BEATS) == 0:
            world.answers[now] = answers_of(store, made)
    for worker in workers:
        await worker.engine.keeper.ended()
    return world


async def standing(live: MemoryLive) -> dict[str, bytes]:
    """The place's and its former districts' values and alerts, and the sources that are silent."""
    told = (await live.since("", 0)).changes
    return {
        key: value for key, value in told.items()
        if value is not None and (key.endswith(("@22", "@193", "@195", "s:silent")) or key.startswith("a:fast_place"))
    }  # fmt: skip


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


def moments_of(world: World, begin: int) -> dict[int, int]:
    """Of when the states are with which a replay from `begin` on begins, by partition."""
    return {number: state.at for number, state in load_reel(world.store, PARTITIONS, begin, MS_MAX).states.items()}


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


async def answered_again(world: World, begin: int, end: int) -> dict[int, Answers]:
    """What a replay answers at the moments at which the running centre was asked; others ask all the time."""
    shown = Replay(world.made, load_reel(world.store, PARTITIONS, begin, end), world.journal, begin)
    past = PastStore(world.store, shown.store, lambda: shown.now)
    answers: dict[int, Answers] = {}

    async def look(_: int) -> None:
        if shown.now in world.answers:
            answers[shown.now] = await anyio.to_thread.run_sync(answers_of, past, world.made)

    async def ask() -> None:
        while True:
            assert await anyio.to_thread.run_sync(past.sources)

    await shown.open()
    async with anyio.create_task_group() as others:
        others.start_soon(ask)
        await shown.run(look)
        others.cancel_scope.cancel()
    shown.close()
    return {now: answer for now, answer in answers.items() if now >= begin}


async def stood_again(world: World, begin: int, end: int) -> dict[int, dict[str, bytes]]:
    """How the place's figures stood on each beat of the roll-up in a replay."""
    reel, stood = load_reel(world.store, PARTITIONS, begin, end), dict[int, dict[str, bytes]]()
    shown = Replay(world.made, reel, world.journal, begin)

    async def look(_: int) -> None:
        stood[shown.now] = await standing(shown.live)

    await shown.open()
    await shown.run(look)
    stood[shown.now] = await standing(shown.live)
    shown.close()
    return {now: stood[now] for now, marks in reel.steps if ROLL_UP in marks and now >= begin}


def assert_stood(world: World, stood: dict[int, dict[str, bytes]]) -> None:
    assert stood
    for now, told in stood.items():
        then = world.stood[now]
        different = [name for name in {**then, **told} if then.get(name) != told.get(name)]
        assert not different, f"{(now - NOON) / MINUTE:.3f} min after noon: {different}"


def assert_told_again(world: World, answers: dict[int, Answers]) -> None:
    for now, answer in answers.items():
        then = world.answers[now]
        different = [name for name in {**then, **answer} if answer.get(name) != then.get(name)]
        assert not different, f"{(now - NOON) / MINUTE:.2f} min after noon: {different}"


def assert_same(world: World, answers: dict[int, Answers]) -> None:
    present = answers_of(world.store, world.made)
    assert_told_again(world, answers)
    for name in ("sources", "missing", "totals", "minutes", "rejections", "reasons", "refused", "summary", "alerts"):
        assert any(answer[name] != present[name] for answer in answers.values()), f"{name} tells no past from present"


async def test_whatever_is_asked_of_a_replay_is_answered_as_the_running_centre_answered_it_then(tmp_path: Path) -> None:
    world = await lived(tmp_path, minutes=10, begun=NOON - 4 * MINUTE)
    answers = await answered_again(world, NOON + MINUTE, NOON + 5 * MINUTE)
    assert len(answers) >= 6
    assert all(answer["missing"] and answer["rejections"] and answer["refusals"] for answer in answers.values())
    assert_same(world, answers)
    await world.journal.close()


@pytest.mark.long
async def test_a_replay_publishes_what_was_published_then_byte_for_byte(tmp_path: Path) -> None:
    world = await lived(tmp_path, minutes=90)
    begin, end = NOON + 65 * MINUTE, NOON + 80 * MINUTE
    frames = await replayed(world, begin, end)
    assert len(frames) > 1_000
    assert frames == {number: world.frames[number] for number in frames}
    kinds = {key[0] for changes in frames.values() for key in changes}
    assert kinds == {"k", "a", "l", "b", "p", "s"}
    answers = await answered_again(world, begin, end)
    assert len(answers) >= 20
    assert any(alert.closed_at and alert.closed_at < NOON + 60 * MINUTE for alert in answers[min(answers)]["alerts"])
    assert_same(world, answers)
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


def decoded(frames: Iterable[Mapping[str, bytes | None]], prefix: str) -> list[Any]:
    """What stands under the keys that begin so."""
    found = [value for changes in frames for key, value in changes.items() if key.startswith(prefix)]
    return [msgspec.json.decode(value) for value in found if value is not None]


async def test_what_was_in_no_checkpoint_yet_is_told_as_such_on_the_very_beats_on_which_the_database_was_behind(
    tmp_path: Path,
) -> None:
    world = await lived(tmp_path, minutes=6, held_up={*range(160, 240), *range(301, 304), *range(555, 558)})
    frames = await replayed(world, NOON + MINUTE // 2, NOON + 6 * MINUTE)
    assert frames == {number: world.frames[number] for number in frames}
    ledgers = decoded(frames.values(), "l:")
    assert sum(ledger["unwritten"] > 6 for ledger in ledgers) >= 5
    assert ledgers[-1]["unwritten"] < 6
    (raised,) = [changes for changes in frames.values() if any(key.startswith("a:") for key in changes)]
    (shown_at,) = {progress["at"] for progress in decoded([raised], "p:")}
    assert all(shown_at > alert["raised_at"] for alert in decoded([raised], "a:"))
    await world.journal.close()


async def test_a_replay_begins_at_the_newest_moment_of_which_no_state_is_missing(tmp_path: Path) -> None:
    world = await lived(tmp_path, minutes=5, begun=NOON - 2 * MINUTE)
    first, hour = kept_moments(world.store, range(PARTITIONS))
    assert first < NOON <= hour
    with world.store.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM snapshot WHERE partition = 1 AND at = :at"), {"at": hour})
    begin = NOON + MINUTE
    reel = load_reel(world.store, PARTITIONS, begin, begin + MINUTE)
    assert {state.at for state in reel.states.values()} == {first}
    frames = await replayed(world, begin, begin + MINUTE)
    assert frames
    assert frames == {number: world.frames[number] for number in frames}
    await world.journal.close()


async def test_a_span_of_which_nothing_was_kept_is_refused_in_words(tmp_path: Path) -> None:
    world = await lived(tmp_path, minutes=2)
    with pytest.raises(SettingsError, match="chưa giữ trạng thái nào"):
        load_reel(world.store, PARTITIONS, NOON - 60 * MINUTE, NOON)
    with pytest.raises(SettingsError, match="không có nhịp nào"):
        load_reel(world.store, PARTITIONS, NOON + 600 * MINUTE, NOON + 700 * MINUTE)
    with pytest.raises(SettingsError, match="--partitions 1"):
        load_reel(world.store, 1, NOON + MINUTE, NOON + 2 * MINUTE)
    early = f"DELETE FROM beat WHERE partition = {ROLL_UP} AND at < {NOON + MINUTE}"
    with world.store.engine.begin() as connection:
        connection.execute(sa.text(early))
    with pytest.raises(SettingsError, match="earlier version"):
        load_reel(world.store, PARTITIONS, NOON + MINUTE, NOON + 2 * MINUTE)
    await world.journal.close()


async def test_of_two_workers_each_beat_is_made_again_with_what_its_own_partitions_and_the_roll_up_had_heard(
    tmp_path: Path,
) -> None:
    world = await lived_by_two(tmp_path, minutes=9, begun=NOON - 4 * MINUTE)
    moments = moments_of(world, NOON + MINUTE)
    assert NOON <= moments[0] != moments[1] < moments[ROLL_UP] <= NOON + 11_000
    answers = await answered_again(world, NOON + MINUTE, NOON + 5 * MINUTE)
    assert len(answers) >= 6
    assert {alert.scope for alert in answers[max(answers)]["alerts"]} == {A, B, world.made.place.code}
    assert_told_again(world, answers)
    await world.journal.close()


async def test_of_two_workers_the_places_figures_stand_on_every_beat_as_they_stood_then_from_the_first_one_on(
    tmp_path: Path,
) -> None:
    world = await lived_by_two(tmp_path, minutes=9, begun=NOON - 4 * MINUTE)
    begin = moments_of(world, NOON + MINUTE)[ROLL_UP] + 1
    stood = await stood_again(world, begin, NOON + 5 * MINUTE)
    assert len(stood) > 400
    assert_stood(world, stood)
    await world.journal.close()


@pytest.mark.parametrize(("heir", "taken"), [(1, (0,)), (0, (ROLL_UP, 1))])
async def test_around_a_change_of_worker_it_is_told_what_is_missing_and_after_it_the_place_stands_as_it_stood(
    tmp_path: Path, heir: int, taken: tuple[int, ...]
) -> None:
    changed = NOON + 3 * MINUTE
    world = await lived_by_two(tmp_path, minutes=10, begun=NOON - 4 * MINUTE, handed_over=changed, heir=heir)
    (gap,) = load_reel(world.store, PARTITIONS, NOON + MINUTE, NOON + 6 * MINUTE).unrecorded
    assert gap.partitions == taken
    assert changed - 2_000 < gap.since < changed <= gap.until < changed + 2_000
    stood = await stood_again(world, NOON + MINUTE, NOON + 6 * MINUTE)
    whole = {now: told for now, told in stood.items() if not gap.since < now <= gap.until + SETTLED_MS}
    assert len(stood) - 40 < len(whole) < len(stood)
    assert_stood(world, whole)
    await world.journal.close()


async def test_a_partition_of_which_the_newest_state_is_missing_begins_earlier_and_the_others_as_late_as_they_can(
    tmp_path: Path,
) -> None:
    world = await lived_by_two(tmp_path, minutes=9, begun=NOON - 4 * MINUTE)
    with world.store.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM snapshot WHERE partition = 0 AND at >= :noon"), {"noon": NOON})
    moments = moments_of(world, NOON + MINUTE)
    assert moments[0] < NOON - 3 * MINUTE < NOON <= moments[1] < moments[ROLL_UP]
    answers = await answered_again(world, NOON + MINUTE, NOON + 5 * MINUTE)
    assert len(answers) >= 6
    assert_told_again(world, answers)
    await world.journal.close()


@pytest.mark.long
async def test_a_replay_goes_on_with_the_beats_of_the_worker_that_took_a_partition_over(tmp_path: Path) -> None:
    world = await lived_by_two(tmp_path, minutes=34, begun=NOON - 4 * MINUTE, handed_over=NOON + 14 * MINUTE)
    answers = await answered_again(world, NOON + MINUTE, NOON + 29 * MINUTE)
    assert len(answers) >= 20
    closed = f"history speed {world.made.place.code}"
    assert len(answers[max(answers)][closed]) > len(answers[min(answers)][closed])
    assert_told_again(world, answers)
    await world.journal.close()
