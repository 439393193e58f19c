"""The simulated city: the same seed says the same, however it is asked, and what it says is like a province."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_city import DAY, EQUIPMENT, HOUR, KINDS, NOTHING_WRONG, PLACE, WEDNESDAY, local, small_city
from small_world import place as small_place

from sensors.decoders import cloudevents, senml
from sensors.errors import DefinitionError, MessageRejected, SettingsError
from sensors.reading import DeskEvent, Pack
from sensors.topic import parse
from simulators.chance import Chance
from simulators.city import City
from simulators.equipment import mean_rate, spread
from simulators.payload import Message
from simulators.scenario import Trouble
from simulators.toml_scenarios import load_equipment, load_scenario, scenario_names
from simulators.weather import STEPS, Weather

SUNDAY, NATIONAL_DAY = local("2026-11-29T00:00"), local("2026-09-02T00:00")


def desks_only(day: int) -> list[Message]:
    """A day of the whole place's desks in their opening hours."""
    kinds = {kind: KINDS[kind] for kind in ("queue", "rating")}
    return list(City(PLACE, kinds, NOTHING_WRONG, EQUIPMENT, 7, day).messages(day, day + DAY))


@cache
def full_day(day: int) -> list[Message]:
    """A local day of the whole place, with a tenth of its devices and all its desks in their opening hours."""
    return list(City(PLACE, KINDS, NOTHING_WRONG, EQUIPMENT, 7, day, rate=0.5).messages(day, day + DAY))


def of_kind(messages: Iterable[Message], kind: str) -> list[Message]:
    return [message for message in messages if parse(message.topic).kind == kind]


def decode(message: Message) -> Pack | DeskEvent:
    kind = KINDS[parse(message.topic).kind]
    if kind.format == "senml":
        return senml.decode(message.payload, message.time, kind)
    return cloudevents.decode(message.payload, message.time, kind)


def readings(messages: Iterable[Message], kind: str, quantity: str) -> list[tuple[int, str, float]]:
    """(observed time, topic, value)"""
    found = []
    for message in of_kind(messages, kind):
        pack = decode(message)
        assert isinstance(pack, Pack)
        found += [(one.time, message.topic, one.value) for one in pack.readings if one.quantity == quantity]
    return found


def desk_events(messages: Iterable[Message]) -> list[tuple[Message, DeskEvent]]:
    found = []
    for message in messages:
        if KINDS[parse(message.topic).kind].format == "cloudevents":
            event = decode(message)
            assert isinstance(event, DeskEvent)
            found.append((message, event))
    return found


def hour_of(time: int) -> int:
    return (time + 7 * HOUR) % DAY // HOUR


# --- the same, however it is asked ---


@pytest.mark.parametrize("name", scenario_names())
def test_the_same_seed_and_start_say_the_same_to_the_byte(name: str) -> None:
    first, second = (list(small_city(load_scenario(name)).messages(WEDNESDAY, WEDNESDAY + 5 * HOUR)) for _ in "ab")
    assert first == second
    assert len(first) > 1_000


def test_another_seed_is_another_city() -> None:
    first, second = (list(small_city(NOTHING_WRONG, seed).messages(WEDNESDAY, WEDNESDAY + HOUR)) for seed in (1, 2))
    assert first != second


@settings(max_examples=8, deadline=None)
@given(
    cuts=st.tuples(*[st.integers(0, 12 * HOUR)] * 3).map(sorted),
    name=st.sampled_from(scenario_names()),
    seed=st.integers(0, 2**63),
    round_the_clock=st.booleans(),
)
def test_messages_do_not_hang_on_how_an_interval_is_cut(
    cuts: list[int], name: str, seed: int, round_the_clock: bool
) -> None:
    scenario, start = load_scenario(name), WEDNESDAY + 20 * HOUR
    begin, middle, end = (start + cut for cut in cuts)
    one, other = (small_city(scenario, seed, start, round_the_clock) for _ in "ab")
    whole = list(one.messages(begin, end))
    assert [*one.messages(begin, middle), *one.messages(middle, end)] == whole, "the same city, asked again"
    assert [*other.messages(middle, end)] == [message for message in whole if message.time >= middle], "a fresh city"


@settings(max_examples=20, deadline=None)
@given(offset=st.integers(0, 3 * HOUR), length=st.integers(0, HOUR), seed=st.integers(0, 2**32))
def test_messages_come_in_order_and_within_the_interval(offset: int, length: int, seed: int) -> None:
    begin = WEDNESDAY + offset
    times = [message.time for message in small_city(load_scenario("storm"), seed).messages(begin, begin + length)]
    assert times == sorted(times)
    assert all(begin <= time < begin + length for time in times)


