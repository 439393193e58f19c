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

    def until(self, holds: Callable[[], Any], words: str, deadline_s: float | None = None) -> Any:
        allowed_s = self.deadline_s if deadline_s is None else deadline_s
        end = time.monotonic() + allowed_s
        while not (found := holds()):
            assert time.monotonic() < end, f"not in {allowed_s:.0f} s: {words}\n{self.logs()}"
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
