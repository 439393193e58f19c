"""A city's engineer changes a definition and starts again: what was kept under the old one, read under the new."""

import msgspec
import pytest
from small_world import NOON, A, B, Feed, _kpi, catalogue, kinds, kpis, nothing, place, senml

from streams.beat import Value
from streams.catalogue import Catalogue, compile_catalogue
from streams.checkpoint import ROLL_UP
from streams.partial import amended_partial, cells_of, unpack_share
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
    assert cells_of(whole).bins.sum(axis=1).tolist() == [0, 1]
