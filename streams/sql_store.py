"""The database: one transaction a checkpoint (architecture §4), recovery from it, and the questions of the gateway.

SQLite (embedded) and PostgreSQL (cluster) by the same statements; `tests/test_sql_store.py` runs on both. Every
method raises Unavailable when the database does not answer now; the same call may succeed later.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import sqlalchemy as sa
from alembic import command as alembic_command
from alembic.config import Config
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import StaticPool
from sqlmodel import SQLModel

from sensors.broker_refusal import Refusal
from sensors.errors import Unavailable
from streams.alert import Alert, AlertStep, Command
from streams.beat import Counts, Rejection, Value
from streams.checkpoint import (
    ROLL_UP,
    BeatMark,
    Checkpoint,
    LedgerRow,
    Mail,
    PaneRow,
    Partial,
    Recovered,
    SeenRow,
    SourceBlock,
    SourceName,
    SourceRow,
    SummaryRow,
    TicketRow,
)
from streams.numbering import Gap
from streams.partial import amended_partial
from streams.source import Sources
from streams.sql_tables import (
    AlertStepTable,
    AlertTable,
    BeatTable,
    CheckpointTable,
    CommandTable,
    HeadTable,
    LedgerTable,
    MailTable,
    NoteTable,
    PaneTable,
    PartialTable,
    ReasonTable,
    RefusalTable,
    RejectionTable,
    SeenTable,
    SnapshotTable,
    SourceBlockTable,
    SourceTable,
    SummaryTable,
    TicketTable,
    ValueTable,
    table_of,
)

MIGRATIONS = Path(__file__).parent / "migrations"
WAIT_S = 5.0
REJECTIONS_A_CHECKPOINT = 500
"""Rows kept of one second's rejections; the others are counted by their reason only: junk must not fill the disk."""

REJECTIONS_KEPT = 100_000
DAY_MS = 86_400_000
PARTIALS_KEPT_MS = 8 * DAY_MS
LEDGER_KEPT_MS = 400 * DAY_MS
HOUR_MS = 3_600_000
REPLAY_KEPT_MS = 7 * DAY_MS
"""As long as the embedded journal keeps what was said."""

UNMERGED_MS = 120_000
"""The roll-up's checkpoint is at most seconds behind the partitions': shares written since then are merged again."""

KEYS_A_QUERY = 200
ROWS_A_PART = 50_000
MAIL_TRIES = 30
Row = Mapping[str, Any]
Table = type[SQLModel]


class Standing(NamedTuple):
    """Where a partition stands as of its checkpoint: the next journal offset it wants, and its open windows, packed."""

    partition: int
    offset: int
    open_values: bytes


