"""Processes that are asked until something is so: over HTTP, with a deadline, and with their logs in the answer."""

import http.client
import json
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from servers import HOST
from websockets.sync.client import connect

from streams.fault import STALE_MS

_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Polled(ABC):
    """Something with a gateway at `port`. Waiting is asking until it is so."""

    port: int
    deadline_s: float
    look_s: float

    @abstractmethod
    def logs(self) -> str:
        """The ends of all logs."""

    @abstractmethod
    def ended(self) -> str:
        """What has ended that should live; empty when all does."""

    def ask(self, path: str) -> Any:
        """The JSON of an address."""
        with _opener.open(f"http://{HOST}:{self.port}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def tries(self, path: str) -> Any:
        """The same; None while nobody answers, or not yet."""
        try:
            return self.ask(path)
        except (urllib.error.URLError, OSError, http.client.HTTPException):
            return None

    def metrics(self) -> dict[str, float]:
        """What Prometheus would read, by name with its labels; empty while nobody answers."""
        try:
            with _opener.open(f"http://{HOST}:{self.port}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except (urllib.error.URLError, OSError, http.client.HTTPException):
            return {}
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def ready(self) -> None:
        self.until(lambda: (self.tries("/ready") or {}).get("ready"), "it is ready")

    def reasons(self) -> set[str]:
        """What `/ready` names as a fault or a warning: by its name, or in English; it answers 503 with a fault."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request("GET", "/ready")
            answer = connection.getresponse()
            told, status = json.loads(answer.read()), answer.status
        except OSError:
            return {"nobody answers"}
        finally:
            connection.close()
        assert status == (503 if told["reasons"] else 200)
        assert all(one["vi"] and one["en"] for one in told["reasons"] + told["warnings"])
        return {one.get("what", one["en"]) for one in told["reasons"] + told["warnings"]}

    def on_the_wall(self) -> dict[str, Any]:
        """The centre's own faults that a wall is shown which comes now, by the live channel."""
        with connect(f"ws://{HOST}:{self.port}/live?wall=overview", proxy=None, compression=None) as socket:
            socket.send(json.dumps({"t": "hello", "v": 1, "epoch": "", "seq": 0}))
            frame = json.loads(socket.recv(10))
            while frame["t"] != "d":
                frame = json.loads(socket.recv(10))
        faults = [value for key, value in frame["d"].items() if key.startswith("f:")]
        # As a wall's page does: what a process that died has left behind is not believed for long.
        return {fault["what"]: fault for fault in faults if time.time() * 1000 - fault["at"] <= STALE_MS}

    def until(self, holds: Callable[[], Any], words: str, deadline_s: float | None = None) -> Any:
        allowed_s = self.deadline_s if deadline_s is None else deadline_s
        end = time.monotonic() + allowed_s
        while not (found := holds()):
            assert time.monotonic() < end, f"not in {allowed_s:.0f} s: {words}; seen last: {found!r}\n{self.logs()}"
            ended = self.ended()
            assert not ended, f"{ended} ended\n{self.logs()}"
            time.sleep(self.look_s)
        return found

    def settled(self, accepted: int) -> dict[str, Any]:
        """The ledger once so many messages are accepted and nothing is in flight."""

        def look() -> Any:
            ledger = self.tries("/api/ledger")
            return ledger if ledger and ledger["accepted"] >= accepted and not ledger["in_flight"] else None

        try:
            found: dict[str, Any] = self.until(look, f"{accepted} messages accepted")
        except AssertionError as late:
            raise AssertionError(f"the ledger stands at {self.tries('/api/ledger')}; {late}") from None
        return found
