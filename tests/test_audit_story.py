"""`ioc audit` over a whole simulated day, over a running centre, and over the cluster's journal and database."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from servers import PostgresServer, Server
from told import Message
from up_process import Centre
from whole_processor import WholeProcessor

from sensors import batch as batches
from sensors.kafka_journal import KafkaJournalWriter
from sensors.system_clock import now_ms
from simulators.city import City
from simulators.scenario import Scenario
from simulators.toml_scenarios import load_equipment, load_scenario
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

pytestmark = pytest.mark.long

MINUTE, HOUR = 60_000, 3_600_000
DAY = 24 * HOUR
MIDNIGHT = round(datetime.fromisoformat("2026-11-25T00:00+07:00").timestamp() * 1000)
BEAT = 5 * MINUTE
PARTITIONS = 2


def audit(begin: str, end: str, *options: str) -> tuple[int, dict[str, Any]]:
    """The command as a person runs it: exit code and the report."""
    command = [sys.executable, "-m", "control_center.console", "audit", begin, end, "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, json.loads(done.stdout)


def explained(kpi: str, unit: str, at: str, *options: str) -> dict[str, Any]:
    """`ioc explain` as a person runs it."""
    command = [sys.executable, "-m", "control_center.console", "explain", kpi, unit, at, "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def counts(report: dict[str, Any], outcome: str) -> int:
    return sum(windows.get(outcome, 0) for windows in report["windows"].values())


async def live_through(scenario: Scenario, folder: Path, length: int, database: str = "") -> WholeProcessor:
    """A city's messages from midnight on, through journal, partitions and roll-up; killed once in the middle."""
    definitions = load_all()
    equipment = load_equipment(definitions.place)
    city = City(definitions.place, definitions.kinds, scenario, equipment, 7, MIDNIGHT, 1.0, True)
    processor = WholeProcessor(definitions, folder, MIDNIGHT, PARTITIONS, database)
    await processor.start()
    now, held = MIDNIGHT, list[Message]()
    for message in city.messages(MIDNIGHT, MIDNIGHT + length):
        while message.time >= now + BEAT:
            now += BEAT
            await processor.live(held, now)
            held = []
            if now == MIDNIGHT + length // 2:
                await processor.start()
        held.append(Message(message.topic, message.payload, message.time))
    await processor.live(held, now + BEAT)
    return processor


def test_every_window_of_a_simulated_day_is_equal_and_a_changed_one_is_found(tmp_path: Path) -> None:
    """A storm, with messages that come later than they may, and stations that calibrate."""
    storm = load_scenario("storm")
    trouble = replace(storm.trouble, calibrations_per_day=0.5, late_up_to_s=1_800)
    asyncio.run(live_through(replace(storm, trouble=trouble), tmp_path, DAY))
    whole = ("2026-11-25T00:00", "2026-11-26T00:00", "--data", str(tmp_path))
    code, report = audit(*whole)
    assert (code, report["differences"]) == (0, [])
    assert all(windows.get("equal", 0) > 20 for windows in report["windows"].values())
    assert counts(report, "equal") > 300_000
    assert counts(report, "open") < counts(report, "equal") / 50
    assert 0 < report["readings"] - report["counted"] < report["readings"] / 20
    assert report["unusable"] > 0
    database = sqlite3.connect(tmp_path / "history.sqlite")
    with database:
        place = ("traffic_speed", "22", MIDNIGHT + 9 * HOUR)
        changed = "UPDATE value SET value = value + 0.001 WHERE kpi = ? AND scope = ? AND end = ?"
        assert database.execute(changed, place).rowcount == 1
    database.close()
    code, report = audit(*whole)
    assert (code, counts(report, "different"), counts(report, "missing"), counts(report, "extra")) == (1, 1, 0, 0)
    (found,) = report["differences"]
    assert (found["kpi"], found["scope"], found["end"]) == place
    assert found["told"] == pytest.approx(found["computed"] + 0.001)


def test_a_running_centre_is_audited_while_messages_arrive(tmp_path: Path) -> None:
    """`ioc up` with its city, which first publishes the last three hours."""
    began = now_ms()
    with Centre(tmp_path / "data") as centre:
        centre.ready()
        centre.until(lambda: len(windows_of(centre, began - HOUR)) >= 10, "the backfill is over", 240)
        code, report = audit(str(began - 3 * HOUR), str(now_ms()), "--data", str(tmp_path / "data"))
        assert report["differences"] == []
        assert code == 0
        assert counts(report, "equal") > 20_000
        # Live goes on: what arrived meanwhile is counted, and nothing is lost.
        before = centre.ask("/api/ledger")
        centre.settled(before["accepted"] + 20)


def windows_of(centre: Centre, begin: int) -> list[dict[str, Any]]:
    return list(centre.tries(f"/api/kpis/traffic_speed/history?unit=22&from={begin}") or [])


def test_the_cluster_is_audited_from_kafka_and_postgresql(
    kafka_server: Server, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    """Two hours that were lived through in files, moved record by record into the cluster's servers."""
    url = postgres_server.new_database()
    asyncio.run(lived_in_the_cluster(kafka_server.address, url, tmp_path))
    where = ("--journal", f"kafka://{kafka_server.address}", "--database", url)
    code, report = audit("2026-11-25T00:00", "2026-11-25T02:00", *where)
    assert (code, report["differences"]) == (0, [])
    assert counts(report, "equal") > 10_000
    files = ("--journal", f"sqlite:///{tmp_path / 'journal.sqlite'}", "--database", url)
    for kpi, unit in (("traffic_speed", "22"), ("water_level", "22"), ("air_pm25", "22")):
        of_kafka, of_file = (explained(kpi, unit, "2026-11-25T01:30", *journal) for journal in (where, files))
        assert of_kafka["recomputed"]["matches"]
        assert of_kafka["messages"]
        assert of_kafka == of_file, "Kafka has the same records at the same offsets as the files they came from"
    store = SqlStore(url)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM value WHERE kpi = 'water_level' AND scope = '22' AND n > 0")
    store.close()
    code, report = audit("2026-11-25T00:00", "2026-11-25T02:00", *where)
    assert code == 1
    assert counts(report, "missing") == report["windows"]["water_level"]["missing"] > 50


async def lived_in_the_cluster(kafka: str, database: str, folder: Path) -> None:
    processor = await live_through(load_scenario("ordinary"), folder, 2 * HOUR, database)
    writer = await KafkaJournalWriter.open(kafka, partitions=PARTITIONS)
    for number, end in (await processor.journal.ends()).items():
        await writer.append([batches.decode(record.batch) for record in await processor.journal.read(number, 0, end)])
    await writer.close()
    await processor.close()
