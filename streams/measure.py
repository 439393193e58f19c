"""From merged cells to a KPI's value: one vectorised function a measure (architecture §5)."""

import numpy as np

from streams import histogram
from streams.columns import Floats
from streams.kpi import Kpi
from streams.pane import EMPTY, MILLION, Cells

PER_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95}


def measure(kpi: Kpi, cells: Cells) -> Floats:
    """The measure of each cell, without `factor`; NaN where nothing was observed or a rate has one reading only."""
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
        value = 100.0 * cells.hits / n
    elif kpi.measure in QUANTILES:
        value = histogram.quantile(cells.bins, QUANTILES[kpi.measure])
    else:
        raise AssertionError(f"{kpi.measure} has no simple measure")
    return np.asarray(value, dtype=np.float64)


def _rate(kpi: Kpi, cells: Cells) -> Floats:
    seen = cells.n > 1
    elapsed = np.where(seen, cells.last_time - np.where(seen, cells.first_time, 0), 0)
    change = (cells.last_value - cells.first_value) * PER_MS[kpi.per]
    return np.where(elapsed > 0, change / np.maximum(elapsed, 1), np.nan)


def spread(cells: Cells, values: Floats) -> Cells:
    """Cells of single sources, carrying each source's measure as their value: what `across` merges.

    A source without a value (NaN) counts nothing.
    """
    known = ~np.isnan(values)
    safe = np.where(known, values, 0.0)
    return cells._replace(
        n=np.where(known, cells.n, 0),
        sources=known.astype(np.int64),
        total=np.where(known, np.rint(safe * MILLION), 0.0),
        low=np.where(known, safe, np.inf),
        high=np.where(known, safe, -np.inf),
        last_time=np.where(known, cells.last_time, EMPTY),
        hits=np.zeros_like(cells.n),
        bins=np.zeros((len(cells.n), 0), np.uint32),
    )


def combine(kpi: Kpi, cells: Cells) -> Floats:
    """The value of merged cells, with `factor`: across sources, or the measure itself; NaN where unknown."""
    if not kpi.across:
        return measure(kpi, cells) * kpi.factor
    known = cells.sources > 0
    if kpi.across == "max":
        value = cells.high
    elif kpi.across == "min":
        value = cells.low
    elif kpi.across == "sum":
        value = cells.total / MILLION
    else:
        value = cells.total / MILLION / np.maximum(cells.sources, 1)
    return np.where(known, value, np.nan) * kpi.factor
