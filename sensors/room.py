"""How much room a disk has left: enough, nearly none, or none; one judgement for bridge, engine and supervisor.

"Full" comes before the last byte: what is kept back lets the engine write its checkpoints and people's commands
after everything that would add to the journal has stopped.
"""

from typing import Literal, NamedTuple

Level = Literal["enough", "low", "full"]

LOW_BYTES = 200 * 2**20
LOW_SHARE = 0.02
LOW_BYTES_MOST = 2 * 2**30
"""Two percent of a large disk is no cause for alarm."""

FULL_BYTES = 50 * 2**20
RESUME_FACTOR = 1.5
"""Full until there is half as much again: or everything would stop and start with every few bytes."""


class Room(NamedTuple):
    """Bytes that may still be written, and the size of the whole disk."""

    free: int
    total: int


class Limits(NamedTuple):
    """Below `full` bytes nothing more is taken in; below `low` bytes people are warned (None: by the disk's size)."""

    full: int = FULL_BYTES
    low: int | None = None

    def low_of(self, room: Room) -> int:
        """Below how many bytes this disk is nearly full; never below the point of being full."""
        by_size = min(max(LOW_BYTES, int(LOW_SHARE * room.total)), LOW_BYTES_MOST)
        return max(self.full, by_size if self.low is None else self.low)


def level_of(room: Room, limits: Limits, before: Level = "enough") -> Level:
    """How full the disk is, given how full it was at the last look."""
    full_below = limits.full * (RESUME_FACTOR if before == "full" else 1)
    if room.free < full_below:
        return "full"
    return "low" if room.free < limits.low_of(room) else "enough"
