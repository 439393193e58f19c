"""The first tables (streams.sql_tables)."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("password_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "alert",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("occurrence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("raised_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("due", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=True),
        sa.Column("returned_at", sa.BigInteger(), nullable=True),
        sa.Column("acked_at", sa.BigInteger(), nullable=True),
        sa.Column("acked_by", sa.String(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("comments", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_alert_partition"), "alert", ["partition"], unique=False)
    op.create_index(op.f("ix_alert_raised_at"), "alert", ["raised_at"], unique=False)
    op.create_index(op.f("ix_alert_state"), "alert", ["state"], unique=False)
    op.create_table(
        "alert_step",
        sa.Column("alert", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("op", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("alert", "revision"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checkpoint",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("clock", sa.LargeBinary(), nullable=False),
        sa.Column("pending_holds", sa.LargeBinary(), nullable=False),
        sa.Column("open_values", sa.LargeBinary(), nullable=False),
        sa.Column("received", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("accepted", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("duplicate", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("too_late", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rejected", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("readings", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("readings_duplicate", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("readings_too_late", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("readings_rejected", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("readings_set_aside", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("partition"),
    )
    op.create_table(
        "command",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("op", sa.String(), nullable=False),
        sa.Column("alert", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_command_applied_at"), "command", ["applied_at"], unique=False)
    op.create_index(op.f("ix_command_alert"), "command", ["alert"], unique=False)
    op.create_index(op.f("ix_command_state"), "command", ["state"], unique=False)
    op.create_table(
        "head",
        sa.Column("kpi", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("end", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("kpi", "scope"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_head_partition"), "head", ["partition"], unique=False)
    op.create_table(
        "ledger",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("minute", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("received", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("accepted", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("duplicate", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("too_late", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rejected", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("partition", "kind", "minute"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mail",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("next_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tries", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_mail_next_at"), "mail", ["next_at"], unique=False)
    op.create_table(
        "note",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "pane",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("series", sa.String(), nullable=False),
        sa.Column("entity", sa.String(), nullable=False),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("pane", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("total", sa.Float(precision=53), nullable=False),
        sa.Column("low", sa.Float(precision=53), nullable=False),
        sa.Column("high", sa.Float(precision=53), nullable=False),
        sa.Column("first_time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_value", sa.Float(precision=53), nullable=False),
        sa.Column("last_time", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_value", sa.Float(precision=53), nullable=False),
        sa.Column("hits", sa.LargeBinary(), nullable=False),
        sa.Column("bins", sa.LargeBinary(), nullable=False),
        sa.Column("first_offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("partition", "series", "entity", "field", "pane"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "partial",
        sa.Column("kpi", sa.String(), nullable=False),
        sa.Column("end", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cells", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("kpi", "end", "partition"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_partial_at"), "partial", ["at"], unique=False)
    op.create_table(
        "refusal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "rejection",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "ordinal", "part"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_rejection_at"), "rejection", ["at"], unique=False)
    op.create_table(
        "rejection_reason",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("count", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("partition", "reason"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "seen",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("until", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("keys", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "offset", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("token_hash"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_session_name"), "session", ["name"], unique=False)
    op.create_table(
        "source",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "number"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "source_block",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "block"),
    )
    op.create_table(
        "source_change",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "number"),
    )
    op.create_table(
        "beat",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("beats", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "at"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "snapshot",
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("partition", "at"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "summary",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("facts", sa.LargeBinary(), nullable=False),
        sa.Column("text_vi", sa.Text(), nullable=False),
        sa.Column("text_en", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_summary_at"), "summary", ["at"], unique=False)
    op.create_table(
        "ticket",
        sa.Column("desk", sa.String(), nullable=False),
        sa.Column("ticket", sa.String(), nullable=False),
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=True),
        sa.Column("called", sa.BigInteger(), nullable=True),
        sa.Column("served", sa.BigInteger(), nullable=True),
        sa.Column("left", sa.BigInteger(), nullable=True),
        sa.Column("field", sa.String(), nullable=False),
        sa.Column("touched", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("desk", "ticket"),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_ticket_partition"), "ticket", ["partition"], unique=False)
    op.create_table(
        "value",
        sa.Column("kpi", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("end", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("partition", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("start", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=True),
        sa.Column("n", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("sources", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("as_of", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("kpi", "scope", "end"),
        sqlite_with_rowid=False,
    )
