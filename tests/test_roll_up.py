"""The roll-up: districts and the whole place equal the same measures over all their readings."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import NOON, A, B, C, Feed, catalogue, cloudevent, nothing, senml

from streams.beat import Value
from streams.beat_engine import Engine
from streams.memory_live import MemoryLive
from streams.roll_up import TURN_MS, Report, RollUp
from streams.sql_store import SqlStore

MINUTE = 60_000
UNITS = (A, B, C)

told = st.lists(
    st.tuples(st.sampled_from(UNITS), st.integers(0, 299), st.integers(0, 1_990).map(lambda v: v / 10)),
    min_size=1,
    max_size=40,
    unique_by=lambda row: row[:2],
)


def story(readings: list[tuple[str, int, float]]) -> tuple[RollUp, list[Value]]:
    """Each unit's readings go to a partition of its own; all report to one roll-up."""
    made = catalogue()
    roll_up = RollUp(made, nothing(), NOON)
    for number, unit in enumerate(UNITS):
        messages = [
            (f"ioc/{unit}/traffic/cam", senml("speed", NOON + second * 1_000, value), NOON + 300_000)
            for code, second, value in readings
            if code == unit
        ]
        if messages:
            feed = Feed(made, number=number)
            feed.tell(*messages)
            for now in (NOON + 300_000, NOON + 20 * MINUTE):
                beat = feed.partition.evaluate(now)
                roll_up.report(Report(number, beat.partials, beat.silent), now)
    return roll_up, roll_up.evaluate(NOON + 20 * MINUTE).closed


def value_of(values: list[Value], kpi: str, scope: str) -> Value | None:
    found = [value for value in values if (value.kpi, value.scope, value.end) == (kpi, scope, NOON + 5 * MINUTE)]
    return found[-1] if found else None


@settings(max_examples=40, deadline=None)
@given(told)
def test_districts_and_place_equal_the_measure_over_all_their_readings(readings: list[tuple[str, int, float]]) -> None:
    _, closed = story(readings)
    scopes = {"193": (A, B), "195": (C,), "22": UNITS}
    for scope, units in scopes.items():
        values = [value for unit, _, value in readings if unit in units]
        mean, fastest = value_of(closed, "speed", scope), value_of(closed, "fastest", scope)
        if not values:
            assert mean is None
            continue
        assert mean is not None
        assert fastest is not None
        assert mean.n == len(values)
        assert mean.value is not None
        assert abs(mean.value - sum(values) / len(values)) < 1e-6
        assert fastest.value == max(values)


def test_the_same_report_told_twice_changes_nothing() -> None:
    made = catalogue()
    feed, roll_up = Feed(made), RollUp(made, nothing(), NOON)
    feed.tell((f"ioc/{A}/traffic/cam", senml("speed", NOON, 40), NOON))
    feed.partition.evaluate(NOON)
    beat = feed.partition.evaluate(NOON + 20 * MINUTE)
    report = Report(0, beat.partials, beat.silent)
    roll_up.report(report, NOON)
    assert roll_up.evaluate(NOON).closed
    roll_up.report(report, NOON)
    assert roll_up.evaluate(NOON).closed == []


def test_a_late_unit_corrects_what_was_said_of_the_place() -> None:
    made = catalogue()
    roll_up = RollUp(made, nothing(), NOON)
    for number, (unit, speed) in enumerate(((A, 40.0), (B, 60.0))):
        feed = Feed(made, number=number)
        feed.tell((f"ioc/{unit}/traffic/cam", senml("speed", NOON, speed), NOON))
        feed.partition.evaluate(NOON)
        beat = feed.partition.evaluate(NOON + 20 * MINUTE)
        roll_up.report(Report(number, beat.partials, beat.silent), NOON)
        said = value_of(roll_up.evaluate(NOON).closed, "speed", "22")
        assert said is not None
        expected = [(40.0, 1, "final", 0), (50.0, 2, "corrected", 1)][number]
        assert (said.value, said.n, said.state, said.revision) == expected


def test_a_worker_that_has_lost_its_partition_since_is_not_heard() -> None:
    made = catalogue()
    roll_up = RollUp(made, nothing(), NOON)
    feed = Feed(made)
    feed.tell((f"ioc/{A}/traffic/cam", senml("speed", NOON, 40), NOON))
    feed.partition.evaluate(NOON)
    stale = feed.partition.evaluate(NOON + 20 * MINUTE)
    feed.tell((f"ioc/{A}/traffic/cam", senml("speed", NOON + 1_000, 60), NOON))
    true = feed.partition.evaluate(NOON + 20 * MINUTE)
    roll_up.report(Report(0, true.partials, true.silent, generation=8), NOON)
    assert (said := value_of(roll_up.evaluate(NOON).closed, "speed", "22")) is not None
    assert (said.value, said.n) == (50.0, 2)
    roll_up.report(Report(0, stale.partials, stale.silent, generation=7), NOON)
    assert roll_up.evaluate(NOON).closed == []


