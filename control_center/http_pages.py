"""The pages and their files: no build step, no cache without asking, and a strict content security policy."""

import asyncio
import hashlib
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_center.http_access import may_read, person_of
from control_center.http_context import Context

STATIC = Path(__file__).parent / "static"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-cache",
}


class StrictHeaders:
    """Adds to every answer what browsers need to be told; what a route has set itself stays."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", ())}
                added = [(name, value) for name, value in _HEADERS.items() if name not in present]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def build_of(folder: Path = STATIC) -> str:
    """A short hash over all files of the pages: a page that was loaded from another build loads itself again."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def static_files() -> StaticFiles:
    """`/static`, with ETag; answers 304 when nothing changed."""
    return StaticFiles(directory=STATIC)


def page_routes(context: Context) -> APIRouter:
    """`/`, `/wall`, `/desk`, `/leader`, `/login`."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def home() -> Response:
        return RedirectResponse("/wall", 307)

    @routes.get("/login")
    async def login() -> Response:
        return await _page("login")

    @routes.get("/desk")
    async def desk(request: Request) -> Response:
        if await person_of(context, request) is None:
            return RedirectResponse("/login", 303)
        return await _page("desk")

    @routes.get("/wall")
    async def wall(request: Request) -> Response:
        return await _readers_page(context, request, "wall")

    @routes.get("/leader")
    async def leader(request: Request) -> Response:
        return await _readers_page(context, request, "leader")

    return routes


async def _readers_page(context: Context, request: Request, name: str) -> Response:
    return await _page(name) if await may_read(context, request) else RedirectResponse("/login", 303)


async def _page(name: str) -> Response:
    path = STATIC / f"{name}.html"
    if not await asyncio.to_thread(path.is_file):
        return _words(404, "gói cài đặt này không có trang", "this installation has no page of that name")
    return FileResponse(path, media_type="text/html; charset=utf-8")


def _words(status: int, vi: str, en: str) -> Response:
    return HTMLResponse(f"<!doctype html><meta charset=utf-8><title>{status}</title><p>{vi}<p>{en}", status)
