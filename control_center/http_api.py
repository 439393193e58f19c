"""The figures: ledger, rejections, KPIs and their history, the summary, the place, the map, the sources."""

import asyncio
import base64
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from control_center import answer
from control_center.answer import KpiAnswer, LedgerAnswer, LedgerRowAnswer, MissingAnswer, RejectionAnswer
from control_center.http_access import reader
from control_center.http_context import Context, fault
from control_center.instant import parse_instant
from sensors.broker_refusal import Refusal
from sensors.csv_place import SHIPPED_PLACE
from streams.beat import Rejection
from streams.kpi import Kpi
from streams.span import MS_MAX

_T = TypeVar("_T")
Unit = Annotated[str, Query(description="A commune's five-digit code, a former district's, or the place's; "
                                        "the place when left out", max_length=16)]  # fmt: skip
Instant = Annotated[str, Query(description="Milliseconds UTC, or RFC 3339 with an offset", max_length=40)]


async def from_store(question: Callable[[], _T]) -> _T:
    """Ask the database off the event loop."""
    return await asyncio.to_thread(question)


async def ledger_of(context: Context) -> LedgerAnswer:
    """The ledger's totals: from the live store, or from the database before a worker has said anything."""
    reasons = await from_store(context.store.rejection_reasons)
    refused = await from_store(context.store.refusals_total)
    rows = [row for _, row in context.mirror.state.items("l:")]
    if rows:
        bridges = [(key.removeprefix("b:"), bridge) for key, bridge in context.mirror.state.items("b:")]
        return answer.ledger_of_live(rows, bridges, refused, reasons)
    totals = await from_store(context.store.ledger_totals)
    return answer.ledger_of_counts(totals, await from_store(context.store.numbered_totals), refused, reasons)


