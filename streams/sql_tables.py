"""The tables of the database: what checkpoints write is the history, and the state that recovery reads back.

SQLite and PostgreSQL from the same declarations; `migrations/` makes and changes them. Times are ms UTC.
Keys lead with what is looked up by; tables with a natural key have no other (WITHOUT ROWID on SQLite).
"""

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Float, Integer, LargeBinary, String, Table, Text
from sqlmodel import Field, SQLModel

_NATURAL = {"sqlite_with_rowid": False}


def _text(key: bool = False, **more: Any) -> Any:
    return Field(sa_column=Column(String, primary_key=key, nullable=False, **more))


def _long_text() -> Any:
    return Field(sa_column=Column(Text, nullable=False))


def _int(key: bool = False, **more: Any) -> Any:
    # autoincrement=False: on SQLite a lone integer key would become the row id.
    return Field(sa_column=Column(BigInteger, primary_key=key, nullable=False, autoincrement=False, **more))


def _maybe_int(**more: Any) -> Any:
    return Field(sa_column=Column(BigInteger, nullable=True, **more))


def _float(nullable: bool = False) -> Any:
    return Field(sa_column=Column(Float(53), nullable=nullable))


def _flag() -> Any:
    return Field(sa_column=Column(Boolean, nullable=False))


def _bytes() -> Any:
    return Field(sa_column=Column(LargeBinary, nullable=False))


def table_of(model: type[SQLModel]) -> Table:
    """The table behind a declaration, for statements over many rows at once."""
    table = model.__table__  # type: ignore[attr-defined]
    assert isinstance(table, Table)
    return table


class CheckpointTable(SQLModel, table=True):
    """One row a partition (-1: the roll-up): the offset is the fence, the counts are the ledger's totals."""

    __tablename__ = "checkpoint"
    partition: int = _int(key=True)
    offset: int = _int()
    ordinal: int = _int()
    at: int = _int()
    clock: bytes = _bytes()
    pending_holds: bytes = _bytes()
    open_values: bytes = _bytes()
    received: int = _int()
    accepted: int = _int()
    duplicate: int = _int()
    too_late: int = _int()
    rejected: int = _int()
    readings: int = _int()
    readings_duplicate: int = _int()
    readings_too_late: int = _int()
    readings_rejected: int = _int()
    readings_set_aside: int = _int()


class PaneTable(SQLModel, table=True):
    """The panes still in memory (streams.checkpoint.PaneRow)."""

    __tablename__ = "pane"
    __table_args__ = _NATURAL
    partition: int = _int(key=True)
    series: str = _text(key=True)
    entity: str = _text(key=True)
    field: str = _text(key=True)
    pane: int = _int(key=True)
    n: int = _int()
    total: float = _float()
    low: float = _float()
    high: float = _float()
    first_time: int = _int()
    first_value: float = _float()
    last_time: int = _int()
    last_value: float = _float()
    hits: bytes = _bytes()
    bins: bytes = _bytes()
    first_offset: int = _int()
    last_offset: int = _int()


class TicketTable(SQLModel, table=True):
    """Queue tickets that still have something to say (streams.checkpoint.TicketRow)."""

    __tablename__ = "ticket"
    __table_args__ = _NATURAL
    desk: str = _text(key=True)
    ticket: str = _text(key=True)
    partition: int = _int(index=True)
    taken: int | None = _maybe_int()
    called: int | None = _maybe_int()
    served: int | None = _maybe_int()
    left: int | None = _maybe_int()
    field: str = _text()
    touched: int = _int()


class SourceTable(SQLModel, table=True):
    """Every device and desk that has sent anything, by its number in its partition (streams.checkpoint.SourceName)."""

    __tablename__ = "source"
    __table_args__ = _NATURAL
    partition: int = _int(key=True)
    number: int = _int(key=True)
    unit: str = _text()
    kind: str = _text()
    source: str = _text()


