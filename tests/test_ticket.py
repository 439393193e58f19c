"""Queue tickets: what two steps together say, in whatever order they come."""

from itertools import permutations

import pytest

from streams.ticket import Derived, TicketBook

TIMES = {"taken": 0, "called": 90_000, "served": 400_000}


@pytest.mark.parametrize("order", list(permutations(TIMES)))
def test_the_steps_of_a_ticket_in_any_order_give_the_same_readings(order: tuple[str, ...]) -> None:
    book = TicketBook()
    derived = [reading for step in order for reading in book.step("06658/desk", "1/A1", step, TIMES[step], 0, "")]
    assert sorted(derived) == sorted(
        [Derived("taken", 0, 1.0), Derived("wait", 90_000, 90.0), Derived("service", 400_000, 310.0)]
    )


def test_a_step_told_again_says_nothing_new() -> None:
    book = TicketBook()
    book.step("d", "t", "taken", 0, 0, "")
    book.step("d", "t", "called", 60_000, 0, "")
    assert book.step("d", "t", "called", 90_000, 0, "") == []


def test_a_ticket_survives_a_restart_between_its_steps() -> None:
    book = TicketBook()
    book.step("d", "t", "taken", 0, 5, "dat_dai")
    again = TicketBook(book.take_dirty())
    assert again.step("d", "t", "called", 60_000, 9, "") == [Derived("wait", 60_000, 60.0)]


def test_someone_who_leaves_is_counted_once_and_has_no_waiting_time() -> None:
    book = TicketBook()
    book.step("d", "t", "taken", 0, 0, "")
    assert book.step("d", "t", "left", 60_000, 0, "") == [Derived("left", 60_000, 1.0)]


def test_old_tickets_are_forgotten() -> None:
    book = TicketBook()
    book.step("d", "old", "taken", 0, 10, "")
    book.step("d", "new", "taken", 0, 20, "")
    assert book.forget(before=20) == [("d", "old")]
    assert len(book) == 1
