"""The leader's summary as facts and words, and when it is due. Shipped definitions; no clock, no database."""

import msgspec
import pytest

from streams.alert import Alert, Severity
from streams.beat import Counts, Value
from streams.catalogue import compile_catalogue
from streams.checkpoint import SourceRow
from streams.letter import headline, text
from streams.schedule import Schedule, check_schedule, due_moment, is_quiet, urgent
from streams.summary import Facts, State, digest, facts
from streams.toml_catalogue import load_all
from streams.wording import duration, grouped

SHIPPED = load_all()
CATALOGUE = compile_catalogue(SHIPPED.place, SHIPPED.kinds, SHIPPED.kpis, SHIPPED.rules)
SCHEDULE = SHIPPED.schedule
ZONE = CATALOGUE.zone_ms
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SEVEN = 1_790_035_200_000 // DAY * DAY
"""00:00 UTC of a day in September 2026: 07:00 in Vietnam."""

UNIT = "06673"


def value(kpi: str, number: float | None, n: int = 120, age: int = 10 * MINUTE, at: int = SEVEN) -> Value:
    return Value(kpi, "22", at - HOUR, at, number, n, 3, "final", 0, at - age)


def alert(
    rule: str = "slope_alarm", severity: Severity = "critical", number: int = 1, age: int = 5 * MINUTE, **more: object
) -> Alert:
    raised = SEVEN - age
    made = Alert(
        f"{rule}-{UNIT}-{number}", rule, UNIT, "", severity, "unack_active", raised, raised + 10 * MINUTE, 61.25
    )
    return msgspec.structs.replace(made, **more)  # type: ignore[arg-type]


def source(name: str, kind: str = "air", heard: int = SEVEN - MINUTE, online: bool = True, first: int = 1) -> SourceRow:
    return SourceRow(UNIT, kind, name, first, heard, heard, "measuring", online, None)


def state(
    *values: Value, alerts: tuple[Alert, ...] = (), closed: tuple[Alert, ...] = (),
    sources: tuple[SourceRow, ...] = (), ledger: Counts | None = None,
) -> State:  # fmt: skip
    return State({each.kpi: each for each in values}, alerts, closed, sources, ledger or Counts())


def told(given: State, previous: Facts | None = None, now: int = SEVEN) -> Facts:
    return facts(SCHEDULE, CATALOGUE, given, previous, now)


def before(given: State, ago: int = HOUR) -> Facts:
    return told(given, now=SEVEN - ago)


def figure(made: Facts, kpi: str) -> tuple[float | None, bool | None, bool]:
    found = next(each for each in made.targets if each.kpi == kpi)
    return found.value, found.met, found.is_stale


def changes(given: State, previous: Facts) -> list[str]:
    return [note.text_en for note in told(given, previous).changed]


def unknown(given: State) -> list[str]:
    return [note.text_en for note in told(given).unknown if "no data" not in note.text_en]


# What needs a decision


def test_open_alerts_of_the_higher_severities_need_a_decision_the_worst_first() -> None:
    made = told(
        state(
            alerts=(
                alert("wait_long", "notice"),
                alert("heavy_rain", "warning", age=HOUR),
                alert("slope_alarm", "critical", number=2),
                alert("rain_day_extreme", "critical", age=2 * HOUR),
            )
        )
    )
    assert [each.alert for each in made.decide] == [
        f"rain_day_extreme-{UNIT}-1", f"slope_alarm-{UNIT}-2", f"heavy_rain-{UNIT}-1",
    ]  # fmt: skip


def test_a_decision_has_its_owner_and_its_headline_in_both_languages() -> None:
    (decision,) = told(state(alerts=(alert(),))).decide
    assert (decision.owner_vi, decision.owner_en) == ("Sở Công Thương", "Department of Industry and Trade")
    assert decision.headline_vi == "Bãi thải tại Bãi Cháy dịch chuyển 61,2 mm/ngày"
    assert decision.unit_vi == "Phường Bãi Cháy"


def test_nobody_took_it_in_time_means_overdue() -> None:
    late = alert(age=HOUR)
    taken = alert(age=HOUR, state="ack_active", acked_by="an")
    returned = alert(age=HOUR, state="unack_returned")
    assert [told(state(alerts=(each,))).decide[0].overdue for each in (alert(), late, taken, returned)] == [
        False, True, False, False,
    ]  # fmt: skip


