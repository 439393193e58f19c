"""Panes: folding, merging and reading back windows, against plain Python."""

import math
from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams import histogram
from streams.pane import MILLION, Cells, PaneRing, SeriesSpec, concatenate, group

PANE_MS = 60_000
SPEC = SeriesSpec("traffic", "speed", PANE_MS, False, False, 20, ((None, 40.0),), 200.0)

Row = tuple[int, int, float]
rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 10 * PANE_MS - 1), st.floats(0, 199).map(lambda v: round(v, 3))),
    min_size=1,
    max_size=60,
)


def ring_of(readings: list[Row], chunks: int = 1) -> PaneRing:
    ring = PaneRing(SPEC)
    for unit in range(4):
        ring.row(f"{unit:05}", "", unit, 0)
    for start in range(0, len(readings), max(1, math.ceil(len(readings) / chunks))):
        part = readings[start : start + max(1, math.ceil(len(readings) / chunks))]
        unit, time, value = (np.array(column) for column in zip(*part, strict=True))
        ring.fold(unit, time // PANE_MS, time, value.astype(float), np.arange(len(part)))
    return ring


@given(rows, st.integers(0, 9), st.integers(1, 10))
def test_a_window_of_panes_equals_the_same_sums_in_plain_python(readings: list[Row], first: int, panes: int) -> None:
    cells = ring_of(readings).window(np.arange(4), first, panes, 0)
    by_unit: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for unit, time, value in readings:
        if first <= time // PANE_MS < first + panes:
            by_unit[unit].append((time, value))
    for unit in range(4):
        inside = by_unit[unit]
        assert cells.n[unit] == len(inside)
        if inside:
            assert cells.total[unit] == sum(round(value * MILLION) for _, value in inside)
            assert cells.low[unit] == min(value for _, value in inside)
            assert cells.high[unit] == max(value for _, value in inside)
            assert (cells.last_time[unit], cells.last_value[unit]) == max(inside)
            assert (cells.first_time[unit], cells.first_value[unit]) == min(inside)
            assert cells.hits[unit] == sum(value >= 40 for _, value in inside)
            assert cells.bins[unit].sum() == len(inside)


@given(rows, st.randoms(use_true_random=False), st.integers(1, 7))
def test_the_order_and_the_batching_of_readings_change_no_bit_of_a_window(
    readings: list[Row], random: object, chunks: int
) -> None:
    shuffled = list(readings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one = ring_of(readings).window(np.arange(4), 0, 10, 0)
    other = ring_of(shuffled, chunks).window(np.arange(4), 0, 10, 0)
    for name in set(Cells._fields) - {"first_offset", "last_offset"}:  # which record each was in is another matter
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@given(rows)
def test_cells_of_parts_merged_equal_the_cells_of_the_whole(readings: list[Row]) -> None:
    half = len(readings) // 2 or 1
    parts = [ring_of(part).window(np.arange(4), 0, 10, 0) for part in (readings[:half], readings[half:]) if part]
    units = np.tile(np.arange(4), len(parts))
    merged = group(concatenate(parts), units, 4)
    whole = ring_of(readings).window(np.arange(4), 0, 10, 0)
    for name in ("n", "total", "low", "high", "hits", "bins"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))


def test_a_new_pane_takes_the_slot_of_one_that_the_ring_has_given_up() -> None:
    ring = ring_of([(0, 0, 10.0)])
    later = ring.size * PANE_MS
    ring.fold(np.array([0]), np.array([ring.size]), np.array([later]), np.array([20.0]), np.array([7]))
    assert ring.window(np.array([0]), 0, 1, 0).n[0] == 0
    assert ring.window(np.array([0]), ring.size, 1, 0).total[0] == 20 * MILLION


@given(st.lists(st.floats(0.2, 86_400), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.95]))
def test_quantiles_are_within_one_percent_of_the_nearest_rank(values: list[float], q: float) -> None:
    count = histogram.bin_count(86_400)
    bins = np.bincount(histogram.bins_of(np.array(values), count), minlength=count)[None, :]
    exact = sorted(values)[math.floor(q * (len(values) - 1))]
    assert (
        histogram.quantile(bins, q)[0] == np.float64(exact).item()
        or abs(histogram.quantile(bins, q)[0] - exact) <= 0.0101 * exact
    )


def test_the_quantile_of_nothing_is_unknown_and_of_zeros_is_zero() -> None:
    count = histogram.bin_count(100)
    assert np.isnan(histogram.quantile(np.zeros((1, count), np.uint32), 0.5)[0])
    bins = np.zeros((1, count), np.uint32)
    bins[0, 0] = 5
    assert histogram.quantile(bins, 0.9)[0] == 0.0
