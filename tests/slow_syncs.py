"""A disk or a network that is really slow: strace holds up system calls of a running process, which is as it is."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest


@contextmanager
def slow_syncs(seconds: float, folder: Path, *pids: int | None) -> Iterator[Path]:
    """Inside, each fsync and fdatasync of the processes takes so long; yields the file that has each of them."""
    with slow_calls("fsync,fdatasync", seconds, folder, *pids, at="exit") as told:
        yield told


@contextmanager
def slow_calls(calls: str, seconds: float, folder: Path, *pids: int | None, at: str = "enter") -> Iterator[Path]:
    """The same with other system calls, held up before they do anything, or at their "exit".

    Skips the test where strace is missing, or may not attach to another process.
    """
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is missing, which makes a disk slow: `apt-get install strace`")
    told = folder / "syncs.strace"
    with ExitStack() as attached:
        for pid in pids:
            assert pid is not None
            attached.enter_context(_attached(strace, calls, at, seconds, told, pid))
        yield told


@contextmanager
def _attached(strace: str, calls: str, at: str, seconds: float, told: Path, pid: int) -> Iterator[None]:
    delay = f"{calls}:delay_{at}={round(seconds * 1e6)}"
    command = [strace, "-f", "-A", "-o", str(told), "-p", str(pid), "-e", f"trace={calls}", "-e", f"inject={delay}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        first = process.stderr.readline()
        try:
            if f"Process {pid} attached" not in first:
                pytest.skip(f"strace may not attach to a process here, and nothing else makes a disk slow: {first}")
            yield
        finally:
            process.terminate()  # it lets the process go; what it holds up goes on at once
