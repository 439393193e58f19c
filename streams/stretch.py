"""A stretch of the journal, and the messages in it: what a lineage is read from."""

from collections.abc import Mapping
from typing import NamedTuple

from sensors.topic import Topic


class Stretch(NamedTuple):
    """Journal records `first` to `last` of a partition that a value was made of: of each of `units` between its own
    bounds, of `open_units` all. `too_late` are the ordinals of messages that were kept as too late."""

    partition: int
    first: int
    last: int
    units: Mapping[str, tuple[int, int]]
    open_units: frozenset[str] = frozenset()
    too_late: frozenset[int] = frozenset()

    def holds(self, unit: str, offset: int) -> bool:
        """Whether a record may have part in the value by its unit."""
        if unit in self.open_units:
            return self.first <= offset <= self.last
        first, last = self.units.get(unit, (0, -1))
        return first <= offset <= last


class Told(NamedTuple):
    """One message as the journal has it; `redelivered`: the broker marked it DUP; `received_at` in ms UTC. `place` is
    its index in its batch, and `renumbered` says of that what `sensors.batch` does."""

    topic: Topic
    name: str
    partition: int
    offset: int
    ordinal: int
    received_at: int
    redelivered: bool
    place: int
    renumbered: bool
    payload: bytes
