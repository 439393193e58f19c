"""Faults carried out: which messages each recipe hits, exactly, and what becomes of them.

A message is known by its source's number among all sources and its own count. Which messages a recipe hits follows
from the seed and the recipe alone, so it does not hang on how an interval is cut; it is worked out when the city
first comes near.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sensors.kind import Kind
from sensors.topic import Topic, parse
from simulators.chance import Chance, Floats, Ints, Truths, uniform
from simulators.fault import HOLDS, Fault, can_hit, shift_ms
from simulators.payload import Message
from simulators.scene import DAY_MS, HOUR_MS

RELEASE_MS = 5_000
"""A backlog is sent within so long, in the order in which it was held."""

DOUBLED_AFTER_MS = 3_000
NOWHERE = "99999"
SPIKE_PART, DRIFT_PART_AN_HOUR = 0.9, 0.05
SEQUENCE_BITS = 40
_LATE = ("delay", "delay_beyond", "reorder")


class Heard(NamedTuple):
    """Messages before any fault: number of the source among all, observed time (ms UTC), the source's count."""

    who: Ints
    time: Ints
    sequence: Ints


class Injected(NamedTuple):
    """What one recipe did: its number in the scenario (from 1), and how many messages of how many sources it hit."""

    number: int
    recipe: str
    messages: int
    sources: int


class _Plan(NamedTuple):
    """A recipe in this city. `sources` in order of precedence; [begin, end) ms UTC."""

    fault: Fault
    sources: Ints
    begin: int
    end: int


Walk = Callable[[Truths, int, int], Iterable[Heard]]
"""All messages of the chosen sources observed in [begin, end), before any fault."""


