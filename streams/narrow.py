"""Whole numbers in few bytes: how columns travel in a checkpoint.

A column of a block is written as what its numbers have in common and, in the fewest bytes that do (0, 1, 2 or 4), how
far each is above that; numbers too far apart are written as they are. The neighbours of a city's sources speak within
seconds of each other, so that most of the 8 bytes of a time in milliseconds are common. Frame of reference: Goldstein,
Ramakrishnan and Shaft, "Compressing Relations and Indexes", ICDE 1998.

    block = rows (u32) · common (i64 a column) · width (u8 a column) · column by column: width bytes a row

All little-endian. Each column has a `fresh` value, which may lie anywhere (a time not known yet): it is written as 0,
and the others as their distance from the common one, plus 1.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.columns import Ints

_FARTHEST = np.array([2**8 - 2, 2**16 - 2, 2**32 - 2], dtype=np.uint64)
"""How far numbers may be from the common one to take 1, 2 or 4 bytes: they are written plus 1."""

_WIDTH_OF = np.array([1, 2, 4, 8], dtype=np.uint8)
_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<i8"}
_LEAST, _LARGEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def pack(table: Ints, fresh: Ints, starts: Ints) -> list[bytes]:
    """The table, columns × rows, as blocks: from each of `starts` to the next, each of which has rows."""
    if not len(starts):
        return []
    sizes = np.diff(starts, append=table.shape[1])
    low, high = np.minimum.reduceat(table, starts, axis=1), np.maximum.reduceat(table, starts, axis=1)
    varies = low != high
    some = np.flatnonzero(varies.any(axis=1))
    common, widths, coded = low.copy(), np.zeros(low.shape, dtype=np.uint8), dict[int, Any]()
    if len(some):
        base, width, coded = _coded(table[some], fresh[some, None], starts, sizes, low[some], high[some])
        common[some] = np.where(varies[some], base, low[some])
        widths[some] = np.where(varies[some], width, 0)
    heads = zip(sizes.astype("<u4"), common.T.astype("<i8"), widths.T, strict=True)
    blocks = [[size.tobytes(), base.tobytes(), width.tobytes()] for size, base, width in heads]
    for place, number in enumerate(some.tolist()):
        for block in np.flatnonzero(varies[number]).tolist():
            begin = int(starts[block])
            column = coded[int(widths[number, block])][place]
            blocks[block].append(column[begin : begin + int(sizes[block])].tobytes())
    return [b"".join(parts) for parts in blocks]


def _coded(
    table: Ints, fresh: Ints, starts: Ints, sizes: Ints, low: Ints, high: Ints
) -> tuple[Ints, NDArray[np.uint8], dict[int, NDArray[Any]]]:
    """For every column and block, what is common and which width it takes; and the table in each of the widths."""
    is_fresh = table == fresh
    if is_fresh.any():
        low = np.minimum.reduceat(np.where(is_fresh, _LARGEST, table), starts, axis=1)
        high = np.maximum.reduceat(np.where(is_fresh, _LEAST, table), starts, axis=1)
    # Unsigned, so that also the distance between the ends of all numbers is right.
    far = high.view(np.uint64) - low.view(np.uint64)
    above = table.view(np.uint64) - np.repeat(low.view(np.uint64) - np.uint64(1), sizes, axis=1)
    above[is_fresh] = 0
    width = _WIDTH_OF[np.searchsorted(_FARTHEST, far)]
    present = np.unique(width).tolist()
    return low, width, {number: (table if number == 8 else above).astype(_WIDTHS[number]) for number in present}


def rows(packed: bytes) -> int:
    """How many rows a block has."""
    return int.from_bytes(packed[:4], "little")


def unpack(packed: bytes, fresh: Ints) -> Ints:
    """The block's table, columns × rows; raises ValueError when it was written of another number of columns."""
    count, columns = rows(packed), len(fresh)
    at = 4 + 9 * columns
    if len(packed) < at:
        raise ValueError(f"a packed block of {len(packed)} bytes: expected {columns} columns")
    common = np.frombuffer(packed, "<i8", columns, 4)
    widths = packed[4 + 8 * columns : at]
    if not set(widths) <= {0, *_WIDTHS} or len(packed) != at + count * sum(widths):
        raise ValueError(f"a packed block of {len(packed)} bytes: expected {columns} columns of {count} rows")
    table = np.repeat(common[:, None], count, axis=1).astype(np.int64)
    for number, width in enumerate(widths):
        if width:
            column = np.frombuffer(packed, _WIDTHS[width], count, at).astype(np.int64)
            at += count * width
            table[number] = column if width == 8 else np.where(column == 0, fresh[number], table[number] + column - 1)
    return table
