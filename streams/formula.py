"""A KPI's definition in words, in both languages: what is measured, over which time, and what it is held against."""

from streams.alert import Rule
from streams.catalogue import Catalogue
from streams.explanation import Bound, Formula, Text
from streams.kpi import Goal, Kpi
from streams.wording import LANGUAGES, Language

_MEASURES = {
    "count": ("Số lượng", "Count"),
    "sum": ("Tổng", "Sum"),
    "mean": ("Trung bình", "Mean"),
    "min": ("Giá trị nhỏ nhất", "Least value"),
    "max": ("Giá trị lớn nhất", "Largest value"),
    "last": ("Giá trị mới nhất", "Newest value"),
    "change": ("Thay đổi: mới nhất trừ cũ nhất", "Change: newest minus oldest"),
    "rate": ("Tốc độ thay đổi", "Rate of change"),
    "share": ("Tỷ lệ phần trăm", "Share in percent"),
    "p50": ("Trung vị (sai số bin 1 %)", "Median (bins of 1 %)"),
    "p90": ("Phân vị 90 % (sai số bin 1 %)", "90th percentile (bins of 1 %)"),
    "p95": ("Phân vị 95 % (sai số bin 1 %)", "95th percentile (bins of 1 %)"),
    "vn_aqi": ("VN_AQI giờ", "Hourly VN_AQI"),
}
_ACROSS = {
    "max": ("lấy nguồn cao nhất", "the highest source counts"),
    "min": ("lấy nguồn thấp nhất", "the lowest source counts"),
    "mean": ("lấy trung bình các nguồn", "the mean of the sources counts"),
    "sum": ("cộng các nguồn", "the sources are added"),
}
_PER = {
    "second": ("mỗi giây", "per second"),
    "minute": ("mỗi phút", "per minute"),
    "hour": ("mỗi giờ", "per hour"),
    "day": ("mỗi ngày", "per day"),
}
_TICKETS = {
    "wait": ("Thời gian chờ = lúc gọi − lúc lấy số, tính vào lúc gọi", "Wait = called − taken, counted at the call"),
    "service": (
        "Thời gian phục vụ = lúc xong − lúc gọi, tính vào lúc xong",
        "Service = served − called, counted at the end",
    ),
}


def formula(kpi: Kpi, catalogue: Catalogue) -> Formula:
    """The definition of a KPI, line by line, with its goal and the alert rules that look at it."""
    lines = [_what(kpi, catalogue)]
    if catalogue.kinds[kpi.kind].format == "cloudevents" and kpi.quantity in _TICKETS:
        lines.append(Text(*_TICKETS[kpi.quantity]))
    lines.append(_window(kpi))
    if kpi.across:
        vi, en = _ACROSS[kpi.across]
        lines.append(Text(f"Tính cho từng nguồn, rồi {vi}", f"Worked out for each source; then {en}"))
    if kpi.factor != 1.0:
        vi, en = (plain(kpi.factor, language) for language in LANGUAGES)
        unit_vi, unit_en = kpi.unit_vi or kpi.ucum, kpi.unit_en or kpi.ucum
        lines.append(Text(f"Nhân với {vi} để ra {unit_vi}", f"Times {en}, to give {unit_en}"))
    if kpi.note_vi or kpi.note_en:
        lines.append(Text(kpi.note_vi, kpi.note_en))
    return Formula(
        lines, kpi.measure, kpi.kind, kpi.quantity, kpi.across, kpi.field, kpi.factor, kpi.source,
        bounds_of(kpi, catalogue),
    )  # fmt: skip


def bounds_of(kpi: Kpi, catalogue: Catalogue) -> list[Bound]:
    """What a KPI is held against: its goal first, then alert rules by name."""
    goals = [_goal(kpi, kpi.goal, catalogue)] if kpi.goal is not None else []
    return goals + [_rule(rule, catalogue) for _, rule in sorted(catalogue.rules.items()) if rule.kpi == kpi.id]


def plain(number: float, language: Language) -> str:
    """A number of a definition, with as many digits as it has."""
    shown = f"{number:.6g}"
    return shown.replace(".", ",") if language == "vi" else shown