def test_a_new_window_is_as_its_reports_say_and_the_database_is_not_asked_for_what_is_still_to_be_heard() -> None:
    """Else what the place shows would hang on when other workers' checkpoints happened to be written."""
    roll_up, feed = RollUp(catalogue(), nothing(), NOON), Feed(catalogue(), number=0)
    feed.tell((f"ioc/{A}/traffic/cam", senml("speed", NOON, 40), NOON))
    first = feed.partition.evaluate(NOON).partials
    assert roll_up.unknown(first) == [], "nobody ever spoke of any"
    roll_up.report(Report(0, first, None), NOON)
    feed.tell((f"ioc/{A}/traffic/cam", senml("speed", NOON + 10 * MINUTE, 40), NOON + 10 * MINUTE))
    told = {(partial.kpi, partial.end) for partial in feed.partition.evaluate(NOON + 10 * MINUTE).partials}
    partials = feed.partition.checkpoint(NOON + 10 * MINUTE).partials
    last = max(end for kpi, end in told if kpi == "speed")
    roll_up.evaluate(NOON)
    recovered = nothing()
    recovered.open_values = roll_up.checkpoint(NOON, [], []).open_values
    again = RollUp(catalogue(), recovered, NOON)
    unknown = again.unknown(partials)
    assert ("speed", NOON + 5 * MINUTE) in unknown, "of that one others may have spoken"
    assert ("speed", last) not in unknown, "that one comes after all of which it knew"


def test_a_window_is_not_forgotten_before_the_database_has_all_of_it() -> None:
    """A seed of the whole system found it: a disk that was full for hours, and a place that then lacked units."""
    made = catalogue()
    roll_up, feed = RollUp(made, nothing(), NOON), Feed(made, number=0)
    feed.tell((f"ioc/{A}/traffic/cam", senml("speed", NOON, 40), NOON))
    beat = feed.partition.evaluate(NOON + 10 * MINUTE)
    told_at, later = NOON + 10 * MINUTE, NOON + 60 * MINUTE
    roll_up.report(Report(0, beat.partials, None, at=told_at, written=told_at - 1_000), told_at)
    roll_up.evaluate(told_at)
    roll_up.evaluate(later)
    assert roll_up.unknown(beat.partials) == [], "neither checkpoint is written"
    roll_up.committed(told_at)
    roll_up.evaluate(later + MINUTE)
    assert roll_up.unknown(beat.partials) == [], "the partition's is not"
    roll_up.report(Report(0, [], {}, at=later, written=told_at), later)
    roll_up.evaluate(later + 2 * MINUTE)
    assert roll_up.unknown(beat.partials) != []


