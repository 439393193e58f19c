"""One partition, from batches to beats and checkpoints."""

import json

import msgspec
import numpy as np
import pytest
from small_world import NOON, A, B, Feed, catalogue, cloudevent, kinds, kpis, nothing, place, senml

from sensors.journal import Record
from streams.alert import Rule
from streams.beat import Value
from streams.catalogue import compile_catalogue
from streams.partition import Beat
from streams.sql_store import SqlStore

MINUTE = 60_000
DAY = 86_400_000
SPEED = f"ioc/{A}/traffic/cam-1"
OTHER = f"ioc/{B}/traffic/cam-2"


def of(values: list[Value], kpi: str, scope: str = A) -> list[Value]:
    return [value for value in values if (value.kpi, value.scope) == (kpi, scope)]


def test_a_window_is_provisional_until_time_has_passed_it_and_then_final() -> None:
    feed = Feed(catalogue())
    feed.tell((SPEED, senml("speed", NOON, 40), NOON), (SPEED, senml("speed", NOON + MINUTE, 50), NOON + MINUTE))
    beat = feed.partition.evaluate(NOON + MINUTE)
    assert of(beat.current, "speed") == [
        Value("speed", A, NOON, NOON + 5 * MINUTE, 45.0, 2, 1, "provisional", 0, NOON + MINUTE, 0, 0)
    ]
    assert not beat.closed
    feed.tell((SPEED, senml("speed", NOON + 6 * MINUTE, 70), NOON + 6 * MINUTE))
    beat = feed.partition.evaluate(NOON + 6 * MINUTE)
    assert of(beat.closed, "speed") == [
        Value("speed", A, NOON, NOON + 5 * MINUTE, 45.0, 2, 1, "final", 0, NOON + MINUTE, 0, 0)
    ]


def test_silence_closes_a_window_too() -> None:
    feed = Feed(catalogue())
    feed.tell((SPEED, senml("speed", NOON, 40), NOON))
    feed.partition.evaluate(NOON)
    beat = feed.partition.evaluate(NOON + 6 * MINUTE)
    assert [value.state for value in of(beat.closed, "speed")] == ["final"]


def test_a_late_reading_inside_the_allowance_corrects_a_closed_window() -> None:
    feed = Feed(catalogue())
    now = NOON + 6 * MINUTE
    feed.tell((SPEED, senml("speed", NOON, 40), NOON), (SPEED, senml("speed", now, 70), now))
    feed.partition.evaluate(now)
    feed.tell((SPEED, senml("speed", NOON + MINUTE, 60), NOON + 6 * MINUTE))
    beat = feed.partition.evaluate(NOON + 6 * MINUTE)
    assert of(beat.closed, "speed") == [
        Value("speed", A, NOON, NOON + 5 * MINUTE, 50.0, 2, 1, "corrected", 1, NOON + MINUTE, 0, 1)
    ]


def test_every_message_has_one_outcome_and_the_ledger_adds_up() -> None:
    feed = Feed(catalogue())
    late = NOON - 11 * MINUTE
    feed.tell(
        (SPEED, senml("speed", NOON, 40), NOON),
        (SPEED, senml("speed", NOON, 40), NOON),
        (SPEED, senml("speed", late, 40), NOON),
        (SPEED, b"{broken", NOON),
        ("ioc/99999/traffic/x", senml("speed", NOON, 1), NOON),
        (f"ioc/{A}/weather/x", senml("speed", NOON, 1), NOON),
        ("ioc/a b/c", b"", NOON),
        (SPEED, senml("speed", NOON + MINUTE, 999), NOON),
    )
    totals = feed.partition.evaluate(NOON).totals
    assert (totals.received, totals.accepted, totals.duplicate, totals.too_late, totals.rejected) == (8, 1, 1, 1, 5)
    checkpoint = feed.partition.checkpoint(NOON)
    assert [rejection.reason for rejection in checkpoint.rejections] == [
        "too_late", "bad_payload", "unknown_unit", "unknown_kind", "bad_topic", "implausible",
    ]  # fmt: skip
    assert checkpoint.ordinal == totals.settled == 8


