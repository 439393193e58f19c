"""Any number of processes may open a new SQLite file together: each has its turn at the change to WAL mode."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from sensors.sqlite_wal import set_wal

AT_ONCE = 4


def opened(path: Path, together: Barrier) -> str:
    database = sqlite3.connect(path, timeout=5)
    try:
        together.wait()
        set_wal(database, 5)
        database.execute("CREATE TABLE IF NOT EXISTS there (is_there INTEGER)")
        return str(database.execute("PRAGMA journal_mode").fetchone()[0])
    finally:
        database.close()


def test_all_that_open_a_new_file_at_once_find_it_in_wal_mode(tmp_path: Path) -> None:
    together = Barrier(AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as threads:
        for number in range(50):
            modes = threads.map(opened, [tmp_path / f"{number}.sqlite"] * AT_ONCE, [together] * AT_ONCE)
            assert list(modes) == ["wal"] * AT_ONCE


def test_a_file_that_another_holds_for_longer_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "held.sqlite"
    holder, late = sqlite3.connect(path, isolation_level=None), sqlite3.connect(path, timeout=0)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        set_wal(late, 0.05)
    holder.execute("ROLLBACK")
    set_wal(late, 0.05)
    late.close()
    holder.close()
