"""Checkpoints: one transaction for everything that a process's partitions have come to (architecture §4)."""

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from streams.beat import Rejection
from streams.checkpoint import Checkpoint, Partial
from streams.partial import amended_partial
from streams.sql_recovery import partial_of
from streams.sql_snapshots import SqlSnapshots
from streams.sql_tables import (
    AlertStepTable,
    AlertTable,
    BeatTable,
    CheckpointTable,
    CommandTable,
    HeadTable,
    LedgerTable,
    MailTable,
    PaneTable,
    PartialTable,
    ReasonTable,
    RejectionTable,
    SeenTable,
    SourceBlockTable,
    SourceChangeTable,
    SourceTable,
    SummaryTable,
    TicketTable,
    ValueTable,
    table_of,
)


def _advance_statement() -> sa.Update:
    """Made once: to put so many columns together anew costs more than to execute it."""
    table = table_of(CheckpointTable)
    at = sa.bindparam("expected_at", type_=sa.BigInteger)
    fence = (table.c.partition == sa.bindparam("own")) & (table.c.offset == sa.bindparam("expected"))
    return sa.update(table).where(fence & (at.is_(None) | (table.c.at == at)))


_ADVANCE = _advance_statement()


class SqlCheckpoints(SqlSnapshots):
    """Writes checkpoints, each behind its fence."""

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
                self._write_beats(connection, checkpoint)
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
        fence = {"own": checkpoint.partition, "expected": checkpoint.expected, "expected_at": checkpoint.expected_at}
        return connection.execute(_ADVANCE, row | fence).rowcount == 1

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
        self._put(connection, SourceChangeTable, checkpoint.source_changes, partition=number)
        if checkpoint.source_changes_until:
            change = table_of(SourceChangeTable)
            over = (change.c.partition == number) & (change.c.number < checkpoint.source_changes_until)
            connection.execute(sa.delete(change).where(over))
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
                partial = partial if before is None else amended_partial(partial_of(before), partial)
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
        self._put(connection, RejectionTable, (_storable(rejection) for rejection in checkpoint.rejections))
        reasons = sorted(checkpoint.reasons.items())
        given = [{"partition": number, "reason": name, "count": count} for name, count in reasons]
        self._put_rows(connection, ReasonTable, given, added=("count",))

    def _write_outbox(self, connection: Connection, checkpoint: Checkpoint) -> None:
        mails = [
            msgspec.structs.asdict(mail) | {"next_at": mail.created_at, "tries": 0, "sent_at": None, "fault": ""}
            for mail in checkpoint.mails
        ]
        # What is there already was decided before: the same content is never sent twice.
        self._put_rows(connection, MailTable, mails, keep=True)
        self._put_rows(connection, SummaryTable, map(msgspec.structs.asdict, checkpoint.summaries), keep=True)

    def _write_beats(self, connection: Connection, checkpoint: Checkpoint) -> None:
        if checkpoint.beats:
            beats = [{"partition": checkpoint.partition, "at": checkpoint.at, "beats": checkpoint.beats}]
            self._put_rows(connection, BeatTable, beats)


def _storable(rejection: Rejection) -> Rejection:
    """Junk may hold what PostgreSQL's text cannot: NUL and lone surrogates. The payload is kept as it was."""
    topic, detail = (
        text.encode(errors="replace").decode().replace("\0", "\u2400") for text in (rejection.topic, rejection.detail)
    )
    return msgspec.structs.replace(rejection, topic=topic, detail=detail)
