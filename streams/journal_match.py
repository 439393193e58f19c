"""Whether a journal is the one that a database has read: refused, before anything is taken in, if it is not.

A checkpoint says how far every partition was read. Beside a journal that was made anew, or has lost its end, that says
nothing: what is written there would be taken for what was counted long ago, and passed over without a word.
"""

from collections.abc import Mapping

from sensors.errors import SettingsError
from sensors.sqlite_journal import SqliteJournal
from streams.sql_store import SqlStore


def check_read(reached: Mapping[int, int], ends: Mapping[int, int], journal: str, database: str) -> None:
    """Raises SettingsError where a partition ends (next offset) before what was read of it.

    `reached` is asked for before `ends`, which grow meanwhile; of partitions that `ends` has not, nothing is said.
    """
    for partition, offset in sorted(reached.items()):
        end = ends.get(partition, offset)
        if end < offset:
            raise _refusal(journal, database, f"its partition {partition} ends at {end}, and was read up to {offset}")


def match(store: SqlStore, journal: SqliteJournal, ends: Mapping[int, int]) -> None:
    """The same for a journal that has an identity: the database keeps it from the first start on.

    `ends` are the journal's; raises SettingsError, and Unavailable.
    """
    name = f"sqlite:///{journal.path}"
    known, identity = store.journal(), journal.identity()
    if known not in (0, identity):
        raise _refusal(name, store.name, "it was made later, or for another database")
    check_read(store.offsets(), ends, name, store.name)
    if not known:
        store.keep_journal(identity)


def _refusal(journal: str, database: str, why: str) -> SettingsError:
    return SettingsError(
        f"{journal}: không phải nhật ký mà {database} đã đọc, hoặc đã mất phần cuối / is not the journal that "
        f"{database} has read, or has lost its end: {why}. Nothing was taken in: put that journal back, or begin with "
        "a new database"
    )
