"""Whole numbers in named columns that grow by rows: how sources keep what is known of each of them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from streams import narrow

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def present(small: Ints) -> list[int]:
    """Which of a few small whole numbers occur, in order: quicker than sorting for it."""
    return np.flatnonzero(np.bincount(small)).tolist()


def begins_run(ordered: Ints) -> Flags:
    """For each number, whether a run of equal ones begins with it."""
    begins = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return begins


def runs_of(ordered: Ints) -> Ints:
    """Where each run of equal numbers begins."""
    return np.flatnonzero(begins_run(ordered))


def lengths_of(starts: Ints, total: int) -> Ints:
    """How long each run is that begins at `starts`, of `total` numbers in all."""
    return np.diff(starts, append=total)


def shifted(column: Ints, first: int) -> Ints:
    """The column one place on, with `first` before it; its last entry is left out."""
    moved = np.empty_like(column)
    moved[:1] = first
    moved[1:] = column[:-1]
    return moved


def stable_order(keys: Ints, bound: int) -> Ints:
    """The order that sorts `keys`, all within [0, bound), and leaves equal ones as they are."""
    # numpy sorts short whole numbers by their digits, several times as fast.
    return np.argsort(keys.astype(np.uint16) if bound <= 65_536 else keys, kind="stable")


class Columns:
    """Columns of int64 with one entry a row. `fresh` gives, for each column, the value that a new row has."""

    def __init__(self, **fresh: int) -> None:
        self._names = {name: index for index, name in enumerate(fresh)}
        self._fresh = np.array(list(fresh.values()), dtype=np.int64)[:, None]
        self._table = np.repeat(self._fresh, 0, axis=1)
        self.rows = 0

    def reserve(self, rows: int) -> None:
        """Make rows 0 … rows−1 exist."""
        capacity = self._table.shape[1]
        if rows > capacity:
            room = np.repeat(self._fresh, max(rows, 2 * capacity, 64) - capacity, axis=1)
            self._table = np.concatenate((self._table, room), axis=1)
        self.rows = max(self.rows, rows)

    def __getitem__(self, name: str) -> Ints:
        """A column, to read and to write; a view that is good until rows are added."""
        return self._table[self._names[name], : self.rows]

    def pack(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Each span of rows (first, behind the last) as bytes (streams.narrow)."""
        return narrow.pack(self._table, self._fresh[:, 0], spans)

    def restore(self, first: int, last: int, packed: bytes) -> None:
        """Put packed rows back; raises ValueError when they are of other columns, or are not so many."""
        table = narrow.unpack(packed, self._fresh[:, 0])
        if table.shape[1] != last - first:
            raise ValueError(f"{table.shape[1]} packed rows: expected {last - first}")
        self.reserve(last)
        self._table[:, first:last] = table
