"""A span of the past that a person asks for: FROM and TO, in the place's own time where no offset is given."""

import re
from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sensors.errors import SettingsError

MS_MAX = 253_402_300_799_999  # the last of the year 9999
_DIGITS = re.compile(r"[0-9]{10,15}")
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
    """Milliseconds UTC from digits, or from ISO 8601; without an offset the time is local to `zone`."""
    if _DIGITS.fullmatch(text) and int(text) <= MS_MAX:
        return int(text)
    try:
        moment = datetime.fromisoformat(text.strip())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=ZoneInfo(zone))
        return round((moment - _EPOCH).total_seconds() * 1000)
    except (ValueError, OverflowError) as error:
        raise SettingsError(
            f"{name} {text}: cần / expected ISO 8601 (2026-11-24T07:00), hoặc / or ms UTC (1795478400000)"
        ) from error


def local_text(time: int, zone: str) -> str:
    """A moment for people: local date and time with its offset."""
    return datetime.fromtimestamp(time / 1000, ZoneInfo(zone)).isoformat(sep=" ", timespec="seconds")
