"""One-stop desks: people take a number, wait, are called and served, or leave; some of them rate the service.

A desk's day is one first-come-first-served queue before a few counters, made as a whole by a generator of its own.
A day ends before midnight, because ticket numbers start again with the day.
"""

import heapq
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from simulators.chance import Floats
from simulators.equipment import Equipment

LAST_TICKET_H = 23.3
DAY_OVER_H = 23.95
AFTER_CLOSING_H = 0.5
QUICK_TICKET_H = 0.2
GOOD_WAIT_MIN = 15.0


class Opening(NamedTuple):
    """A session in local hours since midnight, and how many visitors an hour it has beside a usual working hour."""

    begin: float
    end: float
    weight: float


class Desk(NamedTuple):
    """A unit's desk: visitors of a usual working day, and the counters that are enough for its usual busy hour."""

    unit: str
    visitors: float
    counters: int


class Told(NamedTuple):
    """What a terminal tells: hours since local midnight; `event` of kind `queue` or `rating`; the event's data."""

    hour: float
    kind: str
    event: str
    data: dict[str, str | int]


def sessions(opening: Sequence[tuple[str, str]], is_open: bool, round_the_clock: bool) -> list[Opening]:
    """When desks serve on a day; `round_the_clock` serves by night too, with fewer visitors."""
    if round_the_clock:
        return [Opening(0.1, 6.0, 0.5), Opening(6.0, 21.0, 1.0), Opening(21.0, LAST_TICKET_H, 0.6)]
    return [Opening(_hours(begin), _hours(end), 1.0) for begin, end in opening] if is_open else []


def desk_for(unit: str, visitors: float, opening: Sequence[tuple[str, str]], equipment: Equipment) -> Desk:
    """A desk with the counters it needs, at least one: 1.45 times a usual hour's work, because mornings are full."""
    hours = sum(_hours(end) - _hours(begin) for begin, end in opening) or 7.5
    shares = sum(habits.share for habits in equipment.fields.values())
    minutes = sum(habits.share * habits.service_min for habits in equipment.fields.values()) / shares
    return Desk(unit, visitors, max(1, int(np.ceil(visitors / hours * minutes / 60.0 * 1.45))))


def day(
    desk: Desk, open_in: list[Opening], crowd: float, is_monday: bool, equipment: Equipment,
    generator: np.random.Generator,
) -> list[Told]:  # fmt: skip
    """All that a desk's terminals tell on one day, in order. `crowd` is the part of a usual day's visitors that
    comes in an hour."""
    told: list[Told] = []
    if open_in:
        arrivals = _arrivals(desk.visitors * crowd, open_in, is_monday, generator)
        told = _queue(desk, arrivals, _merged(open_in), equipment, generator)
    return sorted(told, key=lambda one: one.hour)


def portal_ratings(mean: float, equipment: Equipment, generator: np.random.Generator) -> list[Told]:
    """A day's ratings of dossiers handled online: at home, mostly in the evening."""
    hours = generator.triangular(6.0, 19.5, 23.9, generator.poisson(mean))
    return [
        _rating(hour, _field(equipment, generator), 0.0, "portal", equipment, generator)
        for hour in np.sort(hours).tolist()
    ]


def _arrivals(per_hour: float, open_in: list[Opening], is_monday: bool, generator: np.random.Generator) -> list[float]:
    """Arrivals by quarters of an hour: fullest as a session begins, and on Monday mornings."""
    found: list[Floats] = []
    for opening in open_in:
        edges = np.append(np.arange(opening.begin, opening.end, 0.25), opening.end)
        for begin, end in pairwise(edges.tolist()):
            fresh = 1.0 + 0.55 * np.exp(-(begin - opening.begin) / 0.9) - 0.25 * (begin - opening.begin > 2.5)
            monday = 1.45 if is_monday and begin < 12 else 1.0
            mean = per_hour * (end - begin) * opening.weight * fresh * monday * 0.93
            found.append(generator.uniform(begin, end, generator.poisson(mean)))
    return sorted(np.concatenate(found).tolist()) if found else []


def _queue(
    desk: Desk, arrivals: list[float], shifts: list[tuple[float, float]], equipment: Equipment,
    generator: np.random.Generator,
) -> list[Told]:  # fmt: skip
    told: list[Told] = []
    counters = [(0.0, number) for number in range(1, desk.counters + 1)]
    for number, arrival in enumerate(arrivals, start=1):
        field, ticket = _field(equipment, generator), f"A{number:03d}"
        shift_end = next(end for _, end in shifts if arrival <= end)
        patience = generator.gamma(4.0, equipment.desks.patience_min / 4.0) / 60.0
        free, counter = counters[0]
        called = max(arrival, free) + generator.uniform(8.0, 40.0) / 3600.0
        told.append(Told(arrival, "queue", "taken", {"ticket": ticket, "field": field}))
        limit = min(arrival + patience, shift_end + AFTER_CLOSING_H, DAY_OVER_H - QUICK_TICKET_H)
        if called > limit:
            told.append(Told(max(limit, arrival + 0.01), "queue", "left", {"ticket": ticket, "field": field}))
            continue
        mean = equipment.fields[field].service_min / 60.0
        served = min(called + max(0.015, generator.gamma(3.0, mean / 3.0)), DAY_OVER_H)
        heapq.heapreplace(counters, (served, counter))
        at_counter: dict[str, str | int] = {"ticket": ticket, "field": field, "counter": counter}
        told.append(Told(called, "queue", "called", at_counter))
        told.append(Told(served, "queue", "served", at_counter))
        if generator.random() < equipment.desks.ratings_per_served:
            rated = served + generator.uniform(4.0, 60.0) / 3600.0
            told.append(_rating(rated, field, (called - arrival) * 60.0, "terminal", equipment, generator))
    return told


def _rating(
    hour: float, field: str, waited_min: float, channel: str, equipment: Equipment, generator: np.random.Generator
) -> Told:
    """A score from 1 to 5; people are satisfied (4, 5) by the field's share, less so after a long wait."""
    satisfied = equipment.fields[field].satisfied - 0.004 * max(0.0, waited_min - GOOD_WAIT_MIN)
    if generator.random() < satisfied:
        score = 5 if generator.random() < 0.72 else 4
    else:
        score = int(generator.choice((3, 2, 1), p=(0.6, 0.25, 0.15)))
    return Told(hour, "rating", "given", {"score": score, "field": field, "channel": channel})


def _field(equipment: Equipment, generator: np.random.Generator) -> str:
    names = list(equipment.fields)
    shares = np.cumsum([equipment.fields[name].share for name in names])
    return names[int(np.searchsorted(shares, generator.random() * shares[-1], side="right"))]


def _merged(open_in: list[Opening]) -> list[tuple[float, float]]:
    """Sessions that follow without a break are one shift."""
    shifts: list[tuple[float, float]] = []
    for opening in open_in:
        if shifts and shifts[-1][1] == opening.begin:
            shifts[-1] = (shifts[-1][0], opening.end)
        else:
            shifts.append((opening.begin, opening.end))
    return shifts


def _hours(clock: str) -> float:
    hours, minutes = clock.split(":")
    return int(hours) + int(minutes) / 60.0
