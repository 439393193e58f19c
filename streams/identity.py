"""Who has been counted already: 64-bit identities of readings and events, in sorted runs.

A reading is the same reading when source, quantity and observed time are the same; an event when its CloudEvents
`id` and `source` are. Identities are kept until what is received twice the kind's lateness after them is taken in,
whatever the clock says then: what comes again after that is too late to count. Two different readings share an identity
with probability 2⁻⁶⁴ for each pair compared.
"""

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_STEP = np.uint64(0x9E3779B97F4A7C15)


def reading_keys(sources: Keys, quantities: Keys, times: NDArray[np.int64]) -> Keys:
    """Identities of readings, from the hashes of source and quantity and the observed time (splitmix64)."""
    with np.errstate(over="ignore"):
        mixed = sources ^ (quantities * _STEP) ^ (times.astype(np.uint64) * _MIX_1)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
        mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
        return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


class SeenSet:
    """A growing set of identities: sorted runs that are merged as they grow, dropped as they age."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, Keys]] = []

    def add(self, keys: Keys, until: int) -> None:
        """Remember `keys` until the time `until` (ms UTC); runs of the same `until` are merged, others never."""
        if not len(keys):
            return
        self._runs.append((until, np.sort(keys)))
        while len(self._runs) > 1 and self._mergeable():
            (_, a), (_, b) = self._runs[-2:]
            self._runs[-2:] = [(until, np.sort(np.concatenate((a, b)), kind="stable"))]

    def _mergeable(self) -> bool:
        (older, a), (newer, b) = self._runs[-2:]
        return older == newer and len(b) * 2 > len(a) and len(a) < 500_000

    def contains(self, keys: Keys) -> NDArray[np.bool_]:
        """For each key, whether it has been added (and not yet dropped)."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for _, run in self._runs:
            place = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            found |= run[place] == keys
        return found

    def drop(self, received_to: int) -> None:
        """Forget the runs whose time has passed for what is received from `received_to` on (ms UTC)."""
        self._runs = [(until, run) for until, run in self._runs if until > received_to]

    def __len__(self) -> int:
        return sum(len(run) for _, run in self._runs)
