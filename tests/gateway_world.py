"""A gateway over real stores, and what may be said to them: the world of the tests of the gateway."""

import json
from typing import Any

import msgspec
from gateway_client import Site

from control_center.argon2_accounts import hash_password
from control_center.http_context import ReplaySpan
from control_center.http_gateway import GatewaySettings
from control_center.sql_accounts import SqlAccounts
from sensors.system_clock import now_ms
from streams.alert import Alert
from streams.beat import Counts, State, Value
from streams.checkpoint import ROLL_UP, Checkpoint, Recovered
from streams.memory_live import MemoryLive
from streams.past_store import PastStore
from streams.snapshot_store import SnapshotStore
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

DEFINITIONS = load_all()
HOUR_MS = 3_600_000
T0 = 1_790_000_000_000 // HOUR_MS * HOUR_MS
PASSWORD = "k7mp-x3qz-9hda"
UNIT = next(iter(DEFINITIONS.place.units))


class World:
    """One gateway with its stores; `site` asks it."""

    def __init__(self, store: SqlStore, live: MemoryLive, site: Site) -> None:
        self.store, self.live, self.site = store, live, site
        self.accounts = SqlAccounts(store.engine)

    async def log_in(self, name: str, role: str) -> dict[str, str]:
        """The headers of somebody logged in."""
        self.accounts.add_account(name, hash_password(PASSWORD), role, now_ms())
        body = json.dumps({"name": name, "password": PASSWORD}).encode()
        answer = await self.site.ask("/login", body, Content_Type="application/json")
        assert answer.status == 200, answer.body
        cookie = str(answer.headers["Set-Cookie"]).split(";")[0]
        return {"Cookie": cookie, "X_CSRF_Token": answer.json["csrf"]}


def kpi_json(value: float | None, end: int = T0, revision: int = 0) -> bytes:
    return msgspec.json.encode(
        {"v": value, "n": 7, "src": 2, "from": end - HOUR_MS, "to": end, "as": end - 1, "st": "final", "rev": revision}
    )


def ledger_json(received: int, accepted: int, rejected: int, in_flight: int) -> bytes:
    return msgspec.json.encode(
        {"received": received, "accepted": accepted, "duplicate": 0, "too_late": 0, "rejected": rejected,
         "in_flight": in_flight, "readings": 3 * accepted, "at": T0}
    )  # fmt: skip


def alert_row(alert: str, state: str = "unack_active", acked_by: str = "") -> Alert:
    return Alert(alert, "r", UNIT, "", "critical", state, T0, T0 + HOUR_MS, 1.5, acked_by=acked_by)  # type: ignore[arg-type]


def alert_json(alert: str, state: str = "unack_active", acked_by: str = "") -> bytes:
    return msgspec.json.encode(alert_row(alert, state, acked_by))


def value_row(kpi: str, end: int, value: float | None, state: State = "final") -> Value:
    return Value(kpi, UNIT, end - HOUR_MS, end, value, 5, 1, state, 0, end - 1)


def checkpoint(**parts: Any) -> Checkpoint:
    return Checkpoint(0, -1, 0, 0, T0, b"", parts.pop("totals", Counts()), **parts)


def past_of(store: SqlStore, moment: int) -> PastStore:
    """What was known when nothing had been said yet."""
    nothing = Recovered(-1, 0, b"", Counts(), [], [], [], [], [], [], [], [], {}, b"")
    return PastStore(store, SnapshotStore(dict.fromkeys((ROLL_UP, 0), nothing)), lambda: moment)


REPLAYED = GatewaySettings(replay=ReplaySpan(T0 - HOUR_MS, T0, 30.0))
