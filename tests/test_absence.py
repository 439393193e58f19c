"""After an absence: what the journal still has to tell is neither silence nor too late."""

from small_world import NOON, A, Feed, catalogue, senml

from sensors.journal import Record
from streams.alert import Rule
from streams.partition import Partition
from streams.sql_store import SqlStore

MINUTE, HOUR = 60_000, 3_600_000
SENSORS = 5
BACK = NOON + 2 * HOUR


def silence() -> dict[str, Rule]:
    words = {f"{name}_{language}": "x" for name in ("name", "headline", "cause", "consequence", "response")
             for language in ("vi", "en")}  # fmt: skip
    rule = Rule(id="silent", severity="notice", owner="so", respond_s=600, silent="air", silent_s=900, **words)
    return {"silent": rule}


class Absent:
    """Five sensors speak every five minutes until BACK; the worker went away after `seen` turns, and comes back."""

    def __init__(self, seen: int = 3) -> None:
        self.made = catalogue(silence())
        self.store = SqlStore("sqlite://")
        self.store.migrate()
        feed = Feed(self.made)
        for turn in range(24):
            at = NOON + turn * 5 * MINUTE
            feed.tell(*[(f"ioc/{A}/air/s{number}", senml("pm25", at, 10.0 + turn), at) for number in range(SENSORS)])
            if turn < seen:
                feed.partition.evaluate(at + 500)
                assert self.store.commit(feed.partition.checkpoint(at + 500))
        self.records, self.end = feed.records, feed.ordinal
        self.partition = self.recovered()

    def recovered(self) -> Partition:
        return Partition(0, self.made, self.store.recover(0), BACK)

    @property
    def unread(self) -> list[Record]:
        return self.records[self.partition.offset :]


def test_sensors_whose_messages_wait_in_the_journal_were_not_silent() -> None:
    world, steps, silent = Absent(), 0, set[str]()
    for beat, record in enumerate(world.unread):
        told = world.partition.evaluate(BACK + beat * 500, world.end)
        steps, silent = steps + len(told.steps), silent | set(told.silent or ())
        world.partition.observe(record)
    told = world.partition.evaluate(BACK + 60_000, world.end)
    assert (steps, silent, told.steps, told.silent) == (0, set(), [], {})


def test_a_sensor_that_said_nothing_in_the_whole_absence_is_silent_once_all_is_read() -> None:
    world = Absent()
    told = world.partition.evaluate(BACK, world.partition.next_ordinal)
    assert (len(told.steps), len(told.silent or ())) == (SENSORS, SENSORS)


def test_a_window_is_final_once_and_not_before_its_messages_were_read() -> None:
    world, closed = Absent(), []
    for beat, record in enumerate(world.unread):
        closed += world.partition.evaluate(BACK + beat * 500, world.end).closed
        world.partition.observe(record)
    closed += world.partition.evaluate(BACK + 60_000, world.end).closed
    first = [value for value in closed if value.kpi == "pm25" and value.end == NOON + HOUR]
    assert [(value.state, value.revision, value.n) for value in first if value.scope == A] == [("final", 0, 60)]


def test_as_long_as_nobody_knows_what_the_journal_has_time_stands() -> None:
    world = Absent()
    told = world.partition.evaluate(BACK, None)
    assert (told.closed, told.steps, told.silent) == ([], [], None)
    told = world.partition.evaluate(BACK + 2_000, world.partition.next_ordinal)
    assert len(told.steps) == SENSORS


def test_who_dies_while_reading_on_reads_on_in_the_journals_time() -> None:
    world = Absent()
    for beat, record in enumerate(world.unread[:4]):
        world.partition.observe(record)
        world.partition.evaluate(BACK + beat * 500, world.end)
        assert world.store.commit(world.partition.checkpoint(BACK + beat * 500))
    world.partition = world.recovered()
    told = world.partition.evaluate(BACK + 5_000, world.end)
    assert (told.closed, told.steps, told.silent) == ([], [], None)
