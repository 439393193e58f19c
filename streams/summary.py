"""The leader's summary: what needs a decision, numbers against targets, what changed, and what we do not know.

Deterministic: the same facts give the same text and the same digest, in both languages. Times are ms UTC.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from sensors.kind import Kind
from streams.alert import Alert, Severity
from streams.beat import Counts, Value
from streams.catalogue import Catalogue
from streams.checkpoint import SourceRow
from streams.kpi import Goal, Kpi
from streams.live_keys import alert_texts

Language = Literal["vi", "en"]
SILENT_CADENCES = 3
NOTABLE_CHANGE = 0.2
"""A number that moved by a fifth or more since the last summary is worth a line."""

DAY_MS = 86_400_000
_RANK = {"critical": 0, "warning": 1, "notice": 2}
_SEVERITY = {
    "critical": ("Khẩn cấp", "Critical"), "warning": ("Cảnh báo", "Warning"), "notice": ("Lưu ý", "Notice"),
}  # fmt: skip


class Schedule(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`streams/summaries/leaders.toml`: `hours` "HH:MM" in the place's time; `at_once`, `decide` are severities."""

    id: str
    name_vi: str
    name_en: str
    hours: list[str]
    kpis: list[str]
    decide: list[Severity]
    at_once: list[Severity] = []
    recipients: list[str] = []


class Decision(msgspec.Struct, frozen=True):
    """An open alert that somebody must decide about."""

    alert: str
    headline_vi: str
    headline_en: str
    owner_vi: str
    owner_en: str
    unit_vi: str
    severity: Severity
    state: str
    raised_at: int
    due: int
    overdue: bool
    acked_by: str


class Figure(msgspec.Struct, frozen=True):
    """A number with its denominator, age and target; `met` None where there is no target or no number."""

    kpi: str
    name_vi: str
    name_en: str
    value: float | None
    n: int
    unit_vi: str
    unit_en: str
    decimals: int
    as_of: int | None
    state: str
    is_stale: bool
    goal: Goal | None
    met: bool | None


class Note(msgspec.Struct, frozen=True):
    """One line in both languages."""

    text_vi: str
    text_en: str


class Facts(msgspec.Struct, frozen=True):
    """What a summary says. `since` is when the one before was made, None for the first."""

    at: int
    since: int | None
    place_vi: str
    place_en: str
    decide: list[Decision]
    targets: list[Figure]
    changed: list[Note]
    unknown: list[Note]


class State(msgspec.Struct, frozen=True):
    """What facts are made of: newest values of the whole place by KPI, open alerts, sources, the ledger."""

    values: Mapping[str, Value]
    alerts: Sequence[Alert]
    sources: Sequence[SourceRow]
    ledger: Counts


def due_moment(schedule: Schedule, last_at: int | None, now: int, zone_ms: int) -> int | None:
    """The newest scheduled moment that has passed and for which no summary was made."""
    if last_at is None:
        return now
    midnight = (now + zone_ms) // DAY_MS * DAY_MS - zone_ms
    moments = [
        day + (int(hour[:2]) * 60 + int(hour[3:])) * 60_000
        for day in (midnight - DAY_MS, midnight)
        for hour in schedule.hours
    ]
    passed = [moment for moment in moments if last_at < moment <= now]
    return max(passed, default=None)


def urgent_moment(schedule: Schedule, alerts: Sequence[Alert], previous: Facts | None) -> int | None:
    """When the newest alert that calls for a summary at once was raised, unless the one before told of it."""
    told = {decision.alert for decision in previous.decide} if previous is not None else set()
    new = [alert.raised_at for alert in alerts if alert.severity in schedule.at_once and alert.id not in told]
    since = previous.at if previous is not None else 0
    return max((at for at in new if at > since), default=None)


def facts(schedule: Schedule, catalogue: Catalogue, state: State, previous: Facts | None, now: int) -> Facts:
    """Everything that a summary made at `now` says."""
    figures = [_figure(catalogue.kpis[kpi], state.values.get(kpi), now) for kpi in schedule.kpis]
    chosen = [alert for alert in state.alerts if alert.severity in schedule.decide]
    title = catalogue.place.title_on(_local(now, catalogue.zone_ms).date())
    return Facts(
        now, previous.at if previous is not None else None, title.name_vi, title.name_en,
        [_decision(alert, catalogue, now) for alert in sorted(chosen, key=_urgency)],
        figures, _changes(figures, state, previous), _unknowns(figures, state, catalogue, now),
    )  # fmt: skip


def digest(told: Facts) -> str:
    """Of the content that matters: the same digest is not sent again. Ages and denominators alone change nothing."""
    content = (
        sorted((decision.alert, decision.state, decision.overdue) for decision in told.decide),
        [(figure.kpi, _number(figure, "en"), figure.met, figure.is_stale) for figure in told.targets],
        [note.text_en for note in told.unknown],
    )
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]


