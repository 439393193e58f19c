"""What sources have sent, by their own numbering: a part of the oracle.

For each source: sent = numbered + unreadable + missing. A number that was skipped may belong to a message that came
and could not be read; only what is left over is missing.
"""

from itertools import pairwise
from typing import NamedTuple

from sensors.topic import Topic


class Gap(NamedTuple):
    """Numbers `first` to `last` never came (some of them may have come unreadable)."""

    first: int
    last: int


class Sent(NamedTuple):
    """What a source has sent between the first and the last number that came."""

    numbered: int
    unreadable: int
    missing: int
    gaps: tuple[Gap, ...]

    @property
    def sent(self) -> int:
        return self.numbered + self.unreadable + self.missing


class Numbering:
    """Collects the numbers of all sources."""

    def __init__(self) -> None:
        self._numbers: dict[Topic, set[int]] = {}
        self._unreadable: dict[Topic, int] = {}

    def note(self, source: Topic, sequence: int | None, is_readable: bool) -> None:
        """A message of `source` came; one that cannot be read counts where the source numbers, be it later."""
        if sequence is not None:
            self._numbers.setdefault(source, set()).add(sequence)
        elif not is_readable:
            self._unreadable[source] = self._unreadable.get(source, 0) + 1

    def sent(self) -> dict[Topic, Sent]:
        """By source, for those that number."""
        return {
            source: _sent(sorted(numbers), self._unreadable.get(source, 0)) for source, numbers in self._numbers.items()
        }


def _sent(numbers: list[int], unreadable: int) -> Sent:
    gaps = tuple(Gap(before + 1, after - 1) for before, after in pairwise(numbers) if after > before + 1)
    skipped = sum(gap.last - gap.first + 1 for gap in gaps)
    return Sent(len(numbers), unreadable, max(0, skipped - unreadable), gaps)
