"""Whole numbers in named columns that grow by rows: how sources keep what is known of each of them."""

import numpy as np
from numpy.typing import NDArray

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

    def __len__(self) -> int:
        """How many columns."""
        return len(self._names)

    @property
    def fresh(self) -> Ints:
        """The value of each column in a new row."""
        return self._fresh[:, 0]

    def place(self, name: str) -> int:
        """Which of the columns has this name."""
        return self._names[name]

    def of(self, rows: Ints) -> Ints:
        """These rows of all columns: columns × rows."""
        return self._table.take(rows, axis=1)

    def copy_to(self, out: Ints, rows: Ints) -> None:
        """The same, into a table that is there."""
        # Without "clip" numpy gathers into a table of its own first; the rows exist.
        self._table.take(rows, axis=1, out=out, mode="clip")

    def put(self, rows: Ints, table: Ints) -> None:
        """The inverse of `of`, for rows that exist."""
        self._table[:, rows] = table
