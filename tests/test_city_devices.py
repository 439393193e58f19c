"""The simulated city's devices: how many speak how often; rhythms of traffic, air and weather (domain.md §3.6–3.8)."""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from functools import cache

import msgspec
import numpy as np
import pytest
from city_messages import full_day, hour_of, of_kind, readings
from small_city import EQUIPMENT, HOUR, KINDS, NOTHING_WRONG, PLACE, WEDNESDAY, local

from sensors.topic import parse
from simulators.chance import Chance
from simulators.city import City
from simulators.equipment import mean_rate, spread
from simulators.payload import Message
from simulators.scenario import Trouble
from simulators.toml_scenarios import load_scenario
from simulators.weather import STEPS, Weather


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
