"""A stretch of the journal, and the messages in it: what a lineage is read from."""

from collections.abc import Mapping
from typing import NamedTuple

from sensors.topic import Topic


class Stretch(NamedTuple):
    """Journal records `first` to `last` of a partition that a value was made of; `units` narrows it for units whose own
    bounds are known. `too_late` are the ordinals of messages that were kept as too late. `is_open`: of other units the
    records since the window began count, wherever those are."""

    partition: int
    first: int
    last: int
    units: Mapping[str, tuple[int, int]]
    is_open: bool = False
    too_late: frozenset[int] = frozenset()

    def holds(self, unit: str, offset: int) -> bool:
        """Whether a record may have part in the unit's value."""
        first, last = self.units.get(unit, (self.first, self.last))
        return first <= offset <= last


class Told(NamedTuple):
    """One message as the journal has it; `redelivered`: the broker marked it DUP; `received_at` in ms UTC."""

    topic: Topic
    name: str
    partition: int
    offset: int
    ordinal: int
    received_at: int
    redelivered: bool
    payload: bytes