def test_a_city_that_is_started_again_measures_on() -> None:
    rainy = local("2026-07-15T00:00")

    def measured(start: int) -> list[tuple[str, Pack]]:
        told = small_city(NOTHING_WRONG, start=start).messages(rainy, rainy + 6 * HOUR)
        decoded = ((message.topic, decode(message)) for message in told)
        packs = [(topic, pack) for topic, pack in decoded if isinstance(pack, Pack)]
        return [(topic, msgspec.structs.replace(pack, sequence=None)) for topic, pack in packs]

    assert measured(rainy - 40 * DAY) == measured(rainy)


def test_nothing_is_said_before_the_start() -> None:
    assert not list(small_city(NOTHING_WRONG).messages(WEDNESDAY - DAY, WEDNESDAY))


def test_without_an_end_the_city_goes_on_for_ever() -> None:
    messages = small_city(NOTHING_WRONG).messages(WEDNESDAY, None)
    assert next(message for message in messages if message.time > WEDNESDAY + 6 * HOUR)


# --- what is said can be read ---


@pytest.mark.parametrize("name", ["calm", "storm"])
def test_every_topic_parses_and_every_payload_decodes_when_nothing_is_spoiled(name: str) -> None:
    told = msgspec.structs.replace(load_scenario("storm") if name == "storm" else NOTHING_WRONG, trouble=Trouble())
    city = small_city(told)
    sources = set(city.sources())
    kinds: Counter[str] = Counter()
    for message in city.messages(WEDNESDAY, WEDNESDAY + 12 * HOUR):
        topic = parse(message.topic)
        assert topic.unit in small_place().units
        assert message.topic in sources
        decoded = decode(message)
        if isinstance(decoded, Pack):
            assert not decoded.bad
            assert {reading.quantity for reading in decoded.readings} == KINDS[topic.kind].quantities.keys()
            assert {reading.time for reading in decoded.readings} == {message.time}
        else:
            assert decoded.time == message.time
        kinds[topic.kind] += 1
    assert kinds.keys() == KINDS.keys()


def test_every_source_counts_its_messages_without_a_gap_when_nothing_goes_wrong() -> None:
    told = msgspec.structs.replace(load_scenario("storm"), trouble=Trouble())
    counted: dict[str, list[int | None]] = defaultdict(list)
    for message in small_city(told).messages(WEDNESDAY, WEDNESDAY + 30 * HOUR):
        counted[message.topic].append(decode(message).sequence)
    assert counted.keys() == set(small_city(told).sources())
    for topic, sequence in counted.items():
        assert sequence == list(range(len(sequence))), topic


def test_desk_events_name_no_person_and_have_ids_of_their_own() -> None:
    told = desk_events(full_day(WEDNESDAY))
    assert len({(event.source, event.id) for _, event in told}) == len(told)
    members = {name for message, _ in told for name in json.loads(message.payload)["data"]}
    assert members <= set(cloudevents.KEPT)


# --- honest troubles ---


def _troubled(**trouble: float) -> list[Message]:
    told = msgspec.structs.replace(NOTHING_WRONG, trouble=msgspec.convert(trouble, Trouble))
    return list(small_city(told).messages(WEDNESDAY, WEDNESDAY + DAY))


CALM_DAY = _troubled()


def test_a_share_of_messages_is_spoiled_and_rejected_with_different_reasons() -> None:
    reasons: Counter[str] = Counter()
    for message in _troubled(malformed_share=0.1):
        try:
            decoded = decode(message)
        except MessageRejected as rejected:
            reasons[rejected.reason] += 1
        else:
            reasons.update(bad.reason for bad in (decoded.bad[:1] if isinstance(decoded, Pack) else []))
    assert sum(reasons.values()) == pytest.approx(0.1 * len(CALM_DAY), rel=0.1)
    assert reasons.keys() == {"bad_payload", "wrong_unit", "implausible", "clock_not_set", "missing_data"}


def test_a_share_of_messages_comes_late_and_none_is_lost() -> None:
    messages = _troubled(late_share=0.1, late_up_to_s=900)
    assert len(messages) == pytest.approx(len(CALM_DAY), abs=50), "only what is still on its way at the end"
    delays = []
    for message in messages:
        decoded = decode(message)
        observed = decoded.readings[0].time if isinstance(decoded, Pack) else decoded.time
        delays.append(message.time - observed)
    late = [delay for delay in delays if delay > 0]
    assert len(late) == pytest.approx(0.1 * len(messages), rel=0.1)
    assert min(delays) == 0
    assert min(late) >= 5_000
    assert max(late) <= 900_000


