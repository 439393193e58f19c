"""Chance by counting: every draw is a hash of the seed, a stream's name and a counter, so it can be asked in any order.

That is what makes the city independent of how an interval is cut: nothing is drawn from a running generator that
would have to be wound to the right place.
"""

from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Keys = NDArray[np.uint64]
Truths = NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = tuple(np.uint64(bits) for bits in (30, 27, 31, 11))


class Chance:
    """All draws of one seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def key(self, *words: object) -> int:
        """The key of a stream of draws, by its name."""
        text = "\0".join(map(str, (self._seed, *words)))
        return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")

    def keys(self, names: list[str], *words: object) -> Keys:
        """One key for each name."""
        return np.array([self.key(*words, name) for name in names], dtype=np.uint64)

    def generator(self, *words: object) -> np.random.Generator:
        """A generator of its own for work that is always done as a whole, such as one desk's day."""
        return np.random.Generator(np.random.Philox(self.key(*words)))


def uniform(keys: int | Keys, counters: ArrayLike) -> Floats:
    """Draws in [0, 1), one for each pair of key and counter (whole numbers, also negative)."""
    start = np.atleast_1d(np.asarray(keys, dtype=np.uint64))
    counted = np.asarray(counters, dtype=np.int64).astype(np.uint64)
    with np.errstate(over="ignore"):
        mixed = _mix(_mix(counted * _GOLDEN + start) ^ start)
    return np.asarray((mixed >> _SHIFTS[3]) * 2.0**-53, dtype=np.float64)


def normal(keys: int | Keys, counters: ArrayLike) -> Floats:
    """Draws of mean 0 and deviation 1 (Box and Muller)."""
    pairs = np.asarray(counters, dtype=np.int64) * 2
    radius = np.sqrt(-2.0 * np.log1p(-uniform(keys, pairs)))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniform(keys, pairs + 1)), dtype=np.float64)


def smooth(keys: int | Keys, at: ArrayLike) -> Floats:
    """A slow process in [0, 1) around ½: independent draws at whole `at`, eased in between."""
    place = np.asarray(at, dtype=np.float64)
    knot = np.floor(place)
    part = place - knot
    eased = part * part * (3.0 - 2.0 * part)
    number = knot.astype(np.int64)
    first = uniform(keys, number)
    return np.asarray(first + (uniform(keys, number + 1) - first) * eased, dtype=np.float64)


def _mix(values: Keys) -> Keys:
    """The finaliser of splitmix64."""
    values = (values ^ (values >> _SHIFTS[0])) * _MIX_1
    values = (values ^ (values >> _SHIFTS[1])) * _MIX_2
    return values ^ (values >> _SHIFTS[2])
