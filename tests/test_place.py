"""Quảng Ninh as dated data, and what a place's folder is refused for."""

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import pytest

from sensors.csv_place import MAP_FILE, SHIPPED_PLACE, gather_place, load_place, shipped_place
from sensors.errors import DefinitionError

PLACE = shipped_place()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED_PLACE, tmp_path / "place"))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_there_are_54_communes_under_13_former_districts() -> None:
    kinds = [unit.kind_vi for unit in PLACE.units.values()]
    assert (kinds.count("Phường"), kinds.count("Xã"), kinds.count("Đặc khu")) == (30, 22, 2)
    assert len(PLACE.districts) == 13
    assert {unit.district for unit in PLACE.units.values()} == set(PLACE.districts)
    assert sum(unit.population for unit in PLACE.units.values()) == 1_485_860


def test_communes_begin_the_day_after_districts_end() -> None:
    assert {unit.valid_from for unit in PLACE.units.values()} == {date(2025, 7, 1)}
    assert {district.valid_to for district in PLACE.districts.values()} == {date(2025, 6, 30)}


def test_the_province_becomes_a_city_at_midnight_of_the_first_of_september_2026() -> None:
    assert PLACE.title_on(date(2026, 8, 31)).name_vi == "Tỉnh Quảng Ninh"
    assert PLACE.title_on(date(2026, 9, 1)).name_vi == "Thành phố Quảng Ninh"
    assert PLACE.scope_name("22", date(2026, 9, 1)) == "Thành phố Quảng Ninh"
    assert PLACE.scope_name("06652", date(2026, 9, 1)) == "Phường Hà Tu"
    assert PLACE.scope_name("193", date(2026, 9, 1)) == "Thành phố Hạ Long"


def test_the_resolution_has_25_targets_and_16_fields_are_shipped() -> None:
    assert list(PLACE.targets) == [f"T{number:02}" for number in range(1, 26)]
    assert PLACE.targets["T01"].value is None
    assert (PLACE.targets["T09"].comparator, PLACE.targets["T09"].value) == (">", 99)
    assert len(PLACE.fields) == 16


def test_every_row_says_its_source() -> None:
    tables = (PLACE.units, PLACE.districts, PLACE.departments, PLACE.fields, PLACE.targets)
    assert all(row.source for table in tables for row in table.values())
    assert all(title.source for title in PLACE.titles)
    assert all(day.source for day in PLACE.holidays)


def test_merged_departments_end_the_day_before_their_successors_begin() -> None:
    ended = {department.valid_to for department in PLACE.departments.values()} - {None}
    begun = {department.valid_from for department in PLACE.departments.values()} - {None}
    assert [day + timedelta(days=1) for day in ended if day] == list(begun)


@pytest.mark.parametrize("year", [2025, 2026, 2027])
def test_every_year_has_the_eleven_days_of_the_labour_code(year: int) -> None:
    named = [(day.name_vi, day.day) for day in PLACE.holidays if day.day.year == year]
    own = {"Tết Dương lịch": 1, "Tết Nguyên đán": 5, "Giỗ Tổ Hùng Vương": 1, "Ngày Chiến thắng": 1}
    own |= {"Ngày Quốc tế lao động": 1, "Quốc khánh": 2}
    assert {name: sum(name == other for other, _ in named) for name in own} == own
    assert ("Quốc khánh", date(year, 9, 2)) in named


def test_a_holiday_on_a_weekend_is_made_good_and_a_swapped_day_is_worked() -> None:
    assert not PLACE.is_working_day(date(2026, 4, 27)), "in lieu of Sunday 26 April, the Hùng Kings' day"
    assert not PLACE.is_working_day(date(2025, 5, 2))
    assert PLACE.is_working_day(date(2025, 4, 26)), "a Saturday worked in exchange"
    assert PLACE.is_working_day(date(2026, 11, 23))
    assert not PLACE.is_working_day(date(2026, 11, 22))


def test_every_worked_weekend_day_is_a_saturday_or_sunday_and_every_exchange_frees_a_weekday() -> None:
    for day in PLACE.holidays:
        if day.is_working:
            assert day.day.weekday() >= 5
        elif day.name_vi.startswith(("Nghỉ hoán đổi", "Nghỉ bù")):
            assert day.day.weekday() < 5


def test_the_map_draws_every_commune() -> None:
    drawn = json.loads((SHIPPED_PLACE / MAP_FILE).read_text(encoding="utf-8"))
    assert {unit["code"] for unit in drawn["units"]} == set(PLACE.units)


def test_a_citys_own_table_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "fields.csv").write_text("id,name_vi,name_en,source\nbien,Biển,Sea,ours\n", encoding="utf-8")
    assert list(load_place(SHIPPED_PLACE, tmp_path).fields) == ["bien"]
    assert len(load_place(SHIPPED_PLACE, tmp_path).units) == 54


def test_all_faults_of_all_files_are_told_at_once(folder: Path) -> None:
    edit(folder / "units.csv", "29643", "many")
    edit(folder / "districts.csv", "2025-06-30", "2025-06-31")
    edit(folder / "place.toml", 'code = "22"', "code = 22")
    edit(folder / "fields.csv", "dat_dai,Đất đai", "dat_dai,")
    edit(folder / "holidays.csv", "2025-01-27", "2025-01-01")
    (folder / "targets.csv").unlink()
    with pytest.raises(DefinitionError) as error:
        load_place(folder)
    assert {(Path(fault.file).name, fault.place) for fault in error.value.faults} == {
        ("units.csv", "line 2.population"),
        ("districts.csv", "line 2.valid_to"),
        ("place.toml", "code"),
        ("fields.csv", "line 2.name_vi"),
        ("holidays.csv", "line 3.day"),
        ("targets.csv", ""),
    }


@pytest.mark.parametrize(
    ("file", "old", "new", "place"),
    [
        ("units.csv", "06652,", "6652,", "6652.code"),
        ("units.csv", "Phường,193", "Phường,999", "06652.district"),
        ("units.csv", "20.9627", "209.627", "06652.lat"),
        ("districts.csv", "193,", "1930,", "1930.code"),
        ("departments.csv", "2025-03-01,,", "2025-03-01,2025-02-01,", "so-noi-vu.valid_to"),
        ("place.toml", "Asia/Ho_Chi_Minh", "Asia/Quang_Ninh", "zone"),
        ("place.toml", "valid_from = 2026-09-01", "valid_from = 2026-09-02", "titles[2].valid_from"),
        ("place.toml", '"11:30"', '"14:30"', "opening_hours"),
    ],
)
def test_rows_must_agree_with_each_other(folder: Path, file: str, old: str, new: str, place: str) -> None:
    edit(folder / file, old, new)
    gathered = gather_place(folder)
    assert gathered.place is None
    assert (str(folder / file), place) in {(fault.file, fault.place) for fault in gathered.faults}
