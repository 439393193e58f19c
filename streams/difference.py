"""What an audit found: for every KPI how many windows are equal, and those that are not."""

from typing import Literal

import msgspec

Outcome = Literal[
    "equal",  # told and worked out agree
    "different",  # value or number of readings differ
    "missing",  # worked out and closed, but not in history
    "extra",  # in history, but the journal has nothing for it
    "open",  # a unit of it has not closed the window yet: nothing to compare
    "moving",  # history changed it while the audit looked: not compared
    "unknown",  # reaches back before the journal's first record: not compared
]
WRONG: tuple[Outcome, ...] = ("different", "missing", "extra")
LISTED_MAX = 100


class Records(msgspec.Struct, frozen=True):
    """Where in the journal a window's readings are: `first` to `last` are offsets of one partition."""

    partition: int
    first: int
    last: int
    readings: int


class Difference(msgspec.Struct, frozen=True):
    """A window that is not as it must be. `told` is history's, `computed` the audit's; n is None for none."""

    outcome: Outcome
    kpi: str
    scope: str
    start: int
    end: int
    told: float | None
    told_n: int | None
    computed: float | None
    computed_n: int | None
    records: list[Records] = []


class AuditReport(msgspec.Struct, frozen=True):
    """The result of an audit of the windows that end in (after, upto], ms UTC.

    `windows` counts outcomes by KPI. `differences` are the first ones, LISTED_MAX at most, in order of time.
    `messages` were read from the journal; of `readings` in them, `counted` were in time and told for the first time.
    """

    after: int
    upto: int
    messages: int
    unusable: int
    readings: int
    counted: int
    windows: dict[str, dict[Outcome, int]]
    differences: list[Difference]

    def total(self, outcome: Outcome) -> int:
        return sum(counts.get(outcome, 0) for counts in self.windows.values())

    @property
    def compared(self) -> int:
        """Windows of which something can be said."""
        return self.total("equal") + self.wrong

    @property
    def wrong(self) -> int:
        return sum(self.total(outcome) for outcome in WRONG)
