"""How full a disk is, that a journal keeps room back, and that a full disk kills nobody."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_center.process_log import ProcessLog
from control_center.process_supervisor import Child, Supervisor
from sensors.batch import Batch
from sensors.disk_room import DiskGauge, limits_of, room_of
from sensors.errors import SettingsError, Unavailable
from sensors.room import FULL_BYTES, LOW_BYTES, LOW_BYTES_MOST, Limits, Room, level_of
from sensors.sqlite_journal import SqliteJournal

MB, GB = 2**20, 2**30
NOW = 1_790_000_000_000


# How full


@pytest.mark.parametrize(
    ("free", "total", "level"),
    [
        (300 * MB, 8 * GB, "enough"),
        (199 * MB, 8 * GB, "low"),          # 200 MB on a small disk …
        (1_900 * MB, 90 * GB, "enough"),
        (1_800 * MB, 90 * GB, "low"),       # … 2 % of a larger one …
        (2_100 * MB, 4_000 * GB, "enough"),
        (2_000 * MB, 4_000 * GB, "low"),    # … and no more than 2 GB of the largest
        (49 * MB, 8 * GB, "full"),
        (0, 8 * GB, "full"),
    ],
)  # fmt: skip
def test_a_disk_is_nearly_full_by_its_size_and_full_before_its_last_byte(free: int, total: int, level: str) -> None:
    assert level_of(Room(free, total), Limits()) == level


def test_a_disk_that_was_full_stays_full_until_there_is_half_as_much_again() -> None:
    limits = Limits(full=10 * MB, low=30 * MB)
    assert level_of(Room(14 * MB, GB), limits, "full") == "full"
    assert level_of(Room(15 * MB, GB), limits, "full") == "low"
    assert level_of(Room(14 * MB, GB), limits, "low") == "low"


@given(st.integers(0, 100 * GB), st.integers(0, 10 * GB), st.integers(1, 10_000 * GB))
def test_more_room_never_makes_a_disk_fuller(free: int, more: int, total: int) -> None:
    order = ["full", "low", "enough"]
    limits = Limits()
    assert order.index(level_of(Room(free + more, total), limits)) >= order.index(level_of(Room(free, total), limits))
    assert FULL_BYTES <= limits.low_of(Room(free, total)) <= LOW_BYTES_MOST
    assert limits.low_of(Room(free, total)) >= LOW_BYTES


def test_limits_come_from_the_environment_and_wrong_ones_are_refused_by_name() -> None:
    assert limits_of({}) == Limits()
    assert limits_of({"IOC_DISK_FULL_MB": "8", "IOC_DISK_LOW_MB": "16"}) == Limits(8 * MB, 16 * MB)
    with pytest.raises(SettingsError, match="IOC_DISK_FULL_MB=much"):
        limits_of({"IOC_DISK_FULL_MB": "much"})
    with pytest.raises(SettingsError, match="IOC_DISK_LOW_MB=8"):
        limits_of({"IOC_DISK_FULL_MB": "9", "IOC_DISK_LOW_MB": "8"})


def test_the_room_of_a_folder_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    assert 0 < room_of(tmp_path).free <= room_of(tmp_path).total
    with pytest.raises(Unavailable):
        room_of(tmp_path / "gone")


# The journal keeps room back


def test_a_journal_takes_nothing_while_the_disk_is_full_and_goes_on_without_a_gap(tmp_path: Path) -> None:
    async def story() -> None:
        total = room_of(tmp_path).total
        full = DiskGauge(tmp_path, Limits(full=total, low=total))
        journal = SqliteJournal.open(tmp_path / "journal.sqlite", 1, gauge=full)
        batch = Batch(0, 0, NOW, "bridge", 0, ["ioc/06658/rain/a"], [b"[]"], [NOW], [])
        with pytest.raises(Unavailable, match="đĩa đầy"):
            await journal.append([batch])
        assert await journal.ends() == {0: 0}
        full.limits = Limits(full=0, low=0)
        await journal.append([batch])
        assert await journal.ends() == {0: 1}
        await journal.close()

    asyncio.run(story())


# A full disk kills nobody


LOGS = """
import sys, structlog
from control_center.forgiving_stream import ForgivingStream
stream = ForgivingStream(sys.stderr) if sys.argv[1] == "forgiving" else sys.stderr
structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=stream))
for number in range(1_000):
    structlog.get_logger().warning("the disk is full", number=number)
print("alive")
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(("stream", "said"), [("plain", ""), ("forgiving", "alive\n")])
def test_a_process_outlives_that_it_cannot_log_only_by_a_forgiving_stream(stream: str, said: str) -> None:
    """/dev/full answers every write with "no space left on device"."""
    with Path("/dev/full").open("wb", buffering=0) as full:
        command = [sys.executable, "-c", LOGS, stream]
        ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True, timeout=60, check=False)
    assert ended.stdout == said


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_log_counts_what_it_could_not_write_and_says_so_when_it_can_again(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.symlink_to("/dev/full")
    log = ProcessLog(path)
    log.write(b"lost\n")
    log.write(b"lost too\n")
    path.unlink()
    log.write(b"kept\n")
    assert path.read_text() == "… 14 bytes of this log could not be written\nkept\n"


def test_a_log_is_bounded(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "engine.log", bytes_max=1_000)
    for number in range(1_000):
        log.write(b"line %d\n" % number)
    kept = "".join(path.read_text() for path in (tmp_path / "engine.log.1", tmp_path / "engine.log") if path.exists())
    assert 1_000 <= len(kept) <= 2_100
    assert kept.endswith("line 999\n")


def test_a_child_that_the_supervisor_ends_comes_back_once_what_it_needs_is_ready(tmp_path: Path) -> None:
    async def story() -> None:
        gate = asyncio.Event()
        gate.set()

        async def ready() -> None:
            await gate.wait()

        says = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
        supervisor = Supervisor([Child("broker", says, tmp_path / "broker.log", ready)])
        running = asyncio.create_task(supervisor.run())
        async with asyncio.timeout(20):
            while supervisor.pid("broker") is None:
                await asyncio.sleep(0)
            gate.clear()
            first = supervisor.pid("broker")
            await supervisor.end("broker")
            assert supervisor.pid("broker") is None
            while not supervisor.restarts["broker"]:
                await asyncio.sleep(0)
            assert supervisor.pid("broker") is None
            gate.set()
            while supervisor.pid("broker") is None:
                await asyncio.sleep(0)
        assert supervisor.pid("broker") != first
        supervisor.stop()
        await asyncio.wait_for(running, 10)

    asyncio.run(story())
