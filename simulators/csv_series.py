"""A recorded series as messages: which columns are which quantities, what a time looks like, one message a row.

Nothing is read or sent here: rows come in as cells with their line numbers, faults and messages go out.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

import msgspec

from sensors.decoders.cloudevents import KEPT
from sensors.errors import SettingsError
from sensors.kind import Kind
from sensors.topic import Topic
from simulators.payload import Message, event

TIME_NAMES = ("timestamp", "time", "datetime", "date_time", "date", "ts", "thoi_gian", "ngay_gio", "ngay", "opendate")
PART_NAMES = ("year", "month", "day", "hour", "minute", "second")
VIETNAMESE_FORMATS = ("%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d/%m/%Y", "%d-%m-%Y %H:%M:%S", "%d-%m-%Y %H:%M")
SLASHED_FORMATS = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d")
EMPTY = frozenset(("", "na", "n/a", "nan", "null", "none", "-"))
TIME_EXPECTED = "một thời điểm / a time such as 2015-09-01 13:45:00, 01/09/2015 13:45 or 1441115100"
FROM_2000 = "một thời điểm từ năm 2000 / a time from 2000 on, not before 2000"
OLDEST_MS = 946_684_800_000
_DECIMAL_COMMA = re.compile(r"[-+]?[0-9.]*[0-9],[0-9]+")
_WITH_COMMA = re.compile(r"[-+]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+)(,[0-9]+)?")


class Column(NamedTuple):
    """A column of the file, what it becomes (a quantity, or a member of an event's data), and its unit of measure."""

    name: str
    target: str
    ucum: str = ""


class Row(NamedTuple):
    """What one row says: its line in the file, observed time (ms UTC), and its cells that are not empty."""

    line: int
    time: int
    cells: dict[str, float | str]


class RowFault(NamedTuple):
    """A row that cannot be read: line, column and what was expected there."""

    line: int
    column: str
    expected: str

    def __str__(self) -> str:
        return f"dòng / line {self.line}, cột / column {self.column}: cần / expected {self.expected}"


class Reader:
    """Reads rows by the header, the kind and what was asked for; raises SettingsError when they do not fit.

    `event` is the event of a desk's kind that each row tells; a row without what it requires has no cells. A file that
    `may_have_commas` and has one decimal comma has them everywhere: a dot parts thousands in it.
    """

    def __init__(
        self, header: Sequence[str], kind: Kind, event: str, asked: Sequence[str], time_name: str, zone: tzinfo,
        stem: str = "", may_have_commas: bool = False,
    ) -> None:  # fmt: skip
        self._header = [name.strip() for name in header]
        self._zone, self._may_have_commas, self._has_commas = zone, may_have_commas, False
        self._is_event = kind.format == "cloudevents"
        self._required = set(kind.events[event].requires) if self._is_event else set()
        self._time_columns = self._choose_time(time_name)
        self.columns = self._asked(asked, kind) if asked else self._guessed(kind, stem)
        missing = self._required - {column.target for column in self.columns}
        if missing:
            self._no_column(kind, f"{kind.id}.{event} cần / needs {', '.join(sorted(missing))}")
        self._places = {column.name: self._header.index(column.name) for column in self.columns}

    def read(self, rows: Iterable[tuple[int, list[str]]]) -> Iterator[Row | RowFault]:
        """Each row, or what is wrong with it. A row without any value has no cells."""
        said = [(line, cells) for line, cells in rows if any(cell.strip() for cell in cells)]
        self._has_commas = self._may_have_commas and any(
            _DECIMAL_COMMA.fullmatch(cell.strip())
            for _, cells in said for place, cell in enumerate(cells) if place in self._places.values()
        )  # fmt: skip
        for line, cells in said:
            yield self._row(line, cells)

    def _row(self, line: int, cells: list[str]) -> Row | RowFault:
        if len(cells) < len(self._header):
            return RowFault(line, self._header[len(cells)], f"{len(self._header)} ô / cells, có / got {len(cells)}")
        time = self._time(cells)
        if time is None or time < OLDEST_MS:
            name = " ".join(self._header[place] for place in self._time_columns)
            text = " ".join(cells[place] for place in self._time_columns)
            return RowFault(line, name, f"{TIME_EXPECTED if time is None else FROM_2000}; có / got {text[:40]!r}")
        found: dict[str, float | str] = {}
        for column in self.columns:
            text = cells[self._places[column.name]].strip()
            if text.lower() in EMPTY:
                continue
            value = self._value(text, column)
            if value is None:
                how = ", dấu phẩy thập phân như trong cả tệp / with a decimal comma, as the file has" * self._has_commas
                return RowFault(line, column.name, f"một số / a number{how}; có / got {text[:40]!r}")
            found[column.target] = value
        return Row(line, time, found if self._required <= found.keys() else {})

    def _value(self, text: str, column: Column) -> float | str | None:
        """A number, or None for what is none; of an event only score and counter are numbers."""
        if self._is_event and column.target not in ("score", "counter"):
            return text
        if self._has_commas:
            if not _WITH_COMMA.fullmatch(text):
                return None
            text = text.replace(".", "").replace(",", ".")
        try:
            number = float(text)
        except ValueError:
            return None
        if not math.isfinite(number):
            return None
        return int(number) if self._is_event and number == int(number) else number

    def _time(self, cells: list[str]) -> int | None:
        if len(self._time_columns) == 1:
            return parse_time(cells[self._time_columns[0]].strip(), self._zone)
        return _of_parts([cells[place].strip() for place in self._time_columns], self._zone)

    def _choose_time(self, asked: str) -> list[int]:
        if asked:
            return [self._place_of(asked, "--time-column")]
        lowered = [_plain(name) for name in self._header]
        for name in TIME_NAMES:
            if name in lowered:
                return [lowered.index(name)]
        parts = [lowered.index(name) for name in PART_NAMES if name in lowered]
        if len(parts) >= 3 and [lowered[place] for place in parts] == list(PART_NAMES[: len(parts)]):
            return parts
        raise SettingsError(
            f"--time-column: cột nào là thời gian? / which column is the time? có / there are {', '.join(self._header)}"
        )

    def _asked(self, asked: Sequence[str], kind: Kind) -> list[Column]:
        columns = []
        for text in asked:
            name, equals, target = text.rpartition("=")
            target, _, ucum = target.partition("@")
            if not equals or not target:
                raise SettingsError(f"--column {text}: cần / expected COLUMN=QUANTITY or COLUMN=QUANTITY@UNIT")
            self._place_of(name, "--column")
            if not self._is_event:
                _check_quantity(kind, target, ucum, text)
            elif target not in KEPT or ucum:
                raise SettingsError(f"--column {text}: sự kiện có / an event has {', '.join(KEPT)}")
            columns.append(Column(name, target, ucum))
        return columns

    def _guessed(self, kind: Kind, stem: str) -> list[Column]:
        """Columns named like quantities (`PM2.5` is pm25); else the only value column, by the file's name or kind."""
        wanted = KEPT if self._is_event else kind.quantities
        columns = [
            Column(name, target)
            for target in wanted for name in self._header if _plain(name).replace(".", "") == target
        ]  # fmt: skip
        if columns or self._is_event:
            return columns or self._no_column(kind, f"{kind.id} có / has {', '.join(KEPT)}")
        rest = [name for place, name in enumerate(self._header) if place not in self._time_columns]
        meant = [name for name in kind.quantities if name in stem.lower()]
        likely = meant if len(meant) == 1 else list(kind.quantities)
        if len(rest) == 1 and len(likely) == 1:
            return [Column(rest[0], likely[0])]
        return self._no_column(kind, f"{kind.id} có / has {', '.join(kind.quantities)}")

    def _no_column(self, kind: Kind, known: str) -> list[Column]:
        what = "COLUMN=MEMBER" if self._is_event else "COLUMN=QUANTITY"
        raise SettingsError(
            f"--column {what}: cột nào là gì? / which column is what? tệp có / the file has "
            f"{', '.join(self._header)}; {known}"
        )

    def _place_of(self, name: str, option: str) -> int:
        if name not in self._header:
            known = ", ".join(self._header)
            raise SettingsError(f"{option} {name}: không có cột này / no such column; có / there are {known}")
        return self._header.index(name)


def parse_time(text: str, zone: tzinfo) -> int | None:
    """ms UTC of a time as files have it: ISO 8601, seconds or milliseconds since 1970, or day/month/year.

    A time without an offset is of `zone`.
    """
    if re.fullmatch(r"[0-9]{9,10}(\.[0-9]+)?|[0-9]{12,13}", text):
        return round(float(text) * (1 if len(text.partition(".")[0]) >= 12 else 1000))
    try:
        return _ms(datetime.fromisoformat(text), zone)
    except ValueError:
        pass
    for pattern in (*VIETNAMESE_FORMATS, *SLASHED_FORMATS):
        try:
            return _ms(datetime.strptime(text, pattern).replace(tzinfo=zone), zone)
        except ValueError:
            continue
    return None


def _plain(name: str) -> str:
    """A column's name in small letters without marks: `Thời gian` is thoi_gian."""
    letters = unicodedata.normalize("NFKD", name.lower().replace("đ", "d"))
    return re.sub(r"[^a-z0-9.]+", "_", "".join(letter for letter in letters if not unicodedata.combining(letter)))


def _of_parts(parts: list[str], zone: tzinfo) -> int | None:
    try:
        return _ms(datetime(*(int(part) for part in parts), tzinfo=zone), zone)  # type: ignore[misc, arg-type]
    except ValueError:
        return None


def _ms(moment: datetime, zone: tzinfo) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return round((aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)


def _check_quantity(kind: Kind, target: str, ucum: str, text: str) -> None:
    quantity = kind.quantities.get(target)
    if quantity is None:
        raise SettingsError(f"--column {text}: {kind.id} có / has {', '.join(kind.quantities)}")
    known = (quantity.ucum, *quantity.accepts)
    if ucum and ucum not in known:
        raise SettingsError(f"--column {text}: đơn vị của / units of {target}: {', '.join(known)}")


def messages(rows: Iterable[Row], topic: Topic, kind: Kind, columns: Sequence[Column], name: str, shift: int
             ) -> Iterator[Message]:  # fmt: skip
    """One message a row that has cells, `shift` ms later than recorded; `name` is the event of a desk's kind."""
    full = f"ioc/{topic.unit}/{topic.kind}/{topic.source}"
    units = {column.target: column.ucum or _ucum(kind, column.target) for column in columns}
    for sequence, row in enumerate(row for row in rows if row.cells):
        time = row.time + shift
        if kind.format == "cloudevents":
            origin, id_ = f"urn:ioc:{topic.unit}:{topic.source}", f"{topic.kind}-{time}-{row.line}"
            payload = event(kind, name, origin, id_, time, sequence, dict(row.cells))
        else:
            payload = _pack(row.cells, units, time, sequence)
        yield Message(time, full, payload)


def _pack(cells: dict[str, float | str], units: dict[str, str], time: int, sequence: int) -> bytes:
    records: list[dict[str, object]] = [{"n": name, "u": units[name], "v": value} for name, value in cells.items()]
    records[0] = {"bt": time / 1000, "seq": sequence, **records[0]}
    return msgspec.json.encode(records)


def _ucum(kind: Kind, quantity: str) -> str:
    return kind.quantities[quantity].ucum if quantity in kind.quantities else ""
