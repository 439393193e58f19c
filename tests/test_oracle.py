"""The oracle by hand-worked cases, and the processor beside it: a whole run in virtual time must come to the same."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_city import HOUR, WEDNESDAY, small_city
from small_world import NOON, A, B, C, Feed, cloudevent, place, senml
from small_world import catalogue as small_catalogue
from small_world import kinds as small_kinds
from whole_run import WholeRun, alert_steps, differences

from sensors.toml_definitions import load_kinds
from simulators import grade, nowcast
from simulators.alarm import Change, Key, Rule, Sequence, of_silence, of_value
from simulators.expectation import Definition, Window
from simulators.oracle import Oracle
from simulators.scenario import Scenario
from simulators.toml_scenarios import load_scenario
from streams import vn_aqi
from streams.catalogue import Catalogue, compile_catalogue
from streams.kpi import Kpi
from streams.toml_catalogue import load_all

MINUTE, SECOND = 60_000, 1_000
CAM, AIR, DESK, RATING = (f"ioc/{A}/{rest}" for rest in ("traffic/cam", "air/tram", "queue/quay-1", "rating/cong"))


def told(*messages: tuple[str, bytes, int]) -> Oracle:
    """`messages` are topic, payload, received at."""
    oracle = Oracle(place(), small_kinds(), 4, NOON)
    for message in messages:
        oracle.hear(*message)
    return oracle


def outcomes(*messages: tuple[str, bytes, int]) -> list[str]:
    oracle = Oracle(place(), small_kinds(), 4, NOON)
    return [oracle.hear(*message).outcome for message in messages]


def speed(at: int, value: float = 40, topic: str = CAM) -> tuple[str, bytes, int]:
    return topic, senml("speed", NOON + at, value), NOON + at


def windows(oracle: Oracle, kind: str, quantity: str, measure: str, **more: object) -> dict[tuple[str, int], Window]:
    """The windows of a KPI, ends in minutes after NOON; five-minute windows unless told otherwise."""
    given_ = {"id": "x", "kind": kind, "quantity": quantity, "measure": measure, "window_s": 300, "every_s": 300}
    found = oracle.windows(msgspec.convert(given_ | more, Definition))
    return {(scope, (end - NOON) // MINUTE): window for (scope, end), window in found.items()}


# --- what becomes of a message ---


def test_the_same_reading_again_is_a_duplicate_whatever_it_says() -> None:
    assert outcomes(speed(0), speed(0, 50), speed(1), speed(0, topic=f"ioc/{A}/traffic/other")) == [
        "accepted", "duplicate", "accepted", "accepted",
    ]  # fmt: skip


def test_a_reading_is_too_late_beyond_the_lateness_of_its_unit_s_watermark() -> None:
    late = 600 * SECOND
    assert outcomes(speed(late), speed(0), speed(-1), speed(-1, topic=f"ioc/{B}/traffic/cam")) == [
        "accepted", "accepted", "too_late", "accepted",
    ]  # fmt: skip


def test_a_clock_ahead_cannot_push_the_watermark_beyond_reception_and_far_ahead_is_rejected() -> None:
    ahead = (CAM, senml("speed", NOON + 100 * SECOND, 40), NOON)
    assert outcomes(ahead, speed(-600 * SECOND, topic=f"ioc/{A}/traffic/other")) == ["accepted", "accepted"]
    oracle = told((CAM, senml("speed", NOON + 121 * SECOND, 40), NOON))
    assert (oracle.total().rejected, dict(oracle.reasons)) == (1, {"in_the_future": 1})


def test_what_cannot_be_used_is_rejected_with_its_reason_and_in_part() -> None:
    half = json.dumps([{"bt": NOON / 1000, "n": "speed", "v": 900}, {"n": "flow", "v": 5}]).encode()
    oracle = told(
        ("x/y", b"", NOON), ("ioc/99999/traffic/cam", b"", NOON), (f"ioc/{A}/tram/cam", b"", NOON),
        (CAM, b"[{", NOON), (CAM, half, NOON),
    )  # fmt: skip
    reasons = {"bad_topic": 1, "unknown_unit": 1, "unknown_kind": 1, "bad_payload": 1, "implausible": 1}
    assert (dict(oracle.reasons), oracle.total().rejected, oracle.total().accepted) == (reasons, 4, 1)


def test_readings_of_a_calibrating_device_are_set_aside_and_still_told() -> None:
    aside = json.dumps([{"n": "speed", "t": NOON / 1000, "v": 40}, {"n": "status", "vs": "calibrating"}]).encode()
    oracle = told((CAM, aside, NOON), (CAM, aside, NOON))
    total = oracle.total()
    assert (total.accepted, total.duplicate, total.readings, total.set_aside) == (1, 1, 0, 1)
    assert windows(oracle, "traffic", "speed", "mean") == {}


def test_a_ticket_s_steps_make_readings_in_whatever_order_they_come() -> None:
    steps = [("called", 60, 2), ("taken", 0, 1), ("served", 300, 3), ("called", 90, 4)]
    oracle = told(*[
        (DESK, cloudevent("queue", step, NOON + at * SECOND, number, ticket="A1"), NOON + 400 * SECOND)
        for step, at, number in steps
    ])  # fmt: skip
    assert windows(oracle, "queue", "wait", "sum")[A, 5] == Window(60.0, 1)
    assert windows(oracle, "queue", "service", "sum")[A, 10] == Window(240.0, 1)
    assert windows(oracle, "queue", "taken", "count")[A, 5] == Window(1.0, 1)


def test_an_event_of_the_same_id_and_source_is_a_duplicate() -> None:
    event = (RATING, cloudevent("rating", "given", NOON, 1, score=5), NOON)
    other = (RATING, cloudevent("rating", "given", NOON + 1, 1, score=4), NOON)
    assert outcomes(event, other) == ["accepted", "duplicate"]


def test_sent_is_numbered_and_unreadable_and_missing_with_the_gaps() -> None:
    def numbered(number: int) -> tuple[str, bytes, int]:
        return CAM, json.dumps([{"n": "speed", "t": NOON / 1000 + number, "v": 40, "seq": number}]).encode(), NOON

    ((source, sent),) = told(*map(numbered, (3, 4, 8, 7, 12, 4)), (CAM, b"[{", NOON)).sent().items()
    assert (source.source, sent.numbered, sent.unreadable, sent.missing, sent.sent) == ("cam", 5, 1, 4, 10)
    assert [tuple(gap) for gap in sent.gaps] == [(5, 6), (9, 11)]


# --- KPI windows ---


def test_a_window_has_the_measures_of_its_readings_by_unit_district_and_place() -> None:
    said = [(A, 0, 10.0), (A, 60, 20.0), (A, 299, 40.0), (B, 100, 30.0), (C, 100, 90.0), (A, 300, 77.0)]
    oracle = told(*[speed(at * SECOND, value, f"ioc/{unit}/traffic/cam") for unit, at, value in said])
    expected = {
        "count": (3.0, 4.0, 5.0), "sum": (70.0, 100.0, 190.0), "mean": (70 / 3, 25.0, 38.0), "min": (10.0,) * 3,
        "max": (40.0, 40.0, 90.0), "last": (40.0,) * 3, "change": (30.0,) * 3, "p50": (20.0, 20.0, 30.0),
        "p90": (20.0, 30.0, 40.0),
    }  # fmt: skip
    for measure, values in expected.items():
        found = windows(oracle, "traffic", "speed", measure)
        assert [found[scope, 5].value for scope in (A, "193", "22")] == pytest.approx(values), measure
        assert [found[scope, 5].n for scope in (A, "193", "22")] == [3, 4, 5]
    assert windows(oracle, "traffic", "speed", "rate", per="minute")[A, 5].value == pytest.approx(30 / 299 * 60)
    assert windows(oracle, "traffic", "speed", "share", at_most=30.0, at_least=20.0)["22", 5].value == 40.0
    assert windows(oracle, "traffic", "speed", "mean", factor=2.0)[A, 5].value == pytest.approx(140 / 3)


def test_windows_slide_and_across_takes_each_source_by_itself() -> None:
    oracle = told(
        speed(0, 10), speed(60 * SECOND, 30), speed(90 * SECOND, 50, f"ioc/{A}/traffic/other"),
        speed(120 * SECOND, 70, f"ioc/{B}/traffic/cam"),
    )  # fmt: skip
    sliding = windows(oracle, "traffic", "speed", "mean", window_s=120, every_s=60)
    assert {end: window for (scope, end), window in sliding.items() if scope == A} == {
        1: Window(10.0, 1), 2: Window(30.0, 3), 3: Window(40.0, 2),
    }  # fmt: skip
    combined = {"max": (50.0, 70.0), "min": (20.0, 20.0), "sum": (70.0, 140.0), "mean": (35.0, 140 / 3)}
    for across, values in combined.items():
        found = windows(oracle, "traffic", "speed", "mean", across=across)
        assert [found[scope, 5].value for scope in (A, "22")] == pytest.approx(values), across
    assert windows(oracle, "traffic", "speed", "rate", across="max")[A, 5] == Window(20.0 * 60, 2), "one is not enough"


def test_a_day_is_a_day_in_the_place_s_own_zone_and_a_field_narrows() -> None:
    events = [(0, 5, "dat_dai"), (3 * HOUR, 2, "dat_dai"), (3 * HOUR + 1, 1, "khac")]
    oracle = told(*[
        (RATING, cloudevent("rating", "given", WEDNESDAY + at, number, score=score, field=field), WEDNESDAY + at)
        for number, (at, score, field) in enumerate(events)
    ])  # fmt: skip
    day = {"window_s": 86_400, "every_s": 86_400}
    end = (WEDNESDAY + 24 * HOUR - NOON) // MINUTE
    assert windows(oracle, "rating", "score", "count", **day)[A, end].n == 3
    assert windows(oracle, "rating", "score", "share", **day, at_least=4.0, field="dat_dai")[A, end] == Window(50.0, 2)


def test_vn_aqi_has_the_decision_s_golden_values() -> None:
    hours = [20.6, 19.6, 22.4, 20.3, 16.5, 19.0, 16.5, 19.5, 23.5, 20.5, 24.7, 26.9]
    assert nowcast.nowcast(hours) == pytest.approx(20.27, abs=0.005)
    nothing: list[float | None] = [None] * 12
    gases = {"o3": [136.1, *nothing[1:]], "co": nothing, "so2": nothing, "no2": nothing}
    assert nowcast.hour_index({"pm25": hours, "pm10": nothing, **gases}) == 43.0
    assert nowcast.hour_index({"pm25": [20.0, None, None, *hours[3:]], "pm10": nothing, **gases}) is None
    gappy = [100.0, None, *[10.0] * 10]
    assert nowcast.nowcast(gappy) == pytest.approx(70.0, abs=0.1), "weights of the hours there are"


def test_the_oracle_and_the_processor_were_given_the_same_table_of_the_decision() -> None:
    table = {"pm25": "pm2_5", "pm10": "pm10", "o3": "o3_1h", "co": "co", "so2": "so2", "no2": "no2"}
    for name, column in table.items():
        for at, index in zip(nowcast.BREAKS[name], nowcast.INDEX, strict=True):
            assert float(vn_aqi.interpolate(column, at)) == index  # type: ignore[arg-type]


# --- alerts ---


@pytest.mark.parametrize("rule", [rule for rule in load_all().rules.values() if rule.kpi], ids=lambda rule: rule.id)
def test_the_oracle_comes_to_the_examples_of_every_rule(rule: object) -> None:
    own = msgspec.convert(msgspec.to_builtins(rule), Rule)
    for example in msgspec.to_builtins(rule)["examples"]:
        told_ = [Change(round(at * 1000), value, own.n_min) for at, value in example["series"]]
        # An example ends with its last line: what would come later is not asked.
        steps = of_value(own, [*told_, Change(told_[-1].at + 1, None, 0)]).steps
        wanted = len(example.get("raises_at_s", ())) + len(example.get("returns_at_s", ()))
        assert len(steps) == wanted, example


def test_a_sequence_that_hangs_on_when_one_looks_is_not_sure() -> None:
    rule = Rule(id="r", above=10.0, clear=5.0)
    assert of_value(rule, [Change(0, 20.0, 1), Change(20_000, 1.0, 1)]) == (("raise", "return"), True)
    assert of_value(rule, [Change(100, 20.0, 1), Change(400, 1.0, 1)]).is_sure
    assert not of_value(rule, [Change(100, 20.0, 1), Change(3_000, 1.0, 1)]).is_sure


def test_silence_is_raised_returns_and_a_good_bye_is_silence() -> None:
    rule = Rule(id="r", silent="rain", silent_s=60)
    assert of_silence(rule, [(0, True), (30_000, True)], 60_000).steps == ()
    assert of_silence(rule, [(0, True), (90_000, True)], 100_000).steps == ("raise", "return")
    good_bye = [(0, True), (90_000, True), (95_000, False)]
    assert of_silence(rule, good_bye, 95_000).steps == ("raise", "return", "reraise")
    assert not of_silence(rule, [(0, True), (62_000, True)], 62_000).is_sure


# --- the processor beside the oracle ---


def catalogue_of(kinds_with_rules: list[str] | tuple[()] = ()) -> Catalogue:
    """The shipped KPIs as far as the small place has their fields, and one KPI for every measure besides; or the
    rules of some kinds and the KPIs that these look at."""
    definitions = load_all()
    shipped = {kpi.id: kpi for kpi in definitions.kpis.values() if kpi.field in ("", "dat_dai")}
    speed_ = definitions.kpis["traffic_speed"]
    more: list[Kpi] = []
    for measure in ("count", "sum", "min", "max", "last", "change", "rate", "share", "p95"):
        for across in ("", "mean", "sum") if measure in ("max", "rate") else ("",):
            more.append(msgspec.structs.replace(
                speed_, id=f"speed_{measure}_{across}", measure=measure, across=across, at_least=30.0, factor=1.5,
                window_s=600,
            ))  # fmt: skip
    if not kinds_with_rules:
        return compile_catalogue(place(), load_kinds(), shipped | {kpi.id: kpi for kpi in more}, {})
    rules = {rule.id: rule for rule in definitions.rules.values() if rule.silent in kinds_with_rules
             or (rule.kpi and definitions.kpis[rule.kpi].kind in kinds_with_rules)}  # fmt: skip
    looked_at = {rule.kpi: definitions.kpis[rule.kpi] for rule in rules.values() if rule.kpi}
    return compile_catalogue(place(), load_kinds(), looked_at, rules)


def compared(
    scenario: Scenario, seed: int, start: int, hours: float, beat_ms: int, delay_ms: int = 0
) -> tuple[WholeRun, Oracle, list[grade.Section]]:
    """A run, its oracle, and what differs; `delay_ms`: the whole run is received so much later."""
    catalogue = catalogue_of()
    city = small_city(scenario, seed, start)
    messages = list(city.messages(start, start + round(hours * HOUR)))
    oracle = Oracle(place(), load_kinds(), 4, start)
    for message in messages:
        oracle.hear(message.topic, message.payload, message.time + delay_ms)
    run = WholeRun(catalogue, start + delay_ms)
    run.play(messages, beat_ms, delay_ms)
    return run, oracle, differences(run, oracle, catalogue)


def test_a_late_reading_in_the_first_beat_of_a_source_s_backlog_counts() -> None:
    """A day's backlog comes at once, one message out of order within the lateness, all in one beat."""
    feed = Feed(small_catalogue())
    received = NOON + 24 * HOUR
    feed.tell(*[(CAM, senml("speed", NOON + at * SECOND, 40), received) for at in (0, 120, 60)])
    totals = feed.partition.evaluate(received).totals
    assert (totals.accepted, totals.too_late) == (3, 0)


