"""Definitions as data: the city's folder over the shipped one, and every fault of every file in one answer."""

from pathlib import Path

import msgspec
import pytest

from sensors.definition import convert
from sensors.errors import DefinitionError, Fault, SettingsError
from sensors.kind import Kind
from sensors.toml_definitions import load
from streams.alert import Example, Rule
from streams.definition import check_kpis, check_rules
from streams.kpi import Goal, Kpi
from streams.toml_catalogue import FOLDERS, check, load_all

SHIPPED = load_all()
KPI = SHIPPED.kpis["traffic_speed"]
RULE = Rule(
    id="jam",
    name_vi="Ùn tắc",
    name_en="Traffic jam",
    headline_vi="Tốc độ {value} tại {unit}",
    headline_en="Speed {value} in {unit}",
    severity="warning",
    owner="so-xay-dung",
    cause_vi="Xe đông",
    cause_en="Too many vehicles",
    consequence_vi="Chậm chuyến",
    consequence_en="Late trips",
    response_vi="Phân luồng",
    response_en="Divert",
    respond_s=600,
    kpi="traffic_speed",
    below=10.0,
    clear=15.0,
)


class Lamp(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    id: str
    watts: float
    colour: str = "white"


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, text in files.items():
        (folder / f"{stem}.toml").write_text(text, encoding="utf-8")
    return folder


def places(faults: list[Fault]) -> list[tuple[str, str]]:
    return [(Path(fault.file).name, fault.place) for fault in faults]


def test_the_stem_is_the_id(tmp_path: Path) -> None:
    assert load(Lamp, [write(tmp_path, hall="watts = 40")]) == {"hall": Lamp("hall", 40.0)}


def test_the_citys_file_overrides_adds_and_switches_off(tmp_path: Path) -> None:
    shipped = write(tmp_path / "a", hall="watts = 40\ncolour = 'red'", door="watts = 5", yard="watts = 9")
    own = write(tmp_path / "b", hall="watts = 60", door="off = true", gate="off = false\nwatts = 7")
    lamps = load(Lamp, [shipped, own])
    assert {lamp.id: (lamp.watts, lamp.colour) for lamp in lamps.values()} == {
        "gate": (7.0, "white"),
        "hall": (60.0, "white"),
        "yard": (9.0, "white"),
    }


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert load(Lamp, [tmp_path / "none"]) == {}


def test_every_fault_of_every_file_is_told_with_its_place(tmp_path: Path) -> None:
    write(
        tmp_path,
        broken="watts = 1\ncolour = = 3",
        wrong="watts = 'many'\ncolour = 3\nheight = 2",
        named="id = 'x'\nwatts = 1",
        empty="",
        switch="off = 1\nwatts = 2",
        ghost="off = true",
    )
    (tmp_path / "Big.toml").write_text("watts = 1", encoding="utf-8")
    (tmp_path / "latin.toml").write_bytes(b"watts = 1 # \xe0")
    with pytest.raises(DefinitionError) as error:
        load(Lamp, [tmp_path])
    assert sorted(places(error.value.faults)) == [
        ("Big.toml", ""),
        ("broken.toml", "line 2, column 10"),
        ("empty.toml", "watts"),
        ("ghost.toml", "off"),
        ("latin.toml", "byte 13"),
        ("named.toml", "id"),
        ("switch.toml", "off"),
        ("wrong.toml", "colour"),
        ("wrong.toml", "height"),
        ("wrong.toml", "watts"),
    ]


def test_faults_reach_down_into_nested_records_lists_and_tables() -> None:
    raw = {
        "id": "x",
        "name_vi": 1,
        "format": "xml",
        "quantities": {"a": {"ucum": 5, "low": "x", "accepts": {"b": "c"}}, "d": 7},
        "events": {"e": {"type": "t", "name_vi": "", "name_en": "", "requires": ["ok", 3]}},
    }
    kind, problems = convert(raw, Kind)
    assert kind is None
    assert {problem.place for problem in problems} == {
        *("name_vi", "name_en", "format", "cadence_s", "lateness_s", "settle_s", "department"),
        *("quantities.a.ucum", "quantities.a.low", "quantities.a.accepts.b", "quantities.a.name_vi"),
        *("quantities.a.name_en", "quantities.a.high", "quantities.d", "events.e.requires[2]"),
    }
    assert "expected one of senml, cloudevents, got 'xml'" in {problem.expected for problem in problems}


def test_items_of_lists_count_from_one() -> None:
    assert [problem.place for problem in convert({"series": [[0, 1.5], [1, "x"]]}, Example)[1]] == ["series[2][2]"]


def test_the_shipped_definitions_are_sound_and_enough() -> None:
    assert len(SHIPPED.kpis) >= 20
    measures = {kpi.measure for kpi in SHIPPED.kpis.values()}
    assert measures >= {"count", "sum", "mean", "last", "change", "rate", "share", "p50", "p90", "vn_aqi"}
    six = {"dat_dai", "xay_dung", "dau_tu", "thue", "hai_quan", "ho_tro_doanh_nghiep"}
    assert {kpi.field for kpi in SHIPPED.kpis.values() if kpi.field} == six


def test_one_answer_has_the_faults_of_place_kinds_kpis_and_alerts(tmp_path: Path) -> None:
    write(tmp_path / "kinds", air="name_vi = 3", traffic="\nname_vi =")
    write(tmp_path / "kpis", vn_aqi="measure = 'median'")
    write(tmp_path / "alerts", mine="severity = 'loud'")
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "fields.csv").write_text("id,name_vi\nx,y\n", encoding="utf-8")
    with pytest.raises(DefinitionError) as error:
        load_all(tmp_path)
    found = set(places(error.value.faults))
    assert found >= {
        ("fields.csv", "line 2.name_en"),
        ("air.toml", "name_vi"),
        ("traffic.toml", "line 2"),
        ("vn_aqi.toml", "measure"),
        ("mine.toml", "severity"),
    }
    assert ("air_pm25.toml", "kind") not in found, "the kind is there, only faulty"


