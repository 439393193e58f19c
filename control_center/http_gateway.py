"""The gateway: pages, API and live channel on one port, as one ASGI application."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import LifespanType

from control_center.frame import MESSAGE_BYTES_MAX
from control_center.http_accounts import account_routes
from control_center.http_alerts import alert_routes
from control_center.http_api import api_routes
from control_center.http_context import Context, GatewaySettings, ReplaySpan
from control_center.http_explain import explain_routes
from control_center.http_pages import StrictHeaders, build_of, page_routes, static_files
from control_center.http_probes import package_version, probe_routes
from control_center.live_mirror import Feed, Mirror
from control_center.prometheus_metrics import Metrics
from control_center.readiness import Readiness
from control_center.sql_accounts import SqlAccounts
from control_center.toml_walls import load_walls
from control_center.view import View
from control_center.wall import Wall, keys_of, kpis_of, layout_of
from control_center.websocket_channel import add_channel
from sensors.errors import Unavailable
from sensors.system_clock import now_ms
from streams.catalogue import Catalogue, compile_catalogue
from streams.live import LiveStore
from streams.past_store import PastStore
from streams.sql_store import SqlStore
from streams.toml_catalogue import Definitions

__all__ = ["GatewaySettings", "ReplaySpan", "build_gateway", "gateway_config"]

WRONG_VI = {
    "missing": "còn thiếu",
    "int_parsing": "phải là số nguyên",
    "greater_than_equal": "phải từ {ge} trở lên",
    "less_than_equal": "phải từ {le} trở xuống",
    "string_too_long": "dài nhất {max_length} ký tự",
    "string_too_short": "ngắn nhất {min_length} ký tự",
    "string_pattern_mismatch": "phải đúng mẫu {pattern}",
    "string_type": "phải là chuỗi ký tự",
    "json_invalid": "không phải JSON",
    "extra_forbidden": "không có trường này",
}
"""What FastAPI finds wrong, in Vietnamese; anything else is "không hợp lệ"."""

_DESCRIPTION = """Số liệu sống của trung tâm điều hành / live figures of the operations centre.

Times are milliseconds UTC. `unit` is a commune's five-digit code, a former district's or the place's; `ucum` a unit of
measure. Errors are `{"detail": {"vi": …, "en": …}}`. Reading is anonymous on the machine itself unless a wall token is
set; commands need an account, its session cookie and the `X-CSRF-Token` of `GET /api/me`. The live channel is
`WS /live?wall=overview`."""


def build_gateway(
    settings: GatewaySettings,
    live: LiveStore,
    store: SqlStore | PastStore,
    definitions: Definitions,
    clock: Callable[[], int] = now_ms,
) -> FastAPI:
    """Put a gateway together; raises DefinitionError when a wall's file is wrong.

    It begins to follow `live` with the server's start, or with the first request where lifespan events are off.
    """
    context = _context(settings, live, store, definitions, clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        context.mirror.start()
        yield
        await context.mirror.close()

    app = FastAPI(
        title="IOC event processor", version=package_version(), description=_DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None,  # their pages load scripts from elsewhere
    )  # fmt: skip
    for routes in (probe_routes, api_routes, explain_routes, alert_routes, account_routes, page_routes):
        app.include_router(routes(context))
    app.mount("/static", static_files())
    add_channel(app, context)
    app.add_exception_handler(Unavailable, _unavailable)
    app.add_exception_handler(RequestValidationError, _wrong_question)
    app.add_exception_handler(HTTPException, _in_both_languages)
    app.add_middleware(StrictHeaders)
    app.add_middleware(_Started, mirror=context.mirror)
    return app


def gateway_config(app: FastAPI, settings: GatewaySettings, lifespan: LifespanType = "auto") -> uvicorn.Config:
    """How uvicorn serves it in either shape, as measured: uvloop, websockets-sansio, no compression on a LAN."""
    return uvicorn.Config(
        app, host=settings.host, port=settings.port, loop="uvloop", http="httptools", ws="websockets-sansio",
        ws_max_size=MESSAGE_BYTES_MAX, ws_per_message_deflate=False, log_level="warning", access_log=False,
        server_header=False, proxy_headers=False, timeout_graceful_shutdown=2, lifespan=lifespan,
    )  # fmt: skip


class _Started:
    """Starts the mirror before the first request."""

    def __init__(self, app: ASGIApp, mirror: Mirror) -> None:
        self._app = app
        self._mirror = mirror

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            self._mirror.start()
        await self._app(scope, receive, send)


def _context(
    settings: GatewaySettings, live: LiveStore, store: SqlStore | PastStore, definitions: Definitions,
    clock: Callable[[], int],
) -> Context:  # fmt: skip
    catalogue = compile_catalogue(definitions.place, definitions.kinds, definitions.kpis, definitions.rules)
    walls = load_walls(definitions.kpis, settings.overlay)
    metrics, build = Metrics(package_version()), build_of()
    own = secrets.token_hex(4)
    feeds = {
        name: Feed(
            View(keys_of(wall, definitions.place.code), gateway=own),
            _described(wall, catalogue, build, settings.replay),
        )
        for name, wall in walls.items()
    }
    mirror = Mirror(live, feeds, Readiness(settings.partitions), clock, metrics.beat.observe)
    accounts = SqlAccounts(store.engine)
    login_clock = clock if settings.replay is None else now_ms
    return Context(settings, live, store, accounts, catalogue, walls, mirror, metrics, build, clock, login_clock)


def _described(wall: Wall, catalogue: Catalogue, build: str, replay: ReplaySpan | None) -> dict[str, Any]:
    """What a page needs once: `wall` with its layout, its KPIs' definitions, units as [code, name], the titles, and
    whether it is a replay."""
    place = catalogue.place
    return {
        "build": build,
        "replay": None if replay is None else {"from": replay.begin, "to": replay.end, "speed": replay.speed},
        "wall": msgspec.to_builtins(wall) | {"layout": layout_of(wall)},
        "kpis": [msgspec.to_builtins(catalogue.kpis[kpi]) for kpi in kpis_of(wall)],
        "units": [[unit.code, unit.name] for unit in place.units.values()],
        "place": {
            "code": place.code,
            "zone": place.zone,
            "titles": msgspec.to_builtins(place.titles),
        },
    }


def _unavailable(_: Request, reason: Exception) -> JSONResponse:
    detail = {"vi": "kho dữ liệu tạm thời không trả lời", "en": f"a store does not answer now: {reason}"}
    return JSONResponse({"detail": detail}, 503, headers={"Retry-After": "1"})


def _in_both_languages(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    words = {404: ("không có địa chỉ này", "no such address"), 405: ("sai phương thức", "wrong method")}
    detail: Any = error.detail
    if not isinstance(detail, dict):
        vi, en = words.get(error.status_code, (str(detail), str(detail)))
        detail = {"vi": vi, "en": en}
    return JSONResponse({"detail": detail}, error.status_code, headers=error.headers)


def _wrong_question(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    vi, en = list[str](), list[str]()
    for found in error.errors():
        place = ".".join(str(part) for part in found["loc"])
        vi.append(f"{place}: {WRONG_VI.get(found['type'], 'không hợp lệ').format_map(found.get('ctx', {}))}")
        en.append(f"{place}: {found['msg']}")
    detail = {"vi": f"tham số sai: {'; '.join(vi)}", "en": f"wrong parameters: {'; '.join(en)}"}
    return JSONResponse({"detail": detail}, 422)
