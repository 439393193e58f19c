"""Who asks: the session behind a cookie, and whether this person may read or act."""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from fastapi import Request
from starlette.requests import HTTPConnection

from control_center.account import Action, may
from control_center.http_context import COOKIE, Context, csrf_of, fault, has_own_origin, has_token, is_local
from sensors.errors import SettingsError


class Person(NamedTuple):
    """Somebody logged in; `session` is the cookie's secret."""

    name: str
    role: str
    session: str


async def person_of(context: Context, connection: HTTPConnection) -> Person | None:
    """Who is logged in; None for nobody, and for a session that is over."""
    cookie = connection.cookies.get(COOKIE, "")
    if not cookie:
        return None
    session = await asyncio.to_thread(context.accounts.session, cookie, context.login_clock())
    return Person(session.name, session.role, cookie) if session is not None else None


async def may_read(context: Context, connection: HTTPConnection) -> bool:
    """The wall's token, an account, or, where no token is set, this very machine."""
    token = context.settings.wall_token
    if has_token(connection, token) or (not token and is_local(connection)):
        return True
    person = await person_of(context, connection)
    return person is not None and may(person.role, "read")


def reader(context: Context) -> Callable[[Request], Awaitable[None]]:
    """A dependency: lets only readers through."""

    async def check(request: Request) -> None:
        if not await may_read(context, request):
            raise fault(401, "cần đăng nhập hoặc mã xem (?token=)", "log in, or bring the wall's token (?token=)")

    return check


async def actor(context: Context, request: Request, action: Action) -> Person:
    """Who is about to act; raises 401 or 403, in words, when that cannot be."""
    if not has_own_origin(request):
        raise fault(403, "yêu cầu từ trang khác bị từ chối", "requests from another origin are refused")
    person = await person_of(context, request)
    if person is None:
        raise fault(401, "cần đăng nhập", "log in first")
    given = request.headers.get("x-csrf-token", "")
    if not secrets.compare_digest(given.encode(), csrf_of(person.session).encode()):
        raise fault(403, "thiếu hoặc sai X-CSRF-Token (xem /api/me)", "X-CSRF-Token is missing or wrong (see /api/me)")
    if not may(person.role, action):
        raise fault(403, f"vai trò {person.role} không được làm việc này", f"the role {person.role} may not do this")
    return person


def wall_token() -> str:
    """IOC_WALL_TOKEN, or what the file holds that IOC_WALL_TOKEN_FILE names; empty for none."""
    path = os.environ.get("IOC_WALL_TOKEN_FILE")
    try:
        return Path(path).read_text().strip() if path else os.environ.get("IOC_WALL_TOKEN", "")
    except OSError as reason:
        raise SettingsError(f"IOC_WALL_TOKEN_FILE: {path}: {reason.strerror}") from reason