@pytest.mark.parametrize("beats", [1, 4])
def test_of_rejections_no_more_are_held_than_a_checkpoint_writes_with_one_payload_a_message_and_all_are_counted(
    beats: int,
) -> None:
    """A pack of 64 kB can be rejected reading by reading: a copy for each took 66 MB of memory a message."""
    feed = Feed(catalogue())
    good, bad = {"n": "speed", "t": NOON / 1000, "v": 40}, [{"n": "speed", "u": "kn", "v": 1}] * 299
    feed.tell((SPEED, b"{broken", NOON), (SPEED, senml("speed", NOON - 11 * MINUTE, 40), NOON))
    for number in range(4):
        feed.tell((SPEED, json.dumps([good | {"v": number}, *bad]).encode(), NOON + number))
        if number >= 4 - beats:
            feed.partition.evaluate(NOON + number)
    checkpoint = feed.partition.checkpoint(NOON + MINUTE)
    kept = checkpoint.rejections
    assert [(one.ordinal, one.part) for one in kept] == [
        *((4, part) for part in range(99, 300)), *((5, part) for part in range(1, 300)),
    ]  # fmt: skip
    assert len({id(one.payload) for one in kept}) == 2
    assert checkpoint.reasons == {"bad_payload": 1, "wrong_unit": 4 * 299}
    assert feed.partition.checkpoint(NOON + 2 * MINUTE).reasons == {}


@pytest.mark.parametrize("beats", [1, 2])
def test_what_came_too_late_and_comes_again_is_too_late_again_however_beats_cut_it(beats: int) -> None:
    feed = Feed(catalogue())
    late = (SPEED, senml("speed", NOON - 11 * MINUTE, 40), NOON)
    feed.tell((SPEED, senml("speed", NOON, 40), NOON), late)
    if beats == 2:
        feed.partition.evaluate(NOON)
    feed.tell(late)
    totals = feed.partition.evaluate(NOON).totals
    assert (totals.accepted, totals.too_late, totals.duplicate) == (1, 2, 0)


