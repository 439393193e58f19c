"""What the gateway's routes share: settings, the live mirror, the database, definitions, and who may read."""

import asyncio
import hashlib
import ipaddress
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from fastapi import HTTPException, Request
from starlette.requests import HTTPConnection

from control_center.account import LockOut
from control_center.live_mirror import Mirror
from control_center.prometheus_metrics import Metrics
from control_center.sql_accounts import SqlAccounts
from control_center.wall import Wall
from streams.catalogue import Catalogue
from streams.live import LiveStore
from streams.past_store import PastStore
from streams.reel import Unrecorded
from streams.sql_store import SqlStore

COOKIE = "ioc_session"
BODY_BYTES_MAX = 65_536
_LOOPBACK_NAMES = {"localhost", "127.0.0.1", "::1"}
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


class ReplaySpan(msgspec.Struct, frozen=True):
    """What a replay shows: from and to (ms UTC), how many times as fast as it was, and what of it was not kept."""

    begin: int
    end: int
    speed: float
    unrecorded: Sequence[Unrecorded] = ()


class GatewaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """`host` and `port` it listens on; `overlay` the folder of the city's own definitions.

    `wall_token`: reading needs it (`?token=` or `Authorization: Bearer`), or an account; without one, reading is
    anonymous on loopback, and needs an account elsewhere. `partitions`: how many must report before it is ready,
    0 for as many as there are. `replay`: what is shown is a past period; nothing can be ordered there. `journal`: the
    journal's URL, to explain numbers from; empty for none.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    overlay: Path | None = None
    wall_token: str = ""
    partitions: int = 0
    replay: ReplaySpan | None = None
    journal: str = ""
    session_s: int = 12 * 3600
    sockets_max: int = 2000
    sockets_per_address_max: int = 32


@dataclass
class Context:
    """One gateway. `clock` tells the time that is shown, `login_clock` that of sessions and of the lock on logging in:
    who looks at a replay logs in now (both ms UTC)."""

    settings: GatewaySettings
    live: LiveStore
    store: SqlStore | PastStore
    accounts: SqlAccounts
    catalogue: Catalogue
    walls: Mapping[str, Wall]
    mirror: Mirror
    metrics: Metrics
    build: str
    clock: Callable[[], int]
    login_clock: Callable[[], int]
    lock_out: LockOut = field(default_factory=LockOut)
    # 19 MiB for each: a flood of logins must not take the memory.
    hashing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))


def fault(status: int, vi: str, en: str) -> HTTPException:
    """An answer that is no success, in both languages."""
    return HTTPException(status, {"vi": vi, "en": en})


def address_of(connection: HTTPConnection) -> str:
    """The peer's address as the server saw it."""
    return connection.client.host if connection.client is not None else ""


def is_local(connection: HTTPConnection) -> bool:
    """Whether someone on this very machine asks.

    A proxy on this machine passes others' requests on, and a hostile page may have pointed a name of its own at
    127.0.0.1: so forwarded requests, and requests to any other name than loopback's, do not count as local.
    """
    if any(header in connection.headers for header in _FORWARDED):
        return False
    try:
        if not ipaddress.ip_address(address_of(connection)).is_loopback:
            return False
        return urlsplit(f"//{connection.headers.get('host', '')}").hostname in _LOOPBACK_NAMES
    except ValueError:
        return False


def has_own_origin(connection: HTTPConnection) -> bool:
    """Whether no page of another origin asks; programs send no Origin at all."""
    origin = connection.headers.get("origin")
    if origin is None:
        return True
    return urlsplit(origin).netloc.lower() == connection.headers.get("host", "").lower() != ""


def has_token(connection: HTTPConnection, token: str) -> bool:
    """Whether the wall's token comes along."""
    scheme, _, bearer = connection.headers.get("authorization", "").partition(" ")
    given = bearer if scheme.lower() == "bearer" else connection.query_params.get("token", "")
    return bool(token) and secrets.compare_digest(given.encode(), token.encode())


def csrf_of(session: str) -> str:
    """The token against forged requests: follows from the session, which pages cannot read and others do not know."""
    return hashlib.sha256(b"ioc csrf\0" + session.encode()).hexdigest()


async def read_body(request: Request) -> bytes:
    """The body, up to 64 kB."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise fault(413, "nội dung quá 64 kB", "the body is over 64 kB")
    return body
