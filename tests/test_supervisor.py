"""The supervisor: real children, killed and brought back."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from control_center.process_supervisor import Child, Supervisor

pytestmark = pytest.mark.anyio

CHILD = """
import socket, sys
test = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def say(word):
    print(word, flush=True)
    test.sendall(word.encode() + b"\\n")
"""
STAYS = CHILD + "say(sys.argv[2]); test.recv(1)"
WARMS_UP = CHILD + "say('warm'); say('told' if sys.stdin.readline() else 'alone'); test.recv(1)"


class Ear:
    """What children say, in order: each says it to its log, and over a socket to the test."""

    def __init__(self) -> None:
        self._said: asyncio.Queue[str] = asyncio.Queue()
        self.port = ""

    async def hear(self) -> str:
        async with asyncio.timeout(15):
            return await self._said.get()

    async def joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while word := await reader.readline():
            self._said.put_nowait(word.decode().strip())
        writer.close()

    def has_heard_all(self) -> bool:
        return self._said.empty()


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    made = Ear()
    server = await asyncio.start_server(made.joined, "127.0.0.1", 0)
    made.port = str(server.sockets[0].getsockname()[1])
    yield made
    server.close()


@asynccontextmanager
async def at_work(supervisor: Supervisor) -> AsyncIterator[None]:
    """Its children live meanwhile, and none of them afterwards."""
    running = asyncio.create_task(supervisor.run())
    try:
        yield
    finally:
        supervisor.stop()
        await asyncio.wait_for(running, 10)


def child(name: str, ear: Ear, folder: Path) -> Child:
    """One that says its name and stays."""
    return Child(name, [sys.executable, "-c", STAYS, ear.port, name], folder / f"{name}.log")


def kill(supervisor: Supervisor, name: str) -> None:
    pid = supervisor.pid(name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def test_a_child_that_is_killed_comes_back_and_the_other_never_notices(ear: Ear, tmp_path: Path) -> None:
    supervisor = Supervisor([child("a", ear, tmp_path), child("b", ear, tmp_path)])
    async with at_work(supervisor):
        assert {await ear.hear(), await ear.hear()} == {"a", "b"}
        first, other = supervisor.pid("a"), supervisor.pid("b")
        kill(supervisor, "a")
        assert await ear.hear() == "a"
        assert supervisor.pid("a") != first
        assert supervisor.pid("b") == other
        assert supervisor.restarts == {"a": 1, "b": 0}
    assert supervisor.pid("a") is None
    assert supervisor.pid("b") is None
    assert [(tmp_path / f"{name}.log").read_text().split() for name in "ab"] == [["a", "a"], ["b"]]


async def test_a_child_waits_until_what_it_needs_is_ready(ear: Ear, tmp_path: Path) -> None:
    gate = asyncio.Event()
    waits = Child("second", child("second", ear, tmp_path).command, tmp_path / "second.log", gate.wait)
    supervisor = Supervisor([child("first", ear, tmp_path), waits])
    async with at_work(supervisor):
        assert await ear.hear() == "first"
        assert supervisor.pid("second") is None
        gate.set()
        assert await ear.hear() == "second"


async def test_a_child_that_warms_up_is_there_at_once_and_goes_on_when_it_is_told(ear: Ear, tmp_path: Path) -> None:
    gate, log = asyncio.Event(), tmp_path / "child.log"
    command = [sys.executable, "-c", WARMS_UP, ear.port]
    supervisor = Supervisor([Child("child", command, log, gate.wait, warms_up=True)])
    async with at_work(supervisor):
        assert await ear.hear() == "warm"
        assert ear.has_heard_all()
        gate.set()
        assert await ear.hear() == "told"
        kill(supervisor, "child")
        assert [await ear.hear(), await ear.hear()] == ["warm", "told"]
    assert log.read_text().split() == ["warm", "told"] * 2