# Figures and targets


def test_a_figure_meets_its_target_misses_it_or_is_not_known() -> None:
    made = told(state(value("satisfaction", 99.0), value("wait_mean", 14.9), value("air_pm25_24h", 45.1)))
    assert figure(made, "satisfaction") == (99.0, False, False), "more than 99, not 99"
    assert figure(made, "wait_mean") == (14.9, True, False)
    assert figure(made, "air_pm25_24h") == (45.1, False, False)
    assert figure(made, "satisfaction_thue") == (None, None, False)
    assert figure(made, "tickets_today") == (None, None, False)


def test_an_old_number_meets_no_target() -> None:
    made = told(state(value("air_pm25_24h", 20.0, age=3 * HOUR)))
    assert figure(made, "air_pm25_24h") == (20.0, None, True)
    assert "chưa rõ, chỉ tiêu ≤ 45 µg/m³" in text(made, "vi", ZONE)


# What changed


def test_the_first_summary_has_nothing_to_compare_with() -> None:
    made = told(state(value("satisfaction", 90.0)))
    assert (made.since, made.changed) == (None, [])
    assert "this is the first one" in text(made, "en", ZONE)


def test_crossing_a_target_is_told_however_small_the_step() -> None:
    was = before(state(value("satisfaction", 99.1)))
    assert changes(state(value("satisfaction", 98.9)), was) == [
        "Share satisfied over all channels, past 24 hours: 99.1 % → 98.9 %, misses it now"
    ]


def test_a_large_change_is_told_and_a_small_one_is_not() -> None:
    was = before(state(value("rain_24h", 10.0), value("vn_aqi", 100.0)))
    assert changes(state(value("rain_24h", 60.0), value("vn_aqi", 110.0)), was) == [
        "Rain in 24 hours, highest gauge: 10.0 mm → 60.0 mm"
    ]


def test_a_change_that_cannot_be_seen_is_none() -> None:
    was = before(state(value("rain_24h", 0.0)))
    assert changes(state(value("rain_24h", 0.04)), was) == []


def test_new_and_closed_alerts_are_named() -> None:
    was = before(state(alerts=(alert("heavy_rain", "warning", age=2 * HOUR),)))
    assert changes(state(alerts=(alert(),)), was) == [
        "New: Dump in Bãi Cháy moves 61.2 mm/day",
        "Closed: 61.2 mm of rain in 1 hour in Bãi Cháy",
    ]


def test_an_alert_that_came_and_went_between_two_summaries_is_told() -> None:
    gone = alert(age=30 * MINUTE, state="closed", closed_at=SEVEN - 10 * MINUTE)
    older = alert(number=0, age=3 * HOUR, state="closed", closed_at=SEVEN - 2 * HOUR)
    assert changes(state(closed=(gone, older)), before(state())) == [
        "New and closed: Dump in Bãi Cháy moves 61.2 mm/day"
    ]


def test_lesser_alerts_are_only_counted() -> None:
    new = alert("wait_long", "notice")
    ended = alert("noise_high", "notice", age=3 * HOUR, state="closed", closed_at=SEVEN - MINUTE)
    assert changes(state(alerts=(new,), closed=(ended,)), before(state())) == ["Lesser alerts: 1 new, 1 closed"]


def test_a_flood_of_alerts_is_cut_and_says_so() -> None:
    many = tuple(alert(number=number) for number in range(30))
    lines = changes(state(alerts=many), before(state()))
    assert len(lines) == 9
    assert lines[-1] == "New: and 22 more alerts"
    assert "- và 18 việc nữa" in text(told(state(alerts=many)), "vi", ZONE)


# What is not known


def test_silent_sources_are_counted_and_named() -> None:
    sources = (
        source("aq1"), source("aq2", heard=SEVEN - HOUR), source("aq3", online=False),
        source("d1", "queue", heard=0), source("junk", heard=0, first=0),
    )  # fmt: skip
    made = told(state(sources=sources))
    assert (made.sources, made.silent) == (3, 2)
    assert unknown(state(sources=sources)) == ["Air quality: 2/3 sources silent (Bãi Cháy/aq2, Bãi Cháy/aq3)"]
    assert "1/3 nguồn đo đang gửi." in text(made, "vi", ZONE)


