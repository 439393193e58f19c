"""Logging in and out: `POST /login` (form or JSON), `POST /logout`, `GET /api/me`."""

import asyncio
import json
from urllib.parse import parse_qs

import structlog
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from typing_extensions import TypedDict

from control_center import argon2_accounts
from control_center.account import PASSWORD_LETTERS_MAX
from control_center.http_access import person_of
from control_center.http_context import COOKIE, Context, address_of, csrf_of, fault, has_own_origin, read_body

log = structlog.get_logger("accounts")


class Me(TypedDict):
    """Who is logged in; `csrf` goes into the X-CSRF-Token header of every command."""

    name: str
    role: str
    csrf: str


def account_routes(context: Context) -> APIRouter:
    """The routes of logging in and out."""
    routes = APIRouter(tags=["accounts"])

    @routes.post("/login", summary="Log in with name and password, as a form or as JSON")
    async def login(request: Request) -> Response:
        if not has_own_origin(request):
            raise fault(403, "yêu cầu từ trang khác bị từ chối", "requests from another origin are refused")
        is_json = request.headers.get("content-type", "").startswith("application/json")
        name, password = _credentials(await read_body(request), is_json)
        wait_ms = context.lock_out.wait_ms(name, address_of(request), context.login_clock())
        if wait_ms > 0:
            context.metrics.logins.labels("locked").inc()
            return _refused(is_json, 429, wait_ms // 1000 + 1)
        role = await _role_of(context, name, password)
        if role is None:
            context.lock_out.failed(name, address_of(request), context.login_clock())
            context.metrics.logins.labels("failed").inc()
            log.warning("login failed", account=name, address=address_of(request))
            return _refused(is_json, 401, 0)
        context.lock_out.succeeded(name, address_of(request))
        context.metrics.logins.labels("succeeded").inc()
        return await _welcome(context, request, name, role, is_json)

    @routes.post("/logout", summary="End the session")
    async def logout(request: Request) -> Response:
        if not has_own_origin(request):
            raise fault(403, "yêu cầu từ trang khác bị từ chối", "requests from another origin are refused")
        person = await person_of(context, request)
        if person is not None:
            await asyncio.to_thread(context.accounts.close_session, person.session)
        is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        answer: Response = RedirectResponse("/login", 303) if is_form else Response(status_code=204)
        answer.delete_cookie(COOKIE, path="/")
        return answer

    @routes.get("/api/me", summary="Who is logged in")
    async def me(request: Request) -> Me:
        person = await person_of(context, request)
        if person is None:
            raise fault(401, "chưa đăng nhập", "not logged in")
        return {"name": person.name, "role": person.role, "csrf": csrf_of(person.session)}

    return routes


def _credentials(body: bytes, is_json: bool) -> tuple[str, str]:
    try:
        text = body.decode()
        given = json.loads(text) if is_json else {name: values[-1] for name, values in parse_qs(text).items()}
        name, password = given["name"], given["password"]
    except (ValueError, KeyError, TypeError, RecursionError):
        name = password = None
    if not isinstance(name, str) or not isinstance(password, str) or len(password) > PASSWORD_LETTERS_MAX:
        raise fault(400, "cần name và password", "name and password are needed")
    return name.strip()[:64], password


async def _role_of(context: Context, name: str, password: str) -> str | None:
    """The role of an account whose password this is; takes as long for a name that nobody has."""
    account = await asyncio.to_thread(context.accounts.account, name)
    kept = account.password_hash if account is not None else argon2_accounts.DECOY
    async with context.hashing:
        is_right = await asyncio.to_thread(argon2_accounts.verify_password, kept, password)
    return account.role if account is not None and is_right and not account.disabled else None


async def _welcome(context: Context, request: Request, name: str, role: str, is_json: bool) -> Response:
    seconds = context.settings.session_s
    now = context.login_clock()
    session = await asyncio.to_thread(context.accounts.open_session, name, now, now + seconds * 1000)
    log.info("logged in", account=name, address=address_of(request))
    answer: Response
    if is_json:
        answer = JSONResponse({"name": name, "role": role, "csrf": csrf_of(session)})
    else:
        answer = RedirectResponse("/desk", 303)
    is_https = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    answer.set_cookie(COOKIE, session, max_age=seconds, path="/", httponly=True, samesite="strict", secure=is_https)
    return answer


def _refused(is_json: bool, status: int, wait_s: int) -> Response:
    if not is_json:
        return RedirectResponse(f"/login?error={'locked' if wait_s else 'wrong'}&wait={wait_s}", 303)
    detail = {"vi": "sai tên hoặc mật khẩu", "en": "wrong name or password"}
    if wait_s:
        detail = {"vi": f"sai quá nhiều lần, chờ {wait_s} giây", "en": f"too many failures, wait {wait_s} s"}
    return JSONResponse({"detail": detail}, status, headers={"Retry-After": str(wait_s)} if wait_s else None)
