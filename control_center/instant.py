"""Instants in questions: milliseconds UTC, or RFC 3339."""

import re
from datetime import UTC, datetime

from streams.span import MS_MAX

_DIGITS = re.compile(r"-?[0-9]{1,15}")


def parse_instant(text: str) -> int | None:
    """Milliseconds UTC from digits, or from RFC 3339 with an offset; None for anything else."""
    if _DIGITS.fullmatch(text):
        return int(text) if abs(int(text)) <= MS_MAX else None
    try:
        # A "+" of an offset that nobody escaped arrives as a blank.
        moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else "")
        if moment.tzinfo is None:
            return None
        return round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    except (ValueError, OverflowError):
        return None