def test_a_source_s_first_message_that_cannot_be_read_counts_however_beats_cut_it() -> None:
    said = [(CAM, b"[{", NOON), *[
        (CAM, json.dumps([{"n": "speed", "t": NOON / 1000 + number, "v": 40, "seq": number}]).encode(), NOON)
        for number in (1, 2)
    ]]  # fmt: skip
    together, apart = Feed(small_catalogue()), Feed(small_catalogue())
    together.tell(*said)
    for message in said:
        apart.tell(message)
        beat = apart.partition.evaluate(NOON)
    assert together.partition.evaluate(NOON).numbered == beat.numbered == (2, 1, 0)
    assert [(sent.numbered, sent.unreadable) for sent in told(*said).sent().values()] == [(2, 1)]


@pytest.mark.parametrize(("scenario", "seed"), [("ordinary", 1), ("storm", 2), ("faults", 3), ("broker_outage", 4)])
def test_the_processor_comes_to_what_the_oracle_says(scenario: str, seed: int) -> None:
    run, oracle, differing = compared(load_scenario(scenario), seed, WEDNESDAY + 8 * HOUR, 1.5, 3 * MINUTE)
    assert differing == []
    assert oracle.total().received > 400
    assert len(run.store.windows("wait_mean", 0, 1 << 60, 1_000_000)) > 20


