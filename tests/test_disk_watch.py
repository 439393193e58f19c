"""Faults of the centre itself: when a disk is full, what is told of it, to whom, and that a full disk kills nobody."""

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mqtt_brokers import start_nats
from servers import HOST
from small_world import catalogue

from control_center.process_log import ProcessLog
from control_center.process_supervisor import Child, Supervisor
from sensors.batch import Batch, encode
from sensors.disk_room import DiskGauge, limits_of, room_of
from sensors.errors import SettingsError, Unavailable
from sensors.journal import Record
from sensors.mqtt_probe import DEAF_MS, EVERY_MS, MqttProbe
from sensors.room import FULL_BYTES, LOW_BYTES, LOW_BYTES_MOST, Limits, Room, level_of
from sensors.sqlite_journal import SqliteJournal
from streams.beat_engine import Engine
from streams.checkpoint import Checkpoint
from streams.disk_watch import (
    BRIDGE_SILENT_MS,
    OVERTAKEN_MS,
    SLOW_MS,
    FaultWatch,
    bridge_source,
    disk_source,
    journal_source,
    overtaken_source,
    waits_source,
)
from streams.fault import AGAIN_MS, STALE_MS, WAITS_MS, WARNINGS, WORDS, Seen, What, changes, fold, standing
from streams.faust_worker import ClusterWorker
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore

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
        assert (await journal.ends(), journal.newest()) == ({0: 0}, None)
        full.limits = Limits(full=0, low=0)
        await journal.append([batch])
        assert (await journal.ends(), journal.newest()) == ({0: 1}, NOW)
        await journal.close()

    asyncio.run(story())


# What is told


def test_a_fault_keeps_its_beginning_is_said_again_while_it_lasts_and_deleted_when_it_is_over() -> None:
    first = fold({}, {"disk_full": Seen("còn 0 MB", "0 MB left", "why")}, NOW)
    assert json.loads(changes({}, first)["f:disk_full"] or b"") == {
        "what": "disk_full", "since": NOW, "at": NOW, "detail": "why",
        "vi": "Đĩa đầy: ngừng xác nhận – còn 0 MB", "en": "Disk full: acknowledging stopped – 0 MB left",
    }  # fmt: skip
    same = fold(first, {"disk_full": Seen("còn 0 MB", "0 MB left", "why")}, NOW + AGAIN_MS - 1)
    assert changes(first, same) == {}
    again = fold(same, {"disk_full": Seen("còn 0 MB", "0 MB left", "why")}, NOW + AGAIN_MS)
    assert (again["disk_full"].since, again["disk_full"].at) == (NOW, NOW + AGAIN_MS)
    assert list(changes(same, again)) == ["f:disk_full"]
    moved = fold(again, {"disk_full": Seen("còn 1 MB", "1 MB left", "why")}, NOW + AGAIN_MS + 1)
    assert (moved["disk_full"].since, moved["disk_full"].vi[-8:]) == (NOW, "còn 1 MB")
    assert changes(moved, fold(moved, {}, NOW + 9_000)) == {"f:disk_full": None}


def test_the_gravest_stands_first_and_what_was_said_long_ago_is_not_believed() -> None:
    told = fold({}, {"disk_low": Seen(), "bridge_silent": Seen(), "disk_full": Seen()}, NOW)
    values = [value for value in changes({}, told).values() if value is not None]
    assert [fault.what for fault in standing(values, NOW + STALE_MS)] == ["disk_full", "bridge_silent", "disk_low"]
    assert standing(values, NOW + STALE_MS + 1) == []


def test_the_pages_tell_the_same_faults_in_the_same_order() -> None:
    script = Path(__file__).parent.parent / "control_center" / "static" / "fault_strip.js"
    order = script.read_text().partition("const ORDER = [")[2].partition("]")[0]
    assert re.findall(r'"(\w+)"', order) == list(WORDS) == list(get_args(What))


# What sees it


def test_a_wait_is_told_after_three_seconds_also_while_the_call_still_hangs() -> None:
    waits: dict[What, tuple[int, str]] = {"checkpoint_waits": (NOW, "locked")}
    look = waits_source(waits)
    assert look(NOW + WAITS_MS - 1) == {}
    assert look(NOW + WAITS_MS) == {"checkpoint_waits": Seen(detail="locked")}
    del waits["checkpoint_waits"]
    assert look(NOW + WAITS_MS) == {}


def test_a_bridge_is_silent_when_not_even_its_heartbeat_reaches_the_journal() -> None:
    newest = NOW - 60_000
    look = bridge_source(lambda: newest, started=NOW)
    assert look(NOW + BRIDGE_SILENT_MS) == {}, "a centre that has just started gives it its time"
    assert look(NOW + BRIDGE_SILENT_MS + 1) == {"bridge_silent": Seen()}
    newest = NOW + BRIDGE_SILENT_MS
    assert look(NOW + BRIDGE_SILENT_MS + 1) == {}


