"""No figure hangs on where beats or a restart happen to cut the stream: what the audit's plain rules once found.

Anybody who recomputes a figure knows the messages and their order, and nothing of beats, panes or rings.
"""

from collections.abc import Iterator

import pytest
from small_world import NOON, A, B, Feed, Message, catalogue, cloudevent, nothing, senml

from streams.pane import PaneRing
from streams.partition import Beat
from streams.roll_up import Report, RollUp
from streams.sql_store import SqlStore

MINUTE, HOUR = 60_000, 3_600_000
DESK, TERMINAL = f"ioc/{A}/queue/q", f"ioc/{A}/rating/r"
ONE, TWO = f"ioc/{A}/traffic/one", f"ioc/{A}/traffic/two"

Figures = dict[tuple[str, int], tuple[int, float | None]]
"""KPI and end of a window → n and value, as they were said last."""


@pytest.fixture
def store() -> Iterator[SqlStore]:
    store = SqlStore("sqlite://")
    store.migrate()
    yield store
    store.close()


def figures(beats: list[Beat]) -> Figures:
    return {(value.kpi, value.end): (value.n, value.value) for beat in beats for value in beat.closed}


def told(messages: list[Message], beat_after_each: bool) -> Figures:
    """What is in history in the end, when all of it comes in one beat or every message in one of its own."""
    feed, beats = Feed(catalogue()), []
    for message in messages:
        feed.tell(message)
        if beat_after_each:
            beats.append(feed.partition.evaluate(message[2]))
    last = messages[-1][2]
    beats += [feed.partition.evaluate(now) for now in (last + 500, last + 6 * HOUR)]
    return figures(beats)


def test_a_rating_that_names_its_ticket_is_a_rating() -> None:
    """`ticket` is among the members that are kept of any event; now it ends the worker, again at every restart."""
    feed = Feed(catalogue())
    feed.tell((TERMINAL, cloudevent("rating", "given", NOON, 1, score=5, ticket="A001"), NOON))
    assert feed.partition.evaluate(NOON).totals.readings == 1


def test_a_rating_that_is_told_again_after_hours_of_silence_is_not_counted_again() -> None:
    """Identities are forgotten after twice the lateness, but the watermark, which should refuse it, stands still."""
    feed = Feed(catalogue())
    rating = (TERMINAL, cloudevent("rating", "given", NOON, 1, score=5))
    feed.tell((*rating, NOON))
    for minute in range(0, 150, 10):
        feed.partition.evaluate(NOON + minute * MINUTE)
        feed.partition.checkpoint(NOON + minute * MINUTE)
    feed.tell((*rating, NOON + 150 * MINUTE))
    assert feed.partition.evaluate(NOON + 150 * MINUTE).totals.readings == 1


def test_a_new_sources_backlog_may_come_out_of_order() -> None:
    """A source that was never heard counts as silent since 1970: whatever is older than the lateness is refused."""
    feed, back = Feed(catalogue()), NOON + 3 * HOUR
    feed.tell((ONE, senml("speed", NOON + MINUTE, 50.0), back), (ONE, senml("speed", NOON, 40.0), back + 40))
    assert feed.partition.evaluate(back + 500).totals.readings == 2


def test_a_unit_that_lags_behind_does_not_take_the_others_readings_from_the_place() -> None:
    """Its window closes when the rings of the others have moved on, and the share is packed from what is left."""
    feed, roll_up = Feed(catalogue()), RollUp(catalogue(), nothing(), NOON)
    ahead = [(ONE, senml("speed", NOON + step * MINUTE, 60.0), NOON + 3 * HOUR) for step in range(120)]
    behind = f"ioc/{B}/traffic/one"
    closed: Figures = {}
    for messages in (
        [(behind, senml("speed", NOON, 30.0), NOON + 3 * HOUR), *ahead],
        [(behind, senml("speed", NOON + 2 * HOUR, 30.0), NOON + 3 * HOUR)],
    ):
        feed.tell(*messages)
        roll_up.report(Report(0, feed.partition.evaluate(NOON + 3 * HOUR).partials, None), NOON + 3 * HOUR)
        beat = roll_up.evaluate(NOON + 3 * HOUR)
        closed |= {(v.kpi, v.end): (v.n, v.value) for v in beat.closed if v.scope == "22"}
    assert closed["speed", NOON + 5 * MINUTE] == (6, 55.0)


