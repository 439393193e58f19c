"""Which bridges are missed, and whose records are kept late, by the last records of the journal's partitions."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.batch import Batch
from sensors.errors import Unavailable
from sensors.journal import Record
from sensors.sqlite_journal import SqliteJournal
from streams.bridge import LATE_MS, SILENT_MS, Bridges, Word
from streams.disk_watch import journal_source
from streams.fault import Seen, fold

NOW = 1_790_000_000_000
SECOND = 1_000


def bridges_of(words: Mapping[int, str]) -> Bridges:
    """Bridges whose words were found at NOW, sealed just before, in partitions that had had others."""
    bridges = Bridges(NOW - 60 * SECOND)
    bridges.hear({partition: Word("older", NOW - 60 * SECOND) for partition in words}, NOW - SECOND)
    bridges.hear({partition: Word(name, NOW - 50) for partition, name in words.items()}, NOW)
    return bridges


# Missed


def test_a_bridge_is_missed_once_not_even_its_heartbeat_has_come_for_ten_seconds() -> None:
    bridges = bridges_of({0: "one"})
    assert bridges.missed(NOW + SILENT_MS) == []
    assert bridges.missed(NOW + SILENT_MS + 1) == ["one"]
    bridges.hear({0: Word("one", NOW + SILENT_MS)}, NOW + SILENT_MS + 1)
    assert bridges.missed(NOW + SILENT_MS + 1) == []


def test_of_several_bridges_each_silent_one_is_missed_by_its_name_however_often_the_others_speak() -> None:
    bridges = bridges_of({0: "one", 1: "two", 2: "three", 3: "one", 4: "two", 5: "three"})
    for second in range(1, 13):
        bridges.hear({0: Word("one", NOW + second * SECOND - 10)}, NOW + second * SECOND)
    assert bridges.missed(NOW + 12 * SECOND) == ["three", "two"]
    bridges.hear({4: Word("two", NOW + 12 * SECOND)}, NOW + 12 * SECOND)
    assert bridges.missed(NOW + 12 * SECOND) == ["three"], "a message is a word as well as a heartbeat is"


def test_a_bridge_is_missed_until_others_have_written_in_all_that_was_its_own() -> None:
    """Three bridges become two: 3/3 had partitions 2 and 5, of which one is now 1/2's, and the other 2/2's."""
    bridges = bridges_of({0: "1/3", 1: "2/3", 2: "3/3", 3: "1/3", 4: "2/3", 5: "3/3"})
    now = NOW + 20 * SECOND
    assert bridges.missed(now) == ["1/3", "2/3", "3/3"]
    bridges.hear(dict.fromkeys((0, 2, 4), Word("1/2", now)), now)
    assert bridges.missed(now) == ["1/3", "2/3", "3/3"]
    bridges.hear(dict.fromkeys((1, 3, 5), Word("2/2", now)), now)
    assert bridges.missed(now) == []
    bridges.hear({}, now + SILENT_MS + 1)
    assert bridges.missed(now + SILENT_MS + 1) == ["1/2", "2/2"]


def test_a_place_that_has_just_started_gives_its_bridges_their_time_and_one_that_runs_does_not() -> None:
    asleep = {0: Word("one", NOW - 3_600 * SECOND)}
    fresh, running = Bridges(NOW), Bridges(NOW - 60 * SECOND)
    for bridges in (fresh, running):
        bridges.hear(asleep, NOW)
    assert (fresh.missed(NOW), running.missed(NOW)) == ([], ["one"])
    assert fresh.missed(NOW + SILENT_MS + 1) == ["one"]


def test_silence_is_by_the_lookers_clock_whatever_that_of_a_bridge_says() -> None:
    bridges = bridges_of({0: "one"})
    for second in range(20):
        bridges.hear({0: Word("one", NOW - 3_600 * SECOND + second)}, NOW + second * SECOND)
    assert bridges.missed(NOW + 20 * SECOND) == []


def test_where_nobody_was_ever_heard_nobody_can_be_named() -> None:
    bridges = Bridges(NOW)
    bridges.hear({}, NOW)
    assert not bridges.is_unheard(NOW + SILENT_MS)
    assert bridges.is_unheard(NOW + SILENT_MS + 1)
    assert (bridges.missed(NOW + SILENT_MS + 1), bridges.names) == ([], set())


# Late


def is_late(takes_ms: int, begins_ms: int, every_ms: int = SECOND) -> bool:
    """Whether a record is late that takes so long and is sealed so long after a look, with looks so often."""
    bridges = bridges_of({0: "one"})
    sealed_at, look_at = NOW + begins_ms, NOW
    while look_at < sealed_at + takes_ms:
        look_at += every_ms
        bridges.hear({0: Word("one", sealed_at)} if look_at >= sealed_at + takes_ms else {}, look_at)
    return bridges.late(look_at) == ["one"]


@given(st.integers(0, 9_000), st.integers(0, 999))
def test_what_takes_two_seconds_is_always_late_and_what_takes_less_than_one_never(takes_ms: int, begins: int) -> None:
    late = is_late(takes_ms, begins)
    assert late or takes_ms <= 2 * LATE_MS
    assert not late or takes_ms >= LATE_MS


@given(st.integers(0, LATE_MS - 1), st.integers(0, 29_999), st.sampled_from([2_000, 5_000, 30_000]))
def test_that_looks_are_far_apart_makes_no_record_late(takes_ms: int, begins_ms: int, every_ms: int) -> None:
    assert not is_late(takes_ms, begins_ms % every_ms, every_ms)


def test_a_bridge_is_late_until_a_record_of_its_own_is_quick_and_not_when_it_says_nothing() -> None:
    bridges = bridges_of({0: "slow", 1: "quick"})
    bridges.hear({0: Word("slow", NOW - 3 * SECOND), 1: Word("quick", NOW + 900)}, NOW + SECOND)
    assert bridges.late(NOW + SECOND) == ["slow"]
    bridges.hear({1: Word("quick", NOW + 1_900)}, NOW + 2 * SECOND)
    assert bridges.late(NOW + 2 * SECOND) == ["slow"], "another's are no news of it"
    assert bridges.late(NOW + SECOND + SILENT_MS + 1) == [], "then it is missed"
    bridges.hear({0: Word("slow", NOW + 2_900)}, NOW + 3 * SECOND)
    assert bridges.late(NOW + 3 * SECOND) == []


def test_what_was_sealed_before_the_start_is_late_for_nobody() -> None:
    bridges = Bridges(NOW)
    bridges.hear({}, NOW)
    bridges.hear({0: Word("one", NOW - 3 * SECOND), 1: Word("two", NOW + 1)}, NOW + 5 * SECOND)
    assert bridges.late(NOW + 5 * SECOND) == []
    bridges.hear({1: Word("two", NOW + 2)}, NOW + 6 * SECOND)
    assert bridges.late(NOW + 6 * SECOND) == ["two"]


# Told


def heartbeat(partition: int, bridge: str, sealed_at: int) -> Batch:
    return Batch(partition, 0, sealed_at, bridge, 0, [], [], [])


def test_an_embedded_journal_tells_of_its_bridges_by_name_where_there_are_several(tmp_path: Path) -> None:
    async def story() -> None:
        journal = SqliteJournal.open(tmp_path / "journal.sqlite", 2)
        assert journal.newest() == {}
        look = journal_source(journal.newest, NOW)
        await journal.append([heartbeat(1, "ioc-bridge-1-1", NOW + 1)])
        assert look(NOW + SECOND) == {}
        now = NOW + SECOND + SILENT_MS
        assert look(now + 1) == {"bridge_silent": Seen()}
        await journal.append([heartbeat(number, f"ioc-bridge-{number + 1}-2", NOW + 1) for number in (0, 1)])
        assert look(now + SECOND) == {"journal_slow": Seen(*["ioc-bridge-1-2, ioc-bridge-2-2"] * 2)}
        await journal.append([heartbeat(1, "ioc-bridge-2-2", now + 9 * SECOND)])
        look(now + 9 * SECOND)
        seen = look(now + 2 * SECOND + SILENT_MS)
        assert seen == {"bridge_silent": Seen("ioc-bridge-1-2", "ioc-bridge-1-2")}
        told = fold({}, seen, now)["bridge_silent"]
        assert (told.vi, told.en) == (
            "Cầu nối MQTT im lặng – ioc-bridge-1-2", "MQTT bridge is silent – ioc-bridge-1-2",
        )  # fmt: skip
        await journal.close()

    asyncio.run(story())


def test_a_journal_that_cannot_be_read_is_told_with_its_reason() -> None:
    def newest() -> dict[int, Record]:
        raise Unavailable("journal: disk I/O error")

    assert journal_source(newest, NOW)(NOW) == {"journal_waits": Seen(detail="journal: disk I/O error")}


@pytest.mark.parametrize("partitions", [1, 3])
def test_the_newest_records_of_an_embedded_journal_are_the_last_of_each_partition(
    tmp_path: Path, partitions: int
) -> None:
    async def story() -> None:
        journal = SqliteJournal.open(tmp_path / "journal.sqlite", 3)
        for sealed_at in (NOW, NOW + 1):
            await journal.append([heartbeat(number, "one", sealed_at) for number in range(partitions)])
        lasts = {number: (await journal.read(number, 1))[0] for number in range(partitions)}
        assert journal.newest() == lasts
        await journal.close()

    asyncio.run(story())
