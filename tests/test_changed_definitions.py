"""A city's engineer changes a definition and starts again: what was kept under the old one, read under the new."""

import msgspec
import numpy as np
import pytest
from small_world import NOON, A, B, Feed, _kpi, catalogue, cloudevent, kinds, kpis, nothing, place, senml

from streams.alert import Command, Rule
from streams.alert_life import UNDEFINED
from streams.beat import Value
from streams.catalogue import Catalogue, compile_catalogue
from streams.checkpoint import ROLL_UP
from streams.partial import amended_partial, cells_of, unpack_share
from streams.partition import Partition
from streams.roll_up import Report, RollUp
from streams.sql_store import SqlStore

MINUTE = 60_000
FLOW_P95 = {"flow_p95": _kpi("flow_p95", "traffic", "flow", "p95", 300, 300, 60)}
FLOW = {"flow": _kpi("flow", "traffic", "flow", "mean", 300, 300, 60)}


def with_high(high: float) -> Catalogue:
    """The small world, where speeds and flows go up to `high`."""
    made = kinds()
    traffic = made["traffic"]
    quantities = {name: msgspec.structs.replace(one, high=high) for name, one in traffic.quantities.items()}
    made["traffic"] = msgspec.structs.replace(traffic, quantities=quantities)
    return compile_catalogue(place(), made, kpis(), {})


@pytest.fixture
def store() -> SqlStore:
    made = SqlStore("sqlite://")
    made.migrate()
    return made


def written(feed: Feed, store: SqlStore, now: int) -> None:
    feed.partition.evaluate(now)
    assert store.commit(feed.partition.checkpoint(now))


def again(feed: Feed, made: Catalogue, store: SqlStore, now: int) -> Feed:
    """The partition of `feed`, started again under the definitions `made`."""
    fresh = Feed(made, store.recover(feed.number), now, feed.number)
    fresh.records, fresh.ordinal = feed.records, feed.ordinal
    return fresh


def newest(values: list[Value], kpi: str, scope: str = A) -> tuple[float | None, int]:
    (found,) = [value for value in values if (value.kpi, value.scope) == (kpi, scope)]
    return found.value, found.n


@pytest.mark.parametrize("high", [120, 200, 300])
def test_a_partition_starts_whatever_the_quantities_top_was_when_its_panes_were_kept(
    store: SqlStore, high: float
) -> None:
    before = Feed(with_high(200))
    before.tell(*[(f"ioc/{A}/traffic/cam", senml("speed", NOON + at, speed), NOON + at)
                  for at, speed in enumerate((10.0, 150.0, 180.0))])  # fmt: skip
    written(before, store, NOON + 500)
    after = again(before, with_high(high), store, NOON + 5_000)
    after.tell((f"ioc/{A}/traffic/cam", senml("speed", NOON + 4_000, 50.0), NOON + 5_000))
    after.partition.evaluate(NOON + 6_000)
    value, n = newest(after.partition.newest_values(), "speed_p95")
    assert n == 4
    assert value == pytest.approx(min(150.0, high), rel=0.02), "what lies beyond the top counts as the top"


def of_flow(store: SqlStore, old: Catalogue, new: Catalogue) -> RollUp:
    """Two units' flows, each in a partition of its own, told under `old`; then one of them speaks again under `new`."""
    feeds, roll_up = (Feed(old), Feed(old, number=1)), RollUp(old, nothing(), NOON)
    for feed, unit, flow in zip(feeds, (A, B), (50.0, 60.0), strict=True):
        feed.tell((f"ioc/{unit}/traffic/cam", senml("flow", NOON, flow), NOON))
        beat = feed.partition.evaluate(NOON + 500)
        roll_up.report(Report(feed.number, beat.partials, None), NOON + 500)
        assert store.commit(feed.partition.checkpoint(NOON + 500))
    roll_up.evaluate(NOON + 500)
    assert store.commit(roll_up.checkpoint(NOON + 500, [], []))
    now = NOON + 6_000
    loud, roll_up = again(feeds[0], new, store, now), RollUp(new, store.recover(ROLL_UP), now)
    loud.tell((f"ioc/{A}/traffic/cam", senml("flow", NOON + 5_000, 40.0), now))
    roll_up.report(Report(0, loud.partition.evaluate(now).partials, None), now)
    roll_up.evaluate(now)
    return roll_up