class SourceBlockTable(SQLModel, table=True):
    """What is known of sources, 1,024 to a row, packed (streams.source)."""

    __tablename__ = "source_block"
    partition: int = _int(key=True)
    block: int = _int(key=True)
    content: bytes = _bytes()


class SourceChangeTable(SQLModel, table=True):
    """What was changed in them since the blocks were written, checkpoint by checkpoint."""

    __tablename__ = "source_change"
    partition: int = _int(key=True)
    number: int = _int(key=True)
    content: bytes = _bytes()


class BeatTable(SQLModel, table=True):
    """The beats that each checkpoint covers (streams.checkpoint.Checkpoint.beats): what a replay follows."""

    __tablename__ = "beat"
    __table_args__ = _NATURAL
    partition: int = _int(key=True)
    at: int = _int(key=True)
    beats: bytes = _bytes()


class SnapshotTable(SQLModel, table=True):
    """A partition's whole state as of a checkpoint, compressed: where a replay begins."""

    __tablename__ = "snapshot"
    __table_args__ = _NATURAL
    partition: int = _int(key=True)
    at: int = _int(key=True)
    content: bytes = _bytes()


class SeenTable(SQLModel, table=True):
    """Identities of what has been counted (streams.checkpoint.SeenRow), a row a checkpoint and kind."""

    __tablename__ = "seen"
    __table_args__ = _NATURAL
    partition: int = _int(key=True)
    offset: int = _int(key=True)
    number: int = _int(key=True)
    until: int = _int()
    keys: bytes = _bytes()


class ValueTable(SQLModel, table=True):
    """Every closed window of every KPI, as it was said last (streams.beat.Value)."""

    __tablename__ = "value"
    __table_args__ = _NATURAL
    kpi: str = _text(key=True)
    scope: str = _text(key=True)
    end: int = _int(key=True)
    partition: int = _int()
    start: int = _int()
    value: float | None = _float(nullable=True)
    n: int = _int()
    sources: int = _int()
    state: str = _text()
    revision: int = _int()
    as_of: int = _int()
    first_offset: int = _int()
    last_offset: int = _int()


class HeadTable(SQLModel, table=True):
    """The newest window of every KPI and scope: where recovery begins to look back from."""

    __tablename__ = "head"
    __table_args__ = _NATURAL
    kpi: str = _text(key=True)
    scope: str = _text(key=True)
    partition: int = _int(index=True)
    end: int = _int()


class PartialTable(SQLModel, table=True):
    """Every partition's newest share of a window (streams.partial); `at` is its checkpoint's time."""

    __tablename__ = "partial"
    __table_args__ = _NATURAL
    kpi: str = _text(key=True)
    end: int = _int(key=True)
    partition: int = _int(key=True)
    at: int = _int(index=True)
    cells: bytes = _bytes()


class AlertTable(SQLModel, table=True):
    """Alerts, open and closed (streams.alert.Alert); `occurrence` is the number at the end of the id."""

    __tablename__ = "alert"
    __table_args__ = _NATURAL
    id: str = _text(key=True)
    partition: int = _int(index=True)
    rule: str = _text()
    scope: str = _text()
    device: str = _text()
    occurrence: int = _int()
    severity: str = _text()
    state: str = _text(index=True)
    raised_at: int = _int(index=True)
    due: int = _int()
    value: float | None = _float(nullable=True)
    returned_at: int | None = _maybe_int()
    acked_at: int | None = _maybe_int()
    acked_by: str = _text()
    closed_at: int | None = _maybe_int()
    revision: int = _int()
    comments: int = _int()


class AlertStepTable(SQLModel, table=True):
    """The log of every alert (streams.alert.AlertStep)."""

    __tablename__ = "alert_step"
    __table_args__ = _NATURAL
    alert: str = _text(key=True)
    revision: int = _int(key=True)
    at: int = _int()
    op: str = _text()
    who: str = _text()
    text: str = _long_text()


