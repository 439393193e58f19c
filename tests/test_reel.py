"""A reel: with which states a replay begins, in what order it makes the beats, and what it says that it lacks."""

import re
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import pytest
from small_world import NOON

from sensors.errors import SettingsError
from streams.checkpoint import ROLL_UP, BeatMark
from streams.reel import Step, Unrecorded, beginning, in_order, unrecorded
from streams.span import parse_moment

HEARD = {0: 9_000, 1: 8_000}
"""Up to which beats the roll-up had heard at 10,000."""


def moments(kept: Mapping[int, list[int]], begin: int = 20_000, heard: Mapping[int, int] = HEARD) -> dict[int, int]:
    return beginning(kept, (0, 1), begin, {10_000: heard}.get).moments  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ({0: [9_000], 1: [8_000], ROLL_UP: [10_000]}, {0: 9_000, 1: 8_000, ROLL_UP: 10_000}),
        ({0: [5_000, 9_500], 1: [8_000], ROLL_UP: [10_000]}, {0: 5_000, 1: 8_000, ROLL_UP: 10_000}),
        ({0: [9_000], 1: [8_000], ROLL_UP: [10_000, 30_000]}, {0: 9_000, 1: 8_000, ROLL_UP: 10_000}),
    ],
    ids=["it had heard of both", "not yet of 0's newest", "its newest comes too late"],
)
def test_each_partition_begins_no_later_than_what_the_roll_up_had_heard_of_it(
    kept: dict[int, list[int]], expected: dict[int, int]
) -> None:
    assert moments(kept) == expected


def test_one_that_was_never_heard_of_begins_with_its_newest_and_one_moment_of_all_is_preferred() -> None:
    assert moments({0: [9_900], 1: [8_000], ROLL_UP: [10_000]}, heard={1: 8_000})[0] == 9_900
    whole = {0: [4_000, 10_000], 1: [4_000], ROLL_UP: [4_000, 10_000]}
    alone = {4_000: {0: 4_000, 1: 4_000}, 10_000: {0: 10_000, 1: 10_000}}
    found = beginning(whole, (0, 1), 20_000, lambda at: alone[at])
    assert found.moments == dict.fromkeys((0, 1, ROLL_UP), 4_000)
    with pytest.raises(SettingsError, match="chưa giữ trạng thái nào"):
        moments({0: [9_500], 1: [8_000], ROLL_UP: [10_000]})


def test_where_nothing_was_kept_by_then_the_earliest_from_is_told_as_one_would_write_it() -> None:
    kept = {0: [NOON - 500], 1: [NOON - 500], ROLL_UP: [NOON + 300]}
    with pytest.raises(SettingsError) as told:
        beginning(kept, (0, 1), NOON, lambda at: {0: at, 1: at})
    found = re.search(r"the earliest is (\S+Z):", str(told.value))
    assert found
    begin = parse_moment("FROM", found[1], "Asia/Ho_Chi_Minh")
    assert begin == NOON + 1_000
    assert beginning(kept, (0, 1), begin, lambda at: {0: at, 1: at}).moments[ROLL_UP] == NOON + 300


def place(now: int, **heard: int) -> BeatMark:
    """A beat of the roll-up that had heard p0=…, p1=… (ms UTC)."""
    return BeatMark(now, 0, 0, 0, {int(name[1:]): now - at for name, at in heard.items()})


def mark(now: int, begins: bool = False) -> BeatMark:
    return BeatMark(now, 0, 0, 0, begins=begins)


def test_a_later_beat_of_which_the_roll_up_had_heard_comes_before_its_own() -> None:
    """1 and the roll-up are one worker's; it began its second beat at 200, and heard on it what 0 said at 250."""
    beats = {
        100: {1: mark(100), ROLL_UP: place(100, p1=100)},
        200: {1: mark(200), ROLL_UP: place(200, p0=250, p1=200)},
        250: {0: mark(250)},
        300: {1: mark(300), ROLL_UP: place(300, p0=250, p1=300)},
    }
    steps = in_order(beats)
    assert [(now, sorted(marks)) for now, marks in steps] == [
        (100, [ROLL_UP, 1]), (250, [0]), (200, [ROLL_UP, 1]), (300, [ROLL_UP, 1]),
    ]  # fmt: skip


def test_another_workers_beat_of_the_same_millisecond_does_not_wait_with_it() -> None:
    beats = {
        100: {1: mark(100), ROLL_UP: place(100)},
        120: {0: mark(120)},
        200: {0: mark(200), 1: mark(200), ROLL_UP: place(200, p0=250)},
        250: {0: mark(250)},
    }
    assert [(now, sorted(marks)) for now, marks in in_order(beats)] == [
        (100, [ROLL_UP, 1]), (120, [0]), (200, [0]), (250, [0]), (200, [ROLL_UP, 1]),
    ]  # fmt: skip


def test_what_was_shown_between_a_workers_last_beat_on_record_and_the_next_ones_first_is_said_to_be_missing() -> None:
    steps = [
        Step(NOON + 100, {0: mark(NOON + 100), 1: mark(NOON + 100)}),
        Step(NOON + 600, {0: mark(NOON + 600)}),
        Step(NOON + 5_000, {0: mark(NOON + 5_000, begins=True)}),
        Step(NOON + 5_200, {1: mark(NOON + 5_200, begins=True)}),
        Step(NOON + 9_000, {0: mark(NOON + 9_000)}),
        Step(NOON + 12_000, {ROLL_UP: mark(NOON + 12_000, begins=True)}),
    ]
    found = unrecorded({0: NOON, 1: NOON, ROLL_UP: NOON + 10_000}, steps)
    assert found == [
        Unrecorded(NOON + 100, NOON + 5_200, (0, 1)), Unrecorded(NOON + 10_000, NOON + 12_000, (ROLL_UP,)),
    ]  # fmt: skip
    vi, en = found[0].told(ZoneInfo("Asia/Ho_Chi_Minh"))
    hour = (NOON // 3_600_000 + 7) % 24
    assert vi.startswith(f"{hour:02d}:00:00–{hour:02d}:00:05: đổi tiến trình xử lý (phân vùng 0, 1)")
    assert en.startswith(f"{hour:02d}:00:00–{hour:02d}:00:05: the worker changed (partition 0, 1)")
    assert "the whole place" in found[1].told(ZoneInfo("UTC"))[1]
