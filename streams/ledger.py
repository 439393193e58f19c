"""The ledger of one partition: every message has one outcome (architecture §4).

    received = accepted + duplicate + too_late + rejected + in_flight

`received` comes from the bridge's numbering (ordinals), the outcomes from what was counted here: two independent
counts, so their difference can be other than 0, and is shown when it is.
"""

import numpy as np

from streams.beat import Counts
from streams.checkpoint import LedgerRow
from streams.columns import Ints

UNDECIDED, DUPLICATE, TOO_LATE, ACCEPTED, REJECTED = range(5)
_NAMES = {DUPLICATE: "duplicate", TOO_LATE: "too_late", ACCEPTED: "accepted", REJECTED: "rejected"}
MINUTE_MS = 60_000


class Ledger:
    """`totals` since the data began, and the rows by kind and minute of reception since the last checkpoint."""

    def __init__(self, kinds: list[str], totals: Counts) -> None:
        self._kinds = [*kinds, "unknown"]
        self.totals = totals
        self._rows: dict[tuple[str, int], Counts] = {}

    @property
    def difference(self) -> int:
        """Messages numbered and taken in without an outcome: 0, always."""
        return self.totals.received - self.totals.settled

    def count(self, kind: Ints, received_at: Ints, outcome: Ints) -> None:
        """Enter messages: the place of their kind (−1: unknown), time of reception (ms UTC), outcome."""
        self.totals.received += len(kind)
        width = len(self._kinds)
        # Packed into one number each, for one plain sort; −1 is the last of the kinds, "unknown".
        packed = (received_at // MINUTE_MS * width + kind % width) * 8 + outcome
        cells, counts = np.unique(packed, return_counts=True)
        for cell, count in zip(cells.tolist(), counts.tolist(), strict=True):
            place, one = divmod(cell, 8)
            minute, kind_index = divmod(place, width)
            row = self._rows.setdefault((self._kinds[kind_index], minute * MINUTE_MS), Counts())
            row.received += count
            if one in _NAMES:
                for target in (row, self.totals):
                    setattr(target, _NAMES[one], getattr(target, _NAMES[one]) + count)

    def take(self) -> list[LedgerRow]:
        """The rows grown since the last call; the database adds them to what it has."""
        rows = [LedgerRow(kind, minute, counts) for (kind, minute), counts in self._rows.items()]
        self._rows = {}
        return rows
