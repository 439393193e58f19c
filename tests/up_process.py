"""`ioc up` as a process of its own, with everything that it starts, as a person would start it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from servers import HOST, free_port

DEADLINE_S = 90.0
LOOK_S = 0.1
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Centre:
    """The whole centre on ports and a data folder of its own. Waiting is asking until it is so, with a deadline."""

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

    def ask(self, path: str, **headers: str) -> Any:
        """The JSON of an address."""
        request = urllib.request.Request(f"http://{HOST}:{self.port}{path}", headers=headers)
        with _opener.open(request, timeout=10) as answer:
            return json.loads(answer.read())

    def tries(self, path: str) -> Any:
        """The same; None while nobody answers, or not yet."""
        try:
            return self.ask(path)
        except (urllib.error.URLError, OSError):
            return None

    def ready(self) -> None:
        self.until(lambda: (self.tries("/ready") or {}).get("ready"), "it is ready")

    def until(self, holds: Callable[[], Any], words: str, deadline_s: float = DEADLINE_S) -> Any:
        end = time.monotonic() + deadline_s
        while not (found := holds()):
            assert time.monotonic() < end, f"not in {deadline_s:.0f} s: {words}\n{self.logs()}"
            assert self.process.poll() is None or "gone" in words, f"ioc up ended\n{self.logs()}"
            time.sleep(LOOK_S)
        return found

    def settled(self, accepted: int) -> dict[str, Any]:
        """The ledger once so many messages are accepted and nothing is in flight."""

        def look() -> Any:
            ledger = self.tries("/api/ledger")
            return ledger if ledger and ledger["accepted"] >= accepted and not ledger["in_flight"] else None

        found: dict[str, Any] = self.until(look, f"{accepted} messages accepted: {self.tries('/api/ledger')}")
        return found

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
