"""Snapshots: whole states kept for a replay to begin with, each read as of one moment while commits go on.

    a commit ──▶ open_moment: a read transaction of its own, which sees what stands now ──▶ Moment.keep: read all, write

All partitions of a moment are kept under its time: where one worker has all, a replay begins at a moment of which none
is missing, and where several have them, at moments of several (streams.journal_replay).
"""

import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.pool import StaticPool

from streams.checkpoint import ROLL_UP, BeatMark, PaneRow, Recovered, SeenRow
from streams.sql_database import Table, answering, each_made
from streams.sql_recovery import UNMERGED_MS, SqlRecovery, partial_of
from streams.sql_tables import (
    BeatTable,
    CheckpointTable,
    PaneTable,
    PartialTable,
    SeenTable,
    SnapshotTable,
    table_of,
)

MINUTE_MS = 60_000
MINUTES_KEPT_MS = 60 * MINUTE_MS
"""With a whole state the ledger's minutes of the hour before it are kept: later messages may add to them."""

ROWS_A_PIECE = 500
_MANY: dict[str, tuple[Any, Table]] = {"panes": (PaneRow, PaneTable), "seen": (SeenRow, SeenTable)}
_MAP, _ARRAY = b"\xde", b"\xdd"
"""MessagePack's map 16 and array 32: the number of what follows is in 2 and in 4 bytes, big-endian."""


class Moment:
    """What partitions had come to at `at` (ms UTC), behind a connection that is open until `keep` has read all."""

    def __init__(
        self, store: "SqlSnapshots", at: int, partitions: Sequence[int], horizons: Mapping[str, int],
        connection: Connection, opened: ExitStack,
    ) -> None:  # fmt: skip
        self.at = at
        self._store = store
        self._partitions = partitions
        self._horizons = horizons
        self._connection = connection
        self._opened = opened
        self._given_up = threading.Event()

    def give_up(self) -> None:
        """Have a `keep` that still reads, in another thread, end soon and keep nothing."""
        self._given_up.set()

    def keep(self) -> bool:
        """Keep the states, each in a short transaction; False when given up. Raises Unavailable; to be called once."""
        contents: dict[int, bytes] = {}
        # All is read before any is written: as long as somebody reads, SQLite's WAL only grows.
        with answering(self._store.engine), self._opened:
            for partition in self._partitions:
                if self._given_up.is_set():
                    return False
                contents[partition] = self._store.packed_state(self._connection, partition, self._horizons)
        for partition, content in contents.items():
            self._store.write_snapshot(partition, self.at, content)
        return True


