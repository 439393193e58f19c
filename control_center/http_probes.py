"""Probes: alive (`/health`), making progress (`/ready`), and figures for Prometheus (`/metrics`)."""

import asyncio
from datetime import tzinfo
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse

from control_center import answer
from control_center.http_access import reader
from control_center.http_api import ledger_of
from control_center.http_context import Context, ReplaySpan
from control_center.prometheus_metrics import CONTENT_TYPE
from control_center.view import standing_faults
from sensors.errors import Unavailable
from streams.fault import WARNINGS, Fault
from streams.reel import SETTLED_MS
from streams.sync import SyncState

DATABASE_S = 3.0
_REPLAYED = {
    "vi": "đang phát lại: lỗi của chính trung tâm khi ấy không được lưu",
    "en": "this is a replay: what ailed the centre itself then was not kept",
}


def package_version() -> str:
    """The version of the installed package; "0" when it runs from a folder that was never installed."""
    try:
        return version("ioc-event-processor")
    except PackageNotFoundError:
        return "0"


def probe_routes(context: Context) -> APIRouter:
    """What orchestrators and monitors ask; `/health` and `/ready` of anybody."""
    routes = APIRouter(tags=["probes"])
    zone = ZoneInfo(context.catalogue.place.zone)

    @routes.get("/health", summary="The process is alive")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "version": package_version(), "build": context.build, "now": context.clock()}

    @routes.get(
        "/ready",
        summary="Every partition progresses; 503 with reasons otherwise",
        responses={503: {"description": "Not ready; the reasons in words"}},
    )
    async def ready() -> Response:
        await context.mirror.looked()
        faults = [_described(fault) for fault in standing_faults(context.mirror.state, context.clock())]
        warnings = [fault for fault in faults if fault["what"] in WARNINGS]
        reasons = [fault for fault in faults if fault not in warnings]
        if context.settings.replay is not None:
            warnings.append({"what": "replay", **_REPLAYED})
            warnings += _unrecorded(context.settings.replay, context.clock(), zone)
        warnings += _unbalanced(context.mirror.state)
        reasons += [{"vi": vi, "en": en} for vi, en in context.mirror.readiness.reasons(context.clock())]
        if context.mirror.fault:
            reasons.insert(0, {"vi": "kho trực tiếp không trả lời", "en": "the live store does not answer"})
        fault = await _database_fault(context)
        if fault:
            reasons.append({"vi": f"cơ sở dữ liệu {fault}", "en": f"the database {fault}"})
        told = {"ready": not reasons, "reasons": reasons, "warnings": warnings}
        return JSONResponse(told, 503 if reasons else 200)

    @routes.get("/metrics", dependencies=[Depends(reader(context))], summary="Figures for Prometheus")
    async def metrics() -> Response:
        try:
            ledger = await ledger_of(context)
        except Unavailable:
            ledger = None
        place_code = context.catalogue.place.code
        text = context.metrics.render(context.mirror.state, ledger, place_code, context.clock())
        return Response(text, media_type=CONTENT_TYPE)

    return routes


def _unrecorded(replay: ReplaySpan, now: int, zone: tzinfo) -> list[dict[str, str]]:
    """What of the moment that is shown, or of a little before it, was not kept."""
    told = [gap.told(zone) for gap in replay.unrecorded if gap.since <= now <= gap.until + SETTLED_MS]
    return [{"what": "replay_gap", "vi": vi, "en": en} for vi, en in told]


def _unbalanced(state: SyncState) -> list[dict[str, str]]:
    """That the ledger does not add up: nothing stops for it, yet no number is proven any more."""
    rows = [row for _, row in state.items("l:")]
    difference = answer.ledger_of_live(rows, [], 0, {})["difference"] if rows else 0
    if difference == 0:
        return []
    vi, en = f"Sổ cái lệch {difference} bản tin", f"Ledger does not add up: {difference} messages differ"
    return [{"what": "ledger_differs", "vi": vi, "en": en}]


def _described(fault: Fault) -> dict[str, str]:
    """Without its detail, which names files: anybody may ask."""
    return {"what": fault.what, "vi": fault.vi, "en": fault.en}


async def _database_fault(context: Context) -> str:
    """Empty when the database answers within `DATABASE_S`."""
    try:
        async with asyncio.timeout(DATABASE_S):
            await asyncio.to_thread(context.store.ledger_totals)
    except (Unavailable, TimeoutError):
        return "không trả lời / does not answer"
    return ""
