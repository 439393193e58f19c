"""VN_AQI against the decision's own examples."""

import json
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import vn_aqi

GOLDEN = json.loads(resources.files("streams").joinpath("vn_aqi.json").read_text("utf-8"))["golden"]
NAN = float("nan")


def test_the_nowcast_of_the_decisions_example() -> None:
    assert vn_aqi.nowcast(np.array(GOLDEN["nowcast_newest_first"])) == pytest.approx(20.27, abs=0.005)


@pytest.mark.parametrize(
    ("column", "concentration", "index"),
    [
        ("o3_1h", 136.1, 43),
        ("pm2_5", 20.3, 41),
        ("o3_8h", 89.3, 45),
        ("o3_1h", 114.6, 36),
        ("no2", 130.8, 65),
        ("pm2_5", 55.7, 110),
    ],
)
def test_the_sub_indices_of_the_decisions_examples(column: str, concentration: float, index: int) -> None:
    assert round(float(vn_aqi.interpolate(column, np.array(concentration)))) == index


def test_the_decisions_erratum_is_not_followed() -> None:
    assert float(vn_aqi.sub_index("no2", np.array(118.7))) == pytest.approx(59.35)


def test_a_missing_hour_is_normalised_and_the_literal_form_is_there() -> None:
    hours = np.array([100.0, NAN, *[10.0] * 10])
    assert vn_aqi.nowcast(hours) == pytest.approx(70.0, abs=0.05)
    assert vn_aqi.nowcast(hours, literal=True) == pytest.approx(52.5, abs=0.05)


@pytest.mark.parametrize(
    ("newest", "known"),
    [([1, 1, 1], True), ([NAN, 1, 1], True), ([1, NAN, 1], True), ([1, NAN, NAN], False), ([NAN, NAN, 1], False)],
)
def test_two_of_the_newest_three_hours_must_exist(newest: list[float], known: bool) -> None:
    assert bool(~np.isnan(vn_aqi.nowcast(np.array([*newest, *[1.0] * 9])))) is known


def test_without_dust_there_is_no_index() -> None:
    hours = {name: np.full((1, 12), NAN) for name in vn_aqi.POLLUTANTS}
    hours["no2"] = np.full((1, 12), 100.0)
    assert np.isnan(vn_aqi.hour_aqi(hours)[0][0])
    hours["pm10"] = np.full((1, 12), 10.0)
    aqi, worst = vn_aqi.hour_aqi(hours)
    assert (aqi[0], vn_aqi.POLLUTANTS[worst[0]]) == (50.0, "no2")


@given(st.lists(st.floats(0, 500), min_size=12, max_size=12))
def test_a_nowcast_lies_between_the_least_and_the_most_of_its_hours(hours: list[float]) -> None:
    value = float(vn_aqi.nowcast(np.array(hours)))
    assert min(hours) - 1e-9 <= value <= max(hours) + 1e-9


def test_bands_have_the_decisions_names_and_colours() -> None:
    assert vn_aqi.band(50)[2:] == ("Tốt", "good", "#00E400")
    assert vn_aqi.band(301)[2:] == ("Nguy hại", "hazardous", "#7E0023")
