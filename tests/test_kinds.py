"""The shipped kinds are what integrators' devices speak; a faulty kind is told apart by what is wrong with it."""

import msgspec
import pytest

from sensors.csv_place import shipped_place
from sensors.definition import check_kinds
from sensors.kind import Event, Kind, Quantity
from sensors.toml_definitions import load_kinds

KINDS = load_kinds()
PLACE = shipped_place()


def test_the_eight_kinds_have_the_quantities_that_others_rely_on() -> None:
    assert {kind.id: set(kind.quantities) for kind in KINDS.values()} == {
        "air": {"pm25", "pm10", "o3", "co", "so2", "no2"},
        "traffic": {"flow", "speed"},
        "rain": {"rain"},
        "level": {"level"},
        "slope": {"displacement"},
        "noise": {"laeq"},
        "queue": {"taken", "wait", "service", "left"},
        "rating": {"score"},
    }


def test_the_shipped_kinds_mean_what_they_say() -> None:
    assert check_kinds(KINDS, PLACE) == []


def test_desks_say_their_events_by_these_types() -> None:
    said = {event.type: event.requires for kind in KINDS.values() for event in kind.events.values()}
    assert said == {
        "vn.ioc.queue.taken": ["ticket"],
        "vn.ioc.queue.called": ["ticket"],
        "vn.ioc.queue.served": ["ticket"],
        "vn.ioc.queue.left": ["ticket"],
        "vn.ioc.rating.given": ["score"],
    }


def test_carbon_monoxide_may_come_in_milligrams_and_speed_in_metres_a_second() -> None:
    assert KINDS["air"].quantities["co"].accepts["mg/m3"] == 1000
    assert KINDS["traffic"].quantities["speed"].accepts["m/s"] == pytest.approx(3.6)


GOOD = Kind(
    id="gate",
    name_vi="Cổng",
    name_en="Gate",
    format="senml",
    cadence_s=60,
    lateness_s=600,
    settle_s=5,
    department="so-xay-dung",
    quantities={"people": Quantity(name_vi="Người", name_en="People", ucum="1", low=0, high=100)},
)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"id": "Gate"}, ""),
        ({"name_vi": ""}, "name_vi"),
        ({"cadence_s": -1}, "cadence_s"),
        ({"lateness_s": 0}, "lateness_s"),
        ({"settle_s": -5}, "settle_s"),
        ({"bytes_max": 0}, "bytes_max"),
        ({"quantities": {}}, "quantities"),
        ({"department": "so-khong-co"}, "department"),
        ({"format": "cloudevents"}, "events"),
        ({"events": {"in": Event(type="x", name_vi="Vào", name_en="In")}}, "events"),
    ],
)
def test_a_kind_that_cannot_work_is_told_with_its_place(change: dict[str, object], place: str) -> None:
    kind = msgspec.structs.replace(GOOD, **change)
    assert [(fault.file, fault.place) for fault in check_kinds({kind.id: kind}, PLACE)] == [
        (f"kinds/{kind.id}.toml", place)
    ]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"low": 100}, "low"),
        ({"high": float("inf")}, "low"),
        ({"low": float("nan")}, "low"),
        ({"ucum": ""}, "ucum"),
        ({"accepts": {"k1": 0.0}}, "accepts.k1"),
        ({"accepts": {"k1": float("nan")}}, "accepts.k1"),
        ({"accepts": {"1": 2.0}}, "accepts.1"),
    ],
)
def test_a_quantity_needs_a_range_a_unit_and_factors_above_zero(change: dict[str, object], place: str) -> None:
    quantity = msgspec.structs.replace(GOOD.quantities["people"], **change)
    kind = msgspec.structs.replace(GOOD, quantities={"people": quantity})
    assert [fault.place for fault in check_kinds({"gate": kind}, PLACE)] == [f"quantities.people.{place}"]


def test_two_events_of_one_type_could_not_be_told_apart() -> None:
    events = {name: Event(type="same", name_vi=name, name_en=name) for name in ("one", "two")}
    kind = msgspec.structs.replace(GOOD, format="cloudevents", events=events)
    assert [fault.place for fault in check_kinds({"gate": kind}, PLACE)] == ["events.two.type"]


def test_without_a_place_departments_are_not_looked_up() -> None:
    assert check_kinds({"gate": msgspec.structs.replace(GOOD, department="so-khong-co")}, None) == []
