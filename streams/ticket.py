"""Queue tickets: an entity whose steps may arrive in any order; what two steps together say becomes a reading.

    taken ──▶ called ──▶ served        wait = called − taken, observed at the call
        └──────▶ left                  service = served − called, observed at the end

A step that is told again (a ticket called twice) keeps its first telling.
"""

from typing import NamedTuple

from streams.checkpoint import TicketRow

STEPS = ("taken", "called", "served", "left")


class Derived(NamedTuple):
    """A reading that a desk's events imply: quantity, observed time (ms UTC) and value."""

    quantity: str
    time: int
    value: float


class TicketBook:
    """The open tickets of a partition, by desk ("unit/source") and ticket ("day/number")."""

    def __init__(self, rows: list[TicketRow] | None = None) -> None:
        self._tickets: dict[tuple[str, str], TicketRow] = {(row.desk, row.ticket): row for row in rows or []}
        self._dirty: set[tuple[str, str]] = set()

    def step(self, desk: str, ticket: str, step: str, time: int, received_at: int, field: str) -> list[Derived]:
        """Take one step into the book; returns the readings it completes (none when it was told before)."""
        key = (desk, ticket)
        row = self._tickets.get(key) or TicketRow(desk, ticket, None, None, None, None, field, received_at)
        if getattr(row, step) is not None:
            return []
        times = {name: getattr(row, name) for name in STEPS} | {step: time}
        self._tickets[key] = TicketRow(desk, ticket, **times, field=row.field or field, touched=received_at)
        self._dirty.add(key)
        return list(_completed(step, times))

    def forget(self, before: int) -> list[tuple[str, str]]:
        """Drop tickets not touched since `before` (ms UTC, reception); returns their keys."""
        old = [key for key, row in self._tickets.items() if row.touched < before]
        for key in old:
            del self._tickets[key]
            self._dirty.discard(key)
        return old

    def take_dirty(self) -> list[TicketRow]:
        """The rows changed since the last call."""
        rows = [self._tickets[key] for key in sorted(self._dirty)]
        self._dirty.clear()
        return rows

    def __len__(self) -> int:
        return len(self._tickets)


def _completed(step: str, times: dict[str, int | None]) -> list[Derived]:
    """The readings that become known with this step, whichever of a pair came last."""
    derived = []
    if step in ("taken", "left"):
        time = times[step]
        assert time is not None
        derived.append(Derived(step, time, 1.0))
    for quantity, first, second in (("wait", "taken", "called"), ("service", "called", "served")):
        begin, end = times[first], times[second]
        if step in (first, second) and begin is not None and end is not None and end >= begin:
            derived.append(Derived(quantity, end, (end - begin) / 1000))
    return derived
