"""Relative-error log bins: quantiles that add up (DDSketch's bins, Masson, Rim & Lee, VLDB 2019).

A value v falls into bin ceil(ln v / ln g) with g = (1 + a) / (1 − a) and a = 1 %; the middle of a bin is within
1 % of every value in it. Bins of two panes, sources or partitions merge by addition, in any order.
"""

import math

import numpy as np
from numpy.typing import NDArray

ACCURACY = 0.01
SMALLEST = 0.1
"""Values below this fall into bin 0 and are read back as 0."""

_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA = math.log(_GAMMA)
_SHIFT = math.ceil(math.log(SMALLEST) / _LOG_GAMMA)


def bin_count(high: float) -> int:
    """How many bins hold values from 0 to `high`."""
    return max(2, math.ceil(math.log(max(high, SMALLEST)) / _LOG_GAMMA) - _SHIFT + 2)


def bins_of(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The bin of each value; beyond the last one counts into the last."""
    safe = np.maximum(values, SMALLEST)
    raw = np.ceil(np.log(safe) / _LOG_GAMMA).astype(np.int64) - _SHIFT + 1
    return np.where(values < SMALLEST, 0, np.clip(raw, 1, count - 1))


def quantile(bins: NDArray[np.integer], q: float) -> NDArray[np.float64]:
    """The q-quantile of each row of `bins` [rows, bins]; NaN for an empty row. Rank q·(n−1), lower."""
    # Most rows are empty, as each partition has a few of the place's units: what they have is not counted up.
    known = np.flatnonzero(bins.any(axis=1))
    cumulative = np.cumsum(bins[known], axis=1, dtype=np.int64)
    rank = np.floor(q * (cumulative[:, -1] - 1)).astype(np.int64)
    index = (cumulative <= rank[:, None]).sum(axis=1)
    result = np.full(len(bins), np.nan)
    result[known] = np.where(index == 0, 0.0, 2 * _GAMMA ** (index + _SHIFT - 1.0) / (_GAMMA + 1))
    return result
