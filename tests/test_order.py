"""Order, repetition and cutting change no figure: hypothesis over the pure core (architecture §4 and §5).

A message counts as long as it is received no later after its observation than its kind allows. Within that, it may
come in any order, any number of times, in any batches and beats, through any number of partitions.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_world import NOON, A, B, C, Feed, _kpi, catalogue, cloudevent, nothing, senml

from streams.beat import Counts, Value
from streams.catalogue import Catalogue
from streams.checkpoint import Partial
from streams.roll_up import Report, RollUp

UNITS = (A, B, C)
SPAN_S = 1_500
MEASURES = ("count", "sum", "min", "last", "change", "rate", "p50", "p90")
MORE = {f"flow_{measure}": _kpi(f"flow_{measure}", "traffic", "flow", measure, 300, 60, 60) for measure in MEASURES}
MORE["flow_mean_of_sources"] = _kpi("flow_mean_of_sources", "traffic", "flow", "rate", 600, 300, 60, across="mean")
MORE["flow_sum_of_sources"] = _kpi("flow_sum_of_sources", "traffic", "flow", "last", 300, 300, 60, across="sum")
MORE["wait_land"] = _kpi("wait_land", "queue", "wait", "mean", 600, 300, 60, field="dat_dai")
MADE: Catalogue = catalogue(**MORE)
LATENESS_S = {kind.id: kind.lateness_s for kind in MADE.kinds.values()}
SCOPES = set(MADE.scope_codes)
END = NOON + 9 * 3_600_000
"""Everything has arrived, and all time has passed."""


class Sent(NamedTuple):
    """A message before its journey; `observed` in seconds after NOON. Ahead: how far its clock is, seconds."""

    unit: str
    kind: str
    topic: str
    observed: float
    payload: bytes


class Delivery(NamedTuple):
    """A message at the bridge: when (ms UTC), and whether the broker marked it."""

    at: int
    sent: Sent
    is_marked: bool


class Outcome(NamedTuple):
    """What was said last of every closed window, all that was said of each in order, and the counts."""

    final: dict[tuple[str, str, int], tuple[float | None, int, int, int]]
    told: dict[tuple[str, str, int], list[Value]]
    counts: Counts


# --- stories ---


@st.composite
def devices(draw: st.DrawFn) -> list[Sent]:
    """Readings of cameras and stations; a source has one value for a quantity at a time."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(UNITS), st.sampled_from(("traffic", "traffic", "air")), st.integers(1, 2),
                st.integers(0, SPAN_S * 4).map(lambda quarter: quarter / 4), st.integers(0, 1_990),
            ),
            max_size=25, unique_by=lambda row: row[:4],
        )
    )  # fmt: skip
    made = []
    for unit, kind, source, at, tenths in drawn:
        names = ("speed", "flow") if kind == "traffic" else ("pm25", "o3")
        records = b",".join(senml(name, NOON + round(at * 1000), tenths / 10 + at % 1)[1:-1] for name in names)
        made.append(Sent(unit, kind, f"ioc/{unit}/{kind}/nguon-{source}", at, b"[" + records + b"]"))
    return made