class Ratings:
    """Two partitions whose desks are rated, and the roll-up; `look` is a beat of those named, and of the roll-up."""

    def __init__(self) -> None:
        made = catalogue()
        self.feeds = {unit: Feed(made, number=number) for number, unit in enumerate((A, B))}
        self.roll_up = RollUp(made, nothing(), NOON)
        self._count = 0

    def rate(self, unit: str, at: int, delay: int = 0) -> None:
        self._count += 1
        event = cloudevent("rating", "given", at, self._count, score=5)
        self.feeds[unit].tell((f"ioc/{unit}/rating/desk", event, at + delay))

    def look(self, now: int, *units: str) -> tuple[int, int] | None:
        """What the place is shown of `satisfied`: readings, and the window's end in minutes after noon."""
        for unit in units or (A, B):
            beat = self.feeds[unit].partition.evaluate(now)
            self.roll_up.report(Report(self.feeds[unit].number, beat.partials, beat.silent), now)
        self.roll_up.evaluate(now)
        shown = [value for value in self.roll_up.newest_values() if (value.kpi, value.scope) == ("satisfied", "22")]
        return (shown[0].n, (shown[0].end - NOON) // MINUTE) if shown else None


def test_the_places_window_has_what_quiet_partitions_heard_from_its_first_beat_on() -> None:
    """A running city showed it: every five minutes the place's count of a day fell to that of whoever spoke first."""
    world = Ratings()
    for second in range(0, 290, 10):
        world.rate(A, NOON + second * 1_000)
        world.rate(B, NOON + second * 1_000 + 500)
        world.look(NOON + second * 1_000 + 1_000)
    world.rate(A, NOON + 5 * MINUTE)
    assert world.look(NOON + 5 * MINUTE + 400) == (59, 10)
    world.rate(A, NOON + 6 * MINUTE)
    assert world.look(NOON + 6 * MINUTE + 400) == (60, 10)
    assert world.look(NOON + 10 * MINUTE + 400) == (60, 15), "nobody spoke, and time has gone on"


def test_a_window_that_has_just_begun_waits_for_the_partitions_of_the_one_shown_before() -> None:
    world = Ratings()
    world.rate(A, NOON)
    world.rate(B, NOON)
    assert world.look(NOON + 1_000) == (2, 5)
    turn = NOON + 5 * MINUTE
    world.rate(A, turn)
    assert world.look(turn + 300, A) == (2, 5), "the other worker beats a moment later"
    assert world.look(turn + 600, B) == (3, 10)


def test_a_window_waits_for_a_partition_that_went_away_no_longer_than_is_known() -> None:
    world = Ratings()
    world.rate(A, NOON)
    world.rate(B, NOON)
    world.look(NOON + 1_000)
    turn = NOON + 5 * MINUTE
    world.rate(A, turn)
    assert world.look(turn + 300, A) == (2, 5)
    assert world.look(turn + TURN_MS - 1, A) == (2, 5)
    assert world.look(turn + TURN_MS, A) == (2, 10), "it is shown with what is known, though nobody said it again"


def test_partitions_whose_messages_come_late_enter_a_window_with_the_others() -> None:
    """A running city showed it: a desk whose last word had been on its way for a while held its partition back."""
    world = Ratings()
    world.rate(A, NOON + 4 * MINUTE)
    world.rate(B, NOON + 3 * MINUTE, delay=MINUTE)
    assert world.look(NOON + 4 * MINUTE + 400) == (2, 5)
    world.rate(A, NOON + 5 * MINUTE)
    assert world.look(NOON + 5 * MINUTE + 400) == (3, 10)


def test_what_comes_late_counts_in_the_places_newest_window_at_once() -> None:
    world = Ratings()
    world.rate(A, NOON)
    world.rate(B, NOON)
    world.look(NOON + 1_000)
    world.rate(A, NOON + 5 * MINUTE)
    assert world.look(NOON + 5 * MINUTE + 400) == (3, 10)
    world.rate(B, NOON + 4 * MINUTE, delay=2 * MINUTE)
    assert world.look(NOON + 6 * MINUTE + 400) == (4, 10), "it was given before the window's last step began"


@pytest.mark.anyio
async def test_a_share_that_only_the_last_owner_heard_is_read_when_its_partition_has_written_it() -> None:
    """A worker that stood still showed it: its successor's state lacked what was told and not written by then."""
    made, store, now = catalogue(), SqlStore("sqlite://"), NOON + 20 * MINUTE
    store.migrate()
    feeds = [Feed(made, number=number) for number in range(2)]
    for feed, unit, speed in zip(feeds, (A, B), (40.0, 60.0), strict=True):
        feed.tell((f"ioc/{unit}/traffic/cam", senml("speed", NOON, speed), NOON))
        feed.partition.evaluate(NOON)
    told = [feed.partition.evaluate(now) for feed in feeds]

    async def nobody(_: Report) -> None: ...

    engine = Engine(made, store, MemoryLive("e"), lambda: now, nobody, is_alone=False)
    await engine.own_roll_up()
    # The first partition's share went to the last owner; it is written a moment after this one has begun.
    await engine.report(Report(1, told[1].partials, {}, at=now, written=now))
    assert store.commit(feeds[0].partition.checkpoint(now + 500))
    await engine.report(Report(0, [], {}, at=now + 3_000, written=now + 500))
    await engine.beat(now + 3_000)
    assert place_speed(store) == (60.0, 1), "its clock may be ahead: it is not sure that all is written"
    await engine.report(Report(0, [], {}, at=now + 4_000, written=now + 1_000))
    await engine.beat(now + 4_500)
    assert place_speed(store) == (50.0, 2)


def place_speed(store: SqlStore) -> tuple[float | None, int]:
    (value,) = [value for value in store.windows("speed", 0, NOON + 5 * MINUTE, 100) if value.scope == "22"]
    return value.value, value.n