def test_a_worker_of_the_cluster_listens_for_the_bridge_where_it_reads_the_first_partition(tmp_path: Path) -> None:
    async def story() -> None:
        store, now = SqlStore(f"sqlite:///{tmp_path / 'history.sqlite'}"), NOW
        store.migrate()
        worker = ClusterWorker(
            catalogue(), store, MemoryLive("epoch"), "127.0.0.1:9", 2, lambda: now, data_folder=str(tmp_path)
        )
        look = bridge_source(worker.heard, started=NOW)
        await worker.engine.own(1)
        now += BRIDGE_SILENT_MS + 1
        assert look(now) == {}, "that is for the worker to say that has the other partition"
        await worker.engine.own(0)
        assert look(now) == {"bridge_silent": Seen()}
        store.close()

    asyncio.run(story())


def test_a_journal_is_slow_when_its_newest_record_is_old_already_when_it_is_first_seen() -> None:
    newest: int | None = NOW - 60_000
    look = journal_source(lambda: newest, started=NOW)
    assert look(NOW) == {}, "what an earlier run left says nothing"
    newest = NOW + 1
    assert look(NOW + SLOW_MS) == {}
    assert look(NOW + 9_000) == {}, "a bridge that is away is not slow"
    newest = NOW + 9_000
    assert look(newest + SLOW_MS) == {"journal_slow": Seen()}
    assert look(newest + 9_000) == {"journal_slow": Seen()}, "until a record is young again"
    newest = NOW + 20_000
    assert look(newest + 1_000) == {}


def test_bridges_that_were_overtaken_are_told_for_five_minutes_by_their_own_time() -> None:
    overtaken: dict[str, int] = {}
    look = overtaken_source(overtaken)
    assert look(NOW) == {}
    overtaken |= {"two": NOW, "one": NOW - OVERTAKEN_MS, "long-ago": NOW - OVERTAKEN_MS - 1}
    assert look(NOW) == {"bridge_overtaken": Seen("one, two", "one, two")}
    told = fold({}, look(NOW), NOW)["bridge_overtaken"]
    assert told.vi == "Hai cầu nối cùng phần chia tranh nhau – one, two"
    assert told.en == "Two bridges of one share overtake each other – one, two"
    assert look(NOW + OVERTAKEN_MS + 1) == {}


def test_the_pages_know_the_same_faults_in_the_same_order_and_the_same_as_warnings() -> None:
    script = (Path(__file__).parent.parent / "control_center" / "static" / "fault_strip.js").read_text()
    found = re.findall(r"const (ORDER|WARNINGS) = \[(.*?)\];", script, re.DOTALL)
    listed = {name: re.findall(r'"(\w+)"', names) for name, names in found}
    assert listed == {"ORDER": list(WORDS), "WARNINGS": list(WARNINGS)}
    assert list(WORDS) == list(get_args(What))


def test_a_journal_that_cannot_be_read_is_told_with_its_reason() -> None:
    def newest() -> int:
        raise Unavailable("journal: disk I/O error")

    assert bridge_source(newest, NOW)(NOW) == {"journal_waits": Seen(detail="journal: disk I/O error")}
    assert journal_source(newest, NOW)(NOW) == {}


def test_the_live_store_hears_of_a_full_disk_and_of_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        live, now = MemoryLive("epoch"), NOW
        total = room_of(tmp_path).total
        gauge = DiskGauge(tmp_path, Limits(full=total, low=total))
        watch = FaultWatch(live, lambda: now, disk_source(gauge))
        await watch.look()
        assert set((await live.since("", 0)).changes) == {"f:disk_full"}
        gauge.limits = Limits(full=0, low=total)
        now += 1_000
        await watch.look()
        held = {key: value for key, value in (await live.since("", 0)).changes.items() if value is not None}
        assert set(held) == {"f:disk_low"}
        gauge.limits = Limits(full=0, low=0)
        await watch.look()
        assert not [value for value in (await live.since("", 0)).changes.values() if value is not None]

    asyncio.run(story())


class LostLive(MemoryLive):
    """A live store that can be lost and found again."""

    is_lost = True

    async def publish(self, changes: Mapping[str, bytes | None]) -> int:
        if self.is_lost:
            raise Unavailable("live store: gone")
        return await super().publish(changes)


def test_what_the_live_store_could_not_be_told_it_is_told_at_the_next_look() -> None:
    async def story() -> None:
        live = LostLive("epoch")
        watch = FaultWatch(live, lambda: NOW, lambda _: {"bridge_silent": Seen()})
        await watch.look()
        live.is_lost = False
        await watch.look()
        assert set((await live.since("", 0)).changes) == {"f:bridge_silent"}

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