def text(told: Facts, language: Language, zone_ms: int) -> str:
    """The summary as plain text."""
    is_vi = language == "vi"
    moment = _local(told.at, zone_ms).strftime("%H:%M %d/%m/%Y")
    title = f"{told.place_vi} – tóm tắt điều hành lúc {moment}" if is_vi else f"{told.place_en} – summary at {moment}"
    headings = (
        ("VIỆC CẦN QUYẾT ĐỊNH", "SỐ LIỆU VÀ CHỈ TIÊU", "THAY ĐỔI TỪ BẢN TRƯỚC", "ĐIỀU CHƯA BIẾT")
        if is_vi
        else ("NEEDS A DECISION", "NUMBERS AND TARGETS", "CHANGED SINCE THE LAST ONE", "WHAT WE DO NOT KNOW")
    )
    nothing = "không có" if is_vi else "nothing"
    parts = (
        [_decision_line(decision, told.at, language) for decision in told.decide],
        [_figure_line(figure, told.at, language) for figure in told.targets],
        [note.text_vi if is_vi else note.text_en for note in told.changed],
        [note.text_vi if is_vi else note.text_en for note in told.unknown],
    )
    lines = [title, headline(told, language)]
    for number, (heading, part) in enumerate(zip(headings, parts, strict=True), start=1):
        lines += ["", f"{number}. {heading}", *(f"- {line}" for line in part or [nothing])]
    return "\n".join(lines) + "\n"


def headline(told: Facts, language: Language) -> str:
    """One sentence: how many matters, how many late, how many targets missed."""
    overdue = sum(decision.overdue for decision in told.decide)
    missed = sum(figure.met is False for figure in told.targets)
    judged = sum(figure.met is not None for figure in told.targets)
    if language == "vi":
        first = f"{len(told.decide)} việc cần quyết định" if told.decide else "Không có việc cần quyết định"
        late = f", {overdue} quá hạn" if overdue else ""
        return f"{first}{late}; {missed}/{judged} chỉ tiêu chưa đạt; {len(told.unknown)} điều chưa biết."
    first = f"{len(told.decide)} to decide" if told.decide else "Nothing to decide"
    late = f", {overdue} overdue" if overdue else ""
    return f"{first}{late}; {missed} of {judged} targets missed; {len(told.unknown)} unknown."


def _urgency(alert: Alert) -> tuple[int, int, str]:
    return _RANK[alert.severity], alert.raised_at, alert.id


def _decision(alert: Alert, catalogue: Catalogue, now: int) -> Decision:
    words = alert_texts(alert, catalogue)
    return Decision(
        alert.id, words.get("headline_vi", alert.rule), words.get("headline_en", alert.rule),
        words.get("owner_vi", ""), words.get("owner_en", ""), words.get("unit_vi", ""), alert.severity, alert.state,
        alert.raised_at, alert.due, now > alert.due and alert.state != "closed", alert.acked_by,
    )  # fmt: skip


def _figure(kpi: Kpi, value: Value | None, now: int) -> Figure:
    number = value.value if value is not None else None
    return Figure(
        kpi.id, kpi.name_vi, kpi.name_en, number, value.n if value is not None else 0, kpi.unit_vi, kpi.unit_en,
        kpi.decimals, value.as_of if value is not None else None, value.state if value is not None else "unknown",
        value is not None and now - value.as_of > kpi.fresh_s * 1000, kpi.goal, _is_met(kpi.goal, number),
    )  # fmt: skip


def _is_met(goal: Goal | None, number: float | None) -> bool | None:
    if goal is None or number is None:
        return None
    if goal.at_most is not None:
        return number <= goal.at_most
    if goal.above is not None:
        return number > goal.above
    return goal.at_least is not None and number >= goal.at_least


def _changes(figures: Sequence[Figure], state: State, previous: Facts | None) -> list[Note]:
    if previous is None:
        return []
    before = {figure.kpi: figure for figure in previous.targets}
    notes = [_change(before[figure.kpi], figure) for figure in figures if figure.kpi in before]
    told = {decision.alert for decision in previous.decide}
    open_now = {alert.id for alert in state.alerts}
    new = sum(alert.raised_at > previous.at for alert in state.alerts)
    closed = len(told - open_now)
    if new or closed:
        notes.append(Note(f"{new} cảnh báo mới, {closed} đã đóng", f"{new} new alerts, {closed} closed"))
    return [note for note in notes if note is not None]


def _change(before: Figure, now: Figure) -> Note | None:
    if before.value is None or now.value is None:
        return None
    moved_vi, moved_en = (f"{_number(before, lang)} → {_number(now, lang)}" for lang in ("vi", "en"))
    if before.met is not None and now.met is not None and before.met != now.met:
        vi, en = ("nay đạt", "now meets its target") if now.met else ("nay không đạt", "now misses its target")
        return Note(f"{now.name_vi}: {moved_vi}, {vi}", f"{now.name_en}: {moved_en}, {en}")
    base = abs(before.value)
    if base and abs(now.value - before.value) / base >= NOTABLE_CHANGE:
        return Note(f"{now.name_vi}: {moved_vi}", f"{now.name_en}: {moved_en}")
    return None