def test_a_kind_that_is_switched_off_is_missed_by_its_kpis_in_their_own_files(tmp_path: Path) -> None:
    write(tmp_path / "kinds", noise="off = true")
    with pytest.raises(DefinitionError) as error:
        load_all(tmp_path)
    missed = next(fault for fault in error.value.faults if fault.file.endswith("noise_leq.toml"))
    assert Path(missed.file).is_file()
    assert missed.place == "kind"


def test_a_mistyped_overlay_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"--definitions .*nowhere: không phải thư mục / no such folder"):
        load_all(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("entry", "unread"),
    [("streams/kpis/q.toml", "streams"), ("kpi/q.toml", "kpi"), ("q.toml", "q.toml"), ("walls", "walls"),
     (".git/config", None), ("place/README.txt", None)],
)  # fmt: skip
def test_what_nobody_reads_in_the_citys_folder_is_told(tmp_path: Path, entry: str, unread: str | None) -> None:
    (tmp_path / entry).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / entry).write_text("x = 1\n", encoding="utf-8")
    faults = check(tmp_path)
    assert [fault.file for fault in faults] == ([] if unread is None else [str(tmp_path / unread)])
    assert all(folder in fault.expected for fault in faults for folder in FOLDERS)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"kind": "trafic"}, "kind"),
        ({"quantity": "sped"}, "quantity"),
        ({"field": "thue"}, "field"),
        ({"department": "so-giao-thong"}, "department"),
        ({"window_s": 310}, "window_s"),
        ({"every_s": 90, "window_s": 900}, "every_s"),
        ({"every_s": 420, "window_s": 420}, "every_s"),
        ({"pane_s": 0}, "window_s"),
        ({"window_s": 86_400 * 2}, "pane_s"),
        ({"short_vi": "Tốc độ của giao thông"}, "short_vi"),
        ({"short_en": ""}, "short_en"),
        ({"at_most": 3.0}, "at_most"),
        ({"measure": "share", "ucum": "%"}, "at_most"),
        ({"measure": "share", "ucum": "%", "at_most": 1.0, "at_least": 2.0}, "at_most"),
        ({"measure": "share", "at_most": 1.0}, "ucum"),
        ({"measure": "rate"}, "ucum"),
        ({"factor": 0.0}, "factor"),
        ({"ucum": "m/s"}, "ucum"),
        ({"decimals": 9}, "decimals"),
        ({"fresh_s": 0}, "fresh_s"),
        ({"goal": Goal()}, "goal"),
        ({"goal": Goal(at_most=3.0)}, "goal"),
        ({"goal": Goal(at_least=3.0, target="T99")}, "goal.target"),
    ],
)
def test_a_kpi_that_cannot_work_is_told_with_its_place(change: dict[str, object], place: str) -> None:
    kpi = msgspec.structs.replace(KPI, **change)
    faults = check_kpis({kpi.id: kpi}, SHIPPED.kinds, SHIPPED.place)
    assert places(faults) == [("traffic_speed.toml", place)]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"quantity": "pm25"}, "quantity"),
        ({"kind": "noise"}, "kind"),
        ({"window_s": 7200}, "window_s"),
        ({"across": ""}, "across"),
        ({"factor": 2.0}, "factor"),
        ({"ucum": "ug/m3"}, "ucum"),
    ],
)
def test_vn_aqi_is_a_stations_hourly_index_of_six_pollutants(change: dict[str, object], place: str) -> None:
    kpi: Kpi = msgspec.structs.replace(SHIPPED.kpis["vn_aqi"], **change)
    assert places(check_kpis({kpi.id: kpi}, SHIPPED.kinds, SHIPPED.place)) == [("vn_aqi.toml", place)]