def test_a_share_told_again_does_not_name_a_unit_of_whose_panes_some_have_gone() -> None:
    """The ring of the unit ahead has given up the first panes of the window, and still has the last ones."""
    feed, roll_up = Feed(catalogue()), RollUp(catalogue(), nothing(), NOON)
    later, behind = NOON + 3 * HOUR, f"ioc/{B}/traffic/one"
    panes = PaneRing(catalogue().series["traffic/speed/60/unit"]).size
    ahead = [(ONE, senml("speed", NOON + step * MINUTE, 60.0), later) for step in range(panes + 2)]
    closed: Figures = {}
    for messages in (
        [(behind, senml("speed", NOON, 30.0), later), *ahead],
        [(behind, senml("speed", NOON + 2 * HOUR, 30.0), later)],
    ):
        feed.tell(*messages)
        roll_up.report(Report(0, feed.partition.evaluate(later).partials, None), later)
        closed |= {(v.kpi, v.end): (v.n, v.value) for v in roll_up.evaluate(later).closed if v.scope == "22"}
    assert closed["speed", NOON + 5 * MINUTE] == (6, 55.0)


def test_a_ticket_lives_through_its_day_however_short_the_longest_lateness_is() -> None:
    """Tickets are forgotten after twice the longest lateness of any kind: four hours here, two days as shipped."""
    morning = NOON - 12 * HOUR  # of the same local day
    feed, beats = Feed(catalogue(), now=morning), []
    feed.tell((DESK, cloudevent("queue", "taken", morning, 1, ticket="A1"), morning))
    for minute in range(0, 270, 10):
        beats.append(feed.partition.evaluate(morning + minute * MINUTE))
        feed.partition.checkpoint(morning + minute * MINUTE)
    called = morning + 270 * MINUTE
    feed.tell((DESK, cloudevent("queue", "called", called, 2, ticket="A1"), called))
    beats += [feed.partition.evaluate(now) for now in (called, called + 2 * HOUR)]
    assert any(kpi == "wait" for kpi, _ in figures(beats))


def test_a_desks_event_that_is_too_late_is_too_late_in_the_same_beat_too() -> None:
    """Its step is taken into the ticket's life by the watermark before the beat, and completes a wait later."""
    steps = [
        (DESK, cloudevent("queue", "taken", NOON + 2 * HOUR, 1, ticket="B1"), NOON + 2 * HOUR),
        (DESK, cloudevent("queue", "taken", NOON, 2, ticket="A1"), NOON + 2 * HOUR + 1_000),
        (DESK, cloudevent("queue", "called", NOON + 90 * MINUTE, 3, ticket="A1"), NOON + 2 * HOUR + 2_000),
    ]
    assert told(steps, beat_after_each=False) == told(steps, beat_after_each=True)


def test_a_backlog_told_newest_first_counts_the_same_in_one_beat_and_in_many() -> None:
    """Lateness behind a source's own time is judged by what the source had said before the beat, not before."""
    back = NOON + HOUR
    backlog = [(ONE, senml("speed", NOON + (30 - step) * MINUTE, 50.0 + step), back + step) for step in range(4)]
    before = [(ONE, senml("speed", NOON, 50.0), NOON)]
    feed, beats = Feed(catalogue()), []
    feed.tell(*before)
    beats.append(feed.partition.evaluate(NOON))
    feed.tell(*backlog)
    beats += [feed.partition.evaluate(now) for now in (back + 500, back + 6 * HOUR)]
    assert figures(beats) == told([*before, *backlog], beat_after_each=True)


