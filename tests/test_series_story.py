"""Recorded series through the whole centre: `ioc feed` → MQTT → … → history, equal to plain NumPy."""

import csv
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from series_truth import HOUR, MINUTE, Series, Truth, aqi_of_pm25, differences, means, medians
from up_process import Centre

pytestmark = pytest.mark.long

START = int(datetime(2015, 9, 1, tzinfo=UTC).timestamp()) * 1000


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Centre]:
    with Centre(tmp_path_factory.mktemp("series") / "data", "--no-simulate") as made:
        made.ready()
        yield made


def write_csv(path: Path, series: Series) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("timestamp", "value"))
        for time, value in series:
            rows.writerow((datetime.fromtimestamp(time / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"), value))


def feed(centre: Centre, file: Path, *options: str) -> str:
    command = [sys.executable, "-m", "control_center.console", "feed", str(file), "--zone", "UTC", *options]
    command += ["--mqtt", f"mqtt://127.0.0.1:{centre.mqtt_port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_equal(centre: Centre, kpi: str, unit: str, truth: Truth, tolerance: float = 1e-9) -> None:
    """Once the history has the last window that must be there, it has all of them, and nothing else."""
    path = f"/api/kpis/{kpi}/history?unit={unit}&to={max(truth)}"
    centre.until(lambda: any(window["to"] == max(truth) for window in centre.ask(path)), f"{kpi} of {unit}")
    assert differences(centre.ask(path), truth, tolerance) == []


def test_a_traffic_series_gives_the_means_and_medians_of_every_window(centre: Centre, tmp_path: Path) -> None:
    """Uneven steps, gaps of hours, a repeated row: as road sensors record."""
    chance = np.random.default_rng(5)
    times = START + np.cumsum(chance.choice([60, 300, 300, 600, 7_200], 1_500, p=[0.2, 0.3, 0.3, 0.19, 0.01])) * 1000
    series = [(int(time), float(value)) for time, value in zip(times, chance.integers(1, 110, 1_500), strict=True)]
    write_csv(tmp_path / "speed.csv", [*series[:700], series[699], *series[700:]])
    before = centre.ask("/api/ledger")
    options = ("--kind", "traffic", "--unit", "06658", "--source", "real-1", "--column", "value=speed")
    feed(centre, tmp_path / "speed.csv", *options)
    after = centre.settled(before["accepted"] + 1_500)
    assert after["duplicate"] - before["duplicate"] == 1
    assert_equal(centre, "traffic_speed", "06658", means(series, 5 * MINUTE, 5 * MINUTE))
    assert_equal(centre, "traffic_speed", "22", means(series, 5 * MINUTE, 5 * MINUTE))
    assert_equal(centre, "traffic_speed_p50", "06658", medians(series, 15 * MINUTE, 5 * MINUTE), 0.0101)


def test_a_season_of_air_gives_hourly_means_days_and_vn_aqi(centre: Centre, tmp_path: Path) -> None:
    """Hourly dust of 100 days with missing hours, a heavy episode included."""
    chance = np.random.default_rng(11)
    hours = 2_400
    level = 40 + 30 * np.sin(np.arange(hours) / 60) + chance.gamma(2, 8, hours)
    level[900:940] += 300
    kept = chance.random(hours) > 0.08
    kept[1_200:1_230] = False
    series = [(START + hour * HOUR, round(float(level[hour]), 1)) for hour in range(hours) if kept[hour]]
    write_csv(tmp_path / "air.csv", series)
    before = centre.ask("/api/ledger")
    options = ("--kind", "air", "--unit", "07069", "--source", "real-air", "--column", "value=pm25")
    feed(centre, tmp_path / "air.csv", *options)
    centre.settled(before["accepted"] + len(series))
    assert_equal(centre, "air_pm25", "07069", means(series, HOUR, HOUR))
    assert_equal(centre, "air_pm25_24h", "07069", means(series, 24 * HOUR, HOUR))
    assert_equal(centre, "vn_aqi", "07069", aqi_of_pm25(series))
    assert centre.ask("/api/ledger")["too_late"] == 0
