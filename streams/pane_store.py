"""Panes to checkpoint rows and back."""

import msgspec
import numpy as np

from streams.catalogue import Catalogue
from streams.checkpoint import PaneRow
from streams.columns import Ints
from streams.pane import NOT_KEPT, Bound, PaneRing

_WITH_BOUNDS = b"\1"
"""Ends hits that are kept with their bounds. Those of earlier versions, bare int64, end in 0."""
_encode_hits = msgspec.msgpack.Encoder().encode
_decode_hits = msgspec.msgpack.Decoder(list[tuple[Bound, int]]).decode


def pane_rows(rings: dict[str, PaneRing]) -> list[PaneRow]:
    """The rows of all cells touched since the last call."""
    rows = []
    for name, ring in rings.items():
        for flat in sorted(ring.dirty):
            row, slot = divmod(flat, ring.size)
            entity, field = ring.row_keys[row]
            at = (row, slot)
            rows.append(
                PaneRow(
                    name, entity, field, int(ring.tag[at]), int(ring.n[at]), float(ring.total[at]),
                    float(ring.low[at]), float(ring.high[at]), int(ring.first_time[at]), float(ring.first_value[at]),
                    int(ring.last_time[at]), float(ring.last_value[at]), _with_bounds(ring.spec.bounds, ring.hits[at]),
                    _sparse(ring.bins[at]), int(ring.first_offset[at]), int(ring.last_offset[at]),
                )
            )  # fmt: skip
        ring.dirty.clear()
    return rows


def restore_panes(rings: dict[str, PaneRing], rows: list[PaneRow], catalogue: Catalogue) -> None:
    """Put recovered rows back into their rings; rows of series that no KPI needs any more are passed over."""
    for row in sorted(rows, key=lambda row: row.pane):
        ring = rings.get(row.series)
        unit = catalogue.unit_index.get(row.entity.split("/")[0])
        field = catalogue.field_index.get(row.field)
        if ring is None or unit is None or field is None:
            continue
        at = (ring.row(row.entity, row.field, unit, field), row.pane % ring.size)
        ring.newest_pane = max(ring.newest_pane, row.pane)
        ring.tag[at], ring.n[at], ring.total[at] = row.pane, row.n, row.total
        ring.low[at], ring.high[at] = row.low, row.high
        ring.first_time[at], ring.first_value[at] = row.first_time, row.first_value
        ring.last_time[at], ring.last_value[at] = row.last_time, row.last_value
        ring.first_offset[at], ring.last_offset[at] = row.first_offset, row.last_offset
        ring.hits[at] = _within(ring.spec.bounds, row.hits)
        if ring.bin_count:
            pairs = np.frombuffer(row.bins, dtype=np.uint32).reshape(-1, 2)
            ring.bins[at] = 0
            # The quantity's `high` may have come down since: what lies beyond the last bin counts into it.
            np.add.at(ring.bins[at], np.minimum(pairs[:, 0], ring.bin_count - 1), pairs[:, 1])


def _with_bounds(bounds: tuple[Bound, ...], hits: Ints) -> bytes:
    return _encode_hits(list(zip(bounds, hits.tolist(), strict=True))) + _WITH_BOUNDS if bounds else b""


def _within(bounds: tuple[Bound, ...], kept: bytes) -> list[int]:
    """The kept hits of a pane within each of the bounds that there are now."""
    if kept.endswith(_WITH_BOUNDS):
        hits = dict(_decode_hits(kept[:-1]))
        return [hits.get(bound, NOT_KEPT) for bound in bounds]
    bare = np.frombuffer(kept, dtype=np.int64).tolist()
    return bare if len(bare) == len(bounds) else [NOT_KEPT] * len(bounds)


def _sparse(bins: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> bytes:
    used = np.flatnonzero(bins)
    return np.stack((used.astype(np.uint32), bins[used]), axis=1).tobytes() if len(used) else b""
