"""`ioc replay` as a process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polled_process import Polled
from servers import free_port


class Replayed(Polled):
    """A replay of [begin, end] ms UTC; `options` say of what."""

    deadline_s = 60.0
    look_s = 0.1

    def __init__(self, log: Path, begin: int, end: int, *options: str) -> None:
        self.port = free_port()
        self._output = log
        command = [sys.executable, "-m", "control_center.console", "replay", str(begin), str(end)]
        command += ["--port", str(self.port), *options]
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def ended(self) -> str:
        return "" if self._process.poll() is None else "ioc replay"

    def logs(self) -> str:
        return self._output.read_text()

    def stop(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(20)


@contextmanager
def replayed(log: Path, begin: int, end: int, *options: str) -> Iterator[Replayed]:
    made = Replayed(log, begin, end, *options)
    try:
        yield made
    finally:
        made.stop()