def test_a_doubled_message_comes_twice_to_the_byte_within_seconds() -> None:
    messages = _troubled(duplicate_share=0.1)
    times: dict[tuple[str, bytes], list[int]] = defaultdict(list)
    for message in messages:
        times[message.topic, message.payload].append(message.time)
    twice = [both for both in times.values() if len(both) == 2]
    assert len(twice) == pytest.approx(0.1 * len(CALM_DAY), rel=0.1)
    assert len(times) + len(twice) == len(messages)
    assert all(0 < second - first <= 5_001 for first, second in twice)


def test_an_air_station_says_that_it_calibrates() -> None:
    packs = [decode(message) for message in of_kind(_troubled(calibrations_per_day=1, calibration_min=60), "air")]
    aside = [pack for pack in packs if isinstance(pack, Pack) and pack.status == "calibrating"]
    assert len(aside) == 4 * 12, "four stations, an hour of five minutes each"
    assert all(pack.readings for pack in aside)


def test_a_silent_device_leaves_a_gap_that_its_count_shows() -> None:
    heard = _troubled(silent_sources=1, silent_h=6)
    missing = Counter(message.topic for message in CALM_DAY) - Counter(message.topic for message in heard)
    assert len(missing) == 1
    topic = next(iter(missing))
    counted = [decode(message).sequence for message in heard if message.topic == topic]
    assert missing[topic] > 0
    assert max(number for number in counted if number is not None) + 1 == len(counted) + missing[topic]


# --- volumes and rhythms of domain.md §3.6–3.8 ---


def test_the_devices_of_a_day_speak_as_often_as_their_kinds_say() -> None:
    city = City(PLACE, KINDS, NOTHING_WRONG, EQUIPMENT, 7, WEDNESDAY)
    messages = list(city.messages(WEDNESDAY + HOUR, WEDNESDAY + 3 * HOUR))
    counts = Counter(parse(message.topic).kind for message in messages)
    for kind in ("air", "traffic", "rain", "noise", "slope"):
        expected = EQUIPMENT.stations[kind].count * 7_200 / KINDS[kind].cadence_s
        assert counts[kind] == pytest.approx(expected, rel=0.03), kind
    assert len({message.topic for message in of_kind(messages, "air")}) == 139
    assert len({parse(message.topic).unit for message in messages}) == 54
    measured = sum(count for kind, count in counts.items() if KINDS[kind].format == "senml")
    assert measured / 7_200 == pytest.approx(mean_rate(EQUIPMENT, KINDS), rel=0.05)


@pytest.mark.parametrize("rate", [2.0, 60.0])
def test_the_rate_multiplies_devices(rate: float) -> None:
    city = City(PLACE, KINDS, NOTHING_WRONG, EQUIPMENT, 7, WEDNESDAY, rate=rate)
    measured = [one for one in city.messages(WEDNESDAY, WEDNESDAY + HOUR) if "/queue/" not in one.topic]
    measured = [one for one in measured if "/rating/" not in one.topic]
    assert len(measured) / 3_600 == pytest.approx(rate, rel=0.15)


def test_slopes_are_measured_only_where_there_are_mine_waste_dumps() -> None:
    sources = City(PLACE, KINDS, NOTHING_WRONG, EQUIPMENT, 7, WEDNESDAY).sources()
    units = {parse(topic).unit for topic in sources if parse(topic).kind == "slope"}
    assert units == set(EQUIPMENT.stations["slope"].units)


def test_bigger_units_have_more_devices_and_the_sum_is_exact() -> None:
    placed = Counter(unit for unit, _ in spread(EQUIPMENT.stations["traffic"], PLACE, 1.0))
    codes = list(PLACE.units)
    assert sum(placed.values()) == 200
    assert placed[codes.index("07069")] > placed[codes.index("06967")] >= 0, "Mạo Khê (72,012), Cái Chiên (752)"


def test_about_as_many_tickets_are_taken_on_a_working_day_as_the_province_has_dossiers() -> None:
    steps = Counter(event.event for _, event in desk_events(full_day(WEDNESDAY)))
    assert steps["taken"] == pytest.approx(4_260, rel=0.1)
    assert steps["taken"] == steps["served"] + steps["left"]
    assert steps["left"] < 0.05 * steps["taken"]


