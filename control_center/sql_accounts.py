"""Accounts and sessions in the database. A session's secret is kept as a hash only."""

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from streams.sql_store import answering
from streams.sql_tables import AccountTable, SessionTable, table_of

_ACCOUNT, _SESSION = table_of(AccountTable), table_of(SessionTable)


class Account(NamedTuple):
    """One account; `role` is one of control_center.account.ROLES."""

    name: str
    password_hash: str
    role: str
    disabled: bool


class Session(NamedTuple):
    """Who is logged in."""

    name: str
    role: str


class SqlAccounts:
    """Raises Unavailable when the database does not answer. Times are ms UTC."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add_account(self, name: str, password_hash: str, role: str, at: int) -> None:
        """Add an account; the name must be free."""
        row = {"name": name, "password_hash": password_hash, "role": role, "disabled": False, "created_at": at}
        with self._transaction() as connection:
            connection.execute(sa.insert(_ACCOUNT), row)

    def account(self, name: str) -> Account | None:
        with self._transaction() as connection:
            row = connection.execute(sa.select(_ACCOUNT).where(_ACCOUNT.c.name == name)).one_or_none()
        return _account(row) if row is not None else None

    def accounts(self) -> list[Account]:
        """All accounts by name."""
        with self._transaction() as connection:
            return [_account(row) for row in connection.execute(sa.select(_ACCOUNT).order_by(_ACCOUNT.c.name))]

    def disable_account(self, name: str) -> None:
        """Nobody logs in by this name any more, and its sessions are over."""
        with self._transaction() as connection:
            connection.execute(sa.update(_ACCOUNT).where(_ACCOUNT.c.name == name).values(disabled=True))
            connection.execute(sa.delete(_SESSION).where(_SESSION.c.name == name))

    def open_session(self, name: str, now: int, expires_at: int) -> str:
        """Begin a session; returns its secret. Sessions that are over go at the same time."""
        token = secrets.token_urlsafe(32)
        row = {"token_hash": _hash(token), "name": name, "opened_at": now, "expires_at": expires_at}
        with self._transaction() as connection:
            connection.execute(sa.delete(_SESSION).where(_SESSION.c.expires_at <= now))
            connection.execute(sa.insert(_SESSION), row)
        return token

    def session(self, token: str, now: int) -> Session | None:
        """Whose session a secret is; None when it is over, unknown, or the account disabled."""
        join = _SESSION.join(_ACCOUNT, _ACCOUNT.c.name == _SESSION.c.name)
        query = sa.select(_ACCOUNT.c.name, _ACCOUNT.c.role).select_from(join)
        lasting = (_SESSION.c.token_hash == _hash(token)) & (_SESSION.c.expires_at > now) & ~_ACCOUNT.c.disabled
        with self._transaction() as connection:
            row = connection.execute(query.where(lasting)).one_or_none()
        return Session(row.name, row.role) if row is not None else None

    def close_session(self, token: str) -> None:
        with self._transaction() as connection:
            connection.execute(sa.delete(_SESSION).where(_SESSION.c.token_hash == _hash(token)))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with answering(self._engine), self._engine.begin() as connection:
            yield connection


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _account(row: Any) -> Account:
    return Account(row.name, row.password_hash, row.role, row.disabled)