def test_the_roll_up_goes_on_with_a_quiet_partitions_share_when_a_quantile_is_added(store: SqlStore) -> None:
    roll_up = of_flow(store, catalogue(**FLOW), catalogue(**FLOW | FLOW_P95))
    assert newest(roll_up.newest_values(), "flow", "22") == (50.0, 3)


def test_a_patch_is_laid_over_a_share_that_was_kept_before_a_quantile_was_added() -> None:
    shares = []
    for made, unit in ((catalogue(**FLOW), A), (catalogue(**FLOW | FLOW_P95), B)):
        feed = Feed(made)
        feed.tell((f"ioc/{unit}/traffic/cam", senml("flow", NOON, 50.0), NOON))
        shares += [share for share in feed.partition.evaluate(NOON + 500).partials if share.kpi == "flow"]
    patch = msgspec.structs.replace(shares[1], is_patch=True)
    whole = unpack_share(amended_partial(shares[0], patch))
    assert whole.units == [A, B]
    assert cells_of(whole, None).bins.sum(axis=1).tolist() == [0, 1]


def rated(feed: Feed, unit: str, minute: int, score: int) -> None:
    at = NOON + minute * MINUTE
    feed.tell((f"ioc/{unit}/rating/desk", cloudevent("rating", "given", at, feed.ordinal, score=score), at))


def satisfied(**bound: float) -> Catalogue:
    """The small world with another bound of `satisfied`, and of its narrowed KPI."""
    wide = _kpi("satisfied", "rating", "score", "share", 3_600, 300, 300, **bound)
    return catalogue(satisfied=wide, satisfied_land=msgspec.structs.replace(wide, id="satisfied_land", field="dat_dai"))


UNHAPPY = {"unhappy": _kpi("unhappy", "rating", "score", "share", 3_600, 300, 300, at_most=2.0)}


def rated_under_both(store: SqlStore, old: Catalogue, new: Catalogue) -> Feed:
    """Two ratings under `old`, after five minutes another one under `new`."""
    before = Feed(old)
    rated(before, A, 0, 5)
    rated(before, A, 1, 1)
    written(before, store, NOON + 2 * MINUTE)
    after = again(before, new, store, NOON + 5 * MINUTE)
    rated(after, A, 6, 5)
    after.partition.evaluate(NOON + 7 * MINUTE)
    return after


def test_a_share_stays_right_when_another_is_added_and_that_one_is_unknown_until_it_has_counted_its_whole_window(
    store: SqlStore,
) -> None:
    after = rated_under_both(store, catalogue(), catalogue(**UNHAPPY))
    assert newest(after.partition.newest_values(), "satisfied") == (pytest.approx(200 / 3), 3)
    assert newest(after.partition.newest_values(), "unhappy") == (None, 3)
    rated(after, A, 61, 1)
    after.partition.evaluate(NOON + 62 * MINUTE)
    assert newest(after.partition.newest_values(), "unhappy") == (50.0, 2)
    assert newest(after.partition.newest_values(), "satisfied") == (50.0, 2)


