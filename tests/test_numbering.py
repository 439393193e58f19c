"""Sources that number their messages: sent = numbered + unreadable + missing, and the gaps by source."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.numbering import GAPS_LISTED, Gap, Numbering
from streams.pane import EMPTY

NOW = 1_790_000_000_000


class World:
    """Two sources; `tell` takes (source, number) or (source, number, seconds), by default one second a number."""

    def __init__(self) -> None:
        self.numbering = Numbering()
        self.numbering.columns.reserve(2)

    def tell(self, *messages: tuple[int, ...]) -> None:
        rows = [(source, number, *(rest or [number])) for source, number, *rest in messages]
        source, number, second = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
        self.numbering.count(source, number, NOW + second * 1_000)

    def sums(self) -> tuple[int, int, int]:
        return self.numbering.totals()

    def gaps(self, source: int = 0) -> list[tuple[int, int]]:
        return [(gap.first, gap.last) for gap in self.numbering.gaps.get(source, [])]


def test_numbers_that_follow_each_other_are_all_there() -> None:
    world = World()
    world.tell((0, 5), (1, 0), (0, 6), (1, 1))
    world.tell((0, 7))
    assert (world.sums(), world.gaps()) == ((5, 0, 0), [])


def test_a_skipped_number_is_missing_with_its_place_and_times() -> None:
    world = World()
    world.tell((0, 0), (0, 1), (0, 4))
    assert world.sums() == (3, 0, 2)
    assert world.numbering.gaps[0] == [Gap(2, 3, NOW + 1_000, NOW + 4_000)]


def test_what_arrives_late_after_all_fills_its_gap() -> None:
    world = World()
    world.tell((0, 0), (0, 4))
    world.tell((0, 2))
    assert (world.sums(), world.gaps()) == ((3, 0, 2), [(1, 1), (3, 3)])
    world.tell((0, 3), (0, 1))
    assert (world.sums(), world.gaps()) == ((5, 0, 0), [])


def test_a_message_told_again_changes_nothing() -> None:
    world = World()
    world.tell((0, 0), (0, 1), (0, 1), (0, 0), (0, 2), (0, 2))
    assert world.sums() == (3, 0, 0)


def test_a_message_whose_number_cannot_be_read_is_not_missing() -> None:
    world = World()
    world.tell((0, 0), (0, 2))
    world.numbering.cannot_read(np.array([0, 1]))
    assert world.sums() == (2, 1, 0), "source 1 does not number its messages"


def test_numbers_that_begin_again_open_another_numbering_and_lose_nothing_of_the_old() -> None:
    world = World()
    world.tell((0, 100), (0, 102))
    world.tell((0, 0, 200), (0, 1, 201), (0, 3, 203))
    assert (world.sums(), world.gaps()) == ((5, 0, 2), [(101, 101), (2, 2)])
    assert world.numbering.of(0) == (3, 5, 0, 1)
    world.tell((0, 101, 101))
    assert (world.sums(), world.gaps()) == ((6, 0, 1), [(2, 2)])


def test_a_straggler_of_the_old_numbering_opens_no_gap_in_the_new_one() -> None:
    world = World()
    world.tell((0, 5_000), (0, 5_001), (0, 0, 6_000), (0, 1, 6_001))
    world.tell((0, 5_001))
    assert (world.sums(), world.gaps()) == ((4, 0, 0), [])


def test_only_so_many_gaps_are_listed_and_all_are_counted() -> None:
    world = World()
    world.tell(*((0, number) for number in range(0, 400, 2)))
    assert world.sums() == (200, 0, 199)
    assert len(world.gaps()) == GAPS_LISTED


@given(
    st.sets(st.integers(0, 60)), st.permutations(range(61)), st.lists(st.integers(0, 60), max_size=20),
    st.lists(st.integers(1, 9), max_size=30),
)  # fmt: skip
def test_in_any_order_cut_in_any_way_what_is_missing_is_what_never_came(
    lost: set[int], order: list[int], again: list[int], cuts: list[int]
) -> None:
    """The first number comes first: before it, nobody knows of others."""
    sent = [number for number in [0, *order, *again] if number not in lost or number == 0]
    world, rest = World(), [(0, number) for number in sent]
    for cut in [*cuts, len(rest)]:
        if rest[:cut]:
            world.tell(*rest[:cut])
        rest = rest[cut:]
    arrived = set(sent)
    assert world.sums() == (len(arrived), 0, max(arrived) + 1 - len(arrived))
    listed = {number for first, last in world.gaps() for number in range(first, last + 1)}
    assert listed == set(range(max(arrived))) - arrived


@given(
    st.lists(
        st.tuples(
            st.integers(0, 1), st.integers(0, 8) | st.just(2_000_000), st.one_of(st.none(), st.integers(0, 30))
        ),
        max_size=30,
    ),
    st.lists(st.integers(1, 9), max_size=30),
)  # fmt: skip
def test_how_beats_cut_the_same_messages_changes_no_number(
    said: list[tuple[int, int, int | None]], cuts: list[int]
) -> None:
    """Whatever the numbers, the clock (None: no time) and the order."""
    told = []
    for parts in ([1] * len(said), [len(said)], cuts):
        world, rest = World(), said
        for cut in [*parts, len(said)]:
            source, number, time = (
                np.array([EMPTY if one is None else one for one in column], dtype=np.int64)
                for column in (zip(*rest[:cut], strict=True) if rest[:cut] else ((), (), ()))
            )
            world.numbering.count(source, number, time)
            rest = rest[cut:]
        told.append((world.sums(), world.numbering.gaps, world.numbering.columns.of(np.arange(2)).tolist()))
    assert told[0] == told[1] == told[2]


def test_a_clock_that_is_set_back_after_the_first_message_makes_nothing_missing_that_came() -> None:
    world = World()
    world.tell((0, 0, 100), (0, 1, 60), (0, 3, 70), (0, 4, 120))
    assert (world.sums(), world.gaps()) == ((4, 0, 1), [(2, 2)])


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 30)), max_size=60), st.integers(0, 60))
def test_a_numbering_packed_and_restored_goes_on_as_before(told: list[tuple[int, int]], cut: int) -> None:
    straight, broken = World(), World()
    for part in (told[:cut], told[cut:]):
        if part:
            straight.tell(*part)
            broken.tell(*part)
        both = np.arange(2)
        table, gaps = broken.numbering.columns.of(both), broken.numbering.gaps_of(both)
        broken = World()
        broken.numbering.put(both, table, gaps)
    assert (broken.sums(), broken.gaps(0), broken.gaps(1)) == (straight.sums(), straight.gaps(0), straight.gaps(1))


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 1), st.integers(0, 12), st.integers(0, 30)), max_size=8)
        | st.lists(st.integers(0, 1), min_size=1, max_size=3), max_size=12,
    )
)  # fmt: skip
def test_the_totals_kept_while_counting_are_those_of_all_sources_added_up(
    beats: list[list[tuple[int, int, int]] | list[int]],
) -> None:
    """A list of numbers in a beat are sources whose message could not be read."""
    world = World()
    for beat in beats:
        if beat and isinstance(beat[0], int):
            world.numbering.cannot_read(np.array(beat))
        elif beat:
            world.tell(*beat)
        numbered = unreadable = 0
        for source in range(2):
            newest, counted, lost, _ = world.numbering.of(source)
            numbered, unreadable = numbered + counted, unreadable + (lost if newest is not None else 0)
        assert world.sums() == (numbered, unreadable, int(world.numbering.missing().sum()))


def test_a_rejected_message_counts_by_its_number_though_it_has_no_time() -> None:
    world = World()
    world.tell((0, 0))
    world.numbering.count(np.array([0]), np.array([1]), np.array([EMPTY]))
    world.tell((0, 2))
    assert world.sums() == (3, 0, 0)
