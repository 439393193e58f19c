"""The database as the processor and the gateway know it: checkpoints and recovery (its bases), and the questions.

SQLite (embedded) and PostgreSQL (cluster) by the same statements; `tests/test_sql_store.py` runs on both. Every
method raises Unavailable when the database does not answer now; the same call may succeed later.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from sensors.broker_refusal import Refusal
from streams.alert import Alert, AlertStep, Command
from streams.beat import Counts, Rejection, Value
from streams.checkpoint import (
    ROLL_UP,
    LedgerRow,
    Mail,
    SourceBlock,
    SourceChange,
    SourceName,
    SourceRow,
    SummaryRow,
)
from streams.numbering import Gap
from streams.source import Sources
from streams.span import MS_MAX
from streams.sql_checkpoints import SqlCheckpoints
from streams.sql_database import all_made, all_rows, answering, made
from streams.sql_recovery import ledger_row_of
from streams.sql_tables import (
    AlertStepTable,
    AlertTable,
    BeatTable,
    CheckpointTable,
    CommandTable,
    LedgerTable,
    MailTable,
    NoteTable,
    PartialTable,
    ReasonTable,
    RefusalTable,
    RejectionTable,
    SnapshotTable,
    SourceBlockTable,
    SourceChangeTable,
    SourceTable,
    SummaryTable,
    ValueTable,
    table_of,
)

__all__ = ["SqlStore", "Standing", "answering"]

DAY_MS = 86_400_000
REJECTIONS_KEPT = 100_000
PARTIALS_KEPT_MS = 8 * DAY_MS
LEDGER_KEPT_MS = 400 * DAY_MS
HOUR_MS = 3_600_000
REPLAY_KEPT_MS = 7 * DAY_MS
"""As long as the embedded journal keeps what was said."""
ROWS_A_PART = 50_000
MAIL_TRIES = 30


class Standing(NamedTuple):
    """Where a partition stands as of its checkpoint: the next journal offset it wants, and its open windows, packed."""

    partition: int
    offset: int
    open_values: bytes


class SqlStore(SqlCheckpoints):
    """One database by its URL: `sqlite:///path`, `sqlite://` (in memory) or `postgresql+psycopg://…`."""

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
            return [made(Command, row) for row in connection.execute(query)]

    def refuse_command(self, command: str, why: str) -> None:
        """A command that cannot be carried out, with the answer to that person; not one that has been, meanwhile."""
        table = table_of(CommandTable)
        still = (table.c.id == command) & (table.c.state == "waiting")
        with self._writing() as connection:
            connection.execute(sa.update(table).where(still).values(state="refused", why=why))

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
        return made(Value, row) if row is not None else None

    def history(self, kpi: str, scope: str, start: int, end: int, limit: int) -> list[Value]:
        """Closed windows that end in [start, end] (ms UTC), in order of time."""
        table = table_of(ValueTable)
        mine = (table.c.kpi == kpi) & (table.c.scope == scope) & table.c.end.between(start, end)
        query = sa.select(table).where(mine, table.c.state != "provisional").order_by(table.c.end).limit(limit)
        with self._reading() as connection:
            return [made(Value, row) for row in connection.execute(query)]

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

    def journal(self) -> int:
        """The identity of the journal that the checkpoints are of; 0 while that is not known."""
        return self._note("journal")

    def keep_journal(self, identity: int) -> None:
        with self._writing() as connection:
            self._put_rows(connection, NoteTable, [{"name": "journal", "number": identity}])

    def windows(self, kpi: str, start: int, end: int, limit: int) -> list[Value]:
        """Closed windows of all scopes that end in [start, end] (ms UTC), in order of time."""
        table = table_of(ValueTable)
        mine = (table.c.kpi == kpi) & table.c.end.between(start, end) & (table.c.state != "provisional")
        query = sa.select(table).where(mine).order_by(table.c.end, table.c.scope).limit(limit)
        with self._reading() as connection:
            return [made(Value, row) for row in connection.execute(query)]

    # Where a number comes from

    def values_at(self, kpi: str, end: int, scopes: Sequence[str]) -> list[tuple[int, Value]]:
        """What was said of one closed window for each of these scopes, with the partition that said it."""
        table = table_of(ValueTable)
        mine = (table.c.kpi == kpi) & (table.c.end == end) & table.c.scope.in_(scopes)
        with self._reading() as connection:
            return [(row.partition, made(Value, row)) for row in connection.execute(sa.select(table).where(mine))]

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

    def rejections(self, limit: int, by: int = MS_MAX) -> list[Rejection]:
        """The newest rejections first, of what was received by `by` (ms UTC)."""
        table = table_of(RejectionTable)
        newest = (table.c.at.desc(), table.c.partition, table.c.ordinal.desc())
        query = sa.select(table).where(table.c.at <= by).order_by(*newest).limit(limit)
        with self._reading() as connection:
            return [made(Rejection, row) for row in connection.execute(query)]

    def rejection_reasons(self) -> dict[str, int]:
        """How often each reason was given since the data began."""
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
            names, blocks = all_rows(connection, SourceTable), all_rows(connection, SourceBlockTable)
            changes = all_rows(connection, SourceChangeTable)
        found = []
        for partition in sorted({row.partition for row in names}):
            mine = sorted((row for row in names if row.partition == partition), key=lambda row: row.number)
            held = Sources({})
            held.restore(
                [made(SourceName, row) for row in mine],
                [made(SourceBlock, row) for row in blocks if row.partition == partition],
                [made(SourceChange, row) for row in changes if row.partition == partition],
            )
            found.append(held)
        return found

    def ledger_rows(self, start: int, end: int, limit: int) -> list[tuple[int, LedgerRow]]:
        """Outcomes by partition, kind and minute of reception in [start, end) ms UTC, the oldest first."""
        table = table_of(LedgerTable)
        query = sa.select(table).where(table.c.minute >= start, table.c.minute < end)
        query = query.order_by(table.c.minute, table.c.partition, table.c.kind).limit(limit)
        with self._reading() as connection:
            return [(row.partition, ledger_row_of(row)) for row in connection.execute(query)]

    def alerts(self, open_only: bool, limit: int, by: int = MS_MAX) -> list[Alert]:
        """The newest alerts first, of those raised by `by` (ms UTC)."""
        table = table_of(AlertTable)
        query = sa.select(table).where(table.c.raised_at <= by)
        query = query.order_by(table.c.raised_at.desc(), table.c.id).limit(limit)
        with self._reading() as connection:
            chosen = query.where(table.c.state != "closed") if open_only else query
            return [made(Alert, row) for row in connection.execute(chosen)]

    def alerts_closed(self, limit: int, closed_by: int, by: int = MS_MAX) -> list[Alert]:
        """The same, of those closed by `closed_by` (ms UTC)."""
        table = table_of(AlertTable)
        query = sa.select(table).where(table.c.raised_at <= by, table.c.closed_at <= closed_by)
        with self._reading() as connection:
            chosen = query.order_by(table.c.raised_at.desc(), table.c.id).limit(limit)
            return [made(Alert, row) for row in connection.execute(chosen)]

    def alert(self, alert: str) -> Alert | None:
        with self._reading() as connection:
            found = all_rows(connection, AlertTable, AlertTable.id == alert)
        return made(Alert, found[0]) if found else None

    def alert_steps(self, alert: str) -> list[AlertStep]:
        """An alert's log, the oldest line first."""
        with self._reading() as connection:
            steps = all_made(AlertStep, connection, AlertStepTable, AlertStepTable.alert == alert)
        return sorted(steps, key=lambda step: step.revision)

    # What the broker refused at its own door

    def refusals_read_to(self) -> int:
        """Where to read on in the broker's log."""
        return self._note("broker log read to")

    def refusals_total(self) -> int:
        return self._note("refused by broker")

    def refusals_noticed(self, by: int) -> int:
        """How many had been noticed by `by` (ms UTC), a time of which the later ones are still kept (`forget`)."""
        table = table_of(RefusalTable)
        later = sa.select(sa.func.count()).select_from(table).where(table.c.at > by)
        with self._reading() as connection:
            return self._noted(connection, "refused by broker") - int(connection.execute(later).scalar_one())

    def refusals(self, limit: int, by: int = MS_MAX) -> list[tuple[int, Refusal]]:
        """The newest refusals first, each with when it was noticed (ms UTC), of those noticed by `by`."""
        table = table_of(RefusalTable)
        query = sa.select(table).where(table.c.at <= by).order_by(table.c.id.desc()).limit(limit)
        with self._reading() as connection:
            rows = connection.execute(query).all()
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
        with self._reading() as connection:
            return self._noted(connection, name)

    def _noted(self, connection: Connection, name: str) -> int:
        table = table_of(NoteTable)
        return int(connection.execute(sa.select(table.c.number).where(table.c.name == name)).scalar() or 0)

    # Summaries and the outbox

    def newest_summary(self, by: int = MS_MAX) -> SummaryRow | None:
        """The newest of those made by `by` (ms UTC)."""
        table = table_of(SummaryTable)
        query = sa.select(table).where(table.c.at <= by).order_by(table.c.at.desc(), table.c.id).limit(1)
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        return made(SummaryRow, row) if row is not None else None

    def due_mails(self, now: int, limit: int) -> list[Mail]:
        """Mails to be sent now, the oldest first; those that failed too often are left to a person."""
        table = table_of(MailTable)
        due = (table.c.sent_at.is_(None)) & (table.c.next_at <= now) & (table.c.tries < MAIL_TRIES)
        query = sa.select(table).where(due).order_by(table.c.created_at, table.c.id).limit(limit)
        with self._reading() as connection:
            return [made(Mail, row) for row in connection.execute(query)]

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
        """Drop what nobody can ask for any more: old shares, ledger minutes, and rejections and refusals beyond their
        bound; refusals that a replay asks for are not."""
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
            refusal = table_of(RefusalTable)
            newest = sa.select(refusal.c.id).order_by(refusal.c.id.desc()).offset(REJECTIONS_KEPT).limit(1)
            is_beyond = refusal.c.id <= newest.scalar_subquery()
            connection.execute(sa.delete(refusal).where(is_beyond, refusal.c.at < now - REPLAY_KEPT_MS))
