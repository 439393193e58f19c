"""`ioc up` as a process of its own, with everything that it starts, as a person would start it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from polled_process import Polled
from servers import free_port


class Centre(Polled):
    """The whole centre on ports and a data folder of its own."""

    deadline_s = 90.0
    look_s = 0.1

    def __init__(self, data: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.data = data
        self.port, self.mqtt_port = free_port(), free_port()
        self.options = options
        self.environment = environment or {}
        self.output = data.parent / "up.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is not None:
            print(self.logs())
        self.stop()

    def start(self) -> None:
        self.is_to_end = False
        command = [sys.executable, "-m", "control_center.console", "up", "--data", str(self.data)]
        command += ["--port", str(self.port), "--mqtt-port", str(self.mqtt_port), *self.options]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, "COLUMNS": "300", **self.environment}, start_new_session=True,
            )  # fmt: skip

    def stop(self) -> float:
        """Ctrl-C; returns how many seconds it took to end."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        return time.monotonic() - started

    def kill(self) -> None:
        """kill -9 of the supervisor; the kernel ends its children with it."""
        pids = [self.pid(name) for name in ("nats-server", "engine", "bridge")]
        self.is_to_end = True
        self.process.kill()
        self.process.wait()
        self.until(lambda: not any(pid and _is_alive(pid) for pid in pids), "the children are gone too")

    def kill_child(self, name: str) -> None:
        """kill -9 of one child ("nats-server", "engine", "bridge" or "simulate"), and wait until another has come."""
        pid = self.pid(name)
        assert pid is not None, f"no {name}"
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: self.pid(name) not in (None, pid), f"{name} is started again")

    def pid(self, name: str) -> int | None:
        """The process id of a child, by a word of its command line."""
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
                words = (stat.parent / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            is_ours = int(fields[1]) == self.process.pid and fields[0] != "Z"
            if is_ours and any(word == name or word.endswith(f"/{name}") for word in words):
                return int(stat.parent.name)
        return None

    def ended(self) -> str:
        return "" if self.is_to_end or self.process.poll() is None else "ioc up"

    def password(self) -> str:
        """The first operator's, from what `ioc up` printed."""
        text = self.output.read_text()
        return text.partition("password:")[2].split()[0]

    def logs(self) -> str:
        parts = [self.output, *sorted(self.data.glob("*.log"))]
        texts = [(path.name, path.read_text(errors="replace")[-2000:]) for path in parts if path.exists()]
        return "\n".join(f"--- {name}\n{text}" for name, text in texts)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
