"""A database in memory that begins with kept states: where a replay writes what must not touch the live one."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from streams.beat import Rejection
from streams.checkpoint import ROLL_UP, Checkpoint, Partial, Recovered
from streams.partial import unpack_share
from streams.sql_store import SqlStore
from streams.sql_tables import CheckpointTable, ReasonTable, ValueTable, table_of


class Begun(NamedTuple):
    """What a partition began with here: a state as of `at` (ms UTC), in which `ordinal` messages were settled, out of
    the records before `offset`."""

    at: int
    ordinal: int
    offset: int

    def has(self, rejected: Rejection) -> bool:
        """Whether the state had it: by its record, where that has no ordinals."""
        return rejected.ordinal < self.ordinal if rejected.ordinal >= 0 else -1 - rejected.ordinal < self.offset


class SnapshotStore(SqlStore):
    """A `SqlStore` in which every partition of `states` (the roll-up among them) has just written its state.

    Any thread may ask: a database in memory has one connection, and whoever has it is alone with it.
    """

    def __init__(self, states: Mapping[int, Recovered]) -> None:
        super().__init__("sqlite://")
        self._turn = threading.RLock()
        self._states = dict(states)
        self.begun = {number: Begun(state.at, state.ordinal, state.offset) for number, state in states.items()}
        self.migrate()
        shares = _shares(states)
        # What it had heard by its own moment, beyond these, a replay tells it.
        told = [partial for partials in shares.values() for partial in partials]
        self._states[ROLL_UP] = msgspec.structs.replace(states[ROLL_UP], partials=told)
        self.commit_all([_written(number, state, shares.get(number, [])) for number, state in states.items()])
        with self._writing() as connection:
            for number, state in states.items():
                rows = [{"partition": number, "reason": name, "count": count} for name, count in state.reasons.items()]
                self._put_rows(connection, ReasonTable, rows)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        with self._turn, super()._answering():
            yield

    def recover(self, partition: int, horizons: Mapping[str, int] | None = None) -> Recovered:
        """The kept state, once; later the partition's own checkpoints."""
        kept = self._states.pop(partition, None)
        return super().recover(partition, horizons) if kept is None else kept

    def written_at(self) -> dict[int, int]:
        """By partition, when its last checkpoint was made (ms UTC)."""
        table = table_of(CheckpointTable)
        with self._reading() as connection:
            return {row.partition: row.at for row in connection.execute(sa.select(table.c.partition, table.c.at))}

    def first_ends(self, kpi: str) -> dict[str, int]:
        """For every scope of which anything was ever said, the end of the first window that is here: those before it
        could not change any more when the state was kept."""
        table = table_of(ValueTable)
        first = sa.func.min(table.c.end).label("end")
        query = sa.select(table.c.scope, first).where(table.c.kpi == kpi).group_by(table.c.scope)
        with self._reading() as connection:
            return {row.scope: row.end for row in connection.execute(query)}


def _shares(states: Mapping[int, Recovered]) -> dict[int, list[Partial]]:
    """By partition, its shares as of its own state; earlier versions kept all with the roll-up's state."""
    shares: dict[int, list[Partial]] = {}
    for partial in states[ROLL_UP].partials:
        shares.setdefault(unpack_share(partial).partition, []).append(partial)
    return shares | {number: state.partials for number, state in states.items() if state.has_shares}


def _written(number: int, state: Recovered, shares: list[Partial]) -> Checkpoint:
    """The checkpoint that would leave this state behind."""
    return Checkpoint(
        partition=number, expected=-1, offset=state.offset, ordinal=state.ordinal, at=state.at, clock=state.clock,
        totals=msgspec.structs.replace(state.totals), panes=state.panes, tickets=state.tickets,
        source_names=state.source_names, source_blocks=state.source_blocks, source_changes=state.source_changes,
        seen=state.seen, values=state.values,
        partials=shares, alerts=state.alerts, pending_holds=state.pending_holds, open_values=state.open_values,
        ledger=state.minutes,
    )  # fmt: skip
