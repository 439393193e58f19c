"""Where a number comes from: `GET /api/explain`, from the database and the journal (streams.explanation)."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Response

from control_center.http_access import reader
from control_center.http_api import Instant, Unit
from control_center.http_context import Context, fault
from control_center.instant import parse_instant
from sensors.url_journal import check_journal
from streams.explanation import Explanation
from streams.journal_lineage import MESSAGES_LISTED, Lineages, NothingToExplain, Question
from streams.past_store import PastStore

TIME_ALLOWED_S = 20.0
LISTED_MAX = 1_000


def _inlined(schema: Any, parts: Mapping[str, Any]) -> Any:
    """A schema with its parts in the places that refer to them: OpenAPI looks for references elsewhere."""
    if isinstance(schema, list):
        return [_inlined(one, parts) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(parts[schema["$ref"].rpartition("/")[2]], parts)
    return {name: _inlined(one, parts) for name, one in schema.items()}


(_SCHEMA,), _PARTS = msgspec.json.schema_components([Explanation])
_CONTENT = {"application/json": {"schema": _inlined(_SCHEMA, _PARTS)}}


def explain_routes(context: Context) -> APIRouter:
    """The way back from a number to the messages it was made of."""
    routes = APIRouter(prefix="/api", dependencies=[Depends(reader(context))])
    store = context.store
    lineages = None if isinstance(store, PastStore) else Lineages(store, context.catalogue, context.settings.journal)
    if context.settings.journal:
        check_journal(context.settings.journal)
    # It reads and decodes up to 200,000 messages: one at a time, so that many questions cannot take the processor.
    turn = asyncio.Semaphore(1)

    @routes.get(
        "/explain",
        tags=["kpis"],
        summary="Where a number comes from: window, panes, sources, raw messages",
        response_class=Response,
        responses={200: {"content": _CONTENT}},
    )
    async def explain(
        kpi: Annotated[str, Query(description="A KPI's id", max_length=64)],
        unit: Unit = "",
        at: Instant = "",
        messages: Annotated[int, Query(ge=0, le=LISTED_MAX, description="Messages listed")] = MESSAGES_LISTED,
    ) -> Response:
        question = Question(kpi, unit or context.catalogue.place.code, _moment(at), messages)
        if lineages is None:
            # It works a number out again from all that has come by now, not from what had come then.
            vi, en = "đang phát lại: hãy hỏi ở màn hình đang chạy", "this is a replay: ask the running centre, with at="
            raise fault(409, vi, en)
        if not context.settings.journal:
            raise fault(501, "cổng này không đọc được nhật ký (--journal)", "this gateway has no journal (--journal)")
        try:
            async with asyncio.timeout(TIME_ALLOWED_S), turn:
                answer = msgspec.json.encode(await lineages.explain(question))
        except NothingToExplain as reason:
            raise fault(404, reason.vi, reason.en) from reason
        except TimeoutError as reason:
            raise fault(
                503, "câu hỏi này tốn quá nhiều thời gian, hãy thử lại", "this takes too long now; try again"
            ) from reason
        return Response(answer, media_type="application/json")

    return routes


def _moment(at: str) -> int | None:
    if not at:
        return None
    moment = parse_instant(at)
    if moment is None:
        vi, en = "cần mili giây UTC hoặc RFC 3339 có múi giờ", "milliseconds UTC, or RFC 3339 with an offset"
        raise fault(422, f"at: {vi}", f"at: {en}")
    return moment
