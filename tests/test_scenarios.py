"""Scenarios and equipment as data: those shipped load, and every fault of one's own is told."""

from pathlib import Path

import pytest
from small_world import place as small_place

from sensors.errors import DefinitionError, SettingsError
from simulators.toml_scenarios import load_equipment, load_scenario, scenario_names


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
