"""A database in memory that begins with kept states: where a replay writes what must not touch the live one."""

from collections.abc import Mapping

import msgspec

from streams.checkpoint import ROLL_UP, Checkpoint, Partial, Recovered
from streams.partial import unpack_share
from streams.sql_store import SqlStore


class SnapshotStore(SqlStore):
    """A `SqlStore` in which every partition of `states` (the roll-up among them) has just written its state."""

    def __init__(self, states: Mapping[int, Recovered]) -> None:
        super().__init__("sqlite://")
        self._states = dict(states)
        self.migrate()
        shares: dict[int, list[Partial]] = {}
        for partial in states[ROLL_UP].partials:
            shares.setdefault(unpack_share(partial).partition, []).append(partial)
        self.commit_all([_written(number, state, shares.get(number, [])) for number, state in states.items()])

    def recover(self, partition: int, horizons: Mapping[str, int] | None = None) -> Recovered:
        """The kept state, once; later the partition's own checkpoints."""
        kept = self._states.pop(partition, None)
        return super().recover(partition, horizons) if kept is None else kept


def _written(number: int, state: Recovered, shares: list[Partial]) -> Checkpoint:
    """The checkpoint that would leave this state behind."""
    return Checkpoint(
        partition=number, expected=-1, offset=state.offset, ordinal=state.ordinal, at=state.at, clock=state.clock,
        totals=msgspec.structs.replace(state.totals), panes=state.panes, tickets=state.tickets,
        source_names=state.source_names, source_blocks=state.source_blocks, seen=state.seen, values=state.values,
        partials=shares, alerts=state.alerts, pending_holds=state.pending_holds, open_values=state.open_values,
    )  # fmt: skip
