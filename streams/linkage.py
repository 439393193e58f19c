"""Which two events of a ticket a waiting or service time follows from (streams.ticket derives it)."""

from typing import NamedTuple

from sensors.reading import DeskEvent
from streams.stretch import Told
from streams.ticket import Derived, TicketBook

_MATE = {
    ("wait", "called"): "taken",
    ("wait", "taken"): "called",
    ("service", "served"): "called",
    ("service", "called"): "served",
}
MINUTE_MS = 60_000


class Mate(NamedTuple):
    """The other event: its step, its time (ms UTC), the message that told it."""

    step: str
    time: int
    told: Told


class Linkage:
    """Open tickets with the messages that told their steps; forgotten `forget_ms` after the last."""

    def __init__(self, zone_ms: int, forget_ms: int) -> None:
        self._zone_ms = zone_ms
        self._forget_ms = forget_ms
        self._tickets = TicketBook()
        self._steps: dict[tuple[str, str], dict[str, Mate]] = {}
        self.begin()

    def begin(self) -> None:
        """Another partition: its time begins anew."""
        self._minute = 0

    def step(self, told: Told, event: DeskEvent, field: str) -> list[tuple[Derived, list[Mate]]]:
        """Take an event in; the readings it completes, each with the other event behind it (none: it stands alone)."""
        self._forget(told.received_at)
        day = (event.time + self._zone_ms) // 86_400_000
        key = (f"{told.topic.unit}/{told.topic.source}", f"{day}/{event.data['ticket']}")
        steps = self._steps.setdefault(key, {})
        steps.setdefault(event.event, Mate(event.event, event.time, told))
        derived = self._tickets.step(*key, event.event, event.time, told.received_at, field)
        return [(one, _mates(steps, one.quantity, event.event)) for one in derived]

    def _forget(self, now: int) -> None:
        """Once a minute, like the worker."""
        if now // MINUTE_MS <= self._minute:
            return
        self._minute = now // MINUTE_MS
        for key in self._tickets.forget(self._minute * MINUTE_MS - self._forget_ms):
            self._steps.pop(key, None)


def _mates(steps: dict[str, Mate], quantity: str, step: str) -> list[Mate]:
    mate = steps.get(_MATE.get((quantity, step), ""))
    return [mate] if mate is not None else []