class CommandTable(SQLModel, table=True):
    """What people ordered, recorded before it is carried out; `state`: waiting, applied or refused (`why`)."""

    __tablename__ = "command"
    __table_args__ = _NATURAL
    id: str = _text(key=True)
    at: int = _int()
    who: str = _text()
    op: str = _text()
    alert: str = _text(index=True)
    text: str = _long_text()
    state: str = _text(index=True)
    why: str = _long_text()
    applied_at: int | None = _maybe_int(index=True)


class RejectionTable(SQLModel, table=True):
    """Messages, or readings of them, that could not be used (streams.beat.Rejection); bounded by retention."""

    __tablename__ = "rejection"
    __table_args__ = _NATURAL
    partition: int = _int(key=True)
    ordinal: int = _int(key=True)
    part: int = _int(key=True)
    at: int = _int(index=True)
    topic: str = _long_text()
    reason: str = _text()
    detail: str = _long_text()
    payload: bytes = _bytes()


class ReasonTable(SQLModel, table=True):
    """How often each reason was given: counts that outlive the rejections themselves."""

    __tablename__ = "rejection_reason"
    __table_args__ = _NATURAL
    partition: int = _int(key=True)
    reason: str = _text(key=True)
    count: int = _int()


class LedgerTable(SQLModel, table=True):
    """Outcomes by partition, kind and minute of reception."""

    __tablename__ = "ledger"
    __table_args__ = _NATURAL
    partition: int = _int(key=True)
    kind: str = _text(key=True)
    minute: int = _int(key=True)
    received: int = _int()
    accepted: int = _int()
    duplicate: int = _int()
    too_late: int = _int()
    rejected: int = _int()


class RefusalTable(SQLModel, table=True):
    """What the embedded broker refused at its own door, from its log; `position` is where in the log."""

    __tablename__ = "refusal"
    id: int | None = Field(default=None, sa_column=Column(Integer, primary_key=True))
    at: int = _int()
    position: int = _int()
    address: str = _text()
    reason: str = _text()
    detail: str = _long_text()


class NoteTable(SQLModel, table=True):
    """Single numbers to remember, by name: how far the broker's log was read, how many it refused, which journal
    was read."""

    __tablename__ = "note"
    __table_args__ = _NATURAL
    name: str = _text(key=True)
    number: int = _int()


class MailTable(SQLModel, table=True):
    """The outbox: written with the checkpoint that decided to send; sent once, tried again later if that fails."""

    __tablename__ = "mail"
    __table_args__ = _NATURAL
    id: str = _text(key=True)
    channel: str = _text()
    recipient: str = _text()
    subject: str = _long_text()
    body: str = _long_text()
    created_at: int = _int()
    next_at: int = _int(index=True)
    tries: int = _int()
    sent_at: int | None = _maybe_int()
    fault: str = _long_text()


class SummaryTable(SQLModel, table=True):
    """Every summary that was made (streams.checkpoint.SummaryRow)."""

    __tablename__ = "summary"
    __table_args__ = _NATURAL
    id: str = _text(key=True)
    at: int = _int(index=True)
    digest: str = _text()
    facts: bytes = _bytes()
    text_vi: str = _long_text()
    text_en: str = _long_text()


class AccountTable(SQLModel, table=True):
    """Accounts; the password's argon2 hash carries its salt and parameters."""

    __tablename__ = "account"
    __table_args__ = _NATURAL
    name: str = _text(key=True)
    password_hash: str = _text()
    role: str = _text()
    disabled: bool = _flag()
    created_at: int = _int()


class SessionTable(SQLModel, table=True):
    """Sessions by the hash of their secret: who reads the database cannot take one over."""

    __tablename__ = "session"
    __table_args__ = _NATURAL
    token_hash: str = _text(key=True)
    name: str = _text(index=True)
    opened_at: int = _int()
    expires_at: int = _int()
