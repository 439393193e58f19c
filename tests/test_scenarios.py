"""Scenarios and equipment as data: those shipped load, and every fault of one's own is told."""

from pathlib import Path

import pytest
from small_world import place as small_place

from sensors.errors import DefinitionError, SettingsError
from simulators.fault import Fault
from simulators.grade import of_faults
from simulators.injection import Injected
from simulators.toml_scenarios import load_city, load_equipment, load_scenario, scenario_names


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


STORM = """hours = 1
peak_mm_h = 9
from_lon = 107
to_lon = 107
"""


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ('[[crowds]]\nunits = ["06673", "99999"]\n', {"crowds[1].units[2]"}),
        ('[[faults]]\nrecipe = "drop"\nkind = "trafic"\n', {"faults[1].kind"}),
        ('[[faults]]\nrecipe = "drop"\nunit = "99999"\n', {"faults[1].unit"}),
        ('[[faults]]\nrecipe = "frozen"\nkind = "queue"\n', {"faults[1].kind"}),
        ('[[faults]]\nrecipe = "rename"\nunit = "06661"\nto_unit = "abc"\n', {"faults[1].to_unit"}),
        ('[[faults]]\nrecipe = "drop"\nsource = "nope"\n', {"faults[1]"}),
        (f"[storm]\n{STORM}after_h = 1\nradius_km = inf\nfrom_lat = 900\nto_lat = nan\n",
         {"storm.radius_km", "storm.from_lat", "storm.to_lat"}),
        (f"[storm]\n{STORM}after_h = inf\nevery_h = nan\nradius_km = 9\nfrom_lat = 21\nto_lat = 21\n",
         {"storm.after_h", "storm.every_h"}),
    ],
)  # fmt: skip
def test_what_the_city_does_not_have_cannot_be_in_a_scenario(tmp_path: Path, text: str, places: set[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'name_vi = "Của tôi"\nname_en = "Mine"\n{text}', encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        load_city(str(path), 7, 1_795_500_000_000, None, False)
    assert {(fault.file, fault.place) for fault in caught.value.faults} == {(str(path), place) for place in places}
    assert all(fault.expected.startswith("expected ") for fault in caught.value.faults)


@pytest.mark.parametrize(("asked", "hit", "is_finding"), [(7, 7, False), (7, 6, True), (0, 3, False), (0, 0, True)])
def test_a_recipe_that_hit_less_than_it_asked_for_is_a_finding(asked: int, hit: int, is_finding: bool) -> None:
    graded = of_faults([Fault(recipe="drop", messages=asked)], [Injected(1, "drop", hit, 1)])
    assert graded.is_finding == is_finding
    assert graded.first.startswith("faults[1] drop: ") == is_finding


def test_equipment_in_units_that_the_place_does_not_have_is_refused() -> None:
    with pytest.raises(DefinitionError, match=r"stations\.slope\.units"):
        load_equipment(small_place())