def api_routes(context: Context) -> APIRouter:
    """What integrators read."""
    routes = APIRouter(prefix="/api", dependencies=[Depends(reader(context))])
    place = context.catalogue.place

    def kpi_of(kpi_id: str, unit: str) -> tuple[Kpi, str]:
        kpi, code = context.catalogue.kpis.get(kpi_id), unit or place.code
        if kpi is None:
            raise fault(404, f"không có chỉ tiêu {kpi_id[:64]}", f"there is no KPI {kpi_id[:64]}")
        if code != place.code and code not in place.units and code not in place.districts:
            raise fault(404, f"không có đơn vị {code}", f"there is no unit {code}")
        return kpi, code

    @routes.get("/ledger", tags=["ledger"], summary="Received = accepted + duplicate + too late + rejected + in flight")
    async def ledger() -> LedgerAnswer:
        return await ledger_of(context)

    @routes.get("/ledger/rows", tags=["ledger"], summary="Outcomes by partition, kind, minute in [from, to)")
    async def ledger_rows(
        from_: Annotated[Instant, Query(alias="from")] = "",
        to: Instant = "",
        limit: Annotated[int, Query(ge=1, le=100_000)] = 10_000,
    ) -> list[LedgerRowAnswer]:
        start, end = _stretch(from_, to)
        rows = await from_store(lambda: context.store.ledger_rows(start, end, limit))
        return [answer.ledger_row(partition, row) for partition, row in rows]

    @routes.get("/missing", tags=["ledger"], summary="Sources whose own numbers show that messages never came")
    async def missing(limit: Annotated[int, Query(ge=1, le=10_000)] = 100) -> list[MissingAnswer]:
        rows = await from_store(lambda: context.store.missing(limit))
        return [answer.missing_of(source, gaps) for source, gaps in rows]

    @routes.get("/rejections", tags=["ledger"], summary="What could not be used, newest first")
    async def rejections(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[RejectionAnswer]:
        kept = await from_store(lambda: context.store.rejections(limit))
        refused = await from_store(lambda: context.store.refusals(limit))
        rows = [_rejection(row) for row in kept] + [_refusal(at, refusal) for at, refusal in refused]
        return sorted(rows, key=lambda row: row["time"], reverse=True)[:limit]

    @routes.get("/kpis", tags=["kpis"], summary="The definitions of all KPIs")
    async def kpis() -> list[dict[str, Any]]:
        return [msgspec.to_builtins(kpi) for kpi in context.catalogue.kpis.values()]

    @routes.get("/kpis/{kpi_id}", tags=["kpis"], summary="The newest value of a KPI")
    async def newest(kpi_id: str, unit: Unit = "") -> KpiAnswer:
        kpi, code = kpi_of(kpi_id, unit)
        live = context.mirror.state.get(f"k:{kpi.id}@{code}")
        if live is not None:
            return answer.of_live(kpi, code, live)
        kept = await from_store(lambda: context.store.newest_value(kpi.id, code))
        return answer.of_value(kpi, kept) if kept is not None else answer.unknown(kpi, code)

    @routes.get("/kpis/{kpi_id}/history", tags=["kpis"], summary="Every closed window that ends in [from, to]")
    async def history(
        kpi_id: str,
        unit: Unit = "",
        from_: Annotated[Instant, Query(alias="from")] = "",
        to: Instant = "",
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    ) -> list[KpiAnswer]:
        kpi, code = kpi_of(kpi_id, unit)
        start, end = _stretch(from_, to)
        rows = await from_store(lambda: context.store.history(kpi.id, code, start, end, limit))
        return [answer.of_value(kpi, row) for row in rows]

    @routes.get(
        "/kpis/{kpi_id}/windows",
        tags=["kpis"],
        summary="Every closed window of every scope that ends in [from, to], by end and scope",
    )
    async def windows(
        kpi_id: str,
        from_: Annotated[Instant, Query(alias="from")] = "",
        to: Instant = "",
        limit: Annotated[int, Query(ge=1, le=20_000)] = 20_000,
    ) -> list[KpiAnswer]:
        kpi, _ = kpi_of(kpi_id, "")
        start, end = _stretch(from_, to)
        rows = await from_store(lambda: context.store.windows(kpi.id, start, end, limit))
        return [answer.of_value(kpi, row) for row in rows]

    @routes.get("/rules", tags=["alerts"], summary="The definitions of all alert rules")
    async def rules() -> list[dict[str, Any]]:
        return [msgspec.to_builtins(rule) for rule in context.catalogue.rules.values()]

    @routes.get("/summary", tags=["summary"], summary="The newest summary for those who lead")
    async def summary(lang: Annotated[str, Query(pattern="^(vi|en)$")] = "vi") -> dict[str, Any]:
        row = await from_store(context.store.newest_summary)
        if row is None:
            raise fault(404, "chưa có bản tóm tắt nào", "no summary has been made yet")
        text = row.text_vi if lang == "vi" else row.text_en
        return {"id": row.id, "at": row.at, "lang": lang, "text": text, "facts": msgspec.json.decode(row.facts)}

    @routes.get("/place", tags=["place"], summary="Units, former districts, departments and fields")
    async def place_answer() -> dict[str, Any]:
        return _described_place(context)

    @routes.get("/map", tags=["place"], summary="The schematic map as SVG paths")
    async def map_answer() -> Response:
        return Response(await from_store(_schematic), media_type="application/json")

    @routes.get("/sources", tags=["place"], summary="Every device and desk that has spoken")
    async def sources() -> list[dict[str, Any]]:
        rows = await from_store(context.store.sources)
        silent = msgspec.json.decode(context.mirror.state.get("s:silent") or b"{}")
        return [msgspec.to_builtins(row) | {"silent": f"{row.unit}/{row.kind}/{row.source}" in silent} for row in rows]

    return routes


def _rejection(row: Rejection) -> RejectionAnswer:
    payload = base64.b64encode(row.payload).decode()
    return {
        "topic": row.topic, "reason": row.reason, "detail": row.detail, "payload": payload, "time": row.at,
        "ordinal": row.ordinal, "partition": row.partition, "address": "",
    }  # fmt: skip


def _refusal(at: int, refusal: Refusal) -> RejectionAnswer:
    """Refused by the broker: it says whose and why, and keeps neither topic nor payload."""
    return {
        "topic": "", "reason": refusal.reason, "detail": refusal.detail, "payload": "", "time": at,
        "ordinal": None, "partition": None, "address": refusal.address,
    }  # fmt: skip


def _described_place(context: Context) -> dict[str, Any]:
    described: dict[str, Any] = msgspec.to_builtins(context.catalogue.place)
    return {
        name: described[name]
        for name in ("id", "code", "zone", "titles", "units", "districts", "departments", "fields", "targets")
    }


@lru_cache(1)
def _schematic() -> bytes:
    return (SHIPPED_PLACE / "map_schematic.json").read_bytes()


def _stretch(from_: str, to: str) -> tuple[int, int]:
    start, end = _instant("from", from_, 0), _instant("to", to, MS_MAX)
    if start > end:
        raise fault(422, "from: không được sau to", "from: must not be after to")
    return start, end


def _instant(name: str, text: str, default: int) -> int:
    if not text:
        return default
    instant = parse_instant(text)
    if instant is None:
        vi, en = "cần mili giây UTC hoặc RFC 3339 có múi giờ", "milliseconds UTC, or RFC 3339 with an offset"
        raise fault(422, f"{name}: {vi}", f"{name}: {en}")
    return instant