def test_a_share_whose_bound_was_changed_is_unknown_until_its_window_was_counted_under_the_new_one(
    store: SqlStore,
) -> None:
    after = rated_under_both(store, satisfied(at_least=4.0), satisfied(at_most=2.0))
    assert newest(after.partition.newest_values(), "satisfied") == (None, 3)
    written(after, store, NOON + 7 * MINUTE)
    later = again(after, satisfied(at_most=2.0), store, NOON + 8 * MINUTE)
    rated(later, A, 9, 5)
    later.partition.evaluate(NOON + 10 * MINUTE)
    assert newest(later.partition.newest_values(), "satisfied") == (None, 4), "a restart makes nobody know more"
    rated(later, A, 61, 5)
    later.partition.evaluate(NOON + 62 * MINUTE)
    assert newest(later.partition.newest_values(), "satisfied") == (0.0, 3)


@pytest.mark.parametrize("is_same", [True, False])
def test_hits_that_were_kept_without_their_bounds_count_where_these_are_as_many(store: SqlStore, is_same: bool) -> None:
    """Earlier versions kept them by place: a data folder of theirs goes on."""
    feed = Feed(catalogue())
    rated(feed, A, 0, 5)
    feed.partition.evaluate(NOON + MINUTE)
    checkpoint = feed.partition.checkpoint(NOON + MINUTE)
    bare = np.array([1], dtype=np.int64).tobytes()
    panes = [msgspec.structs.replace(row, hits=bare) if row.hits else row for row in checkpoint.panes]
    assert store.commit(msgspec.structs.replace(checkpoint, panes=panes))
    after = again(feed, catalogue(**({} if is_same else UNHAPPY)), store, NOON + 2 * MINUTE)
    rated(after, A, 3, 1)
    after.partition.evaluate(NOON + 4 * MINUTE)
    assert newest(after.partition.newest_values(), "satisfied") == (50.0 if is_same else None, 2)


def test_a_quantile_over_panes_that_were_counted_before_it_was_there_is_unknown_until_they_have_left_its_window(
    store: SqlStore,
) -> None:
    before = Feed(catalogue(**FLOW))
    before.tell((f"ioc/{A}/traffic/cam", senml("flow", NOON, 50.0), NOON))
    written(before, store, NOON + 500)
    after = again(before, catalogue(**FLOW | FLOW_P95), store, NOON + 5_000)
    after.tell((f"ioc/{A}/traffic/cam", senml("flow", NOON + 4_000, 10.0), NOON + 5_000))
    after.partition.evaluate(NOON + 6_000)
    assert newest(after.partition.newest_values(), "flow_p95") == (None, 2)
    assert newest(after.partition.newest_values(), "flow") == (30.0, 2)
    after.tell((f"ioc/{A}/traffic/cam", senml("flow", NOON + 6 * MINUTE, 10.0), NOON + 6 * MINUTE))
    after.partition.evaluate(NOON + 7 * MINUTE)
    assert newest(after.partition.newest_values(), "flow_p95") == (pytest.approx(10.0, rel=0.01), 1)


def test_a_share_across_sources_is_unknown_while_one_of_them_was_counted_under_another_bound(store: SqlStore) -> None:
    def slowest(at_most: float) -> Catalogue:
        return catalogue(slow=_kpi("slow", "traffic", "speed", "share", 300, 300, 60, across="max", at_most=at_most))

    before = Feed(slowest(20.0))
    before.tell((f"ioc/{A}/traffic/cam-1", senml("speed", NOON, 15.0), NOON))
    written(before, store, NOON + 500)
    after = again(before, slowest(10.0), store, NOON + 5_000)
    after.tell((f"ioc/{A}/traffic/cam-2", senml("speed", NOON + 4_000, 50.0), NOON + 5_000))
    partials = after.partition.evaluate(NOON + 6_000).partials
    assert newest(after.partition.newest_values(), "slow") == (None, 2)
    roll_up = RollUp(slowest(10.0), nothing(), NOON)
    roll_up.report(Report(0, partials, None), NOON + 6_000)
    roll_up.evaluate(NOON + 6_000)
    assert newest(roll_up.newest_values(), "slow", "22") == (None, 2)