class SqlSnapshots(SqlRecovery):
    """Keeps snapshots, and gives them back."""

    def open_moment(self, partitions: Sequence[int], at: int, horizons: Mapping[str, int]) -> Moment | None:
        """The states of `partitions` as they stand now, `horizons` as for recovery. None unless the last checkpoint of
        each is of `at`, and for a database in memory, whose one connection others need meanwhile."""
        if isinstance(self.engine.pool, StaticPool):
            return None
        table = table_of(CheckpointTable)
        with answering(self.engine), ExitStack() as opened:
            connection = opened.enter_context(self.engine.connect())
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")
            else:
                connection.execution_options(isolation_level="REPEATABLE READ")
            # The first statement decides what all that follow see.
            found = connection.execute(sa.select(table.c.at).where(table.c.partition.in_(partitions))).scalars().all()
            if found == [at] * len(partitions):
                return Moment(self, at, partitions, horizons, connection, opened.pop_all())
        return None

    def packed_state(self, connection: Connection, partition: int, horizons: Mapping[str, int]) -> bytes:
        """What `kept_states` gives back of one partition."""
        packing = zlib.compressobj(1)
        pieces = [packing.compress(piece) for piece in self._encoded(connection, partition, horizons)]
        return b"".join([*pieces, packing.flush()])

    def _encoded(self, connection: Connection, partition: int, horizons: Mapping[str, int]) -> Iterator[bytes]:
        """A Recovered in msgpack, piece by piece. Of panes and identities there may be hundreds of thousands: they are
        never all in memory, nor encoded in one go in which no other thread has its turn."""
        state = self._recovered(connection, partition, horizons, with_many=False)
        if partition == ROLL_UP:
            # Which of the shares that are written it had heard of, the database does not know: each partition's are
            # kept with its own state, and a replay tells what came after (streams.journal_replay).
            table = table_of(PartialTable)
            written = sa.select(table.c.kpi, table.c.end).where(_amendable(state.at, horizons)).distinct()
            known = {(partial.kpi, partial.end) for partial in state.partials}
            keys = {(kpi, end) for kpi, end in connection.execute(written)} - known
            state.values = [*state.values, *self._values_of(connection, sorted(keys))]
            state.partials = []
        else:
            table = table_of(PartialTable)
            shares = sa.select(table).where(table.c.partition == partition, _amendable(state.at, horizons))
            state.partials = [partial_of(row) for row in connection.execute(shares)]
        state.has_shares = True
        state.minutes = self._minutes_of(connection, partition, minutes_from(state.at))
        state.reasons = self._reasons_of(connection, partition)
        encode = msgspec.msgpack.Encoder().encode
        yield _MAP + len(state.__struct_fields__).to_bytes(2, "big")
        for name in state.__struct_fields__:
            if name not in _MANY:
                yield encode(name) + encode(getattr(state, name))
        for name, (struct, model) in _MANY.items():
            table = table_of(model)
            mine = table.c.partition == partition
            count = connection.execute(sa.select(sa.func.count()).select_from(table).where(mine)).scalar_one()
            yield encode(name) + _ARRAY + count.to_bytes(4, "big")
            rows = each_made(struct, connection, model, mine)
            while part := list(islice(rows, ROWS_A_PIECE)):
                yield b"".join(map(encode, part))

    def write_snapshot(self, partition: int, at: int, content: bytes) -> None:
        with self._writing() as connection:
            self._put_rows(connection, SnapshotTable, [{"partition": partition, "at": at, "content": content}])

    def kept(self) -> dict[int, list[int]]:
        """By partition, the moments (ms UTC) of which its state was kept, the oldest first."""
        table = table_of(SnapshotTable)
        found: dict[int, list[int]] = {}
        with self._reading() as connection:
            for number, at in connection.execute(sa.select(table.c.partition, table.c.at).order_by(table.c.at)):
                found.setdefault(number, []).append(at)
        return found

    def heard_at(self, at: int) -> dict[int, int]:
        """By partition, up to which of its beats the roll-up had heard when its state was kept (all ms UTC)."""
        table = table_of(BeatTable)
        query = sa.select(table.c.beats).where(table.c.partition == ROLL_UP, table.c.at == at)
        with self._reading() as connection:
            packed = connection.execute(query).scalar()
        marks = [] if packed is None else msgspec.msgpack.decode(packed, type=list[BeatMark])
        return marks[-1].heard_to() if marks else {}

    def kept_states(self, moments: Mapping[int, int]) -> dict[int, Recovered]:
        """By partition, the state that was kept of a moment of its own."""
        table = table_of(SnapshotTable)
        chosen = sa.tuple_(table.c.partition, table.c.at).in_(list(moments.items()))
        query = sa.select(table.c.partition, table.c.content).where(chosen)
        with self._reading() as connection:
            return {
                partition: msgspec.msgpack.decode(zlib.decompress(content), type=Recovered)
                for partition, content in connection.execute(query)
            }


def _amendable(at: int, horizons: Mapping[str, int]) -> sa.ColumnElement[bool]:
    """The shares that may still be amended after `at` (ms UTC): later ones will have replaced them when they are asked
    for."""
    table = table_of(PartialTable)
    recent = [(table.c.kpi == kpi) & (table.c.end >= at - horizon) for kpi, horizon in horizons.items()]
    return sa.or_(table.c.at >= at - UNMERGED_MS, *recent)


def minutes_from(at: int) -> int:
    """The first of the ledger's minutes that a state kept at `at` (ms UTC) has."""
    return at // MINUTE_MS * MINUTE_MS - MINUTES_KEPT_MS
