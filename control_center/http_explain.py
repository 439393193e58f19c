"""Where a number comes from: `GET /api/explain`, from the database and the journal (streams.explanation)."""

import asyncio
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query
from typing_extensions import TypedDict

from control_center.http_access import reader
from control_center.http_api import Instant, Unit
from control_center.http_context import Context, fault
from control_center.instant import parse_instant
from streams.journal_lineage import MESSAGES_LISTED, Lineages, NothingToExplain, Question, check_journal
from streams.past_store import PastStore

TIME_ALLOWED_S = 20.0
LISTED_MAX = 1_000


class TextAnswer(TypedDict):
    """One text in both languages."""

    vi: str
    en: str


ToldValueAnswer = TypedDict(
    "ToldValueAnswer",
    {
        "value": float | None, "n": int, "sources": int, "state": str, "revision": int, "as_of": int, "from": int,
        "to": int,
    },
)  # fmt: skip
"""The value as it was said of its window [from, to)."""

WindowAnswer = TypedDict(
    "WindowAnswer",
    {
        "from": int, "to": int, "looks_back_to": int, "from_local": str, "to_local": str, "from_utc": str,
        "to_utc": str, "window_s": int, "every_s": int, "pane_s": int,
    },
)  # fmt: skip
"""[from, to), as ms UTC and as texts; `looks_back_to`: where the value's readings begin (a Nowcast's twelve hours)."""


class BoundAnswer(TypedDict):
    """What the number is held against: the KPI's goal, or an alert rule that looks at it."""

    what: Literal["goal", "rule"]
    id: str
    name: TextAnswer
    condition: TextAnswer
    owner: TextAnswer
    severity: str
    source: str


class FormulaAnswer(TypedDict):
    """The definition in words, line by line, and the members that they tell of."""

    lines: list[TextAnswer]
    measure: str
    kind: str
    quantity: str
    across: str
    field: str
    factor: float
    source: str
    bounds: list[BoundAnswer]


class UnitPartAnswer(TypedDict):
    """One unit's part: its own value as it was said (null: none), its readings, their share of all in percent."""

    unit: str
    name: str
    n: int
    share: float
    value: float | None
    state: str
    revision: int
    partition: int
    first_offset: int
    last_offset: int


PaneAnswer = TypedDict(
    "PaneAnswer",
    {"quantity": str, "from": int, "to": int, "n": int, "sum": float, "min": float, "max": float},
)
"""One pane of one quantity: what was counted in [from, to)."""


class SourceAnswer(TypedDict):
    """One source: readings counted, their share in percent, its own value, how far its clock was ahead at most."""

    unit: str
    unit_name: str
    source: str
    n: int
    share: float
    value: float | None
    newest: int
    ahead_ms: int | None


class AirAnswer(TypedDict):
    """One pollutant of one station behind a VN_AQI: hourly means in µg/m³, newest first."""

    unit: str
    source: str
    quantity: str
    hours: list[float | None]
    concentration: float | None
    index: float | None


class ReadingAnswer(TypedDict):
    """One reading of a message, and what became of it."""

    quantity: str
    time: int
    value: float
    outcome: str


class LinkedAnswer(TypedDict):
    """The other event of the same ticket, of which, with this one, a reading follows."""

    step: str
    time: int
    topic: str
    partition: int
    offset: int
    ordinal: int
    received_at: int
    payload: str


class MessageAnswer(TypedDict):
    """One message of the journal. `outcome`: counted, duplicate, too_late, set_aside, rejected or other_window."""

    topic: str
    partition: int
    offset: int
    ordinal: int
    received_at: int
    outcome: str
    reason: str
    detail: str
    readings: list[ReadingAnswer]
    step: str
    ticket: str
    linked: list[LinkedAnswer]
    payload: str
    encoding: Literal["text", "base64"]
    payload_bytes: int
    is_reduced: bool


class RecomputedAnswer(TypedDict):
    """The value worked out again from the messages, and whether it is the one that was said."""

    value: float | None
    n: int
    sources: int
    matches: bool
    verdict: TextAnswer


class ReadAnswer(TypedDict):
    """How much of the journal was read; `is_cut`: a bound was reached, and a note says which."""

    records: int
    messages: int
    decoded: int
    listed: int
    listable: int
    is_cut: bool


class ExplainAnswer(TypedDict):
    """One number, from the value back to the messages: streams/explanation.py describes every member."""

    kpi: str
    unit: str
    scope: Literal["unit", "district", "place"]
    scope_name: str
    name: TextAnswer
    unit_of_measure: TextAnswer
    ucum: str
    decimals: int
    asked_at: int | None
    value: ToldValueAnswer
    window: WindowAnswer
    formula: FormulaAnswer
    units: list[UnitPartAnswer]
    panes: list[PaneAnswer]
    sources: list[SourceAnswer]
    air: list[AirAnswer]
    messages: list[MessageAnswer]
    outcomes: dict[str, int]
    recomputed: RecomputedAnswer
    read: ReadAnswer
    notes: list[TextAnswer]


def explain_routes(context: Context) -> APIRouter:
    """The way back from a number to the messages it was made of."""
    routes = APIRouter(prefix="/api", dependencies=[Depends(reader(context))])
    store = context.store
    lineages = None if isinstance(store, PastStore) else Lineages(store, context.catalogue, context.settings.journal)
    if context.settings.journal:
        check_journal(context.settings.journal)
    # It reads and decodes up to 200,000 messages: one at a time, so that many questions cannot take the processor.
    turn = asyncio.Semaphore(1)

    @routes.get("/explain", tags=["kpis"], summary="Where a number comes from: window, panes, sources, raw messages")
    async def explain(
        kpi: Annotated[str, Query(description="A KPI's id", max_length=64)], unit: Unit = "", at: Instant = "",
        messages: Annotated[int, Query(ge=0, le=LISTED_MAX, description="Messages listed")] = MESSAGES_LISTED,
    ) -> ExplainAnswer:
        question = Question(kpi, unit or context.catalogue.place.code, _moment(at), messages)
        if lineages is None:
            # It works a number out again from all that has come by now, not from what had come then.
            vi, en = "đang phát lại: hãy hỏi ở màn hình đang chạy", "this is a replay: ask the running centre, with at="
            raise fault(409, vi, en)
        if not context.settings.journal:
            raise fault(501, "cổng này không đọc được nhật ký (--journal)", "this gateway has no journal (--journal)")
        try:
            async with asyncio.timeout(TIME_ALLOWED_S), turn:
                answer: Any = msgspec.to_builtins(await lineages.explain(question))
        except NothingToExplain as reason:
            raise fault(404, reason.vi, reason.en) from reason
        except TimeoutError as reason:
            raise fault(
                503, "câu hỏi này tốn quá nhiều thời gian, hãy thử lại", "this takes too long now; try again"
            ) from reason
        explained: ExplainAnswer = answer
        return explained

    return routes


def _moment(at: str) -> int | None:
    if not at:
        return None
    moment = parse_instant(at)
    if moment is None:
        vi, en = "cần mili giây UTC hoặc RFC 3339 có múi giờ", "milliseconds UTC, or RFC 3339 with an offset"
        raise fault(422, f"at: {vi}", f"at: {en}")
    return moment