def test_what_a_calibrating_device_says_moves_the_watermark_always_or_never() -> None:
    """It does within a beat, when something counted follows; it does not when the beat ends with it."""
    calibrating = senml("speed", NOON + 20 * MINUTE, 50.0)[:-1] + b', {"n": "status", "vs": "calibrating"}]'
    said = [
        (ONE, calibrating, NOON + 20 * MINUTE),
        (TWO, senml("speed", NOON, 40.0), NOON + 20 * MINUTE + 1),
    ]
    assert told(said, beat_after_each=False) == told(said, beat_after_each=True)


def test_a_restart_does_not_make_a_late_reading_timely(store: SqlStore) -> None:
    """Recovery takes when a source was last heard for when its newest reading was."""
    feed = Feed(catalogue())
    newest = senml("speed", NOON, 50.0)
    feed.tell((ONE, newest, NOON), (ONE, newest, NOON + 20 * MINUTE))
    feed.partition.evaluate(NOON + 20 * MINUTE)
    assert store.commit(feed.partition.checkpoint(NOON + 20 * MINUTE))
    again = Feed(catalogue(), store.recover(0), NOON + 20 * MINUTE)
    again.ordinal = feed.ordinal
    again.records = list(feed.records)
    counts = []
    for each in (feed, again):
        each.tell((ONE, senml("speed", NOON - MINUTE, 40.0), NOON + 25 * MINUTE))
        counts.append(each.partition.evaluate(NOON + 25 * MINUTE).totals.readings)
    assert counts[0] == counts[1]


def test_a_unit_that_lags_a_little_takes_nobodys_readings_from_the_place() -> None:
    """Of the unit that is ahead the rings have given up some of the window's five minutes: what is left of it must not
    take the place of what was told of it before. Seen in `ioc up` as it publishes its three hours of backfill."""
    assert {minutes: place_after(minutes) for minutes in range(30, 60)} == dict.fromkeys(range(30, 60), (6, 55.0))


def place_after(minutes: int) -> tuple[int, float | None] | None:
    """The place's first five minutes, when one unit is so far ahead of another that closes them after it."""
    feed, roll_up, back = Feed(catalogue()), RollUp(catalogue(), nothing(), NOON), NOON + 3 * HOUR
    ahead = [(f"ioc/{A}/traffic/one", senml("speed", NOON + step * MINUTE, 60.0), back) for step in range(minutes)]
    behind = [(f"ioc/{B}/traffic/one", senml("speed", NOON + at * MINUTE, 30.0), back) for at in (0, minutes)]
    told = None
    for messages in ([behind[0], *ahead], [behind[1]]):
        feed.tell(*messages)
        roll_up.report(Report(0, feed.partition.evaluate(back).partials, None), back)
        for value in roll_up.evaluate(back).closed:
            if (value.kpi, value.scope, value.end) == ("speed", "22", NOON + 5 * MINUTE):
                told = (value.n, value.value)
    return told


@pytest.mark.parametrize(
    "words",
    [
        ("online", "speed"), ("speed", "online"), ("offline", "speed"), ("offline", "online", "speed"),
        ("online", "offline", "speed", "offline"), ("speed", "offline", "online"),
    ],
    ids="-".join,
)  # fmt: skip
def test_when_a_source_was_first_heard_does_not_hang_on_what_came_in_the_same_beat(words: tuple[str, ...]) -> None:
    """Two seeds of the whole system found it: a greeting, or a good-bye, in one beat with what the source says."""
    messages = [
        (ONE, senml("speed", NOON + place, 40.0), NOON + 1_000 * place)
        if word == "speed" else (f"{ONE}/status", word.encode(), NOON + 1_000 * place)
        for place, word in enumerate(words)
    ]  # fmt: skip
    at_once, one_by_one = Feed(catalogue()), Feed(catalogue())
    at_once.tell(*messages)
    for message in messages:
        one_by_one.tell(message)
        one_by_one.partition.evaluate(message[2])
    changes = []
    for feed in (at_once, one_by_one):
        feed.partition.evaluate(NOON + MINUTE)
        changes.append(feed.partition.checkpoint(NOON + MINUTE).source_changes)
    assert changes[0] == changes[1] != []