def test_a_ticket_is_taken_called_and_served_or_left_in_this_order_on_one_day() -> None:
    tickets: dict[tuple[str, object], dict[str, int]] = defaultdict(dict)
    for message, event in desk_events(full_day(WEDNESDAY)):
        if parse(message.topic).kind == "queue":
            tickets[message.topic, event.data["ticket"]][event.event] = event.time
    for steps in tickets.values():
        assert steps.keys() in ({"taken", "called", "served"}, {"taken", "left"})
        assert list(steps.values()) == sorted(steps.values())
        assert list(steps) == [name for name in ("taken", "called", "served", "left") if name in steps]


def test_desks_are_closed_at_night_on_sundays_and_on_holidays() -> None:
    hours = {hour_of(event.time) for _, event in desk_events(full_day(WEDNESDAY)) if event.event == "taken"}
    assert hours == {7, 8, 9, 10, 11, 13, 14, 15, 16}
    for day in (SUNDAY, NATIONAL_DAY):
        assert {parse(message.topic).kind for message in desks_only(day)} == {"rating"}, "the portal is open"


def test_round_the_clock_desks_serve_on_a_sunday_night() -> None:
    messages = list(small_city(NOTHING_WRONG, start=SUNDAY, kinds=["queue"]).messages(SUNDAY, SUNDAY + DAY))
    hours = {hour_of(event.time) for _, event in desk_events(messages) if event.event == "called"}
    assert {1, 2, 3, 12, 22} <= hours


