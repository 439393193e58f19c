"""SQLite's write-ahead mode, set by any number of processes at once."""

import sqlite3
import time
from typing import Any

_AGAIN_S = 0.01


def set_wal(database: Any, wait_s: float) -> None:
    """Put the file behind the connection `database` into WAL mode, which it keeps; at once where it has it already.

    The change needs the file for itself, and SQLite's own timeout does not hold for it: of two processes that open
    a new file together, one is refused. So it is tried for `wait_s`; raises sqlite3.OperationalError after that.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_AGAIN_S)
