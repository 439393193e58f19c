"""Recovery: what a partition starts again from, and what a replay follows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from streams.alert import Alert, Command
from streams.beat import Counts, Value
from streams.checkpoint import (
    ROLL_UP,
    BeatMark,
    LedgerRow,
    PaneRow,
    Partial,
    Recovered,
    SeenRow,
    SourceBlock,
    SourceChange,
    SourceName,
    TicketRow,
)
from streams.sql_database import SqlDatabase, all_made, all_rows, made
from streams.sql_tables import (
    AlertTable,
    BeatTable,
    CheckpointTable,
    CommandTable,
    HeadTable,
    LedgerTable,
    PaneTable,
    PartialTable,
    ReasonTable,
    SeenTable,
    SourceBlockTable,
    SourceChangeTable,
    SourceTable,
    TicketTable,
    ValueTable,
    table_of,
)

DAY_MS = 86_400_000
UNMERGED_MS = 120_000
"""The roll-up's checkpoint is at most seconds behind the partitions': shares written since then are merged again."""
KEYS_A_QUERY = 200


class SqlRecovery(SqlDatabase):
    """Reads back what checkpoints wrote."""

    def recover(self, partition: int, horizons: Mapping[str, int] | None = None) -> Recovered:
        """What a partition starts again from; offset -1 when it has never run.

        `horizons` says for each KPI how far before its newest window (ms) a closed one may still be amended.
        The roll-up gets every partition's shares of the windows that were written since it last could merge them.
        """
        with self._reading() as connection:
            return self._recovered(connection, partition, horizons or {})

    def _recovered(
        self, connection: Connection, partition: int, horizons: Mapping[str, int], with_many: bool = True
    ) -> Recovered:
        """`with_many`: with panes and identities, of which there may be hundreds of thousands."""
        found = all_rows(connection, CheckpointTable, CheckpointTable.partition == partition)
        if not found:
            return Recovered(-1, 0, b"", Counts(), [], [], [], [], [], [], [], [], {}, b"")
        row = found[0]
        values, partials = self._heads(connection, partition, horizons), []
        if partition == ROLL_UP:
            partials = self._unmerged(connection, row.at)
            keys = sorted({(partial.kpi, partial.end) for partial in partials})
            values += self._values_of(connection, keys)
        names = all_made(SourceName, connection, SourceTable, SourceTable.partition == partition)
        return Recovered(
            offset=row.offset,
            ordinal=row.ordinal,
            clock=row.clock,
            totals=made(Counts, row),
            panes=all_made(PaneRow, connection, PaneTable, PaneTable.partition == partition) if with_many else [],
            tickets=all_made(TicketRow, connection, TicketTable, TicketTable.partition == partition),
            source_names=sorted(names, key=lambda name: name.number),
            source_blocks=all_made(SourceBlock, connection, SourceBlockTable, SourceBlockTable.partition == partition),
            source_changes=all_made(
                SourceChange, connection, SourceChangeTable, SourceChangeTable.partition == partition
            ),
            seen=all_made(SeenRow, connection, SeenTable, SeenTable.partition == partition) if with_many else [],
            values=values,
            partials=partials,
            alerts=all_made(
                Alert, connection, AlertTable, AlertTable.partition == partition, AlertTable.state != "closed"
            ),
            occurrences=self._occurrences(connection, partition),
            pending_holds=row.pending_holds,
            open_values=row.open_values,
            at=row.at,
        )

    # What a replay follows

    def beats(self, partition: int, after: int, until: int) -> list[BeatMark]:
        """The beats of a partition in (after, until] ms UTC, and the next one if there is one."""
        table = table_of(BeatTable)
        # A checkpoint's row has the beats up to its own time: the first one after `until` has the last of them.
        last = sa.select(sa.func.min(table.c.at)).where(table.c.partition == partition, table.c.at > until)
        is_in = (table.c.at > after) & (table.c.at <= sa.func.coalesce(last.scalar_subquery(), until))
        query = sa.select(table.c.beats).where(table.c.partition == partition, is_in).order_by(table.c.at)
        found: list[BeatMark] = []
        with self._reading() as connection:
            for (packed,) in connection.execute(query):
                found += msgspec.msgpack.decode(packed, type=list[BeatMark])
        wanted = [beat for beat in found if after < beat.now <= until]
        return wanted + [beat for beat in found if beat.now > until][:1]

    def applied_commands(self, after: int, until: int) -> list[tuple[int, Command]]:
        """Commands carried out on beats in (after, until], each with its beat's time, in that order."""
        table = table_of(CommandTable)
        done = (table.c.applied_at > after) & (table.c.applied_at <= until)
        query = sa.select(table).where(done).order_by(table.c.applied_at, table.c.at, table.c.id)
        with self._reading() as connection:
            return [(row.applied_at, made(Command, row)) for row in connection.execute(query)]

    def shares(self, keys: Sequence[tuple[str, int]]) -> tuple[list[Partial], list[Value]]:
        """All partitions' shares of windows (KPI, end), and what was said of them for districts and the place."""
        with self._reading() as connection:
            return self._partials_of(connection, keys), self._values_of(connection, keys)

    def shares_of(self, partition: int, since: int) -> list[tuple[int, Partial]]:
        """A partition's shares that were written since (ms UTC), each with the time of its checkpoint."""
        table = table_of(PartialTable)
        query = sa.select(table).where(table.c.partition == partition, table.c.at >= since)
        with self._reading() as connection:
            return [(row.at, partial_of(row)) for row in connection.execute(query)]

    def _heads(self, connection: Connection, partition: int, horizons: Mapping[str, int]) -> list[Value]:
        head, value = table_of(HeadTable), table_of(ValueTable)
        kpis = connection.execute(sa.select(head.c.kpi).where(head.c.partition == partition).distinct()).scalars()
        found: list[Value] = []
        for kpi in kpis.all():
            join = head.join(value, (value.c.kpi == head.c.kpi) & (value.c.scope == head.c.scope))
            recent = value.c.end >= head.c.end - horizons.get(kpi, DAY_MS)
            query = sa.select(value).select_from(join).where(head.c.partition == partition, head.c.kpi == kpi, recent)
            found += [made(Value, row) for row in connection.execute(query)]
        return found

    def _unmerged(self, connection: Connection, at: int) -> list[Partial]:
        table = table_of(PartialTable)
        query = sa.select(table.c.kpi, table.c.end).where(table.c.at >= at - UNMERGED_MS).distinct()
        keys = [(kpi, end) for kpi, end in connection.execute(query)]
        return self._partials_of(connection, keys)

    def _partials_of(self, connection: Connection, keys: Sequence[tuple[str, int]]) -> list[Partial]:
        table = table_of(PartialTable)
        found = []
        for some in _in_parts(keys):
            query = sa.select(table).where(sa.tuple_(table.c.kpi, table.c.end).in_(some))
            found += [partial_of(row) for row in connection.execute(query)]
        return found

    def _values_of(self, connection: Connection, keys: Sequence[tuple[str, int]]) -> list[Value]:
        table = table_of(ValueTable)
        found = []
        for some in _in_parts(keys):
            ours = (table.c.partition == ROLL_UP) & sa.tuple_(table.c.kpi, table.c.end).in_(some)
            found += [made(Value, row) for row in connection.execute(sa.select(table).where(ours))]
        return found

    def _minutes_of(self, connection: Connection, partition: int, since: int) -> list[LedgerRow]:
        table = table_of(LedgerTable)
        query = sa.select(table).where(table.c.partition == partition, table.c.minute >= since)
        return [ledger_row_of(row) for row in connection.execute(query.order_by(table.c.minute, table.c.kind))]

    def _reasons_of(self, connection: Connection, partition: int) -> dict[str, int]:
        found = all_rows(connection, ReasonTable, ReasonTable.partition == partition)
        return {row.reason: row.count for row in found}

    def _occurrences(self, connection: Connection, partition: int) -> dict[tuple[str, str, str], int]:
        table = table_of(AlertTable)
        key = (table.c.rule, table.c.scope, table.c.device)
        query = sa.select(*key, sa.func.max(table.c.occurrence)).where(table.c.partition == partition).group_by(*key)
        return {(rule, scope, device): number for rule, scope, device, number in connection.execute(query)}


def partial_of(row: Any) -> Partial:
    """A share from its row."""
    return Partial(row.kpi, row.end, row.cells)


def ledger_row_of(row: Any) -> LedgerRow:
    """A minute of the ledger from its row."""
    counted = ("received", "accepted", "duplicate", "too_late", "rejected")
    return LedgerRow(row.kind, row.minute, Counts(**{name: row._mapping[name] for name in counted}))


def _in_parts(keys: Sequence[tuple[str, int]]) -> Iterator[Sequence[tuple[str, int]]]:
    for start in range(0, len(keys), KEYS_A_QUERY):
        yield keys[start : start + KEYS_A_QUERY]
