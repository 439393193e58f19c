"""The leader's summary in words: plain text for the page, the terminal and the mail, in Vietnamese and English."""

from streams.alert import Severity
from streams.summary import Decision, Facts, Figure, Note, number
from streams.wording import Language, duration, either, grouped, local

DECISIONS_MAX = 12
_SEVERITY: dict[Severity, tuple[str, str]] = {
    "critical": ("KHẨN CẤP", "CRITICAL"), "warning": ("Cảnh báo", "Warning"), "notice": ("Lưu ý", "Notice"),
}  # fmt: skip
_HEADINGS = (
    ("VIỆC CẦN QUYẾT ĐỊNH", "NEEDS A DECISION"),
    ("SỐ LIỆU VÀ CHỈ TIÊU", "NUMBERS AND TARGETS"),
    ("THAY ĐỔI TỪ BẢN TRƯỚC", "CHANGED SINCE THE LAST ONE"),
    ("ĐIỀU CHƯA BIẾT", "WHAT WE DO NOT KNOW"),
)


def text(told: Facts, language: Language, zone_ms: int) -> str:
    """The whole summary as plain text."""
    moment = local(told.at, zone_ms).strftime("%H:%M %d/%m/%Y")
    place = either(language, told.place_vi, told.place_en)
    lines = [
        either(language, f"{place} – tóm tắt điều hành lúc {moment}", f"{place} – summary at {moment}"),
        headline(told, language),
        _completeness(told, language),
    ]
    parts = (
        _decisions(told, language),
        [_figure(figure, told.at, language) for figure in told.targets],
        _notes(told.changed, language),
        _notes(told.unknown, language),
    )
    for place_in, (heading, part) in enumerate(zip(_HEADINGS, parts, strict=True), start=1):
        lines += ["", f"{place_in}. {either(language, *heading)}"]
        lines += [f"- {line}" for line in part or [_nothing(place_in, told, language)]]
    return "\n".join(lines) + "\n"


def headline(told: Facts, language: Language) -> str:
    """One sentence: how many matters, how many late, how many targets missed, how much is not known."""
    overdue = sum(decision.overdue for decision in told.decide)
    count, unknown = len(told.decide), len(told.unknown)
    if language == "vi":
        first = f"{count} việc cần quyết định" if count else "Không có việc cần quyết định"
        late = f", {overdue} quá hạn" if overdue else ""
        return f"{first}{late}; {_missed(told, language)}; {unknown} điều chưa biết."
    first = f"{count} to decide" if count else "Nothing to decide"
    late = f", {overdue} overdue" if overdue else ""
    return f"{first}{late}; {_missed(told, language)}; {unknown} unknown."


def _missed(told: Facts, language: Language) -> str:
    verdicts = [figure.met for figure in told.targets if figure.met is not None]
    missed, judged = verdicts.count(False), len(verdicts)
    if not judged:
        return either(language, "chưa đánh giá được chỉ tiêu nào", "no target can be judged yet")
    return either(language, f"{missed}/{judged} chỉ tiêu chưa đạt", f"{missed} of {judged} targets missed")


def _completeness(told: Facts, language: Language) -> str:
    speaking = told.sources - told.silent
    return either(
        language, f"{speaking}/{told.sources} nguồn đo đang gửi.", f"{speaking} of {told.sources} sources are speaking."
    )


def _nothing(place_in: int, told: Facts, language: Language) -> str:
    if place_in == 3 and told.since is None:
        return either(language, "đây là bản đầu tiên", "this is the first one")
    return either(language, "không có", "nothing")


def _notes(notes: list[Note], language: Language) -> list[str]:
    return [either(language, note.text_vi, note.text_en) for note in notes]


def _decisions(told: Facts, language: Language) -> list[str]:
    lines = [_decision(decision, told.at, language) for decision in told.decide[:DECISIONS_MAX]]
    rest = len(told.decide) - DECISIONS_MAX
    if rest > 0:
        lines.append(either(language, f"và {rest} việc nữa", f"and {rest} more"))
    return lines


def _decision(decision: Decision, now: int, language: Language) -> str:
    severity = either(language, *_SEVERITY[decision.severity])
    what = either(language, decision.headline_vi, decision.headline_en)
    owner = either(language, decision.owner_vi, decision.owner_en)
    age = duration(now - decision.raised_at, language)
    return f"[{severity}] {what} – {owner}; {age}{_lateness(decision, now, language)}; {_taken(decision, language)}"


def _lateness(decision: Decision, now: int, language: Language) -> str:
    if not decision.overdue:
        return ""
    by = duration(now - decision.due, language)
    return either(language, f"; QUÁ HẠN {by}", f"; OVERDUE by {by}")


def _taken(decision: Decision, language: Language) -> str:
    if decision.state == "unack_returned":
        return either(language, "đã về mức an toàn, chưa ai xác nhận", "back to a safe level, nobody has confirmed")
    if decision.acked_by:
        return either(language, f"{decision.acked_by} đã nhận", f"taken by {decision.acked_by}")
    return either(language, "chưa ai nhận", "nobody has taken it")


def _figure(figure: Figure, now: int, language: Language) -> str:
    name = either(language, figure.name_vi, figure.name_en)
    if figure.value is None or figure.as_of is None:
        return f"{name}: {either(language, 'chưa có số liệu', 'no data')}{_verdict(figure, language)}"
    age = duration(now - figure.as_of, language)
    told = [f"n = {grouped(figure.n, 0, language)}", either(language, f"{age} trước", f"{age} ago")]
    if figure.is_stale:
        told.append(either(language, "số liệu cũ", "old"))
    elif figure.state == "provisional":
        told.append(either(language, "tạm tính", "provisional"))
    return f"{name}: {number(figure, language)} ({', '.join(told)}){_verdict(figure, language)}"


def _verdict(figure: Figure, language: Language) -> str:
    """Met, missed or not known, with the target itself; nothing where there is no target."""
    goal = figure.goal
    if goal is None:
        return ""
    bounds = (("≥", goal.at_least), ("≤", goal.at_most), (">", goal.above))
    sign, bound = next((sign, bound) for sign, bound in bounds if bound is not None)
    words = {True: ("đạt", "met"), False: ("CHƯA ĐẠT", "MISSED"), None: ("chưa rõ", "not known")}
    shown = grouped(bound, 0 if bound == int(bound) else 1, language)
    unit = either(language, figure.unit_vi, figure.unit_en)
    target = either(language, "chỉ tiêu", "target")
    return f" – {either(language, *words[figure.met])}, {target} {sign} {shown} {unit}".rstrip()