class Injections:
    """The faults of one city. `topics` are all its sources, by their numbers; `offset` is local time minus UTC."""

    def __init__(
        self, faults: Sequence[Fault], topics: list[str], kinds: Mapping[str, Kind], chance: Chance, start: int,
        offset: int, walk: Walk,
    ) -> None:  # fmt: skip
        self._kinds, self._walk, self._count = kinds, walk, len(topics)
        self._hit: dict[int, tuple[Ints, Ints]] = {}
        parsed = [parse(topic) for topic in topics] if faults else []
        self._plans = [
            _plan(fault, parsed, kinds, chance.key("fault", number), start, offset)
            for number, fault in enumerate(faults)
        ]
        self._draws = [chance.key("fault", number, "message") for number in range(len(faults))]

    def hits(self, who: Ints, time: Ints, sequence: Ints) -> Ints:
        """Which recipe (its index) hits each message; −1 for none."""
        found = np.full(len(who), -1, np.int64)
        if not len(who):
            return found
        first, last = int(time.min()), int(time.max())
        ids = _ids(who, sequence)
        for number, plan in enumerate(self._plans):
            if plan.begin <= last and first < plan.end:
                found[np.isin(ids, self._ids_of(number)[0])] = number
        return found

    def idle(self) -> list[int]:
        """The numbers (from 1) of the recipes that concern no source at all."""
        return [number for number, plan in enumerate(self._plans, start=1) if not len(plan.sources)]

    def injected(self, begin: int, end: int) -> list[Injected]:
        """What each recipe did to messages observed in [begin, end)."""
        told = []
        for number, plan in enumerate(self._plans):
            ids, time = self._ids_of(number)
            ids = ids[(time >= begin) & (time < end)]
            sources = len(np.unique(ids >> SEQUENCE_BITS))
            told.append(Injected(number + 1, plan.fault.recipe, len(ids), sources))
        return told

    def altered(
        self, hits: Ints, kind: Kind, time: Ints, values: dict[str, Floats], at: Callable[[int], dict[str, Floats]]
    ) -> dict[str, Floats]:
        """The values that devices tell; `at` gives what they would read at another time."""
        told = {name: value.copy() for name, value in values.items()}
        for number in self._among(hits, "frozen", "spike", "drift"):
            plan, hit = self._plans[number], hits == number
            frozen = at(plan.begin) if plan.fault.recipe == "frozen" else {}
            for name, value in told.items():
                quantity = kind.quantities[name]
                span = quantity.high - quantity.low
                if plan.fault.recipe == "frozen":
                    value[hit] = frozen[name][hit]
                elif plan.fault.recipe == "spike":
                    value[hit] = quantity.low + SPIKE_PART * span
                else:
                    value[hit] += DRIFT_PART_AN_HOUR * span * (time[hit] - plan.begin) / HOUR_MS
        return told

    def shown(self, hits: Ints, kind: Kind, time: Ints) -> Ints:
        """The times that devices tell."""
        told = time.copy()
        for number in self._among(hits, "clock_ahead", "clock_far_ahead", "clock_behind"):
            shift = shift_ms(self._plans[number].fault, kind)
            told[hits == number] += -shift if self._plans[number].fault.recipe == "clock_behind" else shift
        return told

    def calibrating(self, hits: Ints) -> Truths:
        """Who says that it calibrates."""
        return np.isin(hits, self._among(hits, "calibration"))

    def send(self, number: int, time: int, topic: str, payload: bytes) -> list[Message]:
        """What is published of a message that recipe `number` hits."""
        plan = self._plans[number]
        recipe = plan.fault.recipe
        if recipe == "drop":
            return []
        if recipe == "duplicate":
            return [Message(time, topic, payload), Message(time + DOUBLED_AFTER_MS, topic, payload)]
        if recipe in HOLDS:
            time = plan.end + (time - plan.begin) * RELEASE_MS // (plan.end - plan.begin)
        elif recipe in _LATE:
            time += shift_ms(plan.fault, self._kinds[parse(topic).kind])
        elif recipe == "malformed":
            payload = payload[: len(payload) * 2 // 3]
        elif recipe == "unknown_measure":
            payload = payload.replace(b'"u":"', b'"u":"mol of ')
        elif recipe == "unknown_unit":
            topic = _under(NOWHERE, topic)
        elif recipe == "rename":
            topic = f"{_under(plan.fault.to_unit, topic)}-{plan.fault.unit}"
        return [Message(time, topic, payload)]

    def late_from(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """The intervals of observation of which something may be sent in [begin, end), later than observed."""
        for plan in self._plans:
            if plan.fault.recipe in HOLDS and plan.end < end and begin <= plan.end + RELEASE_MS:
                yield plan.begin, plan.end
            if plan.fault.recipe in _LATE:
                for kind in self._kinds.values():
                    shift = shift_ms(plan.fault, kind)
                    since, until = max(plan.begin, begin - shift), min(plan.end, end - shift)
                    if can_hit(plan.fault, kind) and since < until:
                        yield since, until

    def _among(self, hits: Ints, *recipes: str) -> list[int]:
        return [number for number in np.unique(hits).tolist()
                if number >= 0 and self._plans[number].fault.recipe in recipes]  # fmt: skip

    def _ids_of(self, number: int) -> tuple[Ints, Ints]:
        """Identities and observed times of the messages that a recipe hits."""
        found = self._hit.get(number)
        if found is None:
            found = self._hit[number] = self._choose(number)
        return found

    def _choose(self, number: int) -> tuple[Ints, Ints]:
        plan = self._plans[number]
        heard = self._candidates(plan)
        ids = _ids(heard.who, heard.sequence)
        is_free = np.ones(len(ids), dtype=np.bool_)
        for other in range(number):
            before = self._plans[other]
            if before.begin < plan.end and plan.begin < before.end:
                is_free &= ~np.isin(ids, self._ids_of(other)[0])
        if plan.fault.recipe == "rename":
            stragglers = plan.sources[: plan.fault.sources]
            is_free &= ~(np.isin(heard.who, stragglers) & (heard.time < plan.begin + plan.fault.straggle_s * 1000))
        if plan.fault.recipe == "reorder":
            is_free &= heard.sequence % 2 == 0
        ids, time = ids[is_free], heard.time[is_free]
        if plan.fault.messages:
            chosen = _spread(ids, plan.sources, self._draws[number])[: plan.fault.messages]
            ids, time = ids[chosen], time[chosen]
        return ids, time

    def _candidates(self, plan: _Plan) -> Heard:
        chosen = np.zeros(self._count, dtype=np.bool_)
        chosen[plan.sources] = True
        parts = [Heard(*(np.zeros(0, np.int64) for _ in range(3)))]
        for heard in self._walk(chosen, plan.begin, plan.end):
            kept = chosen[heard.who] & (heard.time >= plan.begin) & (heard.time < plan.end)
            parts.append(Heard(*(column[kept] for column in heard)))
        return Heard(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _plan(fault: Fault, topics: list[Topic], kinds: Mapping[str, Kind], key: int, start: int, offset: int) -> _Plan:
    able = np.array(
        [number for number, topic in enumerate(topics)
         if topic.kind in kinds and can_hit(fault, kinds[topic.kind])
         and fault.unit in ("", topic.unit) and fault.source in ("", topic.source)], dtype=np.int64,
    )  # fmt: skip
    ranked = able[np.argsort(uniform(key, able), kind="stable")] if len(able) else able
    takes_all = not fault.sources or fault.recipe in ("outage", "rename")
    begin = start + fault.after_s * 1000
    if fault.at_midnight:
        begin = -(-(begin + offset) // DAY_MS) * DAY_MS - offset
    return _Plan(fault, ranked if takes_all else ranked[: fault.sources], begin, begin + fault.for_s * 1000)


def _ids(who: Ints, sequence: Ints) -> Ints:
    return (who << SEQUENCE_BITS) + sequence


def _spread(ids: Ints, sources: Ints, key: int) -> Ints:
    """The order in which messages are hit: one of every source, then another of every source, by chance."""
    place = np.zeros(int(sources.max(initial=0)) + 1, np.int64)
    place[sources] = np.arange(len(sources))
    who = place[ids >> SEQUENCE_BITS]
    order = np.lexsort((ids, uniform(key, ids), who)) if len(ids) else np.zeros(0, np.int64)
    starts = np.searchsorted(who[order], who[order])
    turn = np.empty(len(ids), np.int64)
    turn[order] = np.arange(len(ids)) - starts
    return np.lexsort((who, turn))


def _under(unit: str, topic: str) -> str:
    return "/".join(("ioc", unit, *topic.split("/")[2:]))
