"""How far time had come when a message was judged: the rules of `streams.verdict`, one message after another."""

from typing import NamedTuple

NEVER = -(1 << 62)
Stream = tuple[str, str]
"""A topic and a quantity; an event's topic has one stream for all, named by an empty quantity."""


class _Said(NamedTuple):
    """The newest observed time that a stream has said, and when that was received."""

    time: int = 0
    received_at: int = 0


class Judged(NamedTuple):
    """`late`: too late to count; `repeated`: not newer than what its source has said before."""

    late: bool
    repeated: bool


class Timekeeper:
    """The time of one kind: of its units (`reach`), and of every stream of its sources. Times in ms UTC."""

    def __init__(self, lateness_ms: int) -> None:
        self._lateness_ms = lateness_ms
        self._newest: dict[str, int] = {}
        self._said: dict[Stream, _Said] = {}

    def judge(self, unit: str, stream: Stream, time: int, received_at: int, is_timed: bool) -> Judged:
        """A reading; `is_timed` False where the device gave no time: it is then never a repetition."""
        said = self._said.get(stream, _Said())
        repeated = is_timed and time <= said.time
        running = max(self._newest.get(unit, NEVER), min(time, received_at))
        late = time < running - self._lateness_ms or (repeated and self._is_forgotten(said, time, received_at))
        if is_timed and time > said.time:
            self._said[stream] = _Said(time, received_at)
        return Judged(late, repeated)

    def judge_event(self, unit: str, topic: str, time: int, received_at: int) -> bool:
        """Whether an event is too late; one that is not moves its desk's own time."""
        said = self._said.get((topic, ""))
        running = self._newest.get(unit, NEVER)
        is_old = said is not None and time <= said.time and self._is_forgotten(said, time, received_at)
        if time < running - self._lateness_ms or is_old:
            return True
        if said is None or time > said.time:
            self._said[topic, ""] = _Said(time, received_at)
        return False

    def reach(self, unit: str, time: int) -> None:
        """The unit's time has come so far, by a message that is new and in time."""
        self._newest[unit] = max(time, self._newest.get(unit, NEVER))

    def _is_forgotten(self, said: _Said, time: int, received_at: int) -> bool:
        """Whether the source's own time, run on with the clock of reception, is past it by the lateness."""
        return time < said.time + max(0, received_at - said.received_at) - self._lateness_ms
