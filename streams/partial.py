"""A partition's mergeable share of one window: the cells of its units, packed.

Where units lag far behind others, a window is told again when the panes of those that are ahead have been given up.
Such a share is a patch: it does not name those units, also where some of their panes are still there, and what it does
not name is as the share before it had it.
"""

import zlib

import msgspec
import numpy as np

from streams.catalogue import bound_of
from streams.checkpoint import Partial
from streams.columns import Ints
from streams.kpi import Kpi
from streams.pane import EMPTY, NEVER, NOT_KEPT, Bound, Cells, concatenate
from streams.window import Frame


class Share(msgspec.Struct, array_like=True, frozen=True):
    """`partition`'s cells of one window; `columns` are the columns of Cells as bytes, one entry a unit of `units`, the
    last of them, the bins, compressed: most are 0; `is_closed` when no unit of the partition still has the
    window open; `bound` is that of the KPI for which hits were counted (None: earlier versions did not say).
    """

    partition: int
    is_closed: bool
    units: list[str]
    columns: list[bytes]
    bins: int
    bound: Bound | None = None


_DTYPES = (np.int64, np.int64, np.float64, np.float64, np.float64, np.int64, np.float64, np.int64, np.float64, np.int64)


def pack_partial(kpi: Kpi, partition: int, frame: Frame, unit_codes: tuple[str, ...]) -> Partial:
    """Pack a frame's units that are not empty and have lost nothing of it."""
    used = np.flatnonzero(frame.is_told if frame.lost is None else frame.is_told & ~frame.lost)
    units = [unit_codes[unit] for unit in used.tolist()]
    share = _packed(partition, frame.is_closed, units, picked(frame.cells, used), bound_of(kpi))
    return Partial(kpi.id, frame.end, msgspec.msgpack.encode(share), frame.lost is not None)


def picked(cells: Cells, chosen: Ints) -> Cells:
    """Some of the cells, in the order asked for."""
    return Cells._make([column[chosen] for column in cells])


def _packed(partition: int, is_closed: bool, units: list[str], cells: Cells, bound: Bound | None) -> Share:
    # Offsets say nothing outside their partition.
    columns = [np.ascontiguousarray(column).tobytes() for column in cells[:11]]
    columns[-1] = zlib.compress(columns[-1], 1)
    return Share(partition, is_closed, units, columns, cells.bins.shape[1], bound)


def unpack_share(partial: Partial) -> Share:
    return msgspec.msgpack.decode(partial.cells, type=Share)


def cells_of(share: Share, bound: Bound | None) -> Cells:
    """The cells of a share, one for each of its units, as a KPI with this bound has them."""
    length = len(share.units)
    plain = [np.frombuffer(data, dtype=kind) for data, kind in zip(share.columns[:10], _DTYPES, strict=True)]
    if None not in (share.bound, bound) and share.bound != bound:
        plain[9] = np.full(length, NOT_KEPT, np.int64)
    bins = np.frombuffer(zlib.decompress(share.columns[10]), dtype=np.uint32).reshape(length, share.bins)
    return Cells._make([*plain, bins, np.full(length, NEVER, np.int64), np.full(length, EMPTY, np.int64)])


def amended(before: Share, after: Share) -> Share:
    """A share and the patch told after it: as the patch has it, and else as it was."""
    kept = [place for place, unit in enumerate(before.units) if unit not in after.units]
    if not kept:
        return after
    earlier = picked(cells_of(before, after.bound), np.array(kept, dtype=np.int64))
    cells = concatenate([earlier, cells_of(after, after.bound)])
    units = [*(before.units[place] for place in kept), *after.units]
    return _packed(after.partition, after.is_closed, units, cells, after.bound)


def amended_partial(before: Partial, after: Partial) -> Partial:
    """What two shares of a window, told one after the other, are together."""
    if not after.is_patch:
        return after
    share = amended(unpack_share(before), unpack_share(after))
    return Partial(after.kpi, after.end, msgspec.msgpack.encode(share), before.is_patch)
