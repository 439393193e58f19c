"""People's commands are carried out exactly once, or refused in words, whatever the database does meanwhile."""

import asyncio
from pathlib import Path

import pytest
from small_world import NOON

from sensors.errors import CommandRefused, Unavailable
from streams.alert import Command
from streams.command_inbox import CLOSED, UNOWNED_MS, CommandInbox
from streams.memory_live import MemoryLive
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio
SOON_S = 20


class Alerted:
    """A state with one alert, which nobody may acknowledge twice; it tells what was done to it."""

    def __init__(self, alert: str) -> None:
        self.alert = alert
        self.done: list[str] = []

    def has_alert(self, alert: str) -> bool:
        return alert == self.alert

    def command(self, command: Command, now: int) -> None:
        if command.op == "acknowledge" and self.done:
            raise CommandRefused("đã nhận / taken already")
        self.done.append(command.id)


class Forgetful(SqlStore):
    """A database that takes no refusals as long as it is full."""

    is_full = False

    def refuse_command(self, command: str, why: str) -> None:
        if self.is_full:
            raise Unavailable("database or disk is full")
        super().refuse_command(command, why)


@pytest.fixture
def store(tmp_path: Path) -> Forgetful:
    store = Forgetful(f"sqlite:///{tmp_path / 'history.sqlite'}")
    store.migrate()
    return store


def inbox(store: SqlStore, is_alone: bool = True) -> CommandInbox:
    return CommandInbox(store, MemoryLive("e"), is_alone, lambda: None)


def ordered(store: SqlStore, name: str, alert: str, op: str = "comment") -> Command:
    command = Command(name, NOON, "truc-ban", op, alert, "đã gọi")  # type: ignore[arg-type]
    store.record_command(command)
    return command


async def test_a_command_that_the_database_lists_until_it_is_written_is_carried_out_once(store: Forgetful) -> None:
    mine, states = inbox(store), [Alerted("a"), Alerted("b")]
    first, second = ordered(store, "1", "a"), ordered(store, "2", "b")
    for _ in range(2):
        for command in (first, second):
            mine.order(command)
        mine.carry_out(NOON, states)
    mine.forget(states[1])  # dropped with what it had not written
    successor = Alerted("b")
    for command in (first, second):
        mine.order(command)
    mine.carry_out(NOON, [states[0], successor])
    assert (states[0].done, successor.done) == (["1"], ["2"])


async def test_what_was_written_of_a_state_that_is_gone_is_not_carried_out_by_its_successor(store: Forgetful) -> None:
    mine, before, after = inbox(store), Alerted("a"), Alerted("a")
    command = ordered(store, "1", "a")
    mine.order(command)
    mine.carry_out(NOON, [before])
    mine.forget(before)
    mine.order(command)  # listed before it was written, and come after that
    mine.written(["1"])
    mine.carry_out(NOON, [after])
    assert after.done == []


async def test_a_refusal_that_the_database_does_not_take_is_made_again_and_one_it_takes_is_not(
    store: Forgetful,
) -> None:
    mine, state = inbox(store), Alerted("a")
    state.done.append("0")
    command = ordered(store, "1", "a", "acknowledge")
    store.is_full = True
    mine.order(command)
    mine.carry_out(NOON, [state])
    await mine.answer(None)
    assert store.command_state("1") == ("waiting", "")
    store.is_full = False
    mine.order(command)
    mine.carry_out(NOON, [state])
    await mine.answer(None)
    assert store.command_state("1") == ("refused", "đã nhận / taken already")
    store.is_full = True
    mine.order(command)
    mine.carry_out(NOON, [state])
    await mine.answer(None)
    assert store.command_state("1") == ("refused", "đã nhận / taken already")


@pytest.mark.parametrize(
    ("is_alone", "after_ms", "told"),
    [
        (True, 0, ("refused", CLOSED)),
        (False, UNOWNED_MS, ("waiting", "")),
        (False, UNOWNED_MS + 1, ("refused", CLOSED)),
    ],
    ids=["alone, at once", "among others, not yet", "among others, in the end"],
)
async def test_a_command_for_an_alert_that_nobody_has_is_refused(
    store: Forgetful, is_alone: bool, after_ms: int, told: tuple[str, str]
) -> None:
    mine = inbox(store, is_alone)
    mine.order(ordered(store, "1", "a"))
    mine.carry_out(NOON + after_ms, [Alerted("b")])
    await mine.answer(None)
    assert store.command_state("1") == told


async def test_what_people_order_is_fetched_when_the_live_store_calls_and_the_beat_is_woken(store: Forgetful) -> None:
    live, woken, state = MemoryLive("e"), asyncio.Event(), Alerted("a")
    mine = CommandInbox(store, live, True, woken.set)
    watching = asyncio.create_task(mine.watch())
    ordered(store, "1", "a")
    await live.call()
    await asyncio.wait_for(woken.wait(), SOON_S)
    mine.carry_out(NOON, [state])
    assert state.done == ["1"]
    watching.cancel()
    await asyncio.wait({watching})
