"""Real series through the whole centre, compared with plain NumPy (tests/series_truth.py).

    python benchmarks/real_series.py FOLDER

FOLDER has speed_*.csv (timestamp,value) and air_beijing_2013.csv, which are not part of this project. Each is fed with
`ioc feed` as fast as acknowledged into an `ioc up --no-simulate` of its own data folder; printed: rows, what the ledger
says, windows compared, windows that differ.
"""

import csv
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from series_truth import HOUR, MINUTE, Series, Truth, aqi_of_pm25, differences, means, medians
from up_process import Centre

UNITS = ["06658", "06661", "06673", "06994", "07069"]


def read_stamped(path: Path, zone_hours: int = 0) -> Series:
    with path.open(newline="") as file:
        return [(_ms(datetime.fromisoformat(row["timestamp"]), zone_hours), float(row["value"]))
                for row in csv.DictReader(file)]  # fmt: skip


def read_air(path: Path) -> Series:
    """Beijing 2013, hours of UTC+8; the file has no line for some values ("NA")."""
    found = []
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            moment = datetime(*(int(row[name]) for name in ("year", "month", "day", "hour")))  # type: ignore[misc,arg-type] # noqa: DTZ001
            if row["pm2.5"] not in ("", "NA"):
                found.append((_ms(moment, 8), float(row["pm2.5"])))
    return found


def _ms(moment: datetime, zone_hours: int) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp() - zone_hours * 3600) * 1000


def distinct(series: Series) -> Series:
    """A second reading of the same moment is a duplicate: the first counts."""
    return list(dict(reversed(series)).items())[::-1]


def compare(centre: Centre, table: Table, file: Path, series: Series, kind: str, unit: str, options: list[str]) -> None:
    once = distinct(series)
    before = centre.ask("/api/ledger")
    started = time.monotonic()
    command = [sys.executable, "-m", "control_center.console", "feed", str(file), "--kind", kind, "--unit", unit]
    command += ["--source", "real", *options, "--mqtt", f"mqtt://127.0.0.1:{centre.mqtt_port}"]
    subprocess.run(command, check=True, capture_output=True)
    after = centre.settled(before["accepted"] + len(once))
    took = time.monotonic() - started
    counts = {name: after[name] - before[name] for name in ("accepted", "duplicate", "too_late", "rejected")}
    checks: dict[str, tuple[Truth, float]] = (
        {
            "traffic_speed": (means(once, 5 * MINUTE, 5 * MINUTE), 1e-9),
            "traffic_speed_p50": (medians(once, 15 * MINUTE, 5 * MINUTE), 0.0101),
        }
        if kind == "traffic"
        else {
            "air_pm25": (means(once, HOUR, HOUR), 1e-9),
            "air_pm25_24h": (means(once, 24 * HOUR, HOUR), 1e-9),
            "vn_aqi": (aqi_of_pm25(once), 1e-9),
        }
    )
    for kpi, (truth, tolerance) in checks.items():
        path = f"/api/kpis/{kpi}/history?unit={unit}&to={max(truth)}"
        end = max(truth)
        centre.until(lambda path=path, end=end: any(window["to"] == end for window in centre.ask(path)), kpi)  # type: ignore[misc]
        faults = differences(centre.ask(path), truth, tolerance)
        table.add_row(
            file.name, f"{len(series):,}", f"{took:.1f}", *(f"{count:,}" for count in counts.values()), kpi,
            f"{len(truth):,}", str(len(faults)) + (f": {faults[0]}" if faults else ""),
        )  # fmt: skip


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    columns = ("file", "rows", "s", "accepted", "duplicate", "too late", "rejected", "KPI", "windows", "different")
    table = Table(*columns)
    with tempfile.TemporaryDirectory() as data, Centre(Path(data) / "data", "--no-simulate") as centre:
        centre.ready()
        for unit, file in zip(UNITS, sorted(folder.glob("speed_*.csv")), strict=False):
            options = ["--column", "value=speed", "--zone", "UTC"]
            compare(centre, table, file, read_stamped(file), "traffic", unit, options)
        air = folder / "air_beijing_2013.csv"
        options = ["--column", "pm2.5=pm25", "--zone", "Asia/Shanghai"]
        compare(centre, table, air, read_air(air), "air", UNITS[-1], options)
        Console(width=170).print(table)
        Console(width=170).print(centre.ask("/api/ledger"))


if __name__ == "__main__":
    main()