def test_a_source_of_a_kind_that_is_gone_is_left_out() -> None:
    assert "sonar" not in SHIPPED.kinds
    assert told(state(sources=(source("s", "sonar"),))).sources == 0


def test_missing_and_old_numbers_and_a_ledger_that_does_not_add_up_are_told() -> None:
    given = state(value("vn_aqi", 60.0, age=5 * HOUR), ledger=Counts(received=10, accepted=7))
    made = told(given)
    assert "Hourly VN_AQI, highest station: the number is old" in unknown(given)
    assert "The ledger differs by 3 messages" in unknown(given)
    assert len(made.unknown) == len(SCHEDULE.kpis) + 1


# The digest


def test_the_same_facts_have_the_same_digest_whatever_their_age() -> None:
    one = told(state(value("vn_aqi", 61.0, n=10), alerts=(alert(),)))
    other = told(state(value("vn_aqi", 61.4, n=99, at=SEVEN + MINUTE), alerts=(alert(),)), one, SEVEN + MINUTE)
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    "given",
    [
        state(value("vn_aqi", 62.0), alerts=(alert(),)),
        state(value("vn_aqi", 61.0)),
        state(value("vn_aqi", 61.0), alerts=(alert(state="ack_active", acked_by="an"),)),
        state(value("vn_aqi", 61.0), alerts=(alert(),), ledger=Counts(received=1)),
    ],
    ids=["a number", "an alert gone", "an alert taken", "the ledger"],
)
def test_what_matters_changes_the_digest(given: State) -> None:
    assert digest(told(given)) != digest(told(state(value("vn_aqi", 61.0), alerts=(alert(),))))


def test_facts_come_back_from_json_as_they_were() -> None:
    made = told(state(value("vn_aqi", 61.0), alerts=(alert(),)))
    assert msgspec.json.decode(msgspec.json.encode(made), type=Facts) == made


# In words


def test_the_text_reads_in_vietnamese() -> None:
    made = told(
        state(
            value("satisfaction", 98.04, n=12_345), value("tickets_today", 4_260.0),
            alerts=(alert(age=150 * MINUTE),), sources=(source("aq1"),),
        )
    )  # fmt: skip
    shown = text(made, "vi", ZONE)
    assert shown.startswith("Thành phố Quảng Ninh – tóm tắt điều hành lúc 07:00 22/09/2026\n")
    assert "- [KHẨN CẤP] Bãi thải tại Bãi Cháy dịch chuyển 61,2 mm/ngày – Sở Công Thương; " in shown
    assert "; 2 giờ; QUÁ HẠN 2 giờ; chưa ai nhận\n" in shown
    assert (
        "- Tỷ lệ hài lòng qua các kênh, 24 giờ qua: 98,0 % (n = 12.345, 10 phút trước) – CHƯA ĐẠT, chỉ tiêu > 99 %"
    ) in shown
    assert "- Số lượt lấy số, 24 giờ qua: 4.260 lượt (" in shown
    headings = ["1. VIỆC CẦN QUYẾT ĐỊNH", "2. SỐ LIỆU VÀ CHỈ TIÊU", "3. THAY ĐỔI TỪ BẢN TRƯỚC", "4. ĐIỀU CHƯA BIẾT"]
    assert [line for line in shown.splitlines() if line[:1].isdigit() and ". " in line[:3]] == headings


def test_the_text_reads_in_english() -> None:
    shown = text(told(state(value("satisfaction", 98.04, n=12_345), alerts=(alert(),))), "en", ZONE)
    assert "Quảng Ninh City – summary at 07:00 22/09/2026" in shown
    assert "98.0 % (n = 12,345, 10 min ago) – MISSED, target > 99 %" in shown
    assert "Department of Industry and Trade; 5 min; nobody has taken it" in shown


def test_before_september_2026_the_place_is_a_province() -> None:
    assert told(state(), now=1_785_000_000_000).place_vi == "Tỉnh Quảng Ninh"


