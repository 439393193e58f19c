"""Faults of the centre itself: what is told of them, when, and to whom."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from sensors.disk_room import DiskGauge, room_of
from sensors.errors import Unavailable
from sensors.room import Limits
from streams.disk_watch import OVERTAKEN_MS, FaultWatch, disk_source, overtaken_source, waits_source
from streams.fault import (
    AGAIN_MS,
    FORGOTTEN_MS,
    STALE_MS,
    WAITS_MS,
    WARNINGS,
    WORDS,
    Seen,
    What,
    changes,
    fold,
    standing,
)
from streams.memory_live import MemoryLive

NOW = 1_790_000_000_000


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


def test_what_several_tell_in_the_same_words_stands_once_since_the_first_and_in_other_words_beside_it() -> None:
    late = fold({}, {"checkpoint_waits": Seen(detail="no answer"), "bridge_overtaken": Seen("b1", "b1")}, NOW + 2_000)
    early = fold({}, {"checkpoint_waits": Seen(detail="away"), "bridge_overtaken": Seen("b2", "b2")}, NOW)
    values = [value for told in (late, early) for value in changes({}, told).values() if value is not None]
    found = [(fault.what, fault.since, fault.detail, fault.vi[-2:]) for fault in standing(values, NOW + 3_000)]
    assert found[0][:3] == ("checkpoint_waits", NOW, "away")
    assert [(what, words) for what, _, _, words in found[1:]] == [
        ("bridge_overtaken", "b2"),
        ("bridge_overtaken", "b1"),
    ]


def test_the_pages_know_the_same_faults_in_the_same_order_and_the_same_as_warnings() -> None:
    script = (Path(__file__).parent.parent / "control_center" / "static" / "fault_strip.js").read_text()
    found = re.findall(r"const (ORDER|WARNINGS) = \[(.*?)\];", script, re.DOTALL)
    listed = {name: re.findall(r'"(\w+)"', names) for name, names in found}
    assert listed == {"ORDER": list(WORDS), "WARNINGS": list(WARNINGS)}
    assert list(WORDS) == list(get_args(What))


# What sees it


def test_a_wait_is_told_after_three_seconds_also_while_the_call_still_hangs() -> None:
    waits: dict[What, tuple[int, str]] = {"checkpoint_waits": (NOW, "locked")}
    look = waits_source(waits)
    assert look(NOW + WAITS_MS - 1) == {}
    assert look(NOW + WAITS_MS) == {"checkpoint_waits": Seen(detail="locked")}
    del waits["checkpoint_waits"]
    assert look(NOW + WAITS_MS) == {}


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


def test_what_one_worker_sees_no_more_another_still_tells_and_what_a_dead_one_told_the_next_deletes() -> None:
    async def story() -> None:
        live, now = MemoryLive("epoch"), NOW
        waits: dict[str, dict[What, tuple[int, str]]] = {name: {} for name in ("one", "two", "three")}
        watches = {name: FaultWatch(live, lambda: now, waits_source(waits[name]), teller=name) for name in waits}

        async def held() -> set[str]:
            return {key for key, value in (await live.since("", 0)).changes.items() if value is not None}

        for name in ("one", "two"):
            waits[name]["checkpoint_waits"] = NOW - WAITS_MS, "away"
            await watches[name].look()
        assert await held() == {"f:checkpoint_waits@one", "f:checkpoint_waits@two"}
        del waits["one"]["checkpoint_waits"]
        await watches["one"].look()
        assert await held() == {"f:checkpoint_waits@two"}, "the other one waits still"
        now += FORGOTTEN_MS
        await watches["three"].look()
        assert await held() == {"f:checkpoint_waits@two"}, "it may be alive"
        now += 1
        await FaultWatch(live, lambda: now, teller="four").look()
        assert await held() == set()

    asyncio.run(story())
