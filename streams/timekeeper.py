"""How far time had come when a message was judged: the rules of `streams.verdict`, for one message after another.

Within a beat a unit's time runs with every reading; from one beat to the next it is remembered by what counted. A
source's own time is that of the beats before. So it matters where the worker's beats ended.
"""

NEVER = -(1 << 62)
Stream = tuple[str, str]
"""A topic and a quantity; an event's topic has one stream for all."""


class Timekeeper:
    """One kind; times in ms UTC. `turn` ends a beat."""

    def __init__(self, lateness_ms: int) -> None:
        self._lateness_ms = lateness_ms
        self._newest: dict[str, int] = {}
        self._running: dict[str, int] = {}
        self._own: dict[Stream, tuple[int, int]] = {}
        self._before: dict[Stream, int] = {}
        self._counted: dict[str, int] = {}
        self._fresh: list[tuple[Stream, int, int]] = []

    def turn(self) -> None:
        """The beat is over: what counted in it is remembered."""
        for unit, time in self._counted.items():
            self._newest[unit] = max(time, self._newest.get(unit, NEVER))
        grown: dict[Stream, tuple[int, int]] = {}
        for stream, time, received_at in self._fresh:
            if time > self._own.get(stream, (NEVER, 0))[0]:
                grown[stream] = (max(time, grown.get(stream, (NEVER, 0))[0]), received_at)
        self._own |= grown
        self._running, self._before, self._counted, self._fresh = {}, {}, {}, []

    def is_repeated(self, stream: Stream, time: int) -> bool:
        """Whether the reading is not newer than what its source has said before; takes note of it."""
        before = self._before.get(stream, max(0, self._own.get(stream, (0, 0))[0]))
        self._before[stream] = max(before, time)
        return time <= before

    def is_late(self, unit: str, stream: Stream, time: int, received_at: int, is_repeated: bool) -> bool:
        """Whether a reading is too late; the unit's time runs with it."""
        running = max(self._running.get(unit, self._newest.get(unit, 0)), min(time, received_at))
        self._running[unit] = running
        own, received = self._own.get(stream, (0, 0))
        silence = max(0, received_at - received)
        return time < running - self._lateness_ms or (is_repeated and time < own + silence - self._lateness_ms)

    def accept(self, stream: Stream, time: int, received_at: int) -> None:
        """The reading is new and in time, whether it counts or is set aside."""
        self._fresh.append((stream, time, received_at))

    def count(self, unit: str) -> None:
        """The last reading judged counts: the unit's time is remembered."""
        self._counted[unit] = self._running[unit]

    def is_event_in_time(self, unit: str, topic: str, time: int, received_at: int) -> bool:
        """The same for an event; one that is in time moves its unit and its desk at once."""
        running = max(self._counted.get(unit, NEVER), self._newest.get(unit, NEVER))
        own, received = self._own.get((topic, ""), (NEVER, 0))
        silence = max(0, received_at - received)
        is_behind = own != NEVER and time <= own and time < own + silence - self._lateness_ms
        if time < running - self._lateness_ms or is_behind:
            return False
        self._counted[unit] = max(running, min(time, received_at))
        if time > own:
            self._own[topic, ""] = (time, received_at)
        return True
