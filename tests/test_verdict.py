"""The verdict on readings: too late, told before, or new."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensors.key import key_of
from streams.columns import Columns
from streams.identity import SeenSet
from streams.pane import EMPTY
from streams.verdict import Readings, Verdict, identities, judge, running_maximum

SECOND = 1_000
NOW = 1_790_000_000_000


class World:
    """One kind with 60 s of lateness, two units, two sources, one quantity."""

    def __init__(self) -> None:
        self.newest = np.full(2, EMPTY, np.int64)
        self.streams = Columns(newest=EMPTY, received=0)
        self.streams.reserve(4)
        self.seen = [SeenSet()]

    def judge(self, *rows: tuple[int, int, int]) -> Verdict:
        """`rows` are (unit, source, seconds after NOW); received as observed."""
        unit, source, second = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
        time = NOW + second * SECOND
        zeros = np.zeros(len(rows), np.int64)
        flags = np.zeros(len(rows), bool)
        readings = Readings(
            unit, zeros, source, zeros, time, zeros.astype(float), np.arange(len(rows)), zeros, flags, flags,
            np.maximum.accumulate(time),
        )  # fmt: skip
        source_keys = np.array([key_of(str(index)) for index in range(4)], dtype=np.uint64)
        keys = identities(source_keys, np.array([key_of("q")], dtype=np.uint64), readings)
        verdict = judge(
            readings, source, self.newest, np.full(len(rows), 60 * SECOND), self.streams, keys, zeros, self.seen
        )
        accepted = ~(verdict.duplicate | verdict.late)
        self.seen[0].add(keys[accepted], NOW * 2)
        np.maximum.at(self.newest, unit[accepted], verdict.running[accepted])
        return verdict


def test_a_reading_told_again_is_a_duplicate_in_the_same_beat_and_in_a_later_one() -> None:
    world = World()
    assert world.judge((0, 0, 0), (0, 0, 10), (0, 0, 0)).duplicate.tolist() == [False, False, True]
    assert world.judge((0, 0, 10), (0, 0, 5)).duplicate.tolist() == [True, False]
    assert world.judge((0, 0, 5)).duplicate.tolist() == [True]


def test_the_same_time_from_another_source_is_no_duplicate() -> None:
    assert not World().judge((0, 0, 0), (0, 1, 0)).duplicate.any()


def test_a_reading_is_too_late_when_its_unit_is_past_it_by_more_than_the_lateness() -> None:
    world = World()
    verdict = world.judge((0, 0, 100), (0, 1, 40), (0, 1, 39))
    assert verdict.late.tolist() == [False, False, True]


def test_a_unit_that_is_ahead_makes_nobody_else_late() -> None:
    world = World()
    world.judge((0, 0, 10_000))
    assert not world.judge((1, 1, 0)).late.any()


def test_what_follows_a_long_gap_is_new_and_not_late() -> None:
    world = World()
    world.judge((0, 0, 0))
    assert not world.judge((0, 0, 90_000)).late.any()


@given(st.permutations(list(range(0, 60, 7))), st.lists(st.integers(0, 8), max_size=6))
def test_inside_the_allowance_order_and_repetition_change_nothing(order: list[int], again: list[int]) -> None:
    world = World()
    said = [(0, 0, second) for second in order]
    told = [said[index % len(said)] for index in again]
    verdict = world.judge(*said, *told)
    assert not verdict.late.any()
    assert verdict.duplicate.tolist() == [False] * len(said) + [True] * len(told)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 10**6)), min_size=1, max_size=40))
def test_running_maxima_equal_a_plain_loop(entries: list[tuple[int, int]]) -> None:
    groups, times = (np.array(column, dtype=np.int64) for column in zip(*entries, strict=True))
    through, without = running_maximum(groups, times, np.full(len(times), EMPTY, np.int64), 4)
    best: dict[int, int] = {}
    for index, (group, time) in enumerate(entries):
        assert without[index] == best.get(group, 0)
        best[group] = max(best.get(group, 0), time)
        assert through[index] == best[group]
