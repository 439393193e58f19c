"""From merged cells to a KPI's value: one vectorised function a measure (architecture §5)."""

import numpy as np

from streams import histogram
from streams.columns import Flags, Floats
from streams.kpi import Kpi
from streams.pane import EMPTY, MILLION, NOT_KEPT, Cells

PER_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95}


def measure(kpi: Kpi, cells: Cells) -> Floats:
    """The measure of each cell, without `factor`; NaN where nothing was observed, a rate has one reading only, or what
    it takes was not kept."""
    n = np.where(cells.n > 0, cells.n, np.nan)
    if kpi.measure == "count":
        value = n
    elif kpi.measure == "sum":
        value = np.where(cells.n > 0, cells.total / MILLION, np.nan)
    elif kpi.measure == "mean":
        value = cells.total / MILLION / n
    elif kpi.measure == "min":
        value = np.where(cells.n > 0, cells.low, np.nan)
    elif kpi.measure == "max":
        value = np.where(cells.n > 0, cells.high, np.nan)
    elif kpi.measure == "last":
        value = np.where(cells.n > 0, cells.last_value, np.nan)
    elif kpi.measure == "change":
        value = np.where(cells.n > 0, cells.last_value - cells.first_value, np.nan)
    elif kpi.measure == "rate":
        value = _rate(kpi, cells)
    elif kpi.measure == "share":
        value = np.where(_is_kept(kpi, cells), 100.0 * cells.hits / n, np.nan)
    elif kpi.measure in QUANTILES:
        value = np.where(_is_kept(kpi, cells), histogram.quantile(cells.bins, QUANTILES[kpi.measure]), np.nan)
    else:
        raise AssertionError(f"{kpi.measure} has no simple measure")
    return np.asarray(value, dtype=np.float64)


def _is_kept(kpi: Kpi, cells: Cells) -> Flags:
    """Whether the cells have what the measure takes: hits are counted within the bounds, and bins for the quantiles,
    that there are on the day."""
    if kpi.measure == "share":
        return np.asarray(cells.hits >= 0)
    if kpi.measure in QUANTILES:
        return np.asarray(cells.bins.sum(axis=1, dtype=np.int64) == cells.n)
    return np.ones(len(cells.n), dtype=np.bool_)


def _rate(kpi: Kpi, cells: Cells) -> Floats:
    seen = cells.n > 1
    elapsed = np.where(seen, cells.last_time - np.where(seen, cells.first_time, 0), 0)
    change = (cells.last_value - cells.first_value) * PER_MS[kpi.per]
    return np.where(elapsed > 0, change / np.maximum(elapsed, 1), np.nan)


def spread(kpi: Kpi, cells: Cells, values: Floats) -> Cells:
    """Cells of single sources, carrying each source's measure as their value: what `across` merges.

    A source without a value (NaN) counts nothing; one whose value was not kept counts, and is NOT_KEPT in what is
    merged with it.
    """
    known, kept = ~np.isnan(values), _is_kept(kpi, cells)
    counted = known | ~kept
    safe = np.where(known, values, 0.0)
    return cells._replace(
        n=np.where(counted, cells.n, 0),
        sources=counted.astype(np.int64),
        total=np.where(known, np.rint(safe * MILLION), 0.0),
        low=np.where(known, safe, np.inf),
        high=np.where(known, safe, -np.inf),
        last_time=np.where(counted, cells.last_time, EMPTY),
        hits=np.where(kept, 0, NOT_KEPT),
        bins=np.zeros((len(cells.n), 0), np.uint32),
    )


def combine(kpi: Kpi, cells: Cells) -> Floats:
    """The value of merged cells, with `factor`: across sources, or the measure itself; NaN where unknown."""
    if not kpi.across:
        return measure(kpi, cells) * kpi.factor
    known = (cells.sources > 0) & (cells.hits >= 0)
    if kpi.across == "max":
        value = cells.high
    elif kpi.across == "min":
        value = cells.low
    elif kpi.across == "sum":
        value = cells.total / MILLION
    else:
        value = cells.total / MILLION / np.maximum(cells.sources, 1)
    return np.where(known, value, np.nan) * kpi.factor
