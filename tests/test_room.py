"""A partition takes in as much before a beat as that gets through while nobody notices."""

from hypothesis import given
from hypothesis import strategies as st

from streams.room import LONG_S, ROOM_FIRST, ROOM_LEAST, ROOM_MOST, next_room

COSTS_S = st.floats(1e-6, 2e-3)
"""Of one message."""


def settled(room: int, cost_s: float, waiting: int = ROOM_MOST) -> list[int]:
    """The room after each of 20 beats for which so many messages wait all the time."""
    rooms = []
    for _ in range(20):
        filled = min(room, waiting)
        room = next_room(room, filled, filled * cost_s)
        rooms.append(room)
    return rooms


@given(st.integers(ROOM_LEAST, ROOM_MOST), COSTS_S)
def test_under_a_backlog_no_beat_is_long_once_it_has_settled_but_where_the_least_is_too_much(
    room: int, cost_s: float
) -> None:
    rooms = settled(room, cost_s)
    assert all(ROOM_LEAST <= one <= ROOM_MOST for one in rooms)
    # It tries again to grow, and then one beat is at most twice as long.
    assert all(one * cost_s <= 2 * LONG_S or one == ROOM_LEAST for one in rooms[2:])


@given(st.integers(ROOM_LEAST, ROOM_MOST))
def test_what_is_cheap_soon_has_all_the_room(room: int) -> None:
    assert settled(room, 2e-6)[-1] == ROOM_MOST


@given(st.integers(ROOM_LEAST, ROOM_MOST), st.integers(0, ROOM_FIRST // 4 - 1))
def test_in_quiet_hours_it_is_small_so_that_what_comes_at_once_after_an_outage_finds_it_small(
    room: int, waiting: int
) -> None:
    assert settled(room, 2e-6, waiting)[-1] == ROOM_FIRST


def test_a_beat_that_was_long_for_another_reason_than_messages_does_not_close_the_door() -> None:
    assert next_room(ROOM_FIRST, 3, 5.0) == ROOM_LEAST
    assert next_room(ROOM_LEAST, 3, 0.01) == ROOM_FIRST
