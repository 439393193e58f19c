"""Alembic's entry: `SqlStore.migrate` hands over a connection that holds the migrations' lock."""

from alembic import context
from sqlmodel import SQLModel

from streams import sql_tables

assert sql_tables
connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
