"""The room on the disk of a folder, asked of the operating system; its limits from the environment."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from sensors.errors import SettingsError, Unavailable
from sensors.room import Level, Limits, Room, level_of

FULL_MB = "IOC_DISK_FULL_MB"
LOW_MB = "IOC_DISK_LOW_MB"


def room_of(folder: Path) -> Room:
    """The room on the folder's disk; raises Unavailable when the system does not say."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        raise Unavailable(f"disk of {folder}: {error.strerror}") from error
    return Room(usage.free, usage.total)


def limits_of(environment: Mapping[str, str] = os.environ) -> Limits:
    """`IOC_DISK_FULL_MB` and `IOC_DISK_LOW_MB`, in MB of 2^20 bytes; raises SettingsError for what is no number."""
    full, low = _megabytes(environment, FULL_MB), _megabytes(environment, LOW_MB)
    limits = Limits(low=low) if full is None else Limits(full, low)
    if low is not None and low < limits.full:
        raise SettingsError(
            f"{LOW_MB}={environment[LOW_MB]}: không được nhỏ hơn / must not be less than {FULL_MB} "
            f"({limits.full >> 20})"
        )
    return limits


def _megabytes(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > 9:
        raise SettingsError(f"{name}={text}: cần số MB / expected a number of MB, such as 200")
    return int(text) << 20


class DiskGauge:
    """How full a folder's disk is, look by look. One for each that asks: it remembers the last look."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self.limits = limits
        self.level: Level = "enough"
        self.room = Room(0, 0)

    def look(self) -> Level:
        """Ask the system (some microseconds); raises Unavailable when it does not answer."""
        self.room = room_of(self._folder)
        self.level = level_of(self.room, self.limits, self.level)
        return self.level
