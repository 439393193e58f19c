"""Numbers, ages and times as a person writes them, in Vietnamese and in English."""

from datetime import UTC, datetime, timedelta
from typing import Literal

Language = Literal["vi", "en"]
LANGUAGES: tuple[Language, Language] = ("vi", "en")
_SWAPPED = str.maketrans(",.", ".,")
_HOUR, _DAY = 60, 1_440


def either(language: Language, vi: str, en: str) -> str:
    """The text of a language."""
    return vi if language == "vi" else en


def grouped(number: float, decimals: int, language: Language) -> str:
    """1.234,5 in Vietnamese, 1,234.5 in English."""
    shown = f"{number:,.{decimals}f}"
    return shown.translate(_SWAPPED) if language == "vi" else shown


def duration(ms: int, language: Language) -> str:
    """Minutes under two hours, hours under two days, else days; never rounded up."""
    minutes = max(0, ms) // 60_000
    if minutes < 2 * _HOUR:
        return f"{minutes} {either(language, 'phút', 'min')}"
    if minutes < 2 * _DAY:
        return f"{minutes // _HOUR} {either(language, 'giờ', 'h')}"
    return f"{minutes // _DAY} {either(language, 'ngày', 'days')}"


def local(at: int, zone_ms: int) -> datetime:
    """The place's own wall time of a moment (ms UTC)."""
    return datetime.fromtimestamp(at / 1000, UTC) + timedelta(milliseconds=zone_ms)
