"""A lookup of 64-bit keys: a hash table in columns, which many keys are looked up in at once.

Open addressing with linear probing (Knuth, TAOCP 3, 6.4, algorithm L), a step for all keys that have not ended yet. The
keys are hashes already and at least three quarters of the slots are free, so nearly all end at the first or second.
"""

import numpy as np

from streams.columns import Ints
from streams.identity import Keys

SLOTS_LEAST = 256
SLOTS_A_KEY = 4


class Lookup:
    """Gives different keys the places 0, 1, 2 … in the order in which they are added."""

    def __init__(self) -> None:
        self._lay_out(SLOTS_LEAST)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, keys: Keys) -> Ints:
        """The place of each key; −1 for one that was never added."""
        slot = (keys & self._mask).view(np.int64)
        place = self._place[slot].astype(np.int64)
        going = np.flatnonzero((self._key[slot] != keys) & (place >= 0))
        while len(going):
            slot[going] = (slot[going] + 1) & int(self._mask)
            place[going] = self._place[slot[going]]
            going = going[(self._key[slot[going]] != keys[going]) & (place[going] >= 0)]
        return place

    def add(self, key: int) -> None:
        """Give a new key the next place."""
        if (self._count + 1) * SLOTS_A_KEY > len(self._key):
            keys, places = self._key[self._place >= 0], self._place[self._place >= 0]
            self._lay_out(2 * len(self._key))
            for known, place in zip(keys.tolist(), places.tolist(), strict=True):
                self._put(known, place)
        self._put(key, self._count)
        self._count += 1

    def _lay_out(self, slots: int) -> None:
        self._key = np.zeros(slots, dtype=np.uint64)
        self._place = np.full(slots, -1, dtype=np.int32)
        self._mask = np.uint64(slots - 1)

    def _put(self, key: int, place: int) -> None:
        last = len(self._key) - 1
        slot = key & last
        while self._place[slot] >= 0:
            slot = (slot + 1) & last
        self._key[slot], self._place[slot] = key, place
