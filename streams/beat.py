"""What the processor says on a beat: values, alert steps, rejections, partial results, ledger counts."""

from typing import Literal

import msgspec

State = Literal["provisional", "final", "corrected"]


class Value(msgspec.Struct, frozen=True):
    """A KPI's value over one window. `scope` is a unit's, a former district's or the place's code.

    `value` is None when nothing was observed. `n` counts the readings behind it, `sources` the devices of a KPI across
    them, else the units.
    `start` and `end` bound the window, `as_of` is the newest observed time in it; all ms UTC. The offsets bound the
    journal records behind a unit's value within its partition; −1 where it is merged over partitions.
    """

    kpi: str
    scope: str
    start: int
    end: int
    value: float | None
    n: int
    sources: int
    state: State
    revision: int
    as_of: int
    first_offset: int = -1
    last_offset: int = -1


class Rejection(msgspec.Struct, frozen=True):
    """A message, or one reading of it, that could not be used. `ordinal` names the message within the partition;
    of a record that no bridge wrote it is −1 minus its offset, and the payload its first 1,024 bytes.

    `part` is 0 for the whole message, else the number of the reading from 1; `payload` is cut at 65,536 bytes.
    """

    partition: int
    ordinal: int
    part: int
    at: int
    topic: str
    reason: str
    detail: str
    payload: bytes


class Counts(msgspec.Struct):
    """Outcomes of messages, and of the readings in them. `received` is what the bridge numbered."""

    received: int = 0
    accepted: int = 0
    duplicate: int = 0
    too_late: int = 0
    rejected: int = 0
    readings: int = 0
    readings_duplicate: int = 0
    readings_too_late: int = 0
    readings_rejected: int = 0
    readings_set_aside: int = 0

    def add(self, other: "Counts") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def settled(self) -> int:
        """Messages with an outcome."""
        return self.accepted + self.duplicate + self.too_late + self.rejected