def test_calibrating_and_faulty_samples_are_kept_and_never_counted() -> None:
    feed = Feed(catalogue())
    payload = b'[{"n":"speed","t":%d,"v":5},{"n":"status","vs":"calibrating"}]' % (NOON // 1000)
    feed.tell((SPEED, payload, NOON))
    beat = feed.partition.evaluate(NOON)
    assert (beat.totals.accepted, beat.totals.readings, beat.totals.readings_set_aside) == (1, 0, 1)
    assert not beat.current


def test_messages_journaled_twice_under_the_same_ordinals_are_passed_over() -> None:
    feed = Feed(catalogue())
    feed.tell((SPEED, senml("speed", NOON, 40), NOON))
    first = feed.records[0]
    feed.partition.observe(Record(0, 1, first.batch))
    assert feed.partition.evaluate(NOON).totals.received == 1


@pytest.mark.parametrize("beats", [1, 2])
def test_a_batch_numbered_anew_counts_what_was_never_journaled_and_not_again_what_was(beats: int) -> None:
    """A rain gauge without a clock says the same for hours, and twice in one read of the socket."""
    feed, untimed = Feed(catalogue()), b'[{"n": "speed", "v": 0}]'
    before = [(SPEED, untimed, NOON + second * 1_000) for second in range(3)]
    batch = [(SPEED, untimed, NOON + second * 1_000) for second in (10, 11, 11, 12)]
    outcomes = []

    def note(now: int) -> None:
        totals = feed.partition.evaluate(now).totals
        outcomes.append((totals.accepted, totals.duplicate))

    feed.tell(*before)
    note(NOON + 5_000)
    feed.tell(*batch, renumbered=True)
    if beats == 2:
        note(NOON + 15_000)
    feed.tell(*batch, renumbered=True)
    note(NOON + 20_000)
    assert outcomes == [(3, 0), *[(7, 0)] * (beats - 1), (7, 4)]
    feed.tell((SPEED, untimed, NOON + 30_000), redelivered=(0,))
    feed.tell((SPEED, untimed, NOON + 31_000), redelivered=(0,), renumbered=True)
    feed.tell((SPEED, untimed, NOON + 32_000), renumbered=True)
    note(NOON + 40_000)
    assert outcomes[-1] == (8, 6), "the broker delivers again what it delivered before, whoever numbers it"


def test_a_batch_numbered_anew_for_the_second_time_is_known_by_what_it_was_under_its_first_numbers() -> None:
    feed, untimed = Feed(catalogue()), b'[{"n": "speed", "v": 0}]'
    batch = [(SPEED, untimed, NOON + second * 1_000) for second in (0, 0, 1)]
    feed.tell(*batch)
    feed.tell(*batch, renumbered=True)
    totals = feed.partition.evaluate(NOON + 5_000).totals
    assert (totals.accepted, totals.duplicate) == (3, 3)


@pytest.mark.parametrize("beats", [1, 2])
def test_a_message_that_cannot_be_read_and_is_delivered_again_hides_no_loss(beats: int) -> None:
    """Number 1 is broken and comes twice, number 2 is lost."""
    feed = Feed(catalogue())
    feed.tell((SPEED, senml("speed", NOON, 5.0, seq=0), NOON), (SPEED, b"[{broken", NOON + 1_000))
    if beats == 2:
        feed.partition.evaluate(NOON + 2_000)
    feed.tell((SPEED, b"[{broken", NOON + 3_000), redelivered=(0,))
    feed.tell((SPEED, b"[{broken", NOON + 3_000), redelivered=(0,), renumbered=True)
    feed.tell((SPEED, senml("speed", NOON + 3_000, 5.0, seq=3), NOON + 3_000))
    beat = feed.partition.evaluate(NOON + 4_000)
    assert beat.numbered == (2, 1, 1)
    assert beat.totals.rejected == 3, "what the journal has is rejected as often as it has it"
    feed.tell((SPEED, b"[{broken", NOON + 5_000))
    assert feed.partition.evaluate(NOON + 6_000).numbered == (2, 2, 0), "another one, broken in the same way"


def test_ordinals_that_are_missing_show_as_a_difference() -> None:
    feed = Feed(catalogue())
    feed.ordinal = 3
    feed.tell((SPEED, senml("speed", NOON, 40), NOON))
    totals = feed.partition.evaluate(NOON).totals
    assert totals.received - totals.settled == 3


def test_the_quickest_of_several_sources_is_found_across_them() -> None:
    feed = Feed(catalogue())
    second = f"ioc/{A}/traffic/cam-9"
    feed.tell((SPEED, senml("speed", NOON, 40), NOON), (second, senml("speed", NOON, 90), NOON))
    value = of(feed.partition.evaluate(NOON).current, "fastest")[0]
    assert (value.value, value.sources, value.n) == (90.0, 2, 2)


def test_waiting_times_come_from_a_ticket_taken_and_called() -> None:
    feed = Feed(catalogue())
    desk = f"ioc/{A}/queue/desk-1"
    feed.tell(
        (desk, cloudevent("queue", "taken", NOON, 1, ticket="A1"), NOON),
        (desk, cloudevent("queue", "called", NOON + 10 * MINUTE, 2, ticket="A1"), NOON + 10 * MINUTE),
    )
    value = of(feed.partition.evaluate(NOON + 10 * MINUTE).current, "wait")[0]
    assert value.value == pytest.approx(600, rel=0.01)


def test_an_event_told_twice_counts_once() -> None:
    feed = Feed(catalogue())
    desk = f"ioc/{A}/rating/desk-1"
    event = cloudevent("rating", "given", NOON, 1, score=5, field="dat_dai")
    feed.tell((desk, event, NOON))
    feed.partition.evaluate(NOON)
    feed.tell((desk, event, NOON), (desk, cloudevent("rating", "given", NOON, 2, score=2), NOON))
    beat = feed.partition.evaluate(NOON + 10_000)
    assert (beat.totals.accepted, beat.totals.duplicate) == (2, 1)
    satisfied = of(beat.current, "satisfied")[-1]
    assert (satisfied.value, satisfied.n) == (50.0, 2)
    land = of(beat.current, "satisfied_land")[-1]
    assert (land.value, land.n) == (100.0, 1)


@pytest.mark.long
def test_a_year_fed_in_one_beat_closes_every_one_of_its_windows() -> None:
    hours = 24 * 365
    start = NOON - hours * 3_600_000
    values = np.round(50 + 30 * np.sin(np.arange(hours) / 9.0), 1)
    feed = Feed(catalogue())
    station = f"ioc/{A}/air/station"
    for day in range(0, hours, 500):
        feed.tell(
            *(
                (station, senml("pm25", start + hour * 3_600_000, float(values[hour])), NOON)
                for hour in range(day, min(day + 500, hours))
            )
        )
    said = [feed.partition.evaluate(now) for now in (NOON, NOON + 2 * 3_600_000)]
    means = [value for beat in said for value in of(beat.closed, "pm25")]
    assert [value.value for value in means] == values.tolist()
    assert all(value.state == "final" for value in means)


def test_an_old_series_and_a_live_one_do_not_disturb_each_other() -> None:
    feed = Feed(catalogue())
    old = NOON - 3_000 * 86_400_000
    feed.tell((SPEED, senml("speed", NOON, 40), NOON))
    feed.partition.evaluate(NOON)
    feed.tell(
        (OTHER, senml("speed", old, 70), NOON),
        (OTHER, senml("speed", old + 6 * MINUTE, 80), NOON),
        (SPEED, senml("speed", NOON + 10_000, 60), NOON + 10_000),
    )
    beat = feed.partition.evaluate(NOON + 10_000)
    assert [value.value for value in of(beat.closed, "speed", B)] == [70.0]
    assert of(beat.current, "speed")[-1].value == 50.0
    assert beat.totals.too_late == 0


@pytest.fixture
def store() -> SqlStore:
    made = SqlStore("sqlite://")
    made.migrate()
    return made


def recovered_from(feed: Feed, store: SqlStore, now: int) -> Feed:
    """A new partition made of what the checkpoint of the old one wrote, by way of a real database."""
    assert store.commit(feed.partition.checkpoint(now))
    again = Feed(catalogue(), store.recover(0), now)
    again.records, again.ordinal = feed.records, feed.ordinal
    return again


def told(beat: Beat) -> list[tuple[object, ...]]:
    return sorted((v.kpi, v.scope, v.end, v.value, v.n, v.state, v.revision) for v in beat.closed)


def test_a_partition_recovered_at_a_checkpoint_goes_on_as_if_nothing_had_happened(store: SqlStore) -> None:
    story = [(SPEED, senml("speed", NOON + step * 20_000, 30 + step % 17), NOON + step * 20_000) for step in range(60)]
    straight, broken = Feed(catalogue()), Feed(catalogue())
    for half in (story[:30], story[30:]):
        for feed in (straight, broken):
            feed.tell(*half)
        now = half[-1][2]
        expected, got = straight.partition.evaluate(now), broken.partition.evaluate(now)
        assert told(got) == told(expected)
        straight.partition.checkpoint(now)
        broken = recovered_from(broken, store, now)
    late = (SPEED, senml("speed", NOON + 12 * MINUTE + 1, 99), NOON + 20 * MINUTE)
    again = story[50]
    for feed in (straight, broken):
        feed.tell(late, again)
    expected, got = straight.partition.evaluate(NOON + 21 * MINUTE), broken.partition.evaluate(NOON + 21 * MINUTE)
    assert told(got) == told(expected)
    assert told(got)
    assert got.totals == expected.totals
    assert got.totals.duplicate == 1


@pytest.mark.parametrize("quantities", [["speed"], ["speed", "flow", "queue"], ["queue", "speed", "flow"]])
def test_what_comes_again_after_a_kind_was_given_other_quantities_is_counted_once(
    store: SqlStore, quantities: list[str]
) -> None:
    story = [(SPEED, senml("speed", NOON + step * 1_000, 40), NOON + 10_000) for step in range(10)]
    feed = Feed(catalogue())
    feed.tell(*story)
    feed.partition.evaluate(NOON + 10_000)
    assert store.commit(feed.partition.checkpoint(NOON + 10_000))
    known = kinds()
    speed = known["traffic"].quantities["speed"]
    known["traffic"] = msgspec.structs.replace(known["traffic"], quantities=dict.fromkeys(quantities, speed))
    again = Feed(compile_catalogue(place(), known, kpis(), {}), store.recover(0), NOON + 12_000)
    again.ordinal, again.records = feed.ordinal, feed.records
    news = [(SPEED, senml("speed", NOON + at, 40), NOON + 12_000) for at in (1_500, 11_000)]
    again.tell(*[(topic, payload, NOON + 12_000) for topic, payload, _ in story], *news, redelivered=tuple(range(10)))
    totals = again.partition.evaluate(NOON + 12_000).totals
    assert (totals.accepted, totals.duplicate) == (12, 10)


def test_records_below_the_checkpoint_are_passed_over(store: SqlStore) -> None:
    feed = Feed(catalogue())
    feed.tell((SPEED, senml("speed", NOON, 40), NOON))
    feed.partition.evaluate(NOON)
    again = recovered_from(feed, store, NOON)
    again.partition.observe(feed.records[0])
    assert again.partition.evaluate(NOON).totals.received == 1


def test_a_partition_that_never_ran_starts_from_nothing() -> None:
    feed = Feed(catalogue(), nothing())
    beat = feed.partition.evaluate(NOON)
    assert (beat.current, beat.closed, beat.totals.received) == ([], [], 0)


def test_a_source_that_has_only_said_online_is_not_silent_and_one_that_says_goodbye_is() -> None:
    rule = Rule(
        "gone", "x", "x", "x", "x", "notice", "so", "x", "x", "x", "x", "x", "x", 60, silent="traffic", silent_s=200
    )
    feed = Feed(catalogue({"gone": rule}))
    feed.tell((f"{SPEED}/status", b"online", NOON), (f"{OTHER}/status", b"offline", NOON))
    beat = feed.partition.evaluate(NOON)
    assert (beat.alerts, beat.silent) == ([], {})
    beat = feed.partition.evaluate(NOON + 201_000)
    assert [(alert.id, alert.value) for alert in beat.alerts] == [("gone-06658-cam-1-1", 3.4)]
    later = NOON + 202_000
    feed.tell((SPEED, senml("speed", later, 40), later), (f"{SPEED}/status", b"offline", later))
    beat = feed.partition.evaluate(NOON + 210_000)
    assert list(beat.silent or {}) == ["06658/traffic/cam-1"]


def test_a_ledger_that_does_not_add_up_for_two_beats_is_an_alert_of_its_own() -> None:
    rule = Rule(
        "off", "x", "x", "x", "x", "warning", "so", "x", "x", "x", "x", "x", "x", 60, figure="ledger_difference",
        above=0.0, clear=0.0, hold_s=0.5,
    )  # fmt: skip
    feed = Feed(catalogue({"off": rule}))
    feed.ordinal = 3
    feed.tell((SPEED, senml("speed", NOON, 40), NOON))
    assert feed.partition.evaluate(NOON).alerts == []
    (alert,) = feed.partition.evaluate(NOON + 500).alerts
    assert (alert.id, alert.value) == ("off-22-phan-vung-0-1", 3.0)


def test_what_never_came_is_counted_by_the_sources_own_numbers_and_found_when_it_comes_late() -> None:
    feed = Feed(catalogue())
    told = [(SPEED, senml("speed", NOON + step * 1000, 40, seq=step), NOON + step * 1000) for step in range(5)]
    feed.tell(told[0], told[1], told[4])
    assert feed.partition.evaluate(NOON + 5_000).numbered == (3, 0, 2)
    broken = (SPEED, b'[{"n":"speed"', NOON + 5_000)
    feed.tell(told[2], broken)
    assert feed.partition.evaluate(NOON + 6_000).numbered == (4, 1, 0), "a message that cannot be read is one of them"


def test_a_device_whose_clock_is_ahead_pushes_nobodys_time() -> None:
    feed = Feed(catalogue())
    ahead = (f"ioc/{A}/traffic/fast-clock", senml("speed", NOON + 2 * MINUTE, 40), NOON)
    feed.tell((SPEED, senml("speed", NOON, 40), NOON), ahead)
    beat = feed.partition.evaluate(NOON)
    assert beat.watermark == NOON
    feed.tell((SPEED, senml("speed", NOON - 9 * MINUTE, 40), NOON))
    assert feed.partition.evaluate(NOON).totals.accepted == 3


def test_an_events_repetition_after_its_identity_was_forgotten_is_too_late_and_not_counted() -> None:
    feed = Feed(catalogue())
    desk = f"ioc/{A}/rating/desk-1"
    event = cloudevent("rating", "given", NOON, 1, score=5)
    feed.tell((desk, event, NOON))
    feed.partition.evaluate(NOON)
    later = NOON + 5 * 3_600_000
    feed.partition.checkpoint(NOON)
    for now in (later - MINUTE, later):
        feed.tell((SPEED, b"the journal goes on", now))
        feed.partition.evaluate(now)
        feed.partition.checkpoint(now)
    feed.tell((desk, event, later))
    totals = feed.partition.evaluate(later).totals
    assert (totals.accepted, totals.too_late) == (1, 1)


@pytest.mark.parametrize("restarts", [False, True])
def test_what_comes_again_in_a_backlog_is_counted_once_however_late_that_is_read(
    store: SqlStore, restarts: bool
) -> None:
    feed, now = Feed(catalogue()), NOON + 3 * DAY
    event = cloudevent("rating", "given", NOON, 1, score=5)
    told = [(SPEED, senml("speed", NOON, 40), NOON), (f"ioc/{A}/rating/desk-1", event, NOON)]
    again = [(topic, payload, received + 20_000) for topic, payload, received in told]
    feed.tell(*told)
    feed.partition.evaluate(now)
    if restarts:
        feed = recovered_from(feed, store, now)
    for step in (1, 2):
        feed.tell((OTHER, senml("speed", NOON + step * 1_000, 50), NOON + step * 1_000))
        feed.partition.evaluate(now + step * MINUTE)
        feed.partition.checkpoint(now + step * MINUTE)
    feed.tell(*again, redelivered=(0, 1))
    totals = feed.partition.evaluate(now + 3 * MINUTE).totals
    assert (totals.accepted, totals.duplicate) == (4, 2)


def test_a_ticket_called_in_a_backlog_has_its_waiting_time_however_late_that_is_read(store: SqlStore) -> None:
    feed = Feed(catalogue())
    desk = f"ioc/{A}/queue/desk-1"
    now = NOON + 3 * DAY
    feed.tell((desk, cloudevent("queue", "taken", NOON, 1, ticket="A1"), NOON))
    feed.partition.evaluate(NOON)
    feed = recovered_from(feed, store, NOON)
    feed.partition.evaluate(now)
    feed = recovered_from(feed, store, now)
    feed.tell((desk, cloudevent("queue", "called", NOON + 10 * MINUTE, 2, ticket="A1"), NOON + 10 * MINUTE))
    assert feed.partition.evaluate(now + MINUTE).totals.readings == 2, "one taken, and one wait"


def test_a_bridge_whose_clock_was_ahead_for_a_message_makes_nobody_forget_what_was_told_before() -> None:
    feed = Feed(catalogue())
    told = (SPEED, senml("speed", NOON, 40), NOON)
    feed.tell(told)
    feed.tell((OTHER, b"by a clock that is a day ahead", NOON + DAY))
    for now in (NOON, NOON + MINUTE):
        feed.partition.evaluate(now)
        feed.partition.checkpoint(now)
    feed.tell(told, redelivered=(0,))
    totals = feed.partition.evaluate(NOON + 2 * MINUTE).totals
    assert (totals.accepted, totals.duplicate) == (1, 1)


def test_identities_do_not_become_more_while_a_backlog_is_read_in_memory_or_in_the_database(store: SqlStore) -> None:
    feed, kept = Feed(catalogue()), []
    for minute in range(60):
        now = NOON + minute * MINUTE
        feed.tell((SPEED, senml("speed", now, 40), now))
        feed.partition.evaluate(now + DAY)
        assert store.commit(feed.partition.checkpoint(now + DAY))
        kept.append((sum(map(len, feed.partition._seen)), len(store.recover(0).seen)))
    assert max(kept[30:]) == max(kept[:30]) < (27, 27), "twice the lateness of ten minutes, in steps of half of it"


def test_what_is_observed_after_a_beat_is_in_no_checkpoint_before_the_next(store: SqlStore) -> None:
    feed = Feed(catalogue())
    feed.tell((SPEED, senml("speed", NOON, 40), NOON))
    feed.partition.evaluate(NOON)
    feed.tell((SPEED, senml("speed", NOON + 1_000, 50), NOON + 1_000))
    checkpoint = feed.partition.checkpoint(NOON)
    assert (checkpoint.offset, checkpoint.ordinal, checkpoint.totals.accepted) == (1, 1, 1)
    assert store.commit(checkpoint)
    again = Feed(catalogue(), store.recover(0), NOON)
    again.partition.observe(feed.records[1])
    assert again.partition.evaluate(NOON + 2_000).totals.accepted == 2


def told_in_full(beat: Beat) -> list[object]:
    """Everything that a beat says, but for what is as it was."""
    return [*told(beat), beat.alerts, beat.steps, beat.silent, beat.totals, beat.numbered, beat.watermark, beat.offset]


@pytest.mark.parametrize("crash_at", range(0, 40, 3))
def test_after_a_crash_at_any_checkpoint_every_later_beat_says_the_same(store: SqlStore, crash_at: int) -> None:
    rule = Rule(
        "fast", "x", "x", "x", "x", "warning", "so", "x", "x", "x", "x", "x", "x", 60, kpi="speed", above=50.0,
        clear=40.0, hold_s=30.0, clear_hold_s=20.0,
    )  # fmt: skip
    gone = Rule(
        "gone", "x", "x", "x", "x", "notice", "so", "x", "x", "x", "x", "x", "x", 60, silent="traffic", silent_s=200
    )
    rules = {"fast": rule, "gone": gone}
    straight, broken = Feed(catalogue(rules)), Feed(catalogue(rules))
    for step in range(40):
        now = NOON + step * 7_000
        desk = f"ioc/{A}/queue/desk-1"
        story = [
            (SPEED, senml("speed", now - (step % 3) * 50_000, 30 + 3 * (step % 17), seq=step), now),
            (OTHER, senml("speed", now, 30 + step % 9), now),
            (desk, cloudevent("queue", "taken", now, step, ticket=f"A{step}"), now),
            (desk, cloudevent("queue", "called", now, 100 + step, ticket=f"A{step - 2}"), now),
        ]
        for feed in (straight, broken):
            feed.tell(*story[: 4 - step % 4])
        expected, got = straight.partition.evaluate(now), broken.partition.evaluate(now)
        assert told_in_full(got) == told_in_full(expected), step
        newest = {(value.kpi, value.scope): value for value in straight.partition.newest_values()}
        assert {(value.kpi, value.scope): value for value in broken.partition.newest_values()} == newest
        straight.partition.checkpoint(now)
        checkpoint = broken.partition.checkpoint(now)
        assert store.commit(checkpoint)
        if step == crash_at:
            again = Feed(catalogue(rules), store.recover(0), now + 3_000)
            again.records, again.ordinal = broken.records, broken.ordinal
            broken = again


def test_the_panes_kept_of_a_live_source_are_bounded_also_where_another_has_long_been_silent(store: SqlStore) -> None:
    feed = Feed(catalogue())
    feed.tell((OTHER, senml("speed", NOON, 40), NOON))
    kept = []
    for step in range(360):
        now = NOON + step * MINUTE
        feed.tell((SPEED, senml("speed", now, 40), now))
        feed.partition.evaluate(now)
        assert store.commit(feed.partition.checkpoint(now))
        if step % 60 == 59:
            kept.append(len(store.recover(0).panes))
    assert kept[5] == kept[3] < 300
    assert any(row.entity == B for row in store.recover(0).panes), "the silent one keeps its own"


def test_what_was_said_of_old_windows_is_forgotten_also_where_another_unit_has_long_been_silent() -> None:
    feed = Feed(catalogue())
    feed.tell((OTHER, senml("speed", NOON, 40), NOON))
    kept = []
    for minute in range(300):
        now = NOON + minute * MINUTE
        feed.tell((SPEED, senml("speed", now, 40 + minute % 9), now))
        feed.partition.evaluate(now)
        feed.partition.checkpoint(now)
        kept.append(len(feed.partition._folding.books["speed_p95"].closed))
    assert kept[299] == kept[150] < 40