@pytest.mark.long
def test_a_broker_that_does_not_acknowledge_is_deaf_and_one_that_does_is_not() -> None:
    async def story() -> None:
        broker = start_nats()
        now = NOW
        probe = MqttProbe(HOST, broker.port, lambda: now)
        probe.start()

        async def until_heard() -> None:
            nonlocal now
            async with asyncio.timeout(30):
                while probe.is_deaf(now):
                    await asyncio.sleep(0.05)
                    now += EVERY_MS

        try:
            now = NOW + DEAF_MS + 1
            await until_heard()
            os.kill(broker.process.pid, signal.SIGSTOP)
            now += DEAF_MS + 1
            assert probe.is_deaf(now)
            os.kill(broker.process.pid, signal.SIGCONT)
            await until_heard()
        finally:
            os.kill(broker.process.pid, signal.SIGCONT)
            await asyncio.to_thread(probe.stop)
            broker.remove()

    asyncio.run(story())


def test_an_engine_tells_what_it_waits_for_while_the_database_hangs_and_not_afterwards(tmp_path: Path) -> None:
    """The lock of another connection makes a database slow without any pretending."""

    async def story() -> None:
        store = SqlStore(f"sqlite:///{tmp_path / 'history.sqlite'}")
        store.migrate()
        engine = Engine(catalogue(), store, MemoryLive("epoch"), lambda: NOW, _send_nothing)
        await engine.own(0)
        holder = sqlite3.connect(tmp_path / "history.sqlite", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        beat = asyncio.create_task(engine.beat(NOW, final=True))
        async with asyncio.timeout(20):
            while not engine.waits:
                await asyncio.sleep(0)
            assert waits_source(engine.waits)(NOW + WAITS_MS) == {"checkpoint_waits": Seen()}
            assert not beat.done()
            holder.execute("ROLLBACK")
            await beat
        assert engine.waits == {}
        holder.close()
        store.close()

    asyncio.run(story())


class SlowStore(SqlStore):
    """A database each of whose transactions takes so long by the `clock`, a list of the one time (ms UTC)."""

    takes_ms = 0
    clock: list[int]

    def commit_all(self, checkpoints: Sequence[Checkpoint]) -> set[int]:
        self.clock[0] += self.takes_ms
        return super().commit_all(checkpoints)


async def slow_centre(tmp_path: Path) -> tuple[Engine, SlowStore, list[int]]:
    """An engine that owns partition 0, its database, of which a transaction takes WAITS_MS, and the time."""
    store, clock = SlowStore(f"sqlite:///{tmp_path / 'history.sqlite'}"), [NOW]
    store.clock, store.takes_ms = clock, WAITS_MS
    store.migrate()
    engine = Engine(catalogue(), store, MemoryLive("epoch"), lambda: clock[0], _send_nothing)
    await engine.own(0)
    return engine, store, clock


def test_slow_checkpoints_one_after_the_other_are_one_wait_until_one_is_quick(tmp_path: Path) -> None:
    async def story() -> None:
        engine, store, clock = await slow_centre(tmp_path)
        for _ in range(3):
            await engine.beat(clock[0], final=True)
            assert engine.waits == {"checkpoint_waits": (NOW, "")}
        store.takes_ms = WAITS_MS - 1
        await engine.beat(clock[0], final=True)
        assert engine.waits == {}
        store.close()

    asyncio.run(story())


def test_a_worker_whose_partitions_another_has_taken_over_waits_for_no_checkpoint(tmp_path: Path) -> None:
    async def story() -> None:
        engine, store, clock = await slow_centre(tmp_path)
        await engine.beat(clock[0], final=True)
        assert engine.waits
        engine.disown(0)
        await engine.beat(clock[0])
        assert engine.waits == {}
        store.close()

    asyncio.run(story())


def test_an_engine_hears_that_a_bridge_was_overtaken_also_where_another_of_its_name_speaks_last(
    tmp_path: Path,
) -> None:
    def heartbeat(offset: int, overtaken: int, overtaken_at: int) -> Record:
        batch = Batch(0, 0, NOW, "twin", 0, [], [], [], [], 9, 1, overtaken, overtaken_at)
        return Record(0, offset, encode(batch))

    async def story() -> None:
        store, live = SqlStore(f"sqlite:///{tmp_path / 'history.sqlite'}"), MemoryLive("epoch")
        store.migrate()
        engine = Engine(catalogue(), store, live, lambda: NOW, _send_nothing)
        await engine.observe(heartbeat(0, 0, 0))
        await engine.beat(NOW, final=True)
        assert engine.overtaken == {}
        for record in (heartbeat(1, 2, NOW - 50), heartbeat(2, 1, NOW - 90), heartbeat(3, 0, 0)):
            await engine.observe(record)
        await engine.beat(NOW + 500, final=True)
        assert engine.overtaken == {"twin": NOW - 50}
        await engine.observe(heartbeat(4, 1, NOW - 90))
        await engine.beat(NOW + 1_000, final=True)
        assert engine.overtaken == {"twin": NOW - 50}
        told = (await live.since("", 0)).changes["b:twin"]
        assert json.loads(told or b"") == {
            "pending": 0, "arrived": 9, "repeated": 1, "overtaken": 1, "overtaken_at": NOW - 90, "at": NOW,
        }  # fmt: skip
        store.close()

    asyncio.run(story())


async def _send_nothing(_: Report) -> None:
    """There is no roll-up here."""
