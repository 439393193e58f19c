"""Whole numbers in few bytes: how columns travel in a checkpoint.

A column of a block is written as what its numbers have in common and, in the fewest bytes that do (0, 1, 2 or 4), how
far each is above that; numbers too far apart are written as they are. The neighbours of a city's sources speak within
seconds of each other, so that most of the 8 bytes of a time in milliseconds are common. Frame of reference: Goldstein,
Ramakrishnan and Shaft, "Compressing Relations and Indexes", ICDE 1998.

    block = rows (u32) · common (i64 a column) · width (u8 a column) · column by column: width bytes a row

All little-endian. Each column has a `fresh` value, which may lie anywhere (a time not known yet): it is written as 0,
and the others as their distance from the common one, plus 1.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<i8"}
_LARGEST = np.iinfo(np.int64).max


def pack(table: Ints, fresh: Ints, spans: Sequence[tuple[int, int]]) -> list[bytes]:
    """Each span of rows as one block; `table` is columns × rows, a span (first, behind the last) has rows."""
    if not spans:
        return []
    first, last = np.array(spans, dtype=np.int64).T
    sizes = last - first
    starts = np.cumsum(sizes) - sizes
    rows = np.repeat(first - starts, sizes) + np.arange(int(sizes.sum()))
    common, widths = (np.zeros((len(spans), len(table)), dtype=dtype) for dtype in ("<i8", np.uint8))
    data: list[list[bytes]] = [[] for _ in spans]
    edges = list(zip(starts.tolist(), (starts + sizes).tolist(), strict=True))
    for number, usual in enumerate(fresh.tolist()):
        column = table[number, rows]
        common[:, number] = low = np.minimum.reduceat(column, starts)
        varies = low != np.maximum.reduceat(column, starts)
        if not varies.any():
            continue
        buffers, common[:, number], widths[:, number] = _coded(column, usual, starts, sizes, low, varies)
        for block in np.flatnonzero(varies).tolist():
            width = int(widths[block, number])
            begin, end = edges[block]
            data[block].append(buffers[width][begin * width : end * width])
    heads = zip(sizes.astype("<u4"), common, widths, data, strict=True)
    return [b"".join((size.tobytes(), base.tobytes(), width.tobytes(), *parts)) for size, base, width, parts in heads]


def _coded(
    column: Ints, usual: int, starts: Ints, sizes: Ints, low: Ints, varies: NDArray[np.bool_]
) -> tuple[dict[int, bytes], Ints, NDArray[np.uint8]]:
    """A column by width, each in full; and for every block what is common and which width it takes."""
    is_usual = column == usual
    base = np.minimum.reduceat(np.where(is_usual, _LARGEST, column), starts) if is_usual.any() else low
    # Unsigned, so that also the distance between the ends of all numbers is right.
    above = column.view(np.uint64) - np.repeat(base.view(np.uint64), sizes)
    above[is_usual] = 0
    far = np.maximum.reduceat(above, starts)
    width = np.select([far < 2**8 - 1, far < 2**16 - 1, far < 2**32 - 1], [1, 2, 4], 8).astype(np.uint8)
    above += ~is_usual
    width[~varies] = 0
    buffers = {
        number: (column if number == 8 else above).astype(_WIDTHS[number]).tobytes()
        for number in _WIDTHS
        if (width == number).any()
    }
    return buffers, np.where(varies, base, low), width


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
