"""Reads a recorded series from a file (.csv, .csv.gz) for `ioc feed`."""

import csv
import gzip
from pathlib import Path
from typing import IO, NamedTuple
from zoneinfo import ZoneInfo

from sensors.errors import SettingsError
from sensors.kind import Kind
from simulators.csv_series import Column, Reader, Row, RowFault


class Series(NamedTuple):
    """A file that was read: its rows in the file's order, the rows that were faulty, and what its columns mean."""

    rows: list[Row]
    faults: list[RowFault]
    columns: list[Column]

    @property
    def empty(self) -> int:
        """Rows without any value: nothing is sent for them."""
        return sum(not row.cells for row in self.rows)


def read_series(path: Path, kind: Kind, event: str, asked: list[str], time_name: str, zone: ZoneInfo) -> Series:
    """Read all of a file, as readings or as an `event` of a desk\'s kind.

    Raises SettingsError when it cannot be read or its columns do not fit the kind.
    """
    try:
        with _opened(path) as file:
            delimiter = _delimiter(file.readline())
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, None)
            if header is None:
                raise SettingsError(f"{path}: tệp rỗng / the file is empty; cần / expected a line of column names")
            stem = path.name.partition(".")[0]
            rows = Reader(header, kind, event, asked, time_name, zone, stem, may_have_commas=delimiter == ";")
            _refuse_alike(path, header, rows.columns)
            read = list(rows.read((reader.line_num, cells) for cells in reader))
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SettingsError(f"{path}: không đọc được / cannot be read as CSV in UTF-8: {reason}") from error
    faults = [fault for fault in read if isinstance(fault, RowFault)]
    return Series([row for row in read if isinstance(row, Row)], faults, rows.columns)


def _refuse_alike(path: Path, header: list[str], columns: list[Column]) -> None:
    """Which of two columns is meant, nobody can know."""
    names = [name.strip() for name in header]
    targets = [column.target for column in columns]
    twice = [name for name in dict.fromkeys(names) if name and names.count(name) > 1]
    both = [column.name for column in columns if targets.count(column.target) > 1]
    if twice:
        raise SettingsError(f"{path}: các cột cùng tên / columns named alike: {', '.join(twice)}")
    if both:
        raise SettingsError(
            f"{path}: nhiều cột cho một đại lượng / columns for one quantity: {', '.join(both)}; --column"
        )


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _delimiter(header: str) -> str:
    """Of comma, semicolon and tab the one that the header has most of."""
    return max(",;\t", key=header.count)
