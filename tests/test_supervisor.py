"""The supervisor: real children, killed and brought back."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from control_center.process_supervisor import Child, Supervisor

STAYS = [sys.executable, "-c", "import sys,time; print('up', flush=True); time.sleep(600)"]


async def lines(log: Path, count: int) -> None:
    """Return once the log has that many lines."""
    async with asyncio.timeout(15):
        while not log.exists() or len(log.read_text().splitlines()) < count:
            await asyncio.sleep(0)


def test_a_child_that_is_killed_comes_back_and_the_other_never_notices(tmp_path: Path) -> None:
    async def story() -> None:
        supervisor = Supervisor([Child("a", STAYS, tmp_path / "a.log"), Child("b", STAYS, tmp_path / "b.log")])
        running = asyncio.create_task(supervisor.run())
        await lines(tmp_path / "a.log", 1)
        await lines(tmp_path / "b.log", 1)
        first, other = supervisor.pid("a"), supervisor.pid("b")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await lines(tmp_path / "a.log", 2)
        assert supervisor.pid("a") != first
        assert supervisor.pid("b") == other
        assert supervisor.restarts == {"a": 1, "b": 0}
        supervisor.stop()
        await asyncio.wait_for(running, 10)
        assert supervisor.pid("a") is None
        assert supervisor.pid("b") is None

    asyncio.run(story())


def test_a_child_waits_until_what_it_needs_is_ready(tmp_path: Path) -> None:
    async def story() -> None:
        gate = asyncio.Event()

        async def ready() -> None:
            await gate.wait()

        supervisor = Supervisor(
            [Child("first", STAYS, tmp_path / "first.log"), Child("second", STAYS, tmp_path / "second.log", ready)]
        )
        running = asyncio.create_task(supervisor.run())
        await lines(tmp_path / "first.log", 1)
        assert supervisor.pid("second") is None
        gate.set()
        await lines(tmp_path / "second.log", 1)
        supervisor.stop()
        await asyncio.wait_for(running, 10)

    asyncio.run(story())


def test_a_child_that_warms_up_is_there_at_once_and_goes_on_when_it_is_told(tmp_path: Path) -> None:
    waits = "import sys; print('warm', flush=True); print('told' if sys.stdin.readline() else 'alone', flush=True)"
    child = [sys.executable, "-c", f"{waits}; import time; time.sleep(600)"]

    async def story() -> None:
        gate = asyncio.Event()
        log = tmp_path / "child.log"
        supervisor = Supervisor([Child("child", child, log, gate.wait, warms_up=True)])
        running = asyncio.create_task(supervisor.run())
        await lines(log, 1)
        assert log.read_text().split() == ["warm"]
        gate.set()
        await lines(log, 2)
        assert log.read_text().split() == ["warm", "told"]
        first = supervisor.pid("child")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await lines(log, 4)
        assert log.read_text().split() == ["warm", "told"] * 2
        supervisor.stop()
        await asyncio.wait_for(running, 10)

    asyncio.run(story())