def test_the_place_does_not_tell_a_share_of_which_a_quiet_partition_knows_another_bound_only() -> None:
    roll_up = RollUp(satisfied(at_most=2.0), nothing(), NOON)
    for number, (unit, made) in enumerate(((A, satisfied(at_least=4.0)), (B, satisfied(at_most=2.0)))):
        feed = Feed(made, number=number)
        rated(feed, unit, 0, 5)
        roll_up.report(Report(number, feed.partition.evaluate(NOON + 500).partials, None), NOON + 500)
    roll_up.evaluate(NOON + 500)
    assert newest(roll_up.newest_values(), "satisfied", "22") == (None, 2)


def test_a_patch_makes_nothing_known_of_units_whose_share_was_kept_for_another_bound() -> None:
    shares = []
    for made, unit in ((satisfied(at_least=4.0), A), (satisfied(at_most=2.0), B)):
        feed = Feed(made)
        rated(feed, unit, 0, 5)
        shares += [share for share in feed.partition.evaluate(NOON + 500).partials if share.kpi == "satisfied"]
    whole = amended_partial(shares[0], msgspec.structs.replace(shares[1], is_patch=True))
    roll_up = RollUp(satisfied(at_most=2.0), nothing(), NOON)
    roll_up.report(Report(0, [whole], None), NOON + 500)
    roll_up.evaluate(NOON + 500)
    assert newest(roll_up.newest_values(), "satisfied", "22") == (None, 2)


def test_what_was_told_of_a_closed_window_stays_as_the_definition_of_then_had_it(store: SqlStore) -> None:
    old, new = satisfied(at_least=4.0), satisfied(at_most=2.0)
    feed, roll_up, now = Feed(old), RollUp(old, nothing(), NOON), NOON + 100 * MINUTE
    rated(feed, A, 0, 5)
    feed.partition.evaluate(NOON + MINUTE)
    roll_up.report(Report(0, feed.partition.evaluate(now).partials, None), now)
    assert store.commit(feed.partition.checkpoint(now))
    assert roll_up.evaluate(now).closed
    assert store.commit(roll_up.checkpoint(now, [], []))
    assert RollUp(new, store.recover(ROLL_UP), now + 5_000).evaluate(now + 5_000).closed == []


@pytest.mark.parametrize("scope", ["unit", "place"])
def test_an_alert_whose_rule_is_taken_out_returns_at_the_next_start_says_why_and_is_closed_by_who_sees_it(
    store: SqlStore, scope: str
) -> None:
    code = A if scope == "unit" else place().code
    fast = Rule(
        "fast", "Nhanh", "Fast", "h", "h", "warning", "so", "c", "c", "q", "q", "r", "r", 600,
        kpi="speed", above=80.0, clear=70.0, scope=scope,  # type: ignore[arg-type]
    )  # fmt: skip
    feed, now = Feed(catalogue({"fast": fast})), NOON + 500
    roll_up = RollUp(catalogue({"fast": fast}), nothing(), NOON)
    feed.tell((f"ioc/{A}/traffic/cam", senml("speed", NOON, 90.0), NOON))
    beat = feed.partition.evaluate(now)
    roll_up.report(Report(0, beat.partials, None), now)
    roll_up.evaluate(now)
    assert store.commit(feed.partition.checkpoint(now))
    assert store.commit(roll_up.checkpoint(now, [], []))

    now += 5_000
    owner: Partition | RollUp = RollUp(catalogue(), store.recover(ROLL_UP), now)
    if scope == "unit":
        owner = again(feed, catalogue(), store, now).partition
    assert [alert.state for alert in owner.open_alerts()] == ["unack_active"]
    beat = owner.evaluate(now)
    assert [(step.op, step.text) for step in beat.steps] == [("return", UNDEFINED)]
    assert owner.evaluate(now + 500).steps == []
    owner.command(Command("c", now, "an", "acknowledge", f"fast-{code}-1"), now + 600)
    assert owner.open_alerts() == []
