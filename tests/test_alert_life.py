"""The life of an alert: every story told with the seconds at which things happen."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.errors import CommandRefused
from streams.alert import AlertStep, Command, Example, Rule
from streams.alert_life import TRANSITIONS, UNDEFINED, AlertBook, run_example

S = 1_000


def rule(**changes: object) -> Rule:
    base = Rule(
        "wait_long", "Chờ lâu", "Long wait", "Chờ {value} phút", "{value} min wait", "warning", "so",
        "c", "c", "q", "q", "r", "r", 600, kpi="wait", above=30.0, clear=20.0, hold_s=10, clear_hold_s=5,
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)  # type: ignore[arg-type]


def book(made: Rule | None = None) -> AlertBook:
    made = made or rule()
    return AlertBook({made.id: made}, {}, [])


def play(of: AlertBook, *series: tuple[int, float | None]) -> list[tuple[int, str]]:
    for second, value in series:
        of.observe_value("wait_long", "06658", value, 50, second * S)
    return [(step.at // S, step.op) for step in of.take()[1]]


def acknowledge(of: AlertBook, second: int, alert: str = "wait_long-06658-1") -> None:
    of.apply(Command("c", second * S, "an", "acknowledge", alert), second * S)


def test_it_is_raised_only_when_the_condition_has_held() -> None:
    assert play(book(), (0, 40), (9, 40)) == []
    assert play(book(), (0, 40), (5, 29), (10, 40), (19, 40)) == []
    assert play(book(), (0, 40), (10, 40)) == [(10, "raise")]


def test_between_the_two_levels_it_neither_rises_nor_returns() -> None:
    one = book()
    assert play(one, (0, 40), (10, 40), (20, 25), (100, 25)) == [(10, "raise")]
    assert play(one, (101, 20), (105, 20), (106, 20)) == [(106, "return")]


def test_unknown_is_not_returned() -> None:
    one = book()
    assert play(one, (0, 40), (10, 40), (20, None), (1_000, None)) == [(10, "raise")]
    assert one.open()[0].state == "unack_active"


def test_an_unknown_value_breaks_a_hold() -> None:
    assert play(book(), (0, 40), (5, None), (10, 40), (15, 40)) == []


def test_too_few_readings_do_not_raise() -> None:
    one = book(rule(n_min=51))
    assert play(one, (0, 40), (60, 40)) == []


def test_acknowledged_then_returned_it_is_closed() -> None:
    one = book()
    play(one, (0, 40), (10, 40))
    acknowledge(one, 12)
    play(one, (20, 10), (25, 10))
    assert one.open() == []


def test_returned_before_anyone_saw_it_it_waits_for_someone() -> None:
    one = book()
    play(one, (0, 40), (10, 40), (20, 10), (25, 10))
    assert [alert.state for alert in one.open()] == ["unack_returned"]
    acknowledge(one, 30)
    assert one.open() == []


def test_raised_again_before_anyone_saw_it_it_is_the_same_alert() -> None:
    one = book()
    told = play(one, (0, 40), (10, 40), (20, 10), (25, 10), (30, 40), (40, 40))
    assert told == [(10, "raise"), (25, "return"), (40, "reraise")]
    assert [alert.id for alert in one.open()] == ["wait_long-06658-1"]


def test_a_second_occurrence_has_a_number_of_its_own() -> None:
    one = book()
    play(one, (0, 40), (10, 40))
    acknowledge(one, 11)
    play(one, (20, 10), (25, 10), (30, 40), (40, 40))
    assert [alert.id for alert in one.open()] == ["wait_long-06658-2"]


def test_the_due_time_is_the_time_allowed_after_it_was_raised() -> None:
    one = book()
    play(one, (0, 40), (10, 40))
    assert one.open()[0].due == 610 * S


def test_nobody_acknowledges_twice_and_nothing_closed_is_touched() -> None:
    one = book()
    play(one, (0, 40), (10, 40))
    acknowledge(one, 12)
    with pytest.raises(CommandRefused, match="an đã nhận"):
        acknowledge(one, 13)
    with pytest.raises(CommandRefused, match="đã đóng"):
        acknowledge(one, 13, "wait_long-06658-9")


@pytest.mark.parametrize(("rules", "scopes"), [({}, {"06658"}), ({"wait_long": rule()}, {"22"})], ids=["rule", "unit"])
def test_what_is_open_returns_and_can_be_closed_when_its_rule_or_unit_is_taken_out(
    rules: dict[str, Rule], scopes: set[str]
) -> None:
    one = book()
    play(one, (0, 40), (10, 40))
    for is_acknowledged in (False, True):
        if is_acknowledged:
            acknowledge(one, 20)
        alerts = [msgspec.structs.replace(alert) for alert in one.open()]
        after = AlertBook(rules, {("wait_long", "06658", ""): 1}, alerts, one.packed_holds())
        after.withdraw_undefined(scopes, 30 * S)
        alerts, steps = after.take()
        assert [(step.op, step.text) for step in steps] == [("return", UNDEFINED)]
        assert [alert.state for alert in alerts] == ["closed" if is_acknowledged else "unack_returned"]
        after.withdraw_undefined(scopes, 40 * S)
        assert after.take() == ([], [])
        if not is_acknowledged:
            acknowledge(after, 50)
        assert after.open() == []


def test_what_is_still_defined_is_not_withdrawn() -> None:
    one = book()
    play(one, (0, 40), (10, 40))
    one.withdraw_undefined({"06658"}, 30 * S)
    assert one.take() == ([], [])


def test_a_comment_is_a_step_with_its_author_and_an_empty_one_is_refused() -> None:
    one = book()
    play(one, (0, 40), (10, 40))
    one.apply(Command("c", 0, "an", "comment", "wait_long-06658-1", " đã gọi "), 15 * S)
    assert one.take()[1] == [AlertStep("wait_long-06658-1", 1, 15 * S, "comment", "an", "đã gọi")]
    with pytest.raises(CommandRefused):
        one.apply(Command("c", 0, "an", "comment", "wait_long-06658-1", "  "), 15 * S)


def test_a_silent_source_raises_and_its_first_word_returns_it() -> None:
    silent = Rule("quiet", "", "", "", "", "notice", "so", "c", "c", "q", "q", "r", "r", 60, silent="air", silent_s=100)
    one = AlertBook({"quiet": silent}, {}, [])
    for now, heard in ((0, 0), (100, 0), (101, 0), (105, 104)):
        one.observe_silence("quiet", "06658", "st-1", heard * S + 1, now * S + 1)
    assert [(step.op, step.alert) for step in one.take()[1]] == [
        ("raise", "quiet-06658-st-1-1"),
        ("return", "quiet-06658-st-1-1"),
    ]


def test_an_example_that_does_not_hold_is_told_in_words() -> None:
    good = Example([(0, 40), (60, 10), (90, 10)], [10], [65])
    assert run_example(rule(examples=[good])) == []
    bad = Example([(0, 40), (60, 10), (90, 10)], [5], [])
    assert len(run_example(rule(examples=[bad]))) == 2


series = st.lists(st.tuples(st.integers(1, 12), st.sampled_from([None, 10.0, 25.0, 40.0]), st.booleans()), max_size=40)


def tell(one: AlertBook, story: list[tuple[int, float | None, bool]], start: int = 0) -> list[AlertStep]:
    now, steps = start, []
    for gap, value, acknowledges in story:
        now += gap
        one.observe_value("wait_long", "06658", value, 50, now * S)
        for alert in one.open() if acknowledges else []:
            if (alert.state, "acknowledge") in TRANSITIONS:
                one.apply(Command("c", now, "an", "acknowledge", alert.id), now * S)
        assert len(one.open()) <= 1
        steps += one.take()[1]
    return steps


@given(series)
def test_the_same_story_makes_the_same_steps(story: list[tuple[int, float | None, bool]]) -> None:
    assert tell(book(), story) == tell(book(), story)


@given(series, st.integers(0, 40))
def test_a_book_restored_anywhere_goes_on_identically(story: list[tuple[int, float | None, bool]], cut: int) -> None:
    cut = min(cut, len(story))
    whole = tell(book(), story)
    first = book()
    steps = tell(first, story[:cut])
    raised = sum(step.op == "raise" for step in steps)
    made = rule()
    again = AlertBook(
        {made.id: made}, {("wait_long", "06658", ""): raised} if raised else {}, first.open(), first.packed_holds()
    )
    steps += tell(again, story[cut:], start=sum(gap for gap, _, _ in story[:cut]))
    assert steps == whole
