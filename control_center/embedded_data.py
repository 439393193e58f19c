"""The data folder of `ioc up`: journal, database and first operator, made before the engine begins."""

import asyncio
import secrets
from pathlib import Path

from control_center.argon2_accounts import hash_password
from control_center.embedded_settings import FIRST_OPERATOR, HOST, PARTITIONS, EngineSettings
from control_center.sql_accounts import SqlAccounts
from control_center.toml_walls import load_walls
from sensors.sqlite_journal import SqliteJournal
from sensors.system_clock import now_ms
from streams.smtp_outbox import smtp_settings
from streams.sql_store import SqlStore
from streams.summary_schedule import recipients
from streams.toml_catalogue import load_all


def prepare(data: Path) -> str | None:
    """Make what is not there yet; returns the first operator's password when that is new.

    Raises SettingsError, DefinitionError, Unavailable and OSError: what the engine would stumble over again and again
    is said here, once, to the person who can mend it.
    """
    overlay = data / "definitions"
    definitions = load_all(overlay if overlay.is_dir() else None)
    load_walls(definitions.kpis, overlay if overlay.is_dir() else None)
    smtp_settings()
    recipients(definitions.schedule)
    settings = EngineSettings(data, HOST)
    asyncio.run(SqliteJournal.open(settings.journal, PARTITIONS).close())
    store = SqlStore(settings.database)
    store.migrate()
    accounts = SqlAccounts(store.engine)
    if accounts.accounts():
        return None
    password = secrets.token_urlsafe(12)
    accounts.add_account(FIRST_OPERATOR, hash_password(password), "operator", now_ms())
    return password
