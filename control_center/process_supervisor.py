"""The supervisor of `ioc up`: children by command line, back within seconds when they die, gone when it goes.

It imports none of what it starts. A child that dies is started again after a tenth of a second; one that dies again
before it has lived for five, after twice that and so on, at most after two. The others see no more than a pause. On
Linux the kernel kills the children when the supervisor itself is killed, so that a second start finds its ports free.
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from control_center.process_log import ProcessLog, keep_log

FIRST_DELAY_S = 0.1
LAST_DELAY_S = 2.0
CALM_S = 5.0
"""A child that has lived this long starts again with the first delay: it did not die of its start."""

STOP_S = 4.5
ONE_STOP_S = 2.5
LAST_WORDS_S = 0.3
_PR_SET_PDEATHSIG = 1
WARMING_UP = "IOC_WARMING_UP"
"""Set for a child that is to wait, its modules read, for a line on its standard input."""

log = structlog.get_logger("supervisor")


@dataclass(frozen=True)
class Child:
    """One process: `command`, where its output goes, and what must be true before it is started (`ready`).

    One that `warms_up` is a command of ours (console.py): it is started at once, has its modules read by the time that
    `ready` is true, and is told then, by a line on its standard input, to go on.
    """

    name: str
    command: list[str]
    log: Path
    ready: Callable[[], Awaitable[object]] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    warms_up: bool = False


class Supervisor:
    """Starts children in the order given and stops them in the opposite order."""

    def __init__(self, children: list[Child]) -> None:
        self._children = children
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._logs = {child.name: ProcessLog(child.log) for child in children}
        self._readers: set[asyncio.Task[None]] = set()
        self.restarts: dict[str, int] = {child.name: 0 for child in children}
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask for the end; `run` returns within about STOP_S."""
        self._stop.set()

    def pid(self, name: str) -> int | None:
        process = self._processes.get(name)
        return process.pid if process is not None and process.returncode is None else None

    async def run(self) -> None:
        """Keep every child alive until `stop`; then end them all."""
        keepers = [asyncio.create_task(self._keep(child)) for child in self._children]
        stopped = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([stopped, *keepers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            await self._end()
        for keeper in keepers:
            if keeper.done() and not keeper.cancelled() and keeper.exception() is not None:
                raise RuntimeError(f"supervisor failed: {keeper.exception()}") from keeper.exception()

    async def _keep(self, child: Child) -> None:
        delay = FIRST_DELAY_S
        loop = asyncio.get_running_loop()
        while True:
            if child.ready is not None and not child.warms_up:
                await child.ready()
            started = loop.time()
            code = await self._live(child)
            if loop.time() - started > CALM_S:
                delay = FIRST_DELAY_S
            self.restarts[child.name] += 1
            log.warning("child ended", child=child.name, code=code, again_in_s=delay, log=str(child.log))
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_DELAY_S)

    async def _live(self, child: Child) -> int:
        process = await asyncio.create_subprocess_exec(
            *child.command,
            stdin=asyncio.subprocess.PIPE if child.warms_up else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **child.environment, **({WARMING_UP: "1"} if child.warms_up else {})},
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        self._processes[child.name] = process
        assert process.stdout is not None
        # A task of its own: last words are kept also when the keeper has been cancelled.
        reader = asyncio.create_task(keep_log(process.stdout, self._logs[child.name]))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)
        telling = asyncio.create_task(_tell(process, child)) if child.warms_up else None
        try:
            return await process.wait()
        finally:
            if telling is not None:
                telling.cancel()

    async def end(self, name: str) -> None:
        """End a child now; it is started again, as any that ends, once what it needs is ready."""
        process = self._processes.get(name)
        if process is not None and process.returncode is None:
            await _ended(process, ONE_STOP_S)

    async def _end(self) -> None:
        """SIGTERM to one after the other, last started first, so that each can still speak to those it needs.

        What has not gone after its time, or after STOP_S in all, is killed.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_S
        for process in reversed(self._processes.values()):
            if process.returncode is None:
                await _ended(process, min(ONE_STOP_S, max(0.05, deadline - loop.time())))
        if self._readers:
            await asyncio.wait(self._readers, timeout=LAST_WORDS_S)


async def _tell(process: asyncio.subprocess.Process, child: Child) -> None:
    """Once what the child needs is ready: go on."""
    if child.ready is not None:
        await child.ready()
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.close()


async def _ended(process: asyncio.subprocess.Process, patience_s: float) -> None:
    """SIGTERM, and SIGKILL for what has not gone in time."""
    process.terminate()
    ended = asyncio.create_task(process.wait())
    await asyncio.wait([ended], timeout=patience_s)
    if not ended.done():
        process.kill()
    await ended


def _die_with_parent() -> None:
    """Between fork and exec: the kernel sends SIGKILL when the supervisor dies; Ctrl-C goes to the supervisor only."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)


async def port_answers(host: str, port: int) -> None:
    """Return once something listens there; asked every 50 ms."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.close()
        return
