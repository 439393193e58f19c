"""What alerts did is told once, in its order, when its log has it, or after two seconds."""

from hypothesis import given
from hypothesis import strategies as st

from streams.annunciator import HELD_MS, Annunciator

BEATS = st.lists(
    st.tuples(st.integers(1, 900), st.lists(st.sampled_from("abc"), max_size=2), st.booleans(), st.booleans()),
    min_size=1,
    max_size=30,
)


def test_a_clock_that_is_set_back_keeps_nothing_from_being_told() -> None:
    annunciator = Annunciator()
    annunciator.hold(10 * HELD_MS, {"a:before": b"1"})
    annunciator.hold(5 * HELD_MS, {"a:after": b"2"})
    assert annunciator.due(5 * HELD_MS) == {"a:before": b"1"}
    assert annunciator.due(6 * HELD_MS) == {"a:after": b"2"}


@given(BEATS)
def test_each_step_is_told_once_in_order_and_never_before_it_is_logged_but_after_two_seconds(
    beats: list[tuple[int, list[str], bool, bool]],
) -> None:
    """A step is the number of its beat; one that a later step of the same alert overtakes need not be told itself."""
    annunciator, now = Annunciator(), 0
    held_at: list[int] = []
    logged = covered = 0
    heard: dict[str, int] = {}
    newest: dict[str, int] = {}
    is_waiting = False
    for number, (after, alerts, ends, makes) in enumerate(beats):
        now += after
        held_at.append(now)
        if ends and is_waiting:
            annunciator.logged()
            logged, is_waiting = covered, False
        annunciator.hold(now, {f"a:{alert}": str(number).encode() for alert in alerts})
        newest.update(dict.fromkeys((f"a:{alert}" for alert in alerts), number))
        if makes and not is_waiting:
            annunciator.cover()
            covered, is_waiting = number + 1, True
        for key, told in annunciator.due(now).items():
            assert told is not None
            step = int(told)
            assert step > heard.get(key, -1)
            assert step < logged or now - held_at[step] >= HELD_MS
            heard[key] = step
        waiting = {key for key, step in newest.items() if heard.get(key) != step}
        assert waiting == annunciator.unheard()
        assert all(newest[key] >= logged and now - held_at[newest[key]] < HELD_MS for key in waiting)
    annunciator.cover()
    annunciator.logged()
    heard.update((key, int(told or b"")) for key, told in annunciator.due(now).items())
    assert heard == newest
    assert annunciator.due(now + 2 * HELD_MS) == {}
