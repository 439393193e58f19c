"""Fault recipes hit exactly the messages they say, and nothing else changes."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_city import HOUR, KINDS, NOTHING_WRONG, WEDNESDAY, local, small_city, small_equipment
from small_world import place as small_place

from sensors.decoders import senml
from sensors.errors import DefinitionError, MessageRejected
from sensors.topic import parse
from simulators.city import City
from simulators.fault import HOLDS, Fault
from simulators.injection import Injected
from simulators.payload import Message
from simulators.scenario import Scenario
from simulators.toml_scenarios import load_scenario

END = WEDNESDAY + 4 * HOUR
Told = Counter[tuple[str, bytes]]


def with_faults(*faults: dict[str, object]) -> Scenario:
    return msgspec.structs.replace(NOTHING_WRONG, faults=[msgspec.convert(fault, Fault) for fault in faults])


def city_of(*faults: dict[str, object], kinds: tuple[str, ...] = ("traffic",)) -> City:
    return small_city(with_faults(*faults), kinds=kinds)


def told(city: City) -> list[Message]:
    return list(city.messages(WEDNESDAY, END))


def counted(messages: list[Message]) -> Told:
    return Counter((message.topic, message.payload) for message in messages)


def changes(kinds: tuple[str, ...] = ("traffic",), **fault: object) -> tuple[Told, Told, City]:
    """What is no longer said, what is said beside, and the city."""
    city = city_of(fault, kinds=kinds)
    calm, now = counted(told(city_of(kinds=kinds))), counted(told(city))
    return calm - now, now - calm, city


def seconds_late(city: City) -> list[float]:
    """For each message of a device, how long after its time it was sent."""
    return [message.time / 1000 - json.loads(message.payload)[0]["bt"] for message in told(city)]


# --- counts are exact ---


def test_dropped_messages_leave_gaps_in_the_numbering_and_nothing_else() -> None:
    gone, new, city = changes(recipe="drop", sources=3, messages=7, after_s=600, for_s=1200)
    assert (sum(gone.values()), sum(new.values())) == (7, 0)
    assert len({topic for topic, _ in gone}) == 3, "spread evenly over the sources"
    assert city.injected(WEDNESDAY, END) == [Injected(1, "drop", 7, 3)]


def test_doubled_messages_come_again_to_the_byte() -> None:
    gone, new, city = changes(recipe="duplicate", sources=2, messages=5)
    assert not gone
    assert sum(new.values()) == 5
    assert new.keys() <= counted(told(city_of())).keys()
    assert city.injected(WEDNESDAY, END) == [Injected(1, "duplicate", 5, 2)]


@pytest.mark.parametrize(("recipe", "late_s"), [("delay", 360), ("delay_beyond", 1410), ("reorder", 90)])
def test_late_messages_come_as_late_as_the_recipe_says(recipe: str, late_s: int) -> None:
    city = city_of({"recipe": recipe, "sources": 2, "messages": 6, "for_s": 1800})
    late = Counter(round(late) for late in seconds_late(city))
    assert late == {0: len(told(city_of())) - 6, late_s: 6}


def test_a_reordered_message_comes_after_the_next_of_its_source() -> None:
    city = city_of({"recipe": "reorder", "sources": 2, "messages": 6, "for_s": 1800})
    counts: dict[str, list[int]] = {}
    for message in told(city):
        counts.setdefault(message.topic, []).append(json.loads(message.payload)[0]["seq"])
    swaps = sum(one > other for seq in counts.values() for one, other in pairwise(seq))
    assert swaps == 6
    assert all(sorted(seq) == list(range(len(seq))) for seq in counts.values())


@pytest.mark.parametrize(
    ("recipe", "off_s"), [("clock_ahead", 45), ("clock_far_ahead", 619_315_200), ("clock_behind", -385)]
)
def test_a_wrong_clock_tells_a_wrong_time_and_sends_on_time(recipe: str, off_s: int) -> None:
    gone, new, city = changes(recipe=recipe, messages=4)
    times = Counter(round(-late) for late in seconds_late(city))
    assert times[off_s] == 4
    assert times[0] == len(told(city)) - 4
    assert sum(gone.values()) == sum(new.values()) == 4


@pytest.mark.parametrize("recipe", ["spike", "drift", "frozen"])
def test_wrong_values_are_told_by_the_messages_hit_and_no_other(recipe: str) -> None:
    gone, new, _ = changes(recipe=recipe, messages=5, after_s=600, for_s=1200)
    assert sum(gone.values()) == sum(new.values()) == 5
    values = [json.loads(payload)[1]["v"] for _, payload in new]
    was = [json.loads(payload)[1]["v"] for _, payload in gone]
    if recipe == "spike":
        assert set(values) == {180.0}, "nine tenths of 0 to 200 km/h"
    elif recipe == "frozen":
        assert len(set(values)) == 1
    else:
        assert all(value > before for value, before in zip(sorted(values), sorted(was), strict=True))


def test_a_calibrating_device_says_so_in_the_messages_hit() -> None:
    _, new, _ = changes(recipe="calibration", messages=5)
    assert [json.loads(payload)[-1] for _, payload in new] == [{"n": "status", "vs": "calibrating"}] * 5


@pytest.mark.parametrize(("recipe", "reason"), [("malformed", "bad_payload"), ("unknown_measure", "wrong_unit")])
def test_broken_messages_are_rejected_as_a_whole(recipe: str, reason: str) -> None:
    _, new, _ = changes(recipe=recipe, messages=5)
    assert sum(new.values()) == 5
    for topic, payload in new:
        with pytest.raises(MessageRejected) as caught:
            senml.decode(payload, END, KINDS[parse(topic).kind])
        assert caught.value.reason == reason


def test_messages_of_an_unknown_unit_are_said_under_its_code() -> None:
    gone, new, _ = changes(recipe="unknown_unit", messages=5)
    assert {parse(topic).unit for topic, _ in new} == {"99999"}
    assert sorted(payload for _, payload in gone) == sorted(payload for _, payload in new)


def test_sources_that_reconnect_send_their_backlog_at_once_and_in_order() -> None:
    begin, end = WEDNESDAY + 600_000, WEDNESDAY + 1_200_000
    city = city_of({"recipe": "reconnect", "sources": 2, "after_s": 600, "for_s": 600})
    assert counted(told(city)) == counted(told(city_of())), "nothing is lost"
    late = [message for message, by in zip(told(city), seconds_late(city), strict=True) if by > 0.5]
    assert {message.topic for message in late} == {message.topic for message in late[:2]}
    assert all(end <= message.time <= end + 5_000 for message in late)
    numbers = [(message.topic, json.loads(message.payload)[0]["seq"]) for message in late]
    assert sorted(numbers) == sorted(numbers, key=lambda one: one[0])
    assert city.injected(begin, end) == [Injected(1, "reconnect", len(late), 2)]


def test_nothing_gets_through_while_the_broker_is_away_and_all_of_it_after() -> None:
    kinds = tuple(KINDS)
    city = city_of({"recipe": "outage", "after_s": 600, "for_s": 600}, kinds=kinds)
    assert not list(city.messages(WEDNESDAY + 600_000, WEDNESDAY + 1_200_000))
    assert counted(told(city)) == counted(told(city_of(kinds=kinds)))
    backlog = list(city.messages(WEDNESDAY + 1_200_000, WEDNESDAY + 1_205_001))
    assert city.injected(WEDNESDAY, END)[0].messages <= len(backlog)
    assert {parse(message.topic).kind for message in backlog} >= {"traffic", "noise", "queue"}


def test_desks_lose_and_double_messages_too() -> None:
    gone, new, city = changes(("queue", "rating"), recipe="drop", sources=0, messages=9, for_s=7200)
    assert (sum(gone.values()), sum(new.values())) == (9, 0)
    gone, new, city = changes(("queue", "rating"), recipe="delay", sources=0, messages=9, for_s=3600)
    assert not gone + new
    assert city.injected(WEDNESDAY, END)[0].messages == 9


def test_from_midnight_on_a_unit_speaks_under_its_new_code_and_stragglers_under_the_old() -> None:
    fault = {"recipe": "rename", "unit": "06661", "to_unit": "06658", "at_midnight": True, "after_s": 1, "sources": 1,
             "for_s": 86_400, "straggle_s": 3_600}  # fmt: skip
    city = city_of(fault)
    midnight = WEDNESDAY + 24 * HOUR
    before, hour, after = (
        {message.topic for message in city.messages(begin, begin + HOUR)}
        for begin in (midnight - HOUR, midnight, midnight + HOUR)
    )
    old = {topic for topic in before if "/06661/" in topic}
    assert old
    assert not {topic for topic in before if topic.endswith("-06661")}
    assert len({topic for topic in hour if "/06661/" in topic}) == 1, "the straggler"
    assert not {topic for topic in after if "/06661/" in topic}
    renamed = {topic for topic in after if topic.endswith("-06661")}
    assert {topic.replace("/06658/", "/06661/").removesuffix("-06661") for topic in renamed} == old


def test_a_message_is_hit_by_one_recipe_only_and_the_first_has_it() -> None:
    everything = {"kind": "traffic", "sources": 0, "after_s": 600, "for_s": 600}
    city = city_of({"recipe": "drop", **everything, "messages": 10}, {"recipe": "duplicate", **everything})
    drop, duplicate = city.injected(WEDNESDAY, END)
    assert drop.messages == 10
    calm = [message for message in told(city_of()) if WEDNESDAY + 600_000 <= message.time < WEDNESDAY + 1_200_000]
    assert duplicate.messages == len(calm) - 10
    assert len(told(city)) == len(told(city_of())) - 10 + duplicate.messages


def test_chance_has_no_part_in_a_message_that_a_recipe_hits() -> None:
    unlucky = msgspec.structs.replace(
        with_faults({"recipe": "spike", "sources": 0, "messages": 40}),
        trouble=msgspec.structs.replace(NOTHING_WRONG.trouble, malformed_share=1.0),
    )
    readable = 0
    for message in small_city(unlucky, kinds=("traffic",)).messages(WEDNESDAY, END):
        readable += b"180.0" in message.payload and message.payload.endswith(b'"v":180.0}]')
    assert readable == 40


def test_more_messages_than_there_are_cannot_be_hit_and_the_city_says_how_many_were() -> None:
    gone, _, city = changes(recipe="drop", messages=1_000, for_s=600)
    assert city.injected(WEDNESDAY, END) == [Injected(1, "drop", 10, 1)]
    assert sum(gone.values()) == 10


recipes = st.lists(
    st.fixed_dictionaries(
        {
            "recipe": st.sampled_from([name for name in msgspec.json.schema(Fault)["$defs"]["Fault"]["properties"]
                                       ["recipe"]["enum"] if name != "rename"]),
            "sources": st.integers(0, 6), "messages": st.integers(0, 30), "after_s": st.integers(0, 7_200),
            "for_s": st.integers(1, 5_400),
        }
    ), max_size=4,
)  # fmt: skip


@pytest.mark.long
@settings(max_examples=25, deadline=None)
@given(recipes, st.tuples(st.integers(0, 4 * HOUR), st.integers(0, 4 * HOUR)).map(sorted), st.integers(0, 2**40))
def test_faults_do_not_hang_on_how_an_interval_is_cut(
    faults: list[dict[str, object]], cut: list[int], seed: int
) -> None:
    scenario = with_faults(*faults)
    one, other = (small_city(scenario, seed) for _ in "ab")
    begin, end = (WEDNESDAY + at for at in cut)
    whole = [message for message in one.messages(WEDNESDAY, WEDNESDAY + 4 * HOUR) if begin <= message.time < end]
    assert list(other.messages(begin, end)) == whole
    assert one.injected(WEDNESDAY, END) == other.injected(WEDNESDAY, END)


# --- recipes as data ---


def test_the_scenario_of_all_faults_has_every_recipe_that_other_scenarios_do_not_have() -> None:
    scenarios = [load_scenario(name) for name in ("faults", "broker_outage", "unit_renamed")]
    named = {fault.recipe for scenario in scenarios for fault in scenario.faults}
    schema = msgspec.json.schema(Fault)["$defs"]["Fault"]["properties"]["recipe"]["enum"]
    assert named == set(schema)
    assert set(HOLDS) <= named


def test_every_fault_of_a_recipe_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    names = 'name_vi = "Của tôi"\nname_en = "Mine"\n'
    path.write_text(
        f'{names}[[faults]]\nrecipe = "rename"\nunit = "06661"\n[[faults]]\nrecipe = "clock_ahead"\nby_s = 300\n'
        '[[faults]]\nrecipe = "drop"\nstraggle_s = 5\n', encoding="utf-8",
    )  # fmt: skip
    with pytest.raises(DefinitionError) as caught:
        load_scenario(str(path))
    assert {fault.place for fault in caught.value.faults} == {
        "faults[1].to_unit", "faults[2].by_s", "faults[3].straggle_s",
    }  # fmt: skip
    path.write_text(f'{names}[[faults]]\nrecipe = "explode"\n', encoding="utf-8")
    with pytest.raises(DefinitionError, match=r"faults\[1\].recipe: expected one of drop"):
        load_scenario(str(path))


def test_on_the_30th_of_april_the_bay_is_crowded_and_the_rest_is_not() -> None:
    evening = local("2026-04-30T18:00")
    crowded = load_scenario("ha_long_30_4")
    quiet = msgspec.structs.replace(crowded, crowds=[])

    def speed(scenario: Scenario, unit: str) -> float:
        city = City(small_place(), {"traffic": KINDS["traffic"]}, scenario, small_equipment(), 7, evening)
        packs = [json.loads(one.payload) for one in city.messages(evening, evening + HOUR) if f"/{unit}/" in one.topic]
        return float(sum(pack[1]["v"] for pack in packs) / len(packs))

    assert speed(crowded, "06673") < 0.7 * speed(quiet, "06673"), "Bãi Cháy"
    assert speed(crowded, "06658") == speed(quiet, "06658"), "Cao Xanh"


def test_desks_on_duty_serve_on_a_free_day() -> None:
    kinds = {"queue": KINDS["queue"]}
    city = City(small_place(), kinds, load_scenario("ha_long_30_4"), small_equipment(), 7, WEDNESDAY)
    units = {parse(message.topic).unit for message in city.messages(WEDNESDAY, WEDNESDAY + 24 * HOUR)}
    assert units == {"06673", "06661"}
