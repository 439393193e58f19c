"""Whether something grows: a line through the samples of the second half of a run, and how sure one can be of it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Growth(NamedTuple):
    """`rise` over the second half by least squares, its standard `error`, and the `mean` there; in the samples' unit.

    Samples of one process follow each other and are no independent draws, so the error is a guide, not a proof: a
    test states a bound of its own beside it.
    """

    rise: float
    error: float
    mean: float
    first: float
    last: float


def growth(samples: Sequence[tuple[float, float]]) -> Growth:
    """`samples` are (time, value), in order of time; at least eight."""
    assert len(samples) >= 8, f"only {len(samples)} samples"
    half = samples[len(samples) // 2 :]
    times, values = (np.array(column) for column in zip(*half, strict=True))
    spread = times - times.mean()
    slope = float(spread @ values / (spread @ spread))
    residuals = values - values.mean() - slope * spread
    error = float(np.sqrt(residuals @ residuals / max(1, len(half) - 2) / (spread @ spread)))
    span = float(times[-1] - times[0])
    return Growth(slope * span, error * span, float(values.mean()), samples[0][1], samples[-1][1])