def test_no_ticket_goes_over_midnight() -> None:
    messages = list(small_city(NOTHING_WRONG, kinds=["queue"]).messages(WEDNESDAY, WEDNESDAY + 3 * DAY))
    days: dict[tuple[str, object, int], set[str]] = defaultdict(set)
    for message, event in desk_events(messages):
        if parse(message.topic).kind == "queue":
            days[message.topic, event.data["ticket"], (event.time + 7 * HOUR) // DAY].add(event.event)
    assert all("taken" in steps for steps in days.values())


def test_people_are_satisfied_but_not_all_of_them_in_all_six_fields() -> None:
    scores: dict[str, list[float]] = defaultdict(list)
    for message, event in desk_events(full_day(WEDNESDAY)):
        if parse(message.topic).kind == "rating":
            scores[event.data["field"]].append(event.data["score"])
    assert {"dat_dai", "xay_dung", "dau_tu", "thue", "hai_quan", "ho_tro_doanh_nghiep"} <= scores.keys()
    everyone = [score for of_field in scores.values() for score in of_field]
    assert 0.96 < float(np.mean(np.array(everyone) >= 4)) < 1.0


def _waits(messages: list[Message]) -> list[float]:
    taken: dict[tuple[str, object], int] = {}
    waits = []
    for message, event in desk_events(messages):
        if event.event == "taken":
            taken[message.topic, event.data["ticket"]] = event.time
        elif event.event == "called":
            waits.append((event.time - taken[message.topic, event.data["ticket"]]) / 60_000)
    return waits


def test_people_wait_longer_on_a_monday_rush() -> None:
    rush = msgspec.structs.replace(load_scenario("monday_rush"), trouble=Trouble())
    busy = list(City(PLACE, {"queue": KINDS["queue"]}, rush, EQUIPMENT, 7, SUNDAY).messages(SUNDAY, SUNDAY + DAY))
    assert float(np.mean(np.array(_waits(full_day(WEDNESDAY))) <= 15)) > 0.9
    assert float(np.percentile(_waits(busy), 90)) > 25


def _by_hour(messages: list[Message], kind: str, quantity: str) -> dict[int, float]:
    values: dict[int, list[float]] = defaultdict(list)
    for time, _, value in readings(messages, kind, quantity):
        values[hour_of(time)].append(value)
    return {hour: float(np.mean(of_hour)) for hour, of_hour in values.items()}


def test_traffic_has_two_rush_hours_and_is_slower_then() -> None:
    flow, speed = (_by_hour(full_day(WEDNESDAY), "traffic", name) for name in ("flow", "speed"))
    assert flow[7] > 1.2 * flow[9]
    assert flow[17] > 1.2 * flow[14]
    assert flow[3] < 0.15 * flow[17]
    assert speed[17] < speed[14] < speed[3]


def test_the_air_has_a_daily_cycle_and_winter_is_dustier_than_summer() -> None:
    day = full_day(WEDNESDAY)
    assert _by_hour(day, "air", "o3")[13] > 2 * _by_hour(day, "air", "o3")[3]
    assert _by_hour(day, "air", "no2")[17] > 1.5 * _by_hour(day, "air", "no2")[2]
    july = full_day(local("2026-07-15T00:00"))
    winter, summer = (np.mean([value for *_, value in readings(of, "air", "pm25")]) for of in (day, july))
    assert 15 < winter < 60
    assert summer < 0.7 * winter


def test_nights_are_quieter() -> None:
    level = _by_hour(full_day(WEDNESDAY), "noise", "laeq")
    assert 45 < level[3] < level[10] - 3 < 70


@cache
def wet_days(name: str) -> list[Message]:
    """A day and a half of what feels the weather."""
    told = msgspec.structs.replace(load_scenario(name), trouble=Trouble())
    kinds = {kind: KINDS[kind] for kind in ("rain", "level", "slope")}
    return list(City(PLACE, kinds, told, EQUIPMENT, 7, WEDNESDAY).messages(WEDNESDAY, WEDNESDAY + 36 * HOUR))


def _mean_over_time(messages: list[Message], kind: str, quantity: str) -> list[float]:
    """Means of each hour since the start, of the devices of Quang Hanh, Cẩm Phả and their neighbours."""
    near = {"06778", "06793", "06781", "06676", "06652"}
    values: dict[int, list[float]] = defaultdict(list)
    for time, topic, value in readings(messages, kind, quantity):
        if parse(topic).unit in near:
            values[(time - WEDNESDAY) // HOUR].append(value)
    return [float(np.mean(values[hour])) for hour in sorted(values)]


def test_in_a_storm_rain_comes_first_then_water_then_the_slopes() -> None:
    rain, level, slope = (
        _mean_over_time(wet_days("storm"), *of)
        for of in (("rain", "rain"), ("level", "level"), ("slope", "displacement"))
    )
    assert max(rain) > 5, "mm in ten minutes"
    assert max(level) > level[0] + 1
    assert int(np.argmax(rain)) < int(np.argmax(level))
    rates = np.diff(slope) * 24
    assert max(rates) > 50, "mm a day: beyond the alarm of domain §3.5"
    assert int(np.argmax(level)) <= int(np.argmax(rates))
    calm = np.diff(_mean_over_time(wet_days("ordinary"), "slope", "displacement")) * 24
    assert abs(float(np.mean(calm))) < 2


def test_water_gauges_speak_every_minute_in_rain_and_every_ten_minutes_when_it_is_dry() -> None:
    gauges = of_kind(wet_days("storm"), "level")
    one = min(message.topic for message in gauges if parse(message.topic).unit == "06760")
    times = [message.time for message in gauges if message.topic == one]
    assert set(np.diff(times).tolist()) == {60_000, 600_000}


def test_it_rains_in_a_year_as_much_as_in_the_province() -> None:
    start = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    weather = Weather(Chance(7), PLACE, load_scenario("ordinary"), start)
    first = start // 600_000
    mm = sum(weather.sky(first + step).rain / 2 for step in range(0, 365 * STEPS, 3))
    assert 1_300 < float(np.mean(mm)) < 2_800


# --- scenarios and equipment as data ---


def test_every_shipped_scenario_loads() -> None:
    assert set(scenario_names()) == {
        "broker_outage", "faults", "ha_long_30_4", "monday_rush", "ordinary", "storm", "unit_renamed",
    }  # fmt: skip
    assert load_scenario("storm").storm is not None


def test_an_unknown_scenario_is_wrong_use_and_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"monday_rush, ordinary, storm, unit_renamed"):
        load_scenario("earthquake")


def test_every_fault_of_a_scenario_is_told_with_its_file_and_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name_vi = "Của tôi"\nwetnes = 1\n[trouble]\nlate_share = "many"\n', encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        load_scenario(str(path))
    assert {(fault.file, fault.place) for fault in caught.value.faults} == {
        (str(path), "name_en"), (str(path), "wetnes"), (str(path), "trouble.late_share"),
    }  # fmt: skip


def test_a_scenario_that_says_something_impossible_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    names = 'name_vi = "Của tôi"\nname_en = "Mine"\n'
    path.write_text(f"{names}wetness = 9\n[trouble]\nlate_share = 1.5\n", encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        load_scenario(str(path))
    assert {"wetness", "trouble.late_share"} <= {fault.place for fault in caught.value.faults}


def test_equipment_in_units_that_the_place_does_not_have_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"stations\.slope\.units"):
        load_equipment(small_place())
