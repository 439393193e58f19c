"""People's commands: fetched from the database, carried out on a beat at the beat's time, or refused in words.

Carried out exactly once: a command is `applied` in the checkpoint of the state that it changed. Until that is written
the database still lists it as waiting, and here it is known that it is done.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from sensors.errors import CommandRefused, Unavailable
from streams.alert import Command
from streams.live import LiveStore
from streams.sql_store import SqlStore

POLL_S = 5.0
UNOWNED_MS = 15_000
"""Several workers: an alert that none has had for so long is closed, not on its way from one to another."""

CLOSED = "Cảnh báo đã đóng / alert is closed"
log = structlog.get_logger("commands")


class Commanded(Protocol):
    """A state that has alerts: of a partition, or the roll-up's."""

    def has_alert(self, alert: str) -> bool: ...

    def command(self, command: Command, now: int) -> None: ...


class CommandInbox:
    """For one engine; `is_alone`: no other worker exists. `wake` is called when there is something to carry out."""

    def __init__(self, store: SqlStore, live: LiveStore, is_alone: bool, wake: Callable[[], None]) -> None:
        self._store = store
        self._live = live
        self._is_alone = is_alone
        self._wake = wake
        self._waiting: list[Command] = []
        # Those of this process's life, each with the state that has it unwritten; None: it is written, or refused.
        self._done: dict[str, Commanded | None] = {}
        self._refused: dict[str, str] = {}
        self._refusing: asyncio.Future[list[str]] | None = None

    async def watch(self) -> None:
        """Fetch what people order, for ever."""
        while True:
            try:
                await self._live.called(POLL_S)
                listed = await asyncio.to_thread(self._store.waiting_commands)
                known = {command.id for command in self._waiting} | self._done.keys()
                fresh = [command for command in listed if command.id not in known]
                if fresh:
                    self._waiting += fresh
                    self._wake()
            except Unavailable as reason:
                log.warning("commands wait", reason=str(reason))
                await asyncio.sleep(1.0)

    def order(self, command: Command) -> None:
        """Carry it out on the next beat."""
        self._waiting.append(command)

    def carry_out(self, now: int, states: Iterable[Commanded]) -> None:
        """Carry out what waits, at `now` (ms UTC), each by the first of `states` that has its alert."""
        owners = list(states)
        commands, self._waiting = self._waiting, []
        for command in commands:
            if command.id in self._done:
                continue  # listed before its checkpoint was written
            owner = next((state for state in owners if state.has_alert(command.alert)), None)
            if owner is None:
                if self._is_alone or now - command.at > UNOWNED_MS:
                    self._refuse(command, CLOSED)
                continue
            try:
                owner.command(command, now)
                self._done[command.id] = owner
            except CommandRefused as refused:
                self._refuse(command, str(refused))

    def written(self, commands: Iterable[str]) -> None:
        """The database has these as applied."""
        self._done.update(dict.fromkeys(commands))

    def forget(self, state: Commanded) -> None:
        """What it had carried out and not written is for the partition's next owner, perhaps here."""
        self._done = {command: owner for command, owner in self._done.items() if owner is not state}

    def _refuse(self, command: Command, why: str) -> None:
        self._done[command.id] = None
        self._refused[command.id] = why

    async def answer(self, patience_s: float | None) -> None:
        """Have the database tell people what was refused; returns when it has it, or after so long (None: then)."""
        await self._answered(patience_s)
        if self._refusing is None and self._refused:
            refused, self._refused = self._refused, {}
            self._refusing = asyncio.get_running_loop().run_in_executor(None, self._write, refused)
            await self._answered(patience_s)

    async def _answered(self, patience_s: float | None) -> None:
        if self._refusing is None:
            return
        await asyncio.wait({self._refusing}, timeout=patience_s)
        if self._refusing.done():
            refusing, self._refusing = self._refusing, None
            for command in refusing.result():
                # It still waits in the database, and is looked at again.
                del self._done[command]

    def _write(self, refused: dict[str, str]) -> list[str]:
        """In a thread; returns those that the database did not take."""
        left = []
        for command, why in refused.items():
            try:
                self._store.refuse_command(command, why)
            except Unavailable as reason:
                left.append(command)
                log.warning("a refusal waits", command=command, reason=str(reason))
        return left
