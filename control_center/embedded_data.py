"""The data folder of `ioc up`: journal, database and first operator, made before the engine begins."""

import asyncio
import secrets

from control_center.argon2_accounts import hash_password
from control_center.embedded_settings import FIRST_OPERATOR, PARTITIONS
from control_center.sql_accounts import SqlAccounts
from control_center.toml_walls import load_walls
from sensors.sqlite_journal import SqliteJournal
from sensors.system_clock import now_ms
from streams.data_folder import DataFolder
from streams.journal_match import match
from streams.smtp_outbox import smtp_settings
from streams.sql_store import SqlStore
from streams.summary_schedule import recipients
from streams.toml_catalogue import load_all


async def _match(journal: SqliteJournal, store: SqlStore) -> None:
    try:
        store.migrate()
        match(store, journal, await journal.ends())
    finally:
        await journal.close()


def prepare(data: DataFolder) -> str | None:
    """Make what is not there yet; returns the first operator's password when that is new.

    Raises SettingsError, DefinitionError, Unavailable and OSError: what the engine would stumble over again and again
    is said here, once, to the person who can mend it.
    """
    definitions = load_all(data.definitions)
    load_walls(definitions.kpis, data.definitions)
    smtp_settings()
    recipients(definitions.schedule)
    store = SqlStore(data.database)
    asyncio.run(_match(SqliteJournal.open(data.journal, PARTITIONS), store))
    accounts = SqlAccounts(store.engine)
    if accounts.accounts():
        return None
    password = secrets.token_urlsafe(12)
    accounts.add_account(FIRST_OPERATOR, hash_password(password), "operator", now_ms())
    return password
