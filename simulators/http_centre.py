"""Asks a running centre over its public HTTP API, and nothing else."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from sensors.errors import SettingsError
from simulators.alarm import Key

TIMEOUT_S = 60.0
WINDOWS_LIMIT = 20_000
ROWS_LIMIT = 100_000
ALERTS_LIMIT = 1_000
HOUR_MS = 3_600_000
LOOK_S = 0.5
STEPS = ("raise", "return", "reraise")

Json = Any
"""What an answer holds, as parsed."""


class HttpCentre:
    """One centre by its address; `token` is the wall's, where reading needs one."""

    def __init__(self, url: str, token: str = "") -> None:
        if not url.startswith(("http://", "https://")):
            raise SettingsError(f"--centre {url}: cần / expected http://host:port or https://…")
        if not (token.isascii() and token.isprintable()):
            raise SettingsError("--token: cần / expected letters, digits and signs of ASCII, as HTTP has them")
        self._url, self._token = url.rstrip("/"), token

    def get(self, path: str, **query: object) -> Json | None:
        """An answer; None where the centre does not know the question. Raises SettingsError when it cannot be asked."""
        url = f"{self._url}/api/{path}?{urllib.parse.urlencode(query)}"
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 (http or https: looked at above)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise SettingsError(f"--centre {self._url}: /api/{path}: {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            raise SettingsError(f"--centre {self._url}: không hỏi được / cannot be asked: {error}") from error

    def settled_ledger(self, received: int, patience_s: float) -> Json:
        """The ledger once `received` messages have come and none is in flight; after the patience as it is then."""
        until = time.monotonic() + patience_s
        while True:
            ledger = self.get("ledger")
            if ledger is None:
                raise SettingsError(f"--centre {self._url}: không có / has no /api/ledger")
            if (ledger["received"] >= received and not ledger["in_flight"]) or time.monotonic() > until:
                return ledger
            time.sleep(LOOK_S)

    def ledger_rows(self) -> list[Json] | None:
        """The ledger by partition, kind and minute."""
        rows: list[Json] | None = self.get("ledger/rows", limit=ROWS_LIMIT)
        return rows

    def windows(self, kpi: str, begin: int, end: int, told: Callable[[], None]) -> list[Json] | None:
        """All closed windows of a KPI that end in [begin, end], in parts; `told` is called after each."""
        found: list[Json] = []
        part = 24 * HOUR_MS
        while begin <= end:
            until = min(begin + part - 1, end)
            rows = self.get(f"kpis/{kpi}/windows", **{"from": begin, "to": until, "limit": WINDOWS_LIMIT})
            if rows is None:
                return None
            if len(rows) >= WINDOWS_LIMIT and part > 1:
                part = max(1, part // 4)
                continue
            found += rows
            begin = until + 1
            told()
        return found

    def _all_alerts(self, size: int) -> list[Json] | None:
        """All alerts, in parts from the newest back; None when more were raised at one moment than a part holds."""
        found: dict[str, Json] = {}
        by: dict[str, int] = {}
        while True:
            part = self.get("alerts", open=0, limit=size, **by)
            if part is None:
                return None
            before = len(found)
            found |= {one["id"]: one for one in part}
            if len(part) < size:
                return list(found.values())
            if len(found) == before:
                return None
            by = {"by": part[-1]["raised_at"]}

    def alerts(self, size: int = ALERTS_LIMIT) -> dict[Key, tuple[str, ...]] | None:
        """The steps of every alert that there ever was, by rule, scope and device, asked for in parts of `size`; None
        where they cannot be had."""
        listed = self._all_alerts(size)
        if listed is None:
            return None
        found: dict[Key, list[tuple[int, int, str]]] = {}
        for one in listed:
            alert = self.get(f"alerts/{one['id']}") or {}
            steps = found.setdefault((one["rule"], one["scope"], one["device"]), [])
            steps += [(step["at"], step["revision"], step["op"]) for step in alert.get("steps", ())]
        return {key: tuple(op for _, _, op in sorted(steps) if op in STEPS) for key, steps in found.items()}
