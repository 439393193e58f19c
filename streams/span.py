"""A span of the past that a person asks for: FROM and TO, in the place's own time where no offset is given."""

import re
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sensors.errors import SettingsError

MS_MAX = 253_402_300_799_999  # the last of the year 9999
LAST_MS = MS_MAX - 86_400_000
"""What a person may ask for: in no zone's own time later than the year 9999."""

_DIGITS = re.compile(r"[0-9]{9,15}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Span(NamedTuple):
    """From `after` to `upto`, ms UTC; windows belong to it by their end: after < end ≤ upto."""

    after: int
    upto: int


def parse_span(begin: str, end: str, zone: str) -> Span:
    """Read FROM and TO; raises SettingsError that says which and what was expected."""
    span = Span(parse_moment("FROM", begin, zone), parse_moment("TO", end, zone))
    if span.after >= span.upto:
        raise SettingsError(f"FROM {begin}, TO {end}: FROM phải trước TO / FROM must be before TO")
    return span


def parse_moment(name: str, text: str, zone: str) -> int:
    """Milliseconds UTC from 12 to 15 digits, or from ISO 8601; without an offset the time is local to `zone`.

    Fewer digits are refused: `ioc simulate` reads them as seconds. Raises SettingsError, also before 1970.
    """
    try:
        found = _of_digits(text) if _DIGITS.fullmatch(text) else _of_iso(text.strip(), zone)
    except (ValueError, OverflowError):
        found = None
    if found is None or not 0 <= found <= LAST_MS:
        raise SettingsError(
            f"{name} {text}: cần / expected ISO 8601 (2026-11-24T07:00), hoặc / or ms UTC (1795478400000), "
            "từ / from 1970 đến / to 9999"
        )
    return found


def _of_digits(text: str) -> int | None:
    return int(text) if len(text) >= 12 else None


def _of_iso(text: str, zone: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=ZoneInfo(zone))
    return round((moment - _EPOCH).total_seconds() * 1000)


def local_text(time: int, zone: str) -> str:
    """A moment for people: local date and time with its offset."""
    return datetime.fromtimestamp(time / 1000, ZoneInfo(zone)).isoformat(sep=" ", timespec="seconds")
