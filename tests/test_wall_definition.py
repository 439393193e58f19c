"""Walls as data: their geometry, their faults, and what a wall follows of the live state."""

import math
from pathlib import Path

import msgspec
import pytest

from control_center.readiness import Progress, Readiness
from control_center.toml_walls import load_walls
from control_center.view import View
from control_center.wall import Panel, Wall, arc_minutes, check_walls, keys_of, layout_of
from sensors.errors import DefinitionError
from streams.kpi import Kpi
from streams.live import Delta
from streams.sync import SyncState
from streams.toml_catalogue import load_all

KPIS: dict[str, Kpi] = load_all().kpis
WALL = Wall("w", "Tường", "Wall", 1370, 6000, [Panel("tile", "vn_aqi"), Panel("alerts"), Panel("map")])


def wall(**changes: object) -> Wall:
    return msgspec.structs.replace(WALL, **changes)


@pytest.mark.parametrize(
    ("height_mm", "distance_mm", "names", "values", "details"),
    [(1370, 6000, 16.2, 37.9, 12.8), (2055, 8000, 18.2, 42.6, 14.4), (1220, 5000, 17.3, 40.4, 13.7)],
)
def test_the_standard_layout_has_the_glyphs_of_the_design(
    height_mm: float, distance_mm: float, names: float, values: float, details: float
) -> None:
    """Two rows of 55 inches at 6 m, three at 8 m, one 98-inch panel at 5 m (display.md)."""
    room = wall(height_mm=height_mm, distance_mm=distance_mm)
    assert layout_of(room) == "standard"
    assert arc_minutes(room, "standard", "name") == pytest.approx(names, abs=0.1)
    assert arc_minutes(room, "standard", "value") == pytest.approx(values, abs=0.1)
    assert arc_minutes(room, "standard", "detail") == pytest.approx(details, abs=0.1)


def test_one_panel_of_55_inches_at_6_metres_gets_the_far_layout() -> None:
    room = wall(height_mm=685, distance_mm=6000)
    assert layout_of(room) == "far"
    assert arc_minutes(room, "far", "name") == pytest.approx(16.5, abs=0.1)
    assert arc_minutes(room, "far", "value") == pytest.approx(38.0, abs=0.1)


def test_an_arc_minute_at_six_metres_is_1_745_mm() -> None:
    """The table of display.md starts from it: capitals of 16 arc-minutes are 27.9 mm high."""
    capital_mm = 6.2 * 0.70 * 1370 / 90
    assert arc_minutes(WALL, "standard", "value") == pytest.approx(capital_mm / 1.7453, rel=1e-4)
    assert math.isclose(6000 * math.radians(1 / 60), 1.7453, rel_tol=1e-4)


def test_a_layout_that_nobody_can_read_is_refused_in_words() -> None:
    for room in (wall(height_mm=400), wall(height_mm=685, layout="standard")):
        (fault,) = check_walls({"w": room}, KPIS)
        assert fault.place == "layout"
        assert "sit within" in fault.expected


def test_every_fault_of_a_wall_is_listed() -> None:
    panels = [Panel("tile", "vn_aqi")] * 13
    panels += [Panel("trend", "no_such"), Panel("map", "vn_aqi"), Panel("alerts", rows=0)]
    places = [fault.place for fault in check_walls({"w": wall(panels=panels)}, KPIS)]
    assert places == ["panels", "panels[14].kpi", "panels[15].kpi", "panels[16]"]
    assert [fault.place for fault in check_walls({"w": wall(distance_mm=0)}, KPIS)] == ["height_mm, distance_mm"]


def test_the_shipped_walls_are_without_fault_and_the_overview_has_twelve_tiles() -> None:
    walls = load_walls(KPIS)
    assert sum(panel.kind == "tile" for panel in walls["overview"].panels) == 12
    assert layout_of(walls["overview"]) == "standard"


def test_a_citys_own_wall_replaces_the_shipped_one_and_its_faults_name_its_file(tmp_path: Path) -> None:
    own = tmp_path / "walls" / "overview.toml"
    own.parent.mkdir()
    head = 'name_vi = "Một"\nname_en = "One"\nheight_mm = 685\ndistance_mm = 3000\n'
    own.write_text(head + 'panels = [{ kind = "tile", kpi = "vn_aqi" }]\n')
    assert len(load_walls(KPIS, tmp_path)["overview"].panels) == 1
    own.write_text(head + 'panels = [{ kind = "tile", kpi = "vn_aqy" }]\n')
    with pytest.raises(DefinitionError) as caught:
        load_walls(KPIS, tmp_path)
    assert caught.value.faults[0].file == str(own)


def alert(severity: str, state: str = "unack_active", raised_at: int = 0) -> bytes:
    return msgspec.json.encode({"severity": severity, "state": state, "raised_at": raised_at})