@st.composite
def desks(draw: st.DrawFn) -> list[Sent]:
    """Tickets with some of their steps, and ratings: every event with an identity of its own."""
    made: list[Sent] = []
    ids = iter(range(10_000))
    tickets = draw(st.lists(st.tuples(st.sampled_from(UNITS), st.integers(0, SPAN_S // 2), st.booleans()), max_size=5))
    for number, (unit, taken, has_field) in enumerate(tickets):
        data: dict[str, object] = {"ticket": f"A{number}"} | ({"field": "dat_dai"} if has_field else {})
        at = taken
        for step in ("taken", *draw(st.sampled_from(((), ("called",), ("called", "served"), ("left",))))):
            event = cloudevent("queue", step, NOON + at * 1000, next(ids), **data)
            made.append(Sent(unit, "queue", f"ioc/{unit}/queue/quay-1", at, event))
            at += draw(st.integers(1, SPAN_S // 4))
    ratings = draw(st.lists(st.tuples(st.sampled_from(UNITS), st.integers(0, SPAN_S), st.integers(1, 5)), max_size=6))
    for unit, at, score in ratings:
        event = cloudevent("rating", "given", NOON + at * 1000, next(ids), score=score, field="dat_dai")
        made.append(Sent(unit, "rating", f"ioc/{unit}/rating/danh-gia-1", at, event))
    return made


stories = st.tuples(devices(), desks()).map(lambda parts: parts[0] + parts[1]).filter(bool)


def delivery(sent: Sent, delay: float, is_marked: bool = False) -> Delivery:
    """`delay` in [0, 1] of what the kind allows."""
    return Delivery(NOON + round((sent.observed + delay * LATENESS_S[sent.kind]) * 1000), sent, is_marked)


delays = st.sampled_from((0.0, 1.0, 0.99)) | st.floats(0, 1)


@st.composite
def journeys(draw: st.DrawFn, story: list[Sent]) -> list[Delivery]:
    """Every message arrives within the allowance, and some of them again: even long after."""
    arrived = [delivery(sent, draw(delays)) for sent in story]
    again = draw(st.lists(st.tuples(st.integers(0, len(story) - 1), st.floats(0, 3), st.booleans()), max_size=12))
    for index, later, is_marked in again:
        first = arrived[index].at
        arrived.append(Delivery(first + round(later * LATENESS_S[story[index].kind] * 1000), story[index], is_marked))
    mixed = draw(st.permutations(arrived))
    return sorted(mixed, key=lambda one: one.at)


# --- playing one ---


def play(deliveries: Sequence[Delivery], homes: dict[str, int], beat_s: float, batch_max: int = 500) -> Outcome:
    """The deliveries through the partitions that `homes` names for each unit, and the roll-up; then time passes."""
    feeds = {number: Feed(MADE, number=number) for number in sorted(set(homes.values()))}
    roll_up = RollUp(MADE, nothing(), NOON)
    shares: dict[tuple[str, int], dict[int, Partial]] = defaultdict(dict)
    told: dict[tuple[str, str, int], list[Value]] = defaultdict(list)
    rest, now, step = list(deliveries), NOON, round(beat_s * 1000)
    while now < END:
        # Beats among deliveries; a long wait for the next one is passed over but for its last beat.
        now = max(now + step, rest[0].at - step) if rest else min(now + 3_600_000, END)
        for number, feed in feeds.items():
            here = [one for one in rest if one.at <= now and homes[one.sent.unit] == number]
            for begin in range(0, len(here), batch_max):
                part = here[begin : begin + batch_max]
                feed.tell(
                    *((one.sent.topic, one.sent.payload, one.at) for one in part),
                    redelivered=tuple(place for place, one in enumerate(part) if one.is_marked),
                )
            beat = feed.partition.evaluate(now)
            # What the engine asks the database for: windows that have left the roll-up's memory.
            for key in roll_up.unknown(beat.partials):
                values = [said[-1] for (kpi, scope, end), said in told.items() if (kpi, end) == key and scope in SCOPES]
                roll_up.restore(list(shares[key].values()), values, now)
            for partial in beat.partials:
                shares[partial.kpi, partial.end][number] = partial
            roll_up.report(Report(number, beat.partials, beat.silent), now)
            note(told, beat.closed)
        rest = [one for one in rest if one.at > now]
        note(told, roll_up.evaluate(now).closed)
    counts = Counts()
    for feed in feeds.values():
        counts.add(feed.partition.evaluate(now).totals)
    final = {key: (said[-1].value, said[-1].n, said[-1].sources, said[-1].as_of) for key, said in told.items()}
    return Outcome(final, told, counts)


def note(told: dict[tuple[str, str, int], list[Value]], values: list[Value]) -> None:
    for value in values:
        told[value.kpi, value.scope, value.end].append(value)


ALONE = dict.fromkeys(UNITS, 0)
homes_of_units = st.fixed_dictionaries({unit: st.integers(0, 2) for unit in UNITS})
beats = st.sampled_from((20.0, 61.0, 240.0))
QUICK, LONG = settings(max_examples=12), settings(max_examples=60)


# --- one by hand ---


def test_a_unit_whose_time_ran_on_and_that_then_speaks_late_opens_no_closed_window_again() -> None:
    """A share of a window that has begun for the partition once more was told as open: the place's never closed."""
    spoken = [(A, 0.0, 0.0), (A, 71.25, 0.0), (A, 102.75, 594.0), (C, 129.0, 600.0), (A, 194.75, 594.0)]
    deliveries = [
        Delivery(
            NOON + round((at + delay) * 1_000),
            Sent(unit, "traffic", f"ioc/{unit}/traffic/cam", at, senml("flow", NOON + round(at * 1_000), 1.0)),
            False,
        )
        for unit, at, delay in spoken
    ]
    on_time = [delivery(one.sent, 0) for one in deliveries]
    assert play(deliveries, {A: 0, B: 0, C: 2}, 20.0, 1).final == play(on_time, ALONE, beat_s=60).final


# --- the properties ---


def any_order(data: st.DataObject, story: list[Sent], homes: dict[str, int], beat_s: float, batch_max: int) -> None:
    straight = play(sorted((delivery(sent, 0) for sent in story), key=lambda one: one.at), ALONE, beat_s=60)
    deliveries = data.draw(journeys(story))
    crooked = play(deliveries, homes, beat_s, batch_max)
    assert crooked.final == straight.final
    repeated = len(deliveries) - len(story)
    assert (straight.counts.accepted, straight.counts.settled) == (len(story), len(story))
    assert (crooked.counts.accepted, crooked.counts.rejected) == (len(story), 0)
    assert crooked.counts.duplicate + crooked.counts.too_late == repeated
    assert crooked.counts.received == crooked.counts.settled == len(deliveries)
    assert crooked.counts.readings == straight.counts.readings


def revisions(data: st.DataObject, story: list[Sent], homes: dict[str, int], beat_s: float) -> None:
    for said in play(data.draw(journeys(story)), homes, beat_s).told.values():
        assert [value.revision for value in said] == list(range(len(said)))
        assert [value.state for value in said] == ["final"] + ["corrected"] * (len(said) - 1)
        for before, after in pairwise(said):
            assert (before.value, before.n) != (after.value, after.n), "a correction that corrects nothing"


def liars(data: st.DataObject, story: list[Sent], beat_s: float) -> None:
    """The liars measure flow, so figures of flow are theirs too; no other may change, nor what became of others."""
    deliveries = data.draw(journeys(story))
    aheads = st.sampled_from((119, 119, 60, 1, -60, -3_600)) | st.integers(-3_600, 119)
    drawn = data.draw(st.lists(st.tuples(st.integers(0, len(deliveries) - 1), aheads), min_size=1, max_size=8))
    lies = []
    for number, (place, ahead) in enumerate(drawn):
        # Just before an honest message that may be as late as it can be.
        at, unit = deliveries[place].at - 1, deliveries[place].sent.unit
        payload = senml("flow", at + ahead * 1000 + number, 7)
        lies.append(Delivery(at, Sent(unit, "traffic", f"ioc/{unit}/traffic/dong-ho-sai", 0, payload), False))
    honest = play(deliveries, ALONE, beat_s)
    both = play(sorted((*deliveries, *lies), key=lambda one: one.at), ALONE, beat_s)
    assert both.counts.settled == honest.counts.settled + len(lies)
    assert len(story) <= both.counts.accepted <= len(story) + len(lies)
    for key in (key for key in honest.final if "flow" not in key[0]):
        assert both.final[key] == honest.final[key]


@QUICK
@given(data=st.data(), story=stories, homes=homes_of_units, beat_s=beats, batch_max=st.integers(1, 9))
def test_any_order_repetition_cutting_and_sharing_out_gives_the_same_final_figures(
    data: st.DataObject, story: list[Sent], homes: dict[str, int], beat_s: float, batch_max: int
) -> None:
    any_order(data, story, homes, beat_s, batch_max)


@QUICK
@given(data=st.data(), story=stories, homes=homes_of_units, beat_s=beats)
def test_a_closed_window_is_final_once_and_every_correction_counts_its_revision_up_by_one(
    data: st.DataObject, story: list[Sent], homes: dict[str, int], beat_s: float
) -> None:
    revisions(data, story, homes, beat_s)


@QUICK
@given(data=st.data(), story=devices().filter(bool), beat_s=beats)
def test_a_clock_that_is_ahead_or_behind_changes_nothing_for_other_sources(
    data: st.DataObject, story: list[Sent], beat_s: float
) -> None:
    liars(data, story, beat_s)


@pytest.mark.long
@LONG
@given(data=st.data(), story=stories, homes=homes_of_units, beat_s=beats, batch_max=st.integers(1, 9))
def test_many_more_orders_repetitions_revisions_and_wrong_clocks(
    data: st.DataObject, story: list[Sent], homes: dict[str, int], beat_s: float, batch_max: int
) -> None:
    any_order(data, story, homes, beat_s, batch_max)
    revisions(data, story, homes, beat_s)
    liars(data, story, beat_s)