class SqlStore:
    """One database by its URL: `sqlite:///path`, `sqlite://` (in memory) or `postgresql+psycopg://…`."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._insert = sqlite.insert if self.engine.dialect.name == "sqlite" else postgresql.insert
        self._upserts: dict[tuple[object, ...], Any] = {}

    def migrate(self) -> None:
        """Bring the tables up to date; any number of processes may try at once."""
        with self._answering(), self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7201451)")
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS))
            config.attributes["connection"] = connection
            alembic_command.upgrade(config, "head")
            connection.commit()

    def close(self) -> None:
        self.engine.dispose()

    # Checkpoints

    def commit(self, checkpoint: Checkpoint) -> bool:
        """Write a checkpoint in one transaction; False, and nothing written, when another worker was here (fence)."""
        return checkpoint.partition in self.commit_all([checkpoint])

    def commit_all(self, checkpoints: Sequence[Checkpoint]) -> set[int]:
        """Write checkpoints of different partitions in one transaction; returns the partitions whose fence held.

        Of the others nothing is written: another worker has them.
        """
        with self._answering(), self.engine.begin() as connection:
            held = [checkpoint for checkpoint in checkpoints if self._advance(connection, checkpoint)]
            for checkpoint in held:
                self._write_state(connection, checkpoint)
                self._write_values(connection, checkpoint)
                self._write_alerts(connection, checkpoint)
                self._write_ledger(connection, checkpoint)
                self._write_outbox(connection, checkpoint)
            for checkpoint in held:
                self._write_replay(connection, checkpoint)
            return {checkpoint.partition for checkpoint in held}

    def _advance(self, connection: Connection, checkpoint: Checkpoint) -> bool:
        table = table_of(CheckpointTable)
        row = {
            "offset": checkpoint.offset, "ordinal": checkpoint.ordinal, "at": checkpoint.at,
            "clock": checkpoint.clock, "pending_holds": checkpoint.pending_holds,
            "open_values": checkpoint.open_values,
            **msgspec.structs.asdict(checkpoint.totals),
        }  # fmt: skip
        if checkpoint.expected < 0:
            fresh = self._insert(table).values(partition=checkpoint.partition, **row).on_conflict_do_nothing()
            return connection.execute(fresh.returning(table.c.partition)).first() is not None
        mine = (table.c.partition == checkpoint.partition) & (table.c.offset == checkpoint.expected)
        if checkpoint.expected_at is not None:
            mine &= table.c.at == checkpoint.expected_at
        return connection.execute(sa.update(table).where(mine).values(row)).rowcount == 1

    def _write_state(self, connection: Connection, checkpoint: Checkpoint) -> None:
        number = checkpoint.partition
        pane, ticket, seen = table_of(PaneTable), table_of(TicketTable), table_of(SeenTable)
        self._put(connection, PaneTable, checkpoint.panes, partition=number)
        if checkpoint.dropped_panes:
            row = [pane.c[name] == sa.bindparam(f"of_{name}") for name in ("series", "entity", "field")]
            old = sa.delete(pane).where(pane.c.partition == number, *row, pane.c.pane < sa.bindparam("before"))
            names = ("of_series", "of_entity", "of_field", "before")
            connection.execute(old, [dict(zip(names, place, strict=True)) for place in checkpoint.dropped_panes])
        self._put(connection, TicketTable, checkpoint.tickets, partition=number)
        if checkpoint.tickets_done:
            done = sa.delete(ticket).where(ticket.c.desk == sa.bindparam("d"), ticket.c.ticket == sa.bindparam("t"))
            connection.execute(done, [{"d": desk, "t": name} for desk, name in checkpoint.tickets_done])
        self._put(connection, SourceTable, checkpoint.source_names, partition=number)
        self._put(connection, SourceBlockTable, checkpoint.source_blocks, partition=number)
        if checkpoint.seen:
            rows = [
                {"partition": number, "offset": checkpoint.offset, "number": place, "until": row.until,
                 "keys": row.keys} for place, row in enumerate(checkpoint.seen)
            ]  # fmt: skip
            connection.execute(sa.insert(seen), rows)
        if checkpoint.seen_until:
            gone = (seen.c.partition == number) & (seen.c.until <= checkpoint.seen_until)
            connection.execute(sa.delete(seen).where(gone))

    def _write_values(self, connection: Connection, checkpoint: Checkpoint) -> None:
        number = checkpoint.partition
        newest = {(value.kpi, value.scope, value.end): value for value in checkpoint.values}
        self._put(connection, ValueTable, newest.values(), partition=number)
        heads: dict[tuple[str, str], int] = {}
        for kpi, scope, end in newest:
            heads[kpi, scope] = max(end, heads.get((kpi, scope), end))
        rows = [{"kpi": kpi, "scope": scope, "partition": number, "end": end} for (kpi, scope), end in heads.items()]
        self._put_rows(connection, HeadTable, rows, largest=("end",))
        shares = [
            {"kpi": partial.kpi, "end": partial.end, "cells": partial.cells, "partition": number, "at": checkpoint.at}
            for partial in self._amended(connection, number, checkpoint.partials)
        ]
        self._put_rows(connection, PartialTable, shares)

    def _amended(self, connection: Connection, partition: int, partials: Sequence[Partial]) -> list[Partial]:
        """Shares as they are to be kept: patches are laid over what is there (streams.partial)."""
        table = table_of(PartialTable)
        result = []
        for partial in partials:
            if partial.is_patch:
                mine = (table.c.kpi == partial.kpi) & (table.c.end == partial.end) & (table.c.partition == partition)
                before = connection.execute(sa.select(table).where(mine)).one_or_none()
                partial = partial if before is None else amended_partial(_partial(before), partial)
            result.append(partial)
        return result

    def _write_alerts(self, connection: Connection, checkpoint: Checkpoint) -> None:
        rows = [
            msgspec.structs.asdict(alert)
            | {"partition": checkpoint.partition, "occurrence": int(alert.id.rpartition("-")[2])}
            for alert in checkpoint.alerts
        ]
        self._put_rows(connection, AlertTable, rows)
        self._put(connection, AlertStepTable, checkpoint.steps)
        if checkpoint.applied:
            command = table_of(CommandTable)
            applied = sa.update(command).where(command.c.id == sa.bindparam("command"))
            applied = applied.values(state="applied", applied_at=sa.bindparam("at_beat"))
            connection.execute(applied, [{"command": name, "at_beat": at} for name, at in checkpoint.applied])

    def _write_ledger(self, connection: Connection, checkpoint: Checkpoint) -> None:
        number = checkpoint.partition
        counted = ("received", "accepted", "duplicate", "too_late", "rejected")
        rows = [
            {"partition": number, "kind": row.kind, "minute": row.minute}
            | {name: getattr(row.counts, name) for name in counted}
            for row in checkpoint.ledger
        ]
        self._put_rows(connection, LedgerTable, rows, added=counted)
        kept = checkpoint.rejections[-REJECTIONS_A_CHECKPOINT:]
        self._put(connection, RejectionTable, (_storable(rejection) for rejection in kept))
        reasons: dict[str, int] = {}
        for rejection in checkpoint.rejections:
            if rejection.reason == "too_late":
                continue  # an outcome of its own
            reasons[rejection.reason] = reasons.get(rejection.reason, 0) + 1
        given = [{"partition": number, "reason": name, "count": count} for name, count in sorted(reasons.items())]
        self._put_rows(connection, ReasonTable, given, added=("count",))

    def _write_outbox(self, connection: Connection, checkpoint: Checkpoint) -> None:
        mails = [
            msgspec.structs.asdict(mail) | {"next_at": mail.created_at, "tries": 0, "sent_at": None, "fault": ""}
            for mail in checkpoint.mails
        ]
        # What is there already was decided before: the same content is never sent twice.
        self._put_rows(connection, MailTable, mails, keep=True)
        self._put_rows(connection, SummaryTable, map(msgspec.structs.asdict, checkpoint.summaries), keep=True)

    def _write_replay(self, connection: Connection, checkpoint: Checkpoint) -> None:
        if checkpoint.beats:
            beats = [{"partition": checkpoint.partition, "at": checkpoint.at, "beats": checkpoint.beats}]
            self._put_rows(connection, BeatTable, beats)
        if checkpoint.snapshot is not None:
            state = self._recovered(connection, checkpoint.partition, checkpoint.snapshot)
            if checkpoint.partition == ROLL_UP:
                self._add_amendable(connection, state, checkpoint.snapshot)
            content = zlib.compress(msgspec.msgpack.encode(state), 1)
            rows = [{"partition": checkpoint.partition, "at": checkpoint.at, "content": content}]
            self._put_rows(connection, SnapshotTable, rows)

    def _add_amendable(self, connection: Connection, state: Recovered, horizons: Mapping[str, int]) -> None:
        """All shares that may still be amended: later ones will have replaced them when the snapshot is used."""
        table = table_of(PartialTable)
        keys: set[tuple[str, int]] = set()
        for kpi, horizon in horizons.items():
            query = sa.select(table.c.end).where(table.c.kpi == kpi, table.c.end >= state.at - horizon).distinct()
            keys |= {(kpi, end) for end in connection.execute(query).scalars()}
        keys -= {(partial.kpi, partial.end) for partial in state.partials}
        state.partials = [*state.partials, *self._partials_of(connection, sorted(keys))]
        state.values = [*state.values, *self._values_of(connection, sorted(keys))]

    # Recovery

    def recover(self, partition: int, horizons: Mapping[str, int] | None = None) -> Recovered:
        """What a partition starts again from; offset -1 when it has never run.

        `horizons` says for each KPI how far before its newest window (ms) a closed one may still be amended.
        The roll-up gets every partition's shares of the windows that were written since it last could merge them.
        """
        with self._reading() as connection:
            return self._recovered(connection, partition, horizons or {})

    def _recovered(self, connection: Connection, partition: int, horizons: Mapping[str, int]) -> Recovered:
        found = _all(connection, CheckpointTable, CheckpointTable.partition == partition)
        if not found:
            return Recovered(-1, 0, b"", Counts(), [], [], [], [], [], [], [], [], {}, b"")
        row = found[0]
        values, partials = self._heads(connection, partition, horizons), []
        if partition == ROLL_UP:
            partials = self._unmerged(connection, row.at)
            keys = sorted({(partial.kpi, partial.end) for partial in partials})
            values += self._values_of(connection, keys)
        names = _made_all(SourceName, connection, SourceTable, SourceTable.partition == partition)
        return Recovered(
            offset=row.offset,
            ordinal=row.ordinal,
            clock=row.clock,
            totals=_made(Counts, row),
            panes=_made_all(PaneRow, connection, PaneTable, PaneTable.partition == partition),
            tickets=_made_all(TicketRow, connection, TicketTable, TicketTable.partition == partition),
            source_names=sorted(names, key=lambda name: name.number),
            source_blocks=_made_all(
                SourceBlock, connection, SourceBlockTable, SourceBlockTable.partition == partition
            ),
            seen=_made_all(SeenRow, connection, SeenTable, SeenTable.partition == partition),
            values=values,
            partials=partials,
            alerts=_made_all(
                Alert, connection, AlertTable, AlertTable.partition == partition, AlertTable.state != "closed"
            ),
            occurrences=self._occurrences(connection, partition),
            pending_holds=row.pending_holds,
            open_values=row.open_values,
            at=row.at,
        )

    # What a replay begins with and follows

    def snapshot_before(self, partition: int, at: int) -> Recovered | None:
        """The newest snapshot of a partition's state that is not newer than `at` (ms UTC)."""
        table = table_of(SnapshotTable)
        query = sa.select(table.c.content).where(table.c.partition == partition, table.c.at <= at)
        with self._reading() as connection:
            content = connection.execute(query.order_by(table.c.at.desc()).limit(1)).scalar()
        return None if content is None else msgspec.msgpack.decode(zlib.decompress(content), type=Recovered)

    def oldest_snapshot(self, partition: int) -> int | None:
        """When the oldest state was kept (ms UTC)."""
        table = table_of(SnapshotTable)
        with self._reading() as connection:
            query = sa.select(sa.func.min(table.c.at)).where(table.c.partition == partition)
            return connection.execute(query).scalar()

    def beats(self, partition: int, after: int, until: int) -> list[BeatMark]:
        """The beats of a partition in (after, until] ms UTC."""
        table = table_of(BeatTable)
        # A checkpoint's row has the beats up to its own time; one that had to wait covers more than a second.
        query = sa.select(table.c.beats).where(table.c.partition == partition, table.c.at > after).order_by(table.c.at)
        found: list[BeatMark] = []
        with self._reading() as connection:
            for (packed,) in connection.execute(query):
                beats = msgspec.msgpack.decode(packed, type=list[BeatMark])
                if beats and beats[0].now > until:
                    break
                found += [beat for beat in beats if after < beat.now <= until]
        return found

    def applied_commands(self, after: int, until: int) -> list[tuple[int, Command]]:
        """Commands carried out on beats in (after, until], each with its beat's time, in that order."""
        table = table_of(CommandTable)
        done = (table.c.applied_at > after) & (table.c.applied_at <= until)
        query = sa.select(table).where(done).order_by(table.c.applied_at, table.c.at, table.c.id)
        with self._reading() as connection:
            return [(row.applied_at, _made(Command, row)) for row in connection.execute(query)]

    def shares(self, keys: Sequence[tuple[str, int]]) -> tuple[list[Partial], list[Value]]:
        """All partitions' shares of windows (KPI, end), and what was said of them for districts and the place."""
        with self._reading() as connection:
            return self._partials_of(connection, keys), self._values_of(connection, keys)

    def _heads(self, connection: Connection, partition: int, horizons: Mapping[str, int]) -> list[Value]:
        head, value = table_of(HeadTable), table_of(ValueTable)
        kpis = connection.execute(sa.select(head.c.kpi).where(head.c.partition == partition).distinct()).scalars()
        found: list[Value] = []
        for kpi in kpis.all():
            join = head.join(value, (value.c.kpi == head.c.kpi) & (value.c.scope == head.c.scope))
            recent = value.c.end >= head.c.end - horizons.get(kpi, DAY_MS)
            query = sa.select(value).select_from(join).where(head.c.partition == partition, head.c.kpi == kpi, recent)
            found += [_made(Value, row) for row in connection.execute(query)]
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
            found += [_partial(row) for row in connection.execute(query)]
        return found

    def _values_of(self, connection: Connection, keys: Sequence[tuple[str, int]]) -> list[Value]:
        table = table_of(ValueTable)
        found = []
        for some in _in_parts(keys):
            ours = (table.c.partition == ROLL_UP) & sa.tuple_(table.c.kpi, table.c.end).in_(some)
            found += [_made(Value, row) for row in connection.execute(sa.select(table).where(ours))]
        return found

    def _occurrences(self, connection: Connection, partition: int) -> dict[tuple[str, str, str], int]:
        table = table_of(AlertTable)
        key = (table.c.rule, table.c.scope, table.c.device)
        query = sa.select(*key, sa.func.max(table.c.occurrence)).where(table.c.partition == partition).group_by(*key)
        return {(rule, scope, device): number for rule, scope, device, number in connection.execute(query)}

    # Commands

    def record_command(self, command: Command) -> None:
        """Keep what a person ordered, before anybody hears of it."""
        row = msgspec.structs.asdict(command) | {"state": "waiting", "why": "", "applied_at": None}
        with self._writing() as connection:
            connection.execute(sa.insert(table_of(CommandTable)), row)

    def waiting_commands(self) -> list[Command]:
        """Commands neither applied nor refused, the oldest first."""
        table = table_of(CommandTable)
        query = sa.select(table).where(table.c.state == "waiting").order_by(table.c.at, table.c.id)
        with self._reading() as connection:
            return [_made(Command, row) for row in connection.execute(query)]

    def refuse_command(self, command: str, why: str) -> None:
        """A command that cannot be carried out, with the answer to that person."""
        table = table_of(CommandTable)
        with self._writing() as connection:
            connection.execute(sa.update(table).where(table.c.id == command).values(state="refused", why=why))

    def command_state(self, command: str) -> tuple[str, str] | None:
        """State (waiting, applied, refused) and the reason of a refusal; None for an unknown id."""
        table = table_of(CommandTable)
        with self._reading() as connection:
            row = connection.execute(sa.select(table.c.state, table.c.why).where(table.c.id == command)).one_or_none()
        return (row.state, row.why) if row is not None else None

    # Figures

    def newest_value(self, kpi: str, scope: str, until: int = 2**62) -> Value | None:
        """The newest closed window of a KPI that ended by `until` (ms UTC)."""
        table = table_of(ValueTable)
        mine = (table.c.kpi == kpi) & (table.c.scope == scope) & (table.c.end <= until)
        query = sa.select(table).where(mine).order_by(table.c.end.desc()).limit(1)
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        return _made(Value, row) if row is not None else None

    def history(self, kpi: str, scope: str, start: int, end: int, limit: int) -> list[Value]:
        """Closed windows that end in [start, end] (ms UTC), in order of time."""
        table = table_of(ValueTable)
        mine = (table.c.kpi == kpi) & (table.c.scope == scope) & table.c.end.between(start, end)
        query = sa.select(table).where(mine, table.c.state != "provisional").order_by(table.c.end).limit(limit)
        with self._reading() as connection:
            return [_made(Value, row) for row in connection.execute(query)]

    def closed_values(self, after: int, upto: int) -> Iterator[list[tuple[str, str, int, float | None, int]]]:
        """KPI, scope, end, value and n of all closed windows that end in (after, upto] (ms UTC), in parts."""
        table = table_of(ValueTable)
        query = sa.select(table.c.kpi, table.c.scope, table.c.end, table.c.value, table.c.n).where(
            table.c.end > after, table.c.end <= upto, table.c.state != "provisional"
        )
        with self._reading() as connection:
            found = connection.execution_options(yield_per=ROWS_A_PART).execute(query)
            for part in found.partitions():
                yield [tuple(row) for row in part]

    def offsets(self) -> dict[int, int]:
        """For every partition (not the roll-up), the journal offset that its last checkpoint reached."""
        table = table_of(CheckpointTable)
        with self._reading() as connection:
            rows = connection.execute(sa.select(table.c.partition, table.c.offset).where(table.c.partition != ROLL_UP))
            return {partition: max(offset, 0) for partition, offset in rows}

    def windows(self, kpi: str, start: int, end: int, limit: int) -> list[Value]:
        """Closed windows of all scopes that end in [start, end] (ms UTC), in order of time."""
        table = table_of(ValueTable)
        mine = (table.c.kpi == kpi) & table.c.end.between(start, end) & (table.c.state != "provisional")
        query = sa.select(table).where(mine).order_by(table.c.end, table.c.scope).limit(limit)
        with self._reading() as connection:
            return [_made(Value, row) for row in connection.execute(query)]

    # Where a number comes from

    def values_at(self, kpi: str, end: int, scopes: Sequence[str]) -> list[tuple[int, Value]]:
        """What was said of one closed window for each of these scopes, with the partition that said it."""
        table = table_of(ValueTable)
        mine = (table.c.kpi == kpi) & (table.c.end == end) & table.c.scope.in_(scopes)
        with self._reading() as connection:
            return [(row.partition, _made(Value, row)) for row in connection.execute(sa.select(table).where(mine))]

    def standings(self) -> list[Standing]:
        """Where every partition stands, and the roll-up, whose offset counts beats."""
        table = table_of(CheckpointTable)
        query = sa.select(table.c.partition, table.c.offset, table.c.open_values)
        with self._reading() as connection:
            return [Standing(*row) for row in connection.execute(query)]

    def too_late_ordinals(self, partition: int, first: int, after: int) -> frozenset[int]:
        """Ordinals in [first, after) of messages that were kept as too late."""
        table = table_of(RejectionTable)
        mine = (table.c.partition == partition) & (table.c.ordinal >= first) & (table.c.ordinal < after)
        query = sa.select(table.c.ordinal).where(mine, table.c.reason == "too_late")
        with self._reading() as connection:
            return frozenset(connection.execute(query).scalars())

    # The ledger, rejections and sources

    def ledger_totals(self) -> Counts:
        """The counts of all partitions since the data began, as of their last checkpoints."""
        table = table_of(CheckpointTable)
        names = Counts.__struct_fields__
        query = sa.select(*(sa.func.coalesce(sa.func.sum(table.c[name]), 0) for name in names))
        with self._reading() as connection:
            sums = connection.execute(query.where(table.c.partition >= 0)).one()
        return Counts(**{name: int(total) for name, total in zip(names, sums, strict=True)})

    def rejections(self, limit: int) -> list[Rejection]:
        """The newest rejections first."""
        table = table_of(RejectionTable)
        query = sa.select(table).order_by(table.c.at.desc(), table.c.partition, table.c.ordinal.desc()).limit(limit)
        with self._reading() as connection:
            return [_made(Rejection, row) for row in connection.execute(query)]

    def rejection_reasons(self) -> dict[str, int]:
        """How often each reason was given, since the data began."""
        table = table_of(ReasonTable)
        query = sa.select(table.c.reason, sa.func.sum(table.c.count)).group_by(table.c.reason)
        with self._reading() as connection:
            return {reason: int(count) for reason, count in connection.execute(query)}

    def sources(self) -> list[SourceRow]:
        """Every device and desk that has sent anything."""
        return [held.row(index) for held in self._sources() for index in range(len(held))]

    def missing(self, limit: int) -> list[tuple[SourceRow, list[Gap]]]:
        """Sources that number their messages and of which some never came, most missing first, with their gaps."""
        found: list[tuple[SourceRow, list[Gap]]] = []
        for held in self._sources():
            absent = held.numbering.missing()
            for index in np.flatnonzero(absent > 0).tolist():
                found.append((held.row(index), held.numbering.gaps.get(index, [])))
        return sorted(found, key=lambda one: (-one[0].missing, one[0].unit, one[0].kind, one[0].source))[:limit]

    def numbered_totals(self) -> tuple[int, int, int]:
        """Over all sources that number their messages: numbered, unreadable, missing."""
        totals = [held.numbering.totals() for held in self._sources()]
        numbered, unreadable, missing = (sum(column) for column in zip(*totals, strict=True)) if totals else (0, 0, 0)
        return numbered, unreadable, missing

    def _sources(self) -> list[Sources]:
        """The sources of every partition, as of its last checkpoint."""
        with self._reading() as connection:
            names, blocks = _all(connection, SourceTable), _all(connection, SourceBlockTable)
        found = []
        for partition in sorted({row.partition for row in names}):
            mine = sorted((row for row in names if row.partition == partition), key=lambda row: row.number)
            held = Sources({})
            held.restore(
                [_made(SourceName, row) for row in mine],
                [_made(SourceBlock, row) for row in blocks if row.partition == partition],
            )
            found.append(held)
        return found

    def ledger_rows(self, start: int, end: int, limit: int) -> list[tuple[int, LedgerRow]]:
        """Outcomes by partition, kind and minute of reception in [start, end) ms UTC, the oldest first."""
        table = table_of(LedgerTable)
        query = sa.select(table).where(table.c.minute >= start, table.c.minute < end)
        query = query.order_by(table.c.minute, table.c.partition, table.c.kind).limit(limit)
        counted = ("received", "accepted", "duplicate", "too_late", "rejected")
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [
            (row.partition, LedgerRow(row.kind, row.minute, Counts(**{name: row._mapping[name] for name in counted})))
            for row in rows
        ]

    def alerts(self, open_only: bool, limit: int) -> list[Alert]:
        """The newest alerts first."""
        table = table_of(AlertTable)
        query = sa.select(table).order_by(table.c.raised_at.desc(), table.c.id).limit(limit)
        with self._reading() as connection:
            chosen = query.where(table.c.state != "closed") if open_only else query
            return [_made(Alert, row) for row in connection.execute(chosen)]

    def alert(self, alert: str) -> Alert | None:
        with self._reading() as connection:
            found = _all(connection, AlertTable, AlertTable.id == alert)
        return _made(Alert, found[0]) if found else None

    def alert_steps(self, alert: str) -> list[AlertStep]:
        """An alert's log, the oldest line first."""
        with self._reading() as connection:
            steps = _made_all(AlertStep, connection, AlertStepTable, AlertStepTable.alert == alert)
        return sorted(steps, key=lambda step: step.revision)

    # What the broker refused at its own door

    def refusals_read_to(self) -> int:
        """Where to read on in the broker's log."""
        return self._note("broker log read to")

    def refusals_total(self) -> int:
        return self._note("refused by broker")

    def refusals(self, limit: int) -> list[tuple[int, Refusal]]:
        """The newest refusals first, each with when it was noticed (ms UTC)."""
        table = table_of(RefusalTable)
        with self._reading() as connection:
            rows = connection.execute(sa.select(table).order_by(table.c.id.desc()).limit(limit)).all()
        return [(row.at, Refusal(row.address, row.reason, row.detail)) for row in rows]

    def record_refusals(self, now: int, found: Iterable[tuple[int, Refusal]], read_to: int) -> None:
        """Keep refusals and how far the log has been read, in one transaction: each is counted once."""
        rows = [{"at": now, "position": position, **refusal._asdict()} for position, refusal in found]
        notes = [{"name": "refused by broker", "number": len(rows)}]
        with self._writing() as connection:
            if rows:
                connection.execute(sa.insert(table_of(RefusalTable)), rows)
                self._put_rows(connection, NoteTable, notes, added=("number",))
            self._put_rows(connection, NoteTable, [{"name": "broker log read to", "number": read_to}])

    def _note(self, name: str) -> int:
        table = table_of(NoteTable)
        with self._reading() as connection:
            return int(connection.execute(sa.select(table.c.number).where(table.c.name == name)).scalar() or 0)

    # Summaries and the outbox

    def newest_summary(self) -> SummaryRow | None:
        table = table_of(SummaryTable)
        with self._reading() as connection:
            row = connection.execute(sa.select(table).order_by(table.c.at.desc(), table.c.id).limit(1)).one_or_none()
        return _made(SummaryRow, row) if row is not None else None

    def due_mails(self, now: int, limit: int) -> list[Mail]:
        """Mails to be sent now, the oldest first; those that failed too often are left to a person."""
        table = table_of(MailTable)
        due = (table.c.sent_at.is_(None)) & (table.c.next_at <= now) & (table.c.tries < MAIL_TRIES)
        query = sa.select(table).where(due).order_by(table.c.created_at, table.c.id).limit(limit)
        with self._reading() as connection:
            return [_made(Mail, row) for row in connection.execute(query)]

    def mail_sent(self, mail: str, now: int) -> None:
        table = table_of(MailTable)
        with self._writing() as connection:
            connection.execute(sa.update(table).where(table.c.id == mail).values(sent_at=now, fault=""))

    def mail_failed(self, mail: str, now: int, fault: str) -> None:
        """Try again after a minute, then two, four … an hour at most."""
        table = table_of(MailTable)
        with self._writing() as connection:
            tries = connection.execute(sa.select(table.c.tries).where(table.c.id == mail)).scalar() or 0
            next_at = now + min(60_000 * 2**tries, 3_600_000)
            changed = sa.update(table).where(table.c.id == mail).values(tries=tries + 1, next_at=next_at, fault=fault)
            connection.execute(changed)

    # Retention

    def forget(self, now: int) -> None:
        """Drop what nobody can ask for any more: old shares, ledger minutes, and rejections beyond their bound."""
        partial, ledger, rejection = table_of(PartialTable), table_of(LedgerTable), table_of(RejectionTable)
        with self._writing() as connection:
            connection.execute(sa.delete(partial).where(partial.c.at < now - PARTIALS_KEPT_MS))
            connection.execute(sa.delete(ledger).where(ledger.c.minute < now - LEDGER_KEPT_MS))
            beat, snapshot = table_of(BeatTable), table_of(SnapshotTable)
            connection.execute(sa.delete(beat).where(beat.c.at < now - REPLAY_KEPT_MS))
            # Of the last two days every hour's state is kept, of those before every sixth hour's.
            is_old = snapshot.c.at < now - REPLAY_KEPT_MS
            is_between = (snapshot.c.at < now - 2 * DAY_MS) & (snapshot.c.at // HOUR_MS % 6 != 0)
            connection.execute(sa.delete(snapshot).where(is_old | is_between))
            newest = sa.select(rejection.c.at).order_by(rejection.c.at.desc()).offset(REJECTIONS_KEPT).limit(1)
            oldest_kept = connection.execute(newest).scalar()
            if oldest_kept is not None:
                connection.execute(sa.delete(rejection).where(rejection.c.at <= oldest_kept))

    # Statements

    def _put(self, connection: Connection, model: Table, structs: Iterable[msgspec.Struct], **more: Any) -> None:
        self._put_rows(connection, model, (msgspec.structs.asdict(struct) | more for struct in structs))

    def _put_rows(
        self, connection: Connection, model: Table, rows: Iterable[Row], added: tuple[str, ...] = (),
        largest: tuple[str, ...] = (), keep: bool = False,
    ) -> None:
        """Insert, or update the row of the same key; `added` columns grow, `largest` keep the larger, `keep` all."""
        listed = list(rows)
        if listed:
            connection.execute(self._upsert(model, added, largest, keep), listed)

    def _upsert(self, model: Table, added: tuple[str, ...], largest: tuple[str, ...], keep: bool) -> Any:
        table = table_of(model)
        mode = (table.name, added, largest, keep)
        if mode not in self._upserts:
            insert = self._insert(table)
            new = insert.excluded
            changes: dict[str, Any] = {column.name: new[column.name] for column in table.c if not column.primary_key}
            changes |= {name: table.c[name] + new[name] for name in added}
            changes |= {
                name: sa.case((new[name] > table.c[name], new[name]), else_=table.c[name]) for name in largest
            }
            key = [column.name for column in table.primary_key]
            self._upserts[mode] = (
                insert.on_conflict_do_nothing()
                if keep or not changes
                else insert.on_conflict_do_update(index_elements=key, set_=changes)
            )
        return self._upserts[mode]

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._answering(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._answering(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def _answering(self) -> Iterator[None]:
        with answering(self.engine):
            yield


@contextmanager
def answering(engine: Engine) -> Iterator[None]:
    """Turn the driver's ways of not answering into Unavailable; our own mistakes stay what they are."""
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.InterfaceError, PoolTimeout) as error:
        raise Unavailable(f"{engine.url.render_as_string()}: {_short(error)}") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise Unavailable(f"{engine.url.render_as_string()}: {_short(error)}") from error
        raise


def _short(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        options = {"connect_timeout": int(WAIT_S), "application_name": "ioc"}
        return sa.create_engine(url, pool_pre_ping=True, pool_timeout=WAIT_S, connect_args=options)
    in_memory = make_url(url).database in (None, "", ":memory:")
    arguments = {"check_same_thread": False, "timeout": WAIT_S}
    engine = (
        sa.create_engine(url, connect_args=arguments, poolclass=StaticPool)
        if in_memory
        else sa.create_engine(url, connect_args=arguments, pool_timeout=WAIT_S)
    )

    @sa.event.listens_for(engine, "connect")
    def _set_up(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a recorded command or a committed checkpoint is on disk when it is answered.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")

    return engine


def _storable(rejection: Rejection) -> Rejection:
    """Junk may hold what PostgreSQL's text cannot: NUL and lone surrogates. The payload is kept as it was."""
    topic, detail = (
        text.encode(errors="replace").decode().replace("\0", "\u2400") for text in (rejection.topic, rejection.detail)
    )
    return msgspec.structs.replace(rejection, topic=topic, detail=detail)


def _all(connection: Connection, model: Table, *where: Any) -> Sequence[Any]:
    return connection.execute(sa.select(table_of(model)).where(*where)).all()


def _made(struct: Any, row: Any) -> Any:
    found = row._mapping
    return struct(**{name: found[name] for name in struct.__struct_fields__})


def _partial(row: Any) -> Partial:
    return Partial(row.kpi, row.end, row.cells)


def _made_all(struct: Any, connection: Connection, model: Table, *where: Any) -> list[Any]:
    return [_made(struct, row) for row in _all(connection, model, *where)]


def _in_parts(keys: Sequence[tuple[str, int]]) -> Iterator[Sequence[tuple[str, int]]]:
    for start in range(0, len(keys), KEYS_A_QUERY):
        yield keys[start : start + KEYS_A_QUERY]