def span(seconds: int, language: Language) -> str:
    """A length of time in its largest whole unit."""
    for size, vi, en in ((86_400, "ngày", "d"), (3_600, "giờ", "h"), (60, "phút", "min")):
        if seconds % size == 0:
            return f"{seconds // size} {vi if language == 'vi' else en}"
    return f"{seconds} {'giây' if language == 'vi' else 's'}"


def _what(kpi: Kpi, catalogue: Catalogue) -> Text:
    kind = catalogue.kinds[kpi.kind]
    vi, en = _MEASURES[kpi.measure]
    if kpi.measure == "vn_aqi":
        return Text(
            f"{vi}: bụi theo Nowcast 12 giờ, khí theo trung bình giờ, của {kind.name_vi}",
            f"{en}: dust by the 12-hour Nowcast, gases by hourly means, of {kind.name_en}",
        )
    quantity = kind.quantities[kpi.quantity]
    vi, en = f"{vi} của {quantity.name_vi} ({quantity.ucum})", f"{en} of {quantity.name_en} ({quantity.ucum})"
    if kpi.measure == "rate":
        vi, en = f"{vi} {_PER[kpi.per][0]}", f"{en} {_PER[kpi.per][1]}"
    if kpi.at_least is not None:
        vi, en = f"{vi} từ {plain(kpi.at_least, 'vi')} trở lên", f"{en} of at least {plain(kpi.at_least, 'en')}"
    if kpi.at_most is not None:
        vi, en = f"{vi} không quá {plain(kpi.at_most, 'vi')}", f"{en} of at most {plain(kpi.at_most, 'en')}"
    field = catalogue.place.fields.get(kpi.field)
    if field is not None:
        vi, en = f"{vi}, lĩnh vực {field.name_vi}", f"{en}, field {field.name_en}"
    return Text(f"{vi}; nguồn loại {kind.name_vi}", f"{en}; sources of the kind {kind.name_en}")


def _window(kpi: Kpi) -> Text:
    lengths = (kpi.window_s, kpi.every_s, kpi.pane_s)
    vi, en = ([span(seconds, language) for seconds in lengths] for language in LANGUAGES)
    return Text(
        f"Cửa sổ {vi[0]}, cứ {vi[1]} một cửa sổ, gộp từ các ô {vi[2]}",
        f"A window of {en[0]}, a new one every {en[1]}, merged from panes of {en[2]}",
    )


def _goal(kpi: Kpi, goal: Goal, catalogue: Catalogue) -> Bound:
    target = catalogue.place.targets.get(goal.target)
    sign, level = next(
        (sign, level)
        for sign, level in (("≥", goal.at_least), ("≤", goal.at_most), (">", goal.above))
        if level is not None
    )
    vi, en = (f"{sign} {plain(level, language)}" for language in LANGUAGES)
    if goal.due:
        vi, en = f"{vi}, đến {goal.due}", f"{en}, by {goal.due}"
    name = Text(target.name_vi, target.name_en) if target else Text("Mục tiêu", "Goal")
    source = goal.source or (target.source if target else "")
    return Bound("goal", goal.target or kpi.id, name, Text(vi, en), _owner(kpi.department, catalogue), "", source)


def _rule(rule: Rule, catalogue: Catalogue) -> Bound:
    words = []
    for language, back in zip(LANGUAGES, ("trở lại", "returns"), strict=True):
        level, sign = (rule.above, ">") if rule.above is not None else (rule.below, "<")
        assert level is not None
        told = f"{sign} {plain(level, language)}"
        if rule.hold_s:
            told += f" ({span(int(rule.hold_s), language)})"
        if rule.clear is not None:
            told += f"; {back} {'≤' if sign == '>' else '≥'} {plain(rule.clear, language)}"
        words.append(told)
    return Bound(
        "rule", rule.id, Text(rule.name_vi, rule.name_en), Text(*words), _owner(rule.owner, catalogue),
        rule.severity, rule.source,
    )  # fmt: skip


def _owner(department: str, catalogue: Catalogue) -> Text:
    owner = catalogue.place.departments.get(department)
    return Text(owner.name_vi, owner.name_en) if owner else Text(department, department)