def test_a_wall_follows_its_own_figures_and_what_every_wall_needs() -> None:
    view = View(keys_of(WALL, "22"))
    keys = ["k:vn_aqi@22", "k:vn_aqi@06652", "k:noise_leq@22", "l:0", "p:0", "b:one", "s:silent", "x:else"]
    view.follow(Delta("e", 1, True, dict.fromkeys(keys, b"{}")))
    assert {key for key, _ in view.state.items()} == {"k:vn_aqi@22", "l:0", "p:0", "b:one", "s:silent"}


def test_alerts_over_the_cap_are_counted_and_the_worst_are_shown() -> None:
    store, view = SyncState("e"), View(frozenset(), alerts_max=2)

    def publish(changes: dict[str, bytes | None]) -> dict[str, bytes | None]:
        before = view.state.sequence
        store.publish(changes)
        view.follow(store.since(view.state.epoch, before))
        return view.state.since("e", before).changes

    publish({"a:1": alert("notice"), "a:2": alert("warning"), "a:3": alert("warning", raised_at=9)})
    assert sorted(key for key, _ in view.state.items()) == ["a:2", "a:3"]
    assert view.more == 1
    changed = publish({"a:4": alert("critical")})
    assert changed == {"a:2": None, "a:4": alert("critical")}
    changed = publish({"a:3": alert("warning", "ack_active", raised_at=9)})
    assert changed == {"a:3": None, "a:2": alert("warning")}
    changed = publish({"a:4": None, "a:2": None})
    assert sorted(key for key, _ in view.state.items()) == ["a:1", "a:3"]
    assert view.more == 0


def test_two_views_that_look_at_different_times_prove_the_same() -> None:
    store, often, seldom = SyncState("e"), View(frozenset(), alerts_max=3), View(frozenset(), alerts_max=3)
    for number in range(40):
        gone = {f"a:{(number * 7) % 10}": None} if number % 3 == 0 else {}
        raised = alert("warning", raised_at=number * 31 % 17)
        store.publish({f"a:{number % 10}": raised, f"l:{number % 2}": b"1", **gone})
        often.follow(store.since(often.state.epoch, often.state.sequence))
    seldom.follow(store.since("", 0))
    assert often.proof() == seldom.proof()
    assert dict(often.state.items()) == dict(seldom.state.items())


def test_a_wall_that_changes_over_between_gateways_misses_no_alert_that_came_and_went_by_the_cap() -> None:
    """One gateway saw an alert come under the cap and go again, the other looked only before and after."""
    store = SyncState("e")
    often, seldom = (View(frozenset(), alerts_max=2, gateway=name) for name in ("often", "seldom"))

    def look(view: View) -> None:
        view.follow(store.since("e" if view.state.epoch else "", view.state.sequence))

    held: dict[str, bytes | None] = {}
    epoch, sequence = "", 0
    beats: list[dict[str, bytes | None]] = [
        {"a:1": alert("critical"), "a:2": alert("critical", raised_at=2), "a:3": alert("notice")},
        {"a:1": None}, {"a:4": alert("critical", raised_at=4)},
    ]  # fmt: skip
    for number, beat in enumerate(beats):
        store.publish(beat)
        look(often)
        if number != 1:
            look(seldom)
        told = (seldom if number == 2 else often).state.since(epoch, sequence)
        held = {} if told.is_full else held
        held = {key: value for key, value in (held | told.changes).items() if value is not None}
        epoch, sequence = told.epoch, told.sequence
    assert held == dict(seldom.state.items())


def test_ready_means_that_offsets_move_while_there_is_lag() -> None:
    readiness = Readiness()
    assert readiness.reasons(0)[0][1] == "no worker has reported yet"
    for second in range(31):
        at = second * 1000
        readiness.observe({"0": Progress(5, 0, at), "1": Progress(second, 7, at), "2": Progress(5, 3, at)}, at)
    (reason,) = readiness.reasons(30_000)
    assert reason[0] == "phân vùng 2 đứng yên 30 giây, còn 3 bản tin chờ"
    assert reason[1] == "partition 2 has stood still for 30 s with 3 messages waiting"


def test_a_partition_whose_worker_is_silent_is_not_ready_whatever_it_said_last() -> None:
    readiness = Readiness(partitions=2)
    readiness.observe({"0": Progress(5, 0, 1_000)}, 60_000)
    assert [words for _, words in readiness.reasons(60_000)] == [
        "only 1/2 partitions have reported", "partition 0 has not reported for 59 s"
    ]  # fmt: skip
    readiness.observe({"0": Progress(5, 0, 2_000), "1": Progress(5, 0, 2_000)}, 61_000)
    readiness.observe({"0": Progress(5, 0, 3_000), "1": Progress(5, 0, 3_000)}, 62_000)
    assert readiness.reasons(62_000) == []
    readiness.observe({"0": Progress(5, 0, 3_000), "1": Progress(5, 0, 9_000)}, 73_000)
    assert [words for _, words in readiness.reasons(73_000)] == ["partition 0 has not reported for 11 s"]
