"""A day at the simulated city's desks, beside volumes and opening hours of the province (domain.md §3.6–3.8)."""

from collections import Counter, defaultdict

import msgspec
import numpy as np
import pytest
from city_messages import desk_events, full_day, hour_of
from small_city import DAY, EQUIPMENT, HOUR, KINDS, NOTHING_WRONG, PLACE, WEDNESDAY, local, small_city

from sensors.topic import parse
from simulators.city import City
from simulators.payload import Message
from simulators.scenario import Trouble
from simulators.toml_scenarios import load_scenario

SUNDAY, NATIONAL_DAY = local("2026-11-29T00:00"), local("2026-09-02T00:00")


def desks_only(day: int) -> list[Message]:
    """A day of the whole place's desks in their opening hours."""
    kinds = {kind: KINDS[kind] for kind in ("queue", "rating")}
    return list(City(PLACE, kinds, NOTHING_WRONG, EQUIPMENT, 7, day).messages(day, day + DAY))


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
