"""A disk that is full, or slow: acknowledging stops, everybody is told, and nothing is lost when there is room again.

The data folder of `ioc up` lies on a small tmpfs, and a filler makes that full at will. A disk is slow by strace, which
holds up every sync, or by another connection that holds SQLite's write lock. What a PUBACK was given for is counted
exactly once afterwards.
"""

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from mqtt_brokers import Publisher
from slow_syncs import slow_syncs
from small_disk import MB, Disk, small_disk
from up_process import Centre
from wall_watcher import WallWatcher

pytestmark = pytest.mark.long

SIZE_MB, LOW_MB, FULL_MB = 96, 24, 8
LIMITS = {"IOC_DISK_LOW_MB": str(LOW_MB), "IOC_DISK_FULL_MB": str(FULL_MB)}
UNITS = ["06658", "06661", "06673", "06994", "07069", "06712", "06793", "06838"]
A_SECOND = 200
SYNC_S = 4
STANDS_S = 2.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "data", SIZE_MB) as disk:
        yield disk


@pytest.fixture
def centre(disk: Disk) -> Iterator[Centre]:
    with Centre(disk.folder, "--no-simulate", environment=LIMITS) as made:
        made.ready()
        yield made


class Devices:
    """80 sources that go on publishing whatever happens; every message differs from all others."""

    def __init__(self, port: int, padding: int = 0) -> None:
        # In the past as a whole, so that nothing is in the future, and late for nobody (speed: 900 s).
        self._start = int(time.time()) - 300
        self._padding = "x" * padding
        self._stop = threading.Event()
        self.device = Publisher(port, inflight=200)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.device.close()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            for number in range(self.device.published, self.device.published + A_SECOND // 20):
                source, step = number % 80, number // 80
                record: dict[str, Any] = {"n": "speed", "u": "km/h", "t": self._start + step, "v": 10 + number % 50}
                payload = json.dumps([record | {"seq": step, "note": self._padding}]).encode()
                self.device.publish(f"ioc/{UNITS[source % len(UNITS)]}/traffic/s{source}", payload)

    def end(self) -> int:
        """Stop publishing and wait for every PUBACK; how many there were."""
        self._stop.set()
        self._thread.join()
        self.device.settle(90)
        return self.device.acknowledged


def assert_all_counted(centre: Centre, published: int) -> None:
    ledger = centre.settled(published)
    assert (ledger["accepted"], ledger["readings"], ledger["rejected"], ledger["too_late"]) == (published,) * 2 + (0, 0)
    assert (ledger["difference"], ledger["in_flight"]) == (0, 0)
    assert ledger["received"] == ledger["accepted"] + ledger["duplicate"]


def ends(centre: Centre, child: str) -> int:
    """How often the supervisor said that this child ended."""
    return centre.output.read_text().count(f"child='{child}'")


def stands_still(centre: Centre, devices: Devices) -> None:
    """While 400 more messages are published, not one PUBACK comes."""
    acknowledged, published = devices.device.acknowledged, devices.device.published
    centre.until(lambda: devices.device.published >= published + 400, "devices go on")
    assert devices.device.acknowledged == acknowledged


def test_a_disk_that_is_filled_stops_every_acknowledgement_and_loses_nothing(disk: Disk, centre: Centre) -> None:
    children = [centre.pid("engine"), centre.pid("bridge")]
    with Devices(centre.mqtt_port) as devices:
        centre.until(lambda: devices.device.acknowledged > 400, "messages are acknowledged")
        disk.leave((LOW_MB - 4) * MB)
        centre.until(lambda: centre.reasons() == {"disk_low"}, "nearly full is a warning")
        assert centre.on_the_wall()["disk_low"]["vi"].startswith("Đĩa sắp đầy – còn ")
        disk.leave(0)
        centre.until(lambda: "disk_full" in centre.reasons(), "full is said", 30)
        centre.until(lambda: centre.pid("nats-server") is None, "the broker is stopped", 30)
        stands_still(centre, devices)
        shown = centre.on_the_wall()["disk_full"]
        assert shown["vi"].startswith("Đĩa đầy: ngừng xác nhận – còn 0")
        assert shown["en"].startswith("Disk full: acknowledging stopped – 0")
        centre.until(lambda: "bridge_silent" in centre.reasons(), "not even a heartbeat is journaled", 40)
        disk.make_room()
        centre.until(lambda: not centre.reasons(), "it is ready again", 60)
        assert centre.on_the_wall() == {}
        published = devices.end()
    assert_all_counted(centre, published)
    assert [centre.pid("engine"), centre.pid("bridge")] == children
    assert (ends(centre, "engine"), ends(centre, "bridge")) == (0, 0)
    assert ends(centre, "broker") <= 2, centre.logs()


def test_a_disk_that_fills_by_itself_keeps_room_for_checkpoints_and_the_wall(disk: Disk, centre: Centre) -> None:
    with Devices(centre.mqtt_port, padding=20_000) as devices:
        centre.until(lambda: "disk_full" in centre.reasons(), "messages fill the disk", 90)
        centre.until(lambda: centre.pid("nats-server") is None, "the broker is stopped", 30)
        stands_still(centre, devices)
        assert 0 < disk.free < 1.5 * FULL_MB * MB
        # What had been journaled is worked off and kept: nothing waits for the database.
        centre.until(lambda: (centre.tries("/api/ledger") or {}).get("in_flight") == 0, "nothing is in flight", 40)
        assert "checkpoint_waits" not in centre.reasons()
        disk.grow(6 * SIZE_MB)
        centre.until(lambda: not centre.reasons(), "it is ready again", 60)
        published = devices.end()
    assert_all_counted(centre, published)


def test_engine_and_bridge_are_killed_on_a_full_disk_and_come_back_to_say_why_nothing_moves(
    disk: Disk, centre: Centre
) -> None:
    with Devices(centre.mqtt_port) as devices:
        centre.until(lambda: devices.device.acknowledged > 400, "messages are acknowledged")
        disk.leave(0)
        centre.until(lambda: "disk_full" in centre.reasons(), "full is said", 30)
        centre.kill_child("engine")
        bridge = centre.pid("bridge")
        assert bridge is not None
        os.kill(bridge, signal.SIGKILL)  # the next one waits for a broker to speak to
        centre.until(lambda: "disk_full" in centre.reasons(), "the new engine says so too", 60)
        back = centre.pid("engine")
        stands_still(centre, devices)
        assert centre.pid("engine") == back, f"a crash loop\n{centre.logs()}"
        disk.make_room()
        centre.until(lambda: not centre.reasons(), "it is ready again", 60)
        published = devices.end()
    assert_all_counted(centre, published)
    assert (ends(centre, "engine"), ends(centre, "bridge")) == (1, 1)


def test_a_broker_that_keeps_its_write_error_is_told_of_and_started_afresh(disk: Disk) -> None:
    """Nothing kept back: the broker itself meets the end of the disk, and stays deaf when there is room again."""
    with Centre(disk.folder, "--no-simulate", environment={"IOC_DISK_LOW_MB": "0", "IOC_DISK_FULL_MB": "0"}) as centre:
        centre.ready()
        with Devices(centre.mqtt_port) as devices:
            centre.until(lambda: devices.device.acknowledged > 400, "messages are acknowledged")
            disk.leave(0)
            centre.until(lambda: "broker_deaf" in centre.reasons(), "a broker that does not acknowledge is told of", 60)
            stands_still(centre, devices)
            disk.make_room()
            centre.until(lambda: not centre.reasons(), "it is ready again", 90)
            assert ends(centre, "broker") >= 1, "it did not come back to its senses by itself"
            published = devices.end()
        assert_all_counted(centre, published)
        assert (ends(centre, "engine"), ends(centre, "bridge")) == (0, 0)


def test_a_start_on_a_full_disk_ends_in_words_and_the_next_one_with_room_is_a_start(disk: Disk) -> None:
    disk.leave(0)
    centre = Centre(disk.folder, "--no-simulate", environment=LIMITS)
    centre.start()
    assert centre.process.wait(60) == 1
    assert "đĩa còn 0 MB / cannot be opened now, 0 MB left on its disk" in centre.output.read_text()
    disk.make_room()
    with centre:
        centre.ready()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Somebody else's transaction: every commit of others waits."""
    holder = sqlite3.connect(path, timeout=30, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


def test_a_journal_that_takes_seconds_is_said_and_loses_nothing(centre: Centre) -> None:
    children = [centre.pid(name) for name in ("engine", "bridge", "nats-server")]
    with Devices(centre.mqtt_port) as devices:
        centre.until(lambda: devices.device.acknowledged > 400, "messages are acknowledged")
        with held(centre.data / "journal.sqlite"):
            centre.until(lambda: centre.reasons() == {"bridge_silent"}, "a bridge that cannot journal is told of", 30)
            assert centre.on_the_wall()["bridge_silent"]["vi"] == "Cầu nối MQTT im lặng"
        centre.until(lambda: not centre.reasons(), "it is ready again", 60)
        published = devices.end()
    assert_all_counted(centre, published)
    assert [centre.pid(name) for name in ("engine", "bridge", "nats-server")] == children


def test_a_database_that_takes_seconds_is_said_at_once_and_loses_nothing(centre: Centre) -> None:
    children = [centre.pid(name) for name in ("engine", "bridge", "nats-server")]
    with Devices(centre.mqtt_port) as devices:
        centre.until(lambda: devices.device.acknowledged > 400, "messages are acknowledged")
        with held(centre.data / "history.sqlite"):
            centre.until(lambda: "checkpoint_waits" in centre.reasons(), "checkpoints that wait are told of", 30)
            assert centre.on_the_wall()["checkpoint_waits"]["en"] == "Database takes no checkpoints"
            heard = devices.device.acknowledged
            centre.until(lambda: devices.device.acknowledged > heard + 400, "the journal goes on meanwhile")
        centre.until(lambda: not centre.reasons(), "it is ready again", 60)
        published = devices.end()
    assert_all_counted(centre, published)
    assert [centre.pid(name) for name in ("engine", "bridge", "nats-server")] == children


@pytest.fixture
def plain_centre(tmp_path: Path) -> Iterator[Centre]:
    """On the machine's own disk."""
    with Centre(tmp_path / "data", "--no-simulate") as made:
        made.ready()
        yield made


def syncs(told: Path) -> int:
    """How many were held up to their end."""
    return told.read_text().count("(DELAYED)")


@pytest.mark.parametrize(
    ("names", "faults"),
    [(["bridge"], {"journal_slow"}), (["engine"], {"checkpoint_waits"}),
     (["bridge", "engine"], {"journal_slow", "checkpoint_waits"})],
    ids=["of the bridge", "of the engine", "of both"],
)  # fmt: skip
def test_a_disk_whose_every_sync_takes_seconds_is_said_as_long_as_it_is_slow_and_loses_nothing(
    plain_centre: Centre, tmp_path: Path, names: list[str], faults: set[str]
) -> None:
    centre = plain_centre
    children = [centre.pid(name) for name in ("engine", "bridge", "nats-server")]
    with Devices(centre.mqtt_port) as devices, closing(WallWatcher(centre.port)) as wall:
        centre.until(lambda: devices.device.acknowledged > 400, "messages are acknowledged")
        with slow_syncs(SYNC_S, tmp_path, *[centre.pid(name) for name in names]) as told:
            centre.until(lambda: centre.reasons() == faults, "a slow disk is told of", 30)
            assert set(centre.on_the_wall()) == faults
            before, published, seen, since = syncs(told), devices.device.published, [], time.monotonic()

            def is_seen() -> bool:
                seen.append(centre.reasons())
                return devices.device.published >= published + 2 * SYNC_S * A_SECOND and syncs(told) >= before + 2

            centre.until(is_seen, "the slow disk goes on for more than a sync")
            assert all(one == faults for one in seen), f"told of all the time, not by fits: {seen}"
            if "bridge" not in names:
                stood_s = wall.stood_s(since)
                assert stood_s < STANDS_S, "the wall moves on while each checkpoint takes seconds"
        centre.until(lambda: not centre.reasons(), "it is ready again", 60)
        assert centre.on_the_wall() == {}
        published = devices.end()
    assert_all_counted(centre, published)
    assert [centre.pid(name) for name in ("engine", "bridge", "nats-server")] == children


def test_bridge_and_engine_are_killed_in_the_midst_of_a_slow_sync_and_lose_nothing(
    plain_centre: Centre, tmp_path: Path
) -> None:
    centre = plain_centre
    with Devices(centre.mqtt_port) as devices:
        centre.until(lambda: devices.device.acknowledged > 400, "messages are acknowledged")
        with slow_syncs(SYNC_S, tmp_path, centre.pid("bridge"), centre.pid("engine")) as told:
            centre.until(lambda: syncs(told) >= 2, "syncs are held up one after the other")
            for name in ("bridge", "engine"):
                centre.kill_child(name)
        centre.until(lambda: not centre.reasons(), "it is ready again", 60)
        published = devices.end()
    assert_all_counted(centre, published)
    assert (ends(centre, "engine"), ends(centre, "bridge")) == (1, 1)