def test_the_headline_counts() -> None:
    made = told(state(value("wait_mean", 20.0), value("satisfaction", 99.9), alerts=(alert(age=HOUR),)))
    assert headline(made, "vi") == "1 việc cần quyết định, 1 quá hạn; 1/2 chỉ tiêu chưa đạt; 15 điều chưa biết."
    assert headline(made, "en") == "1 to decide, 1 overdue; 1 of 2 targets missed; 15 unknown."


def test_without_any_number_nothing_is_judged() -> None:
    made = told(state())
    assert headline(made, "en") == "Nothing to decide; no target can be judged yet; 17 unknown."
    assert "past 24 hours: no data – not known, target > 99 %" in text(made, "en", ZONE)


def test_numbers_and_ages() -> None:
    assert (grouped(1234.56, 1, "vi"), grouped(1234.56, 1, "en")) == ("1.234,6", "1,234.6")
    ages = [duration(ms, "vi") for ms in (-5, 59_999, 119 * MINUTE, 2 * HOUR, 47 * HOUR, 2 * DAY)]
    assert ages == ["0 phút", "0 phút", "119 phút", "2 giờ", "47 giờ", "2 ngày"]


# When it is due


def schedule(**changed: object) -> Schedule:
    return msgspec.structs.replace(SCHEDULE, **changed)


def test_it_is_due_at_the_hour_of_the_place_and_only_once() -> None:
    assert due_moment(SCHEDULE, SEVEN - DAY, SEVEN - 1, ZONE) is None
    assert due_moment(SCHEDULE, SEVEN - DAY, SEVEN + 1, ZONE) == SEVEN
    assert due_moment(SCHEDULE, SEVEN + 1, SEVEN + HOUR, ZONE) is None


def test_of_the_hours_that_were_missed_only_the_last_is_made() -> None:
    twice = schedule(hours=["07:00", "16:30"])
    assert due_moment(twice, SEVEN - 3 * DAY, SEVEN - HOUR, ZONE) == SEVEN - 14 * HOUR - 30 * MINUTE


def test_without_any_summary_one_is_due_now() -> None:
    assert due_moment(SCHEDULE, None, SEVEN + 77, ZONE) == SEVEN + 77


def test_a_new_critical_alert_calls_at_once_and_one_that_was_told_does_not() -> None:
    new, notice = alert(), alert("wait_long", "notice")
    assert urgent(SCHEDULE, [notice, new], set(), SEVEN, ZONE) == [new]
    assert urgent(SCHEDULE, [notice, new], {new.id}, SEVEN, ZONE) == []


def test_in_quiet_hours_only_critical_alerts_call() -> None:
    both = schedule(at_once=["critical", "warning"])
    rain, slope = alert("heavy_rain", "warning"), alert()
    assert urgent(both, [rain, slope], set(), SEVEN, ZONE) == [slope, rain]
    assert urgent(both, [rain, slope], set(), SEVEN - 3 * HOUR, ZONE) == [slope]


@pytest.mark.parametrize(("hour", "expected"), [(21, False), (22, True), (0, True), (5, True), (6, False), (12, False)])
def test_quiet_hours_run_over_midnight(hour: int, expected: bool) -> None:
    assert is_quiet(SCHEDULE, SEVEN + (hour - 7) * HOUR, ZONE) is expected


@pytest.mark.parametrize(
    ("wrong", "member"),
    [
        ({"hours": ["7:00"]}, "hours"),
        ({"hours": ["24:00"]}, "hours"),
        ({"quiet": ["22:00"]}, "quiet"),
        ({"gap_min": -1}, "gap_min"),
        ({"kpis": ["no_such"]}, "kpis"),
        ({"kpis": ["vn_aqi", "vn_aqi"]}, "kpis"),
        ({"decide": ["critical"], "at_once": ["warning"]}, "at_once"),
        ({"recipients": ["an"]}, "recipients"),
    ],
)
def test_what_a_schedule_says_wrongly_is_found(wrong: dict[str, object], member: str) -> None:
    assert [where for where, _ in check_schedule(schedule(**wrong), SHIPPED.kpis)] == [member]
    assert check_schedule(SCHEDULE, SHIPPED.kpis) == []