def _unknowns(figures: Sequence[Figure], state: State, catalogue: Catalogue, now: int) -> list[Note]:
    notes = []
    for figure in figures:
        if figure.value is None:
            notes.append(Note(f"{figure.name_vi}: chưa có số liệu", f"{figure.name_en}: no data"))
        elif figure.is_stale:
            notes.append(Note(f"{figure.name_vi}: số liệu cũ", f"{figure.name_en}: stale"))
    for kind in catalogue.kinds.values():
        sources = [source for source in state.sources if source.kind == kind.id]
        silent = sum(_is_silent(source, kind, now) for source in sources)
        if silent:
            counted = f"{silent}/{len(sources)}"
            notes.append(
                Note(f"{kind.name_vi}: {counted} nguồn im lặng", f"{kind.name_en}: {counted} sources silent")
            )
    difference = state.ledger.received - state.ledger.settled
    if difference:
        notes.append(Note(f"Sổ cái lệch {difference} bản tin", f"The ledger differs by {difference} messages"))
    return notes


def _is_silent(source: SourceRow, kind: Kind, now: int) -> bool:
    too_long = now - source.last_seen > SILENT_CADENCES * kind.cadence_s * 1000
    return bool(kind.cadence_s) and (too_long or not source.online)


def _decision_line(decision: Decision, now: int, language: Language) -> str:
    is_vi = language == "vi"
    severity = _SEVERITY[decision.severity][0 if is_vi else 1]
    owner = decision.owner_vi if is_vi else decision.owner_en
    age = duration(now - decision.raised_at, language)
    late = ""
    if decision.overdue:
        by = duration(now - decision.due, language)
        late = f"; QUÁ HẠN {by}" if is_vi else f"; OVERDUE by {by}"
    if decision.acked_by:
        who = f"{decision.acked_by} đã nhận" if is_vi else f"taken by {decision.acked_by}"
    else:
        who = "chưa ai nhận" if is_vi else "nobody has taken it"
    return f"[{severity}] {decision.headline_vi if is_vi else decision.headline_en} – {owner}; {age}{late}; {who}"


def _figure_line(figure: Figure, now: int, language: Language) -> str:
    is_vi = language == "vi"
    name = figure.name_vi if is_vi else figure.name_en
    if figure.value is None or figure.as_of is None:
        return f"{name}: –"
    age = duration(max(0, now - figure.as_of), language)
    count = grouped(figure.n, 0, language)
    aged = f"{age} trước" if is_vi else f"{age} ago"
    target = _target(figure, language)
    return f"{name}: {_number(figure, language)} (n = {count}, {aged}){target}"


def _target(figure: Figure, language: Language) -> str:
    goal = figure.goal
    if goal is None or figure.met is None:
        return ""
    sign, bound = next(
        (sign, bound)
        for sign, bound in (("≥", goal.at_least), ("≤", goal.at_most), (">", goal.above))
        if bound is not None
    )
    verdict = ("đạt", "met") if figure.met else ("CHƯA ĐẠT", "MISSED")
    words = ("chỉ tiêu", "target") if language == "vi" else ("target", "target")
    shown = grouped(bound, 0 if bound == int(bound) else 1, language)
    unit = figure.unit_vi if language == "vi" else figure.unit_en
    return f" – {verdict[0 if language == 'vi' else 1]}, {words[0]} {sign} {shown} {unit}".rstrip()


def _number(figure: Figure, language: Language) -> str:
    if figure.value is None:
        return "–"
    unit = figure.unit_vi if language == "vi" else figure.unit_en
    return f"{grouped(figure.value, figure.decimals, language)} {unit}".strip()


def grouped(number: float, decimals: int, language: Language) -> str:
    """1.234,5 in Vietnamese, 1,234.5 in English."""
    shown = f"{number:,.{decimals}f}"
    return shown.translate(str.maketrans(",.", ".,")) if language == "vi" else shown


def duration(ms: int, language: Language) -> str:
    """Minutes under two hours, hours under two days, else days."""
    minutes = max(0, ms) // 60_000
    for size, vi, en, upto in ((1, "phút", "min", 120), (60, "giờ", "h", 2_880)):
        if minutes < upto:
            return f"{minutes // size} {vi if language == 'vi' else en}"
    return f"{minutes // 1_440} {'ngày' if language == 'vi' else 'days'}"


def _local(now: int, zone_ms: int) -> datetime:
    return datetime.fromtimestamp(now / 1000, UTC) + timedelta(milliseconds=zone_ms)
