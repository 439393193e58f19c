"""The data folder of `ioc up`: where it is, what is in it, and which records a command reads that tells of the past.

Imports nothing heavy: each process of `ioc up` starts with what it needs itself.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sensors.errors import SettingsError


@dataclass(frozen=True)
class DataFolder:
    """What is where in it; nothing needs to be there yet."""

    path: Path

    @property
    def lock(self) -> Path:
        """The file that the one `ioc up` of the folder has locked; its process id is in it."""
        return self.path / "up.lock"

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.path / "journal.sqlite"

    @property
    def journal_url(self) -> str:
        return f"sqlite:///{self.journal}"

    @property
    def history(self) -> Path:
        """The database's file."""
        return self.path / "history.sqlite"

    @property
    def database(self) -> str:
        """The database's URL."""
        return f"sqlite:///{self.history}"

    @property
    def definitions(self) -> Path | None:
        """The city's own definitions, laid over the shipped ones, if it has any."""
        folder = self.path / "definitions"
        return folder if folder.is_dir() else None


class Records(NamedTuple):
    """Where a command reads: URLs of the database (without its password) and of the journal, the definitions that the
    figures were made by, and whether they are those of `ioc up`."""

    database: str
    journal: str
    definitions: Path | None
    are_embedded: bool


def default_data() -> Path:
    """The user's data directory by the custom of the platform."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "ioc"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "ioc"
    return Path(os.environ.get("XDG_DATA_HOME", str(Path.home() / ".local" / "share"))) / "ioc"


def records_of(data: Path | None, database: str, journal: str = "", definitions: Path | None = None) -> Records:
    """A cluster's where a `database` is named and no `data`; else the folder's, or the default folder's.

    Raises SettingsError when nothing is there, and where only a `journal` is named: to read another
    than that would be no answer.
    """
    if database and data is None:
        path = database.partition("sqlite:///")[2].partition("?")[0]
        if path and not Path(path).exists():  # to open it would make it
            raise SettingsError(f"--database {database}: không có tệp này / no such file")
        return Records(database, journal, definitions, are_embedded=False)
    if journal and data is None:
        raise SettingsError(f"--journal {journal}: thiếu --database / a cluster's --database is missing")
    folder = DataFolder(data or default_data())
    if not folder.history.exists():
        raise SettingsError(
            f"--data {folder.path}: không có / has no history.sqlite; run `ioc up` there first, "
            "or name the folder with --data or a cluster's database with --database"
        )
    return Records(folder.database, folder.journal_url, definitions or folder.definitions, are_embedded=True)
