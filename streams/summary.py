"""The leader's summary as facts: what needs a decision, figures against targets, what changed, what is not known.

Deterministic: the same state gives the same facts and the same digest. `letter` puts them into words.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from streams.alert import Alert, Severity
from streams.beat import Counts, Value
from streams.catalogue import Catalogue
from streams.checkpoint import SourceRow
from streams.kpi import Goal, Kpi
from streams.live_keys import alert_texts
from streams.schedule import Schedule, urgency
from streams.wording import LANGUAGES, Language, grouped, local

NOTABLE_CHANGE = 0.2
"""A number that moved by a fifth or more since the last summary is worth a line."""

LINES_MAX = 8
NAMED_MAX = 3


class Decision(msgspec.Struct, frozen=True):
    """An open alert that somebody must decide about. `overdue`: nobody took it within the time allowed."""

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
    """A number with its denominator, age and target; `met` None: no target, no number, or one that is too old."""

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
    """What a summary says. `since` is when the one before was made, None for the first; `silent` of `sources`."""

    at: int
    since: int | None
    place_vi: str
    place_en: str
    decide: list[Decision]
    targets: list[Figure]
    changed: list[Note]
    unknown: list[Note]
    sources: int = 0
    silent: int = 0


class State(msgspec.Struct, frozen=True):
    """What facts are made of: newest values of the whole place by KPI, alerts, sources, the ledger.

    `alerts` are the open ones; `closed` those closed of late, at least since the last summary.
    """

    values: Mapping[str, Value]
    alerts: Sequence[Alert]
    closed: Sequence[Alert]
    sources: Sequence[SourceRow]
    ledger: Counts


def facts(schedule: Schedule, catalogue: Catalogue, state: State, previous: Facts | None, now: int) -> Facts:
    """Everything that a summary made at `now` says."""
    figures = [_figure(catalogue.kpis[kpi], state.values.get(kpi), now) for kpi in schedule.kpis]
    chosen = [alert for alert in state.alerts if alert.severity in schedule.decide]
    decide = [_decision(alert, catalogue, now) for alert in sorted(chosen, key=urgency)]
    title = catalogue.place.title_on(local(now, catalogue.zone_ms).date())
    regular = [source for source in state.sources if source.first_seen and _has_cadence(source, catalogue)]
    silent = [
        source for source in regular if catalogue.kinds[source.kind].is_silent(source.last_seen, source.online, now)
    ]
    changed = _changes(schedule, catalogue, state, previous, decide, figures) if previous is not None else []
    unknown = [*_gaps(figures), *_silences(regular, silent, catalogue), *_difference(state.ledger)]
    return Facts(
        now, previous.at if previous is not None else None, title.name_vi, title.name_en,
        decide, figures, changed, unknown, len(regular), len(silent),
    )  # fmt: skip


def digest(told: Facts) -> str:
    """Of the content that matters: the same digest is not sent again. Ages and denominators alone change nothing."""
    content = (
        sorted((decision.alert, decision.state, decision.overdue) for decision in told.decide),
        [(figure.kpi, number(figure, "en"), figure.met, figure.is_stale) for figure in told.targets],
        [note.text_en for note in told.unknown],
    )
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]


def number(figure: Figure, language: Language) -> str:
    """The value with its unit, as shown."""
    if figure.value is None:
        return "–"
    unit = figure.unit_vi if language == "vi" else figure.unit_en
    return f"{grouped(figure.value, figure.decimals, language)} {unit}".strip()


def _has_cadence(source: SourceRow, catalogue: Catalogue) -> bool:
    """Desks speak when somebody comes: their silence means nothing."""
    kind = catalogue.kinds.get(source.kind)
    return kind is not None and kind.cadence_s > 0


def _decision(alert: Alert, catalogue: Catalogue, now: int) -> Decision:
    words = alert_texts(alert, catalogue)
    is_overdue = alert.state == "unack_active" and now > alert.due
    return Decision(
        alert.id, words.get("headline_vi", alert.rule), words.get("headline_en", alert.rule),
        words.get("owner_vi", ""), words.get("owner_en", ""), words.get("unit_vi", ""), alert.severity, alert.state,
        alert.raised_at, alert.due, is_overdue, alert.acked_by,
    )  # fmt: skip


def _figure(kpi: Kpi, value: Value | None, now: int) -> Figure:
    known = value if value is not None and value.value is not None else None
    is_stale = known is not None and now - known.as_of > kpi.fresh_s * 1000
    met = None if known is None or is_stale else _is_met(kpi.goal, known.value)
    return Figure(
        kpi.id, kpi.name_vi, kpi.name_en, known.value if known else None, known.n if known else 0, kpi.unit_vi,
        kpi.unit_en, kpi.decimals, known.as_of if known else None, known.state if known else "unknown",
        is_stale, kpi.goal, met,
    )  # fmt: skip


def _is_met(goal: Goal | None, reached: float | None) -> bool | None:
    if goal is None or reached is None:
        return None
    if goal.at_most is not None:
        return reached <= goal.at_most
    if goal.above is not None:
        return reached > goal.above
    return goal.at_least is not None and reached >= goal.at_least


def _changes(
    schedule: Schedule, catalogue: Catalogue, state: State, previous: Facts, decide: Sequence[Decision],
    figures: Sequence[Figure],
) -> list[Note]:  # fmt: skip
    before = {figure.kpi: figure for figure in previous.targets}
    told = {decision.alert for decision in previous.decide}
    is_open = {alert.id for alert in state.alerts}
    new = [decision for decision in decide if decision.alert not in told]
    gone = [decision for decision in previous.decide if decision.alert not in is_open]
    ended = [alert for alert in state.closed if (alert.closed_at or 0) > previous.at and alert.id not in told]
    fleeting = [_decision(alert, catalogue, previous.at) for alert in ended if alert.severity in schedule.decide]
    moved = [_change(before[figure.kpi], figure) for figure in figures if figure.kpi in before]
    return [
        *(note for note in moved if note is not None),
        *_named(new, "Mới", "New"),
        *_named(gone, "Đã đóng", "Closed"),
        *_named(fleeting, "Mới và đã đóng", "New and closed"),
        *_lesser(schedule, state, ended, previous.at),
    ]


def _change(before: Figure, now: Figure) -> Note | None:
    """A target that is met now and was not, or the other way round, or a number that moved by much."""
    if before.value is None or now.value is None:
        return None
    vi, en = (f"{number(before, language)} → {number(now, language)}" for language in LANGUAGES)
    if before.met is not None and now.met is not None and before.met != now.met:
        turned_vi, turned_en = ("nay đạt", "meets its target now") if now.met else ("nay không đạt", "misses it now")
        return Note(f"{now.name_vi}: {vi}, {turned_vi}", f"{now.name_en}: {en}, {turned_en}")
    is_notable = abs(now.value - before.value) >= NOTABLE_CHANGE * abs(before.value)
    if is_notable and number(before, "vi") != number(now, "vi"):
        return Note(f"{now.name_vi}: {vi}", f"{now.name_en}: {en}")
    return None


def _named(decisions: Sequence[Decision], vi: str, en: str) -> Iterable[Note]:
    for decision in decisions[:LINES_MAX]:
        yield Note(f"{vi}: {decision.headline_vi}", f"{en}: {decision.headline_en}")
    rest = len(decisions) - LINES_MAX
    if rest > 0:
        yield Note(f"{vi}: và {rest} cảnh báo nữa", f"{en}: and {rest} more alerts")


def _lesser(schedule: Schedule, state: State, ended: Sequence[Alert], since: int) -> Iterable[Note]:
    """Alerts that need no decision are counted only."""
    closed = [alert for alert in ended if alert.severity not in schedule.decide]
    still = [alert for alert in state.alerts if alert.severity not in schedule.decide]
    new = sum(alert.raised_at > since for alert in (*closed, *still))
    if new or closed:
        yield Note(f"Mức thấp hơn: {new} mới, {len(closed)} đã đóng", f"Lesser alerts: {new} new, {len(closed)} closed")


def _gaps(figures: Iterable[Figure]) -> Iterable[Note]:
    for figure in figures:
        if figure.value is None:
            yield Note(f"{figure.name_vi}: chưa có số liệu", f"{figure.name_en}: no data")
        elif figure.is_stale:
            yield Note(f"{figure.name_vi}: số liệu cũ", f"{figure.name_en}: the number is old")


def _silences(regular: Sequence[SourceRow], silent: Sequence[SourceRow], catalogue: Catalogue) -> Iterable[Note]:
    units = catalogue.place.units
    for kind in catalogue.kinds.values():
        mute = sorted((source.unit, source.source) for source in silent if source.kind == kind.id)
        if not mute:
            continue
        names = [f"{units[unit].name if unit in units else unit}/{name}" for unit, name in mute[:NAMED_MAX]]
        listed = ", ".join([*names, "…"] if len(mute) > NAMED_MAX else names)
        counted = f"{len(mute)}/{sum(source.kind == kind.id for source in regular)}"
        vi, en = f"{counted} nguồn im lặng ({listed})", f"{counted} sources silent ({listed})"
        yield Note(f"{kind.name_vi}: {vi}", f"{kind.name_en}: {en}")


def _difference(ledger: Counts) -> Iterable[Note]:
    lacking = ledger.received - ledger.settled
    if lacking:
        yield Note(f"Sổ cái lệch {lacking} bản tin", f"The ledger differs by {lacking} messages")
