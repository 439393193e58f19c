"""A partition's mergeable share of one window: cells by former district, and of the whole place."""

import zlib

import msgspec
import numpy as np

from streams.catalogue import Catalogue
from streams.checkpoint import Partial
from streams.pane import EMPTY, NEVER, Cells, group
from streams.window import Frame


class Share(msgspec.Struct, array_like=True, frozen=True):
    """`partition`'s cells of one window; `columns` are the columns of Cells as bytes, one entry a scope (in the
    catalogue's order), the last of them, the bins, compressed: most are 0; `is_closed` when all that the partition
    said of the window is final."""

    partition: int
    is_closed: bool
    scopes: list[int]
    columns: list[bytes]
    bins: int


_DTYPES = (np.int64, np.int64, np.float64, np.float64, np.float64, np.int64, np.float64, np.int64, np.float64, np.int64)


def pack_partial(kpi: str, partition: int, frame: Frame, catalogue: Catalogue, is_closed: bool) -> Partial:
    """Merge a frame's units into districts and the place, and pack what is not empty."""
    districts = len(catalogue.scope_codes) - 1
    by_district = group(frame.cells, catalogue.scope_of_unit, districts)
    whole = group(frame.cells, np.zeros(len(frame.cells.n), np.int64), 1)
    cells = Cells._make(np.concatenate((one, all_)) for one, all_ in zip(by_district, whole, strict=True))  # type: ignore[arg-type]
    used = np.flatnonzero((cells.n > 0) | (cells.sources > 0))
    # Offsets say nothing outside their partition.
    columns = [np.ascontiguousarray(column[used]).tobytes() for column in cells[:11]]
    columns[-1] = zlib.compress(columns[-1], 1)
    share = Share(partition, is_closed, used.tolist(), columns, cells.bins.shape[1])
    return Partial(kpi, frame.end, msgspec.msgpack.encode(share))


def unpack_share(partial: Partial) -> Share:
    return msgspec.msgpack.decode(partial.cells, type=Share)


def cells_of(share: Share) -> Cells:
    """The cells of a share, one for each of its scopes."""
    plain = [np.frombuffer(data, dtype=kind) for data, kind in zip(share.columns[:10], _DTYPES, strict=True)]
    bins = np.frombuffer(zlib.decompress(share.columns[10]), dtype=np.uint32).reshape(len(share.scopes), share.bins)
    length = len(share.scopes)
    return Cells._make([*plain, bins, np.full(length, NEVER, np.int64), np.full(length, EMPTY, np.int64)])