def test_an_oracle_of_another_seed_is_contradicted() -> None:
    start = WEDNESDAY + 8 * HOUR
    run, _, differing = compared(load_scenario("ordinary"), 1, start, 0.5, 5 * MINUTE)
    assert differing == []
    other = Oracle(place(), load_kinds(), 4, start)
    for message in small_city(load_scenario("ordinary"), 2, start).messages(start, start + HOUR // 2):
        other.hear(message.topic, message.payload, message.time)
    names = {section.name for section in differences(run, other, catalogue_of())}
    assert {"ledger", "minutes", "traffic_speed"} <= names


@pytest.mark.long
@pytest.mark.parametrize("scenario", ["ordinary", "storm", "faults", "broker_outage", "ha_long_30_4", "monday_rush"])
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_the_processor_comes_to_what_the_oracle_says_for_many_seeds(scenario: str, seed: int) -> None:
    beat = (MINUTE, 4 * MINUTE, 33 * MINUTE)[seed % 3]
    delay = (0, 0, 30 * HOUR)[seed % 3]
    _, _, differing = compared(load_scenario(scenario), seed, WEDNESDAY + 7 * HOUR, 2, beat, delay)
    assert differing == []


@pytest.mark.long
def test_the_processor_comes_to_what_the_oracle_says_of_a_unit_renamed_at_midnight() -> None:
    shipped = load_scenario("unit_renamed")
    here = [msgspec.structs.replace(fault, to_unit=A) for fault in shipped.faults]
    scenario = msgspec.structs.replace(shipped, faults=here)
    _, oracle, differing = compared(scenario, 5, WEDNESDAY + 22 * HOUR, 5, 3 * MINUTE)
    assert differing == []
    assert any(source.source.endswith("-06661") for source in oracle.sent()), "speaks under the new code"


faulty = st.lists(
    st.fixed_dictionaries(
        {
            "recipe": st.sampled_from(["drop", "duplicate", "delay", "delay_beyond", "reorder", "clock_ahead",
                                       "clock_behind", "calibration", "malformed", "reconnect"]),
            "kind": st.sampled_from(["traffic", "noise", "level"]), "sources": st.integers(0, 4),
            "messages": st.integers(0, 9), "after_s": st.integers(0, 2_400), "for_s": st.integers(60, 900),
        }
    ), min_size=1, max_size=5,
)  # fmt: skip


@pytest.mark.long
@settings(max_examples=8, deadline=None)
@given(faulty, st.integers(0, 2**32), st.sampled_from([2 * MINUTE, 12 * MINUTE, 2 * HOUR]))
def test_whatever_goes_wrong_the_processor_comes_to_what_the_oracle_says(
    faults: list[dict[str, object]], seed: int, beat_ms: int
) -> None:
    scenario = msgspec.convert({"id": "x", "name_vi": "x", "name_en": "x", "faults": faults}, Scenario)
    assert compared(scenario, seed, WEDNESDAY, 1, beat_ms)[2] == []


def alerts_graded(
    kinds: list[str], scenario: str, seed: int, hours: int, scope: str, more: dict[str, object]
) -> tuple[grade.Section, dict[Key, Sequence]]:
    """A run's alerts beside the oracle's, and these; the rules of this scope, with `more` in place of what they say."""
    start = WEDNESDAY + 7 * HOUR
    shipped = catalogue_of(kinds)
    rules_ = {rule.id: msgspec.structs.replace(rule, **more) for rule in shipped.rules.values() if rule.scope == scope}
    catalogue = compile_catalogue(shipped.place, shipped.kinds, shipped.kpis, rules_)
    messages = list(small_city(load_scenario(scenario), seed, start, kinds=kinds).messages(start, start + hours * HOUR))
    oracle = Oracle(place(), load_kinds(), 4, start)
    for message in messages:
        oracle.hear(message.topic, message.payload, message.time)
    run = WholeRun(catalogue, start)
    last = run.play(messages, 5 * SECOND)
    rules = {rule.id: msgspec.convert(msgspec.to_builtins(rule), Rule) for rule in catalogue.rules.values()}
    kpis = {kpi.id: msgspec.convert(msgspec.to_builtins(kpi), Definition) for kpi in catalogue.kpis.values()}
    expected = oracle.value_alerts(rules, kpis, last) | oracle.silence_alerts(rules, last)
    return grade.of_alerts(expected, alert_steps(run), ""), expected


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_alerts_of_units_are_raised_and_return_as_the_oracle_says(seed: int) -> None:
    section, _ = alerts_graded(["rain", "level"], "storm", seed, 6, "unit", {})
    assert not section.is_finding, section
    assert section.compared > 3


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_alerts_of_the_whole_place_are_raised_and_return_as_the_oracle_says(seed: int) -> None:
    """At thresholds near the values, and held for longer than a window is the newest one."""
    near = {"below": 96.0, "clear": 97.0, "hold_s": 400, "clear_hold_s": 400, "n_min": 5}
    section, expected = alerts_graded(["queue", "rating"], "monday_rush", seed, 3, "place", near)
    assert not section.is_finding, section
    raised = {rule for (rule, scope, _), told in expected.items() if scope == place().code and told.is_sure}
    assert raised == {"satisfaction_low", "satisfaction_land_low", "wait_share_low"}