def test_quantiles_need_a_quantity_that_is_never_negative() -> None:
    kpi = msgspec.structs.replace(SHIPPED.kpis["water_level"], measure="p90")
    assert places(check_kpis({kpi.id: kpi}, SHIPPED.kinds, SHIPPED.place)) == [("water_level.toml", "measure")]


def test_a_complete_rule_has_no_fault() -> None:
    assert check_rules({"jam": RULE}, SHIPPED.kpis, SHIPPED.kinds, SHIPPED.place) == []


SILENCE: dict[str, object] = {"kpi": "", "below": None, "clear": None, "silent": "traffic", "silent_s": 900}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"owner": ""}, "owner"),
        ({"owner": "so-giao-thong"}, "owner"),
        ({"consequence_vi": " "}, "consequence_vi"),
        ({"response_en": ""}, "response_en"),
        ({"respond_s": 0}, "respond_s"),
        ({"kpi": ""}, "kpi"),
        ({"silent": "traffic"}, "kpi"),
        ({"kpi": "trafic_speed"}, "kpi"),
        ({"above": 90.0, "clear": 15.0}, "above"),
        ({"below": None, "clear": None, "above": None}, "above"),
        ({"below": float("nan"), "clear": None}, "above"),
        ({"clear": None}, "clear"),
        ({"clear": 9.0}, "clear"),
        ({"below": None, "above": 10.0}, "clear"),
        ({"silent_s": 5}, "silent_s"),
        ({"hold_s": -1.0}, "hold_s"),
        ({"n_min": 0}, "n_min"),
        ({"headline_vi": "{value.real}"}, "headline_vi"),
        ({"headline_en": "{oops"}, "headline_en"),
        (SILENCE | {"silent": "trafic"}, "silent"),
        (SILENCE | {"silent_s": 60}, "silent_s"),
        (SILENCE | {"above": 3.0}, "above"),
        ({"examples": [Example([])]}, "examples[1].series"),
        ({"examples": [Example([(5, 1.0), (0, 2.0)])]}, "examples[1].series"),
    ],
)
def test_a_rule_that_cannot_be_answered_is_refused(change: dict[str, object], place: str) -> None:
    rule = msgspec.structs.replace(RULE, **change)
    faults = check_rules({"jam": rule}, SHIPPED.kpis, SHIPPED.kinds, SHIPPED.place)
    assert ("jam.toml", place) in places(faults)


def test_silence_beyond_the_cadence_can_be_a_rule() -> None:
    rule = msgspec.structs.replace(RULE, **SILENCE)
    assert check_rules({"jam": rule}, SHIPPED.kpis, SHIPPED.kinds, SHIPPED.place) == []
