"""The simulated city: the same seed says the same, however it is asked, and what it says can be read."""

import json
from collections import Counter, defaultdict

import msgspec
import pytest
from city_messages import decode, desk_events, full_day
from hypothesis import given, settings
from hypothesis import strategies as st
from small_city import DAY, HOUR, KINDS, NOTHING_WRONG, WEDNESDAY, local, small_city
from small_world import place as small_place

from sensors.decoders import cloudevents
from sensors.reading import Pack
from sensors.topic import parse
from simulators.scenario import Trouble
from simulators.toml_scenarios import load_scenario, scenario_names


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
