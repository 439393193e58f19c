"""One database: its engine, its migrations, and the statements that all writers share.

SQLite (embedded) and PostgreSQL (cluster) by the same statements; what the driver has for not answering becomes
Unavailable.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import StaticPool
from sqlmodel import SQLModel

from sensors.errors import SettingsError, Unavailable
from sensors.sqlite_wal import set_wal
from streams.sql_tables import table_of

MIGRATIONS = Path(__file__).parent / "migrations"
WAIT_S = 5.0
UNDEFINED_TABLE = "42P01"
"""PostgreSQL's SQLSTATE."""

NO_TABLES = "chưa có bảng, tiến trình xử lý đầu tiên sẽ tạo / no such table yet: the first worker makes them all"

Row = Mapping[str, Any]
Table = type[SQLModel]


class SqlDatabase:
    """One database by its URL: `sqlite:///path`, `sqlite://` (in memory) or `postgresql+psycopg://…`.

    Raises SettingsError for what is none.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._insert = sqlite.insert if self.engine.dialect.name == "sqlite" else postgresql.insert
        self._upserts: dict[tuple[object, ...], Any] = {}

    def migrate(self) -> None:
        """Bring the tables up to date; any number of processes may try at once."""
        # A tenth of a second that only those who migrate need.
        from alembic import command as alembic_command
        from alembic.config import Config

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

    @property
    def name(self) -> str:
        """Its URL, without the password."""
        return self.engine.url.render_as_string()

    def close(self) -> None:
        self.engine.dispose()

    def _put(self, connection: Connection, model: Table, structs: Iterable[msgspec.Struct], **more: Any) -> None:
        self._put_rows(connection, model, (msgspec.structs.asdict(struct) | more for struct in structs))

    def _put_rows(
        self,
        connection: Connection,
        model: Table,
        rows: Iterable[Row],
        added: tuple[str, ...] = (),
        largest: tuple[str, ...] = (),
        keep: bool = False,
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
            changes |= {name: sa.case((new[name] > table.c[name], new[name]), else_=table.c[name]) for name in largest}
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
        why = NO_TABLES if "no such table" in str(error) else _short(error)
        raise Unavailable(f"{engine.url.render_as_string()}: {why}") from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") == UNDEFINED_TABLE:
            raise Unavailable(f"{engine.url.render_as_string()}: {NO_TABLES}") from error
        if getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
            why = "không phải cơ sở dữ liệu / is not a database"
            raise Unavailable(f"{engine.url.render_as_string()}: {why}") from error
        if error.connection_invalidated:
            raise Unavailable(f"{engine.url.render_as_string()}: {_short(error)}") from error
        raise


def _short(error: SQLAlchemyError) -> str:
    return str(getattr(error, "orig", None) or error).strip().splitlines()[0]


def _engine(url: str) -> Engine:
    try:
        return _made_engine(url)
    except (sa.exc.ArgumentError, ImportError, ValueError) as error:
        # The URL itself is not told: a password may be in it.
        raise SettingsError(
            "--database: cần / expected postgresql+psycopg://user@host/name or sqlite:///PATH"
        ) from error


def _made_engine(url: str) -> Engine:
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
        set_wal(connection, WAIT_S)
        # FULL: a recorded command or a committed checkpoint is on disk when it is answered.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")

    return engine


def all_rows(connection: Connection, model: Table, *where: Any) -> Sequence[Any]:
    """Every row of a table for which the conditions hold."""
    return connection.execute(sa.select(table_of(model)).where(*where)).all()


def made(struct: Any, row: Any) -> Any:
    """A struct of a row's columns of the same names."""
    found = row._mapping
    return struct(**{name: found[name] for name in struct.__struct_fields__})


def all_made(struct: Any, connection: Connection, model: Table, *where: Any) -> list[Any]:
    """The same, as structs."""
    return list(each_made(struct, connection, model, *where))


def each_made(struct: Any, connection: Connection, model: Table, *where: Any) -> Iterator[Any]:
    """The same, one by one; by place and not by name, which took three quarters of the time."""
    table = table_of(model)
    found = connection.execute(sa.select(*(table.c[name] for name in struct.__struct_fields__)).where(*where))
    return (struct(*row) for row in found)
