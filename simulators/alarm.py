"""The alerts that must be raised and must return, by following values as they became known. For the oracle.

A unit's newest value is that of the window its watermark stands in, then of each window that closes after it while
nothing arrives. The place's is that of the window the clock stands in, for all partitions tell it when it begins; so it
is while messages may still count. The centre looks at values in beats, and at costly windows only every few seconds; so
each sequence is worked out for several rhythms of looking, and is *sure* only when they all agree.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from simulators.expectation import Definition, Growing, window_at
from simulators.outcome import Counted

RHYTHMS_MS = ((500, 0), (2_500, 700), (5_000, 0), (5_000, 2_500))
"""Every how often one looks, and from when on."""

SILENCE_LOOK_MS = 6_000
"""Silence is looked at every five seconds: a source that speaks again within this of the limit is not sure."""

FOREVER = 1 << 60
Key = tuple[str, str, str]
"""Rule, scope, device."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What the oracle needs to know of an alert rule."""

    id: str
    scope: str = "unit"
    kpi: str = ""
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    hold_s: float = 0
    clear_hold_s: float = 0
    n_min: int = 1
    silent: str = ""
    silent_s: int = 0

    def is_beyond(self, value: float, n: int) -> bool:
        past = value > self.above if self.above is not None else self.below is not None and value < self.below
        return n >= self.n_min and past

    def is_clear(self, value: float) -> bool:
        level = next(one for one in (self.clear, self.above, self.below) if one is not None)
        return value <= level if self.above is not None else value >= level


class Sequence(NamedTuple):
    """`steps` are raise, return, reraise … in order."""

    steps: tuple[str, ...]
    is_sure: bool


class Change(NamedTuple):
    """From `at` (ms UTC, by reception) on the value is known to be this; None: not known."""

    at: int
    value: float | None
    n: int


Arrivals = list[tuple[int, list[Counted]]]
"""The readings of one kind in one unit by the time of reception, in order."""


def of_value(rule: Rule, changes: list[Change]) -> Sequence:
    """The steps of a rule while its KPI changes so; nobody acknowledges anything."""
    found = {tuple(_steps(rule, list(_looked_at(changes, *rhythm)), *rhythm)) for rhythm in RHYTHMS_MS}
    return Sequence(next(iter(found)), True) if len(found) == 1 else Sequence(max(found, key=len), False)


def of_silence(rule: Rule, heard: Iterable[tuple[int, bool]], until: int) -> Sequence:
    """The steps of a silence rule for a source heard at these times; False is its good-bye. `until`: now."""
    told: list[bool] = []
    is_sure, last = True, FOREVER
    for at, is_here in heard:
        quiet = at - last - rule.silent_s * 1000
        is_sure &= not 0 < quiet < SILENCE_LOOK_MS
        told += [quiet > 0, not is_here]
        last = at if is_here else FOREVER
    quiet = until - last - rule.silent_s * 1000
    is_sure &= not 0 < quiet < SILENCE_LOOK_MS
    # A good-bye leaves a source silent; it is heard no more until it says something again.
    told += [quiet > 0] if last != FOREVER else []
    steps: list[str] = []
    for is_silent in told:
        if is_silent and len(steps) % 2 == 0:
            steps.append("reraise" if steps else "raise")
        elif not is_silent and len(steps) % 2:
            steps.append("return")
    return Sequence(tuple(steps), is_sure)


def changes(kpi: Definition, arrivals: Arrivals, settle_ms: int, zone_ms: int, until: int) -> list[Change]:
    """How a unit's newest value of a KPI changes, up to `until` (ms UTC)."""
    unit, told = Growing(), list[Change]()
    watermark = advanced_at = -1
    for (at, arrived), following in _followed(arrivals, until):
        unit.add(arrived)
        newest = max(min(reading.time, at) for reading in arrived)
        if newest > watermark:
            watermark, advanced_at = newest, at
        first = _end_after(kpi, watermark, zone_ms)
        told += _until(following, kpi, unit, at, first, settle_ms + advanced_at - watermark)
    return _in_order(told)


def place_changes(kpi: Definition, arrivals: Arrivals, zone_ms: int, until: int) -> list[Change]:
    """The same of the whole place, `arrivals` being those of all its units."""
    whole, told = Growing(), list[Change]()
    for (at, arrived), following in _followed(arrivals, until):
        whole.add(arrived)
        told += _until(following, kpi, whole, at, _end_after(kpi, at, zone_ms), -kpi.every_s * 1000)
    return _in_order(told)


def _followed(arrivals: Arrivals, until: int) -> Iterator[tuple[tuple[int, list[Counted]], int]]:
    """Each arrival with the time of the next one."""
    following = [at for at, _ in arrivals[1:]]
    return zip(arrivals, [*following, until], strict=True)


def _end_after(kpi: Definition, time: int, zone_ms: int) -> int:
    every = kpi.every_s * 1000
    return (time + zone_ms) // every * every + every - zone_ms


def _until(following: int, kpi: Definition, seen: Growing, at: int, first: int, shift_ms: int) -> Iterator[Change]:
    """What is looked at from `at` until the next message: the window that ends `first`, then each that follows,
    `shift_ms` after its end."""
    fresh, end = kpi.fresh_s * 1000, first
    seen_at = at
    while seen_at <= following:
        window, as_of = window_at(kpi, seen, end)
        if not window.n and end > first:
            break
        known = window.value if seen_at - as_of <= fresh else None
        yield Change(seen_at, known, window.n)
        if known is not None and as_of + fresh < following:
            yield Change(as_of + fresh + 1, None, window.n)
        end += kpi.every_s * 1000
        seen_at = max(at, end + shift_ms)


def _in_order(told: list[Change]) -> list[Change]:
    """A value that was overtaken before it became unknown never did."""
    ordered: list[Change] = []
    for number, change in enumerate(told):
        following = told[number + 1].at if number + 1 < len(told) else FOREVER
        if change.at <= following:
            ordered.append(change)
    return ordered


def _looked_at(told: list[Change], every: int, since: int) -> Iterator[Change]:
    """Each change at the time when one first looks after it; of several the last."""
    looked: dict[int, Change] = {}
    for change in told:
        at = _next_look(change.at, every, since)
        looked[at] = change._replace(at=at)
    yield from looked.values()


def _next_look(at: int, every: int, since: int) -> int:
    return -(-(at - since) // every) * every + since


def _steps(rule: Rule, told: list[Change], every: int, since: int) -> Iterator[str]:
    is_active, was_raised = False, False
    held_since: int | None = None
    for number, (at, value, n) in enumerate(told):
        following = told[number + 1].at if number + 1 < len(told) else FOREVER
        holds = value is not None and (rule.is_clear(value) if is_active else rule.is_beyond(value, n))
        if not holds:
            held_since = None
            continue
        held_since = at if held_since is None else held_since
        hold_ms = round((rule.clear_hold_s if is_active else rule.hold_s) * 1000)
        if max(at, _next_look(held_since + hold_ms, every, since)) < following:
            yield "return" if is_active else ("reraise" if was_raised else "raise")
            is_active, was_raised, held_since = not is_active, True, None


def sequences(
    rules: Mapping[str, Rule],
    kpis: Mapping[str, Definition],
    arrived: Mapping[tuple[str, str], Arrivals],
    settle_ms: Mapping[str, int],
    place: str,
    zone_ms: int,
    until: int,
) -> dict[Key, Sequence]:
    """The sequences of all rules on KPIs, by rule and unit, or the code of the `place`; those without any step are left
    out."""
    found: dict[Key, Sequence] = {}
    for kpi in [kpis[name] for name in sorted({rule.kpi for rule in rules.values() if rule.kpi})]:
        heard = {unit: arrivals for (kind, unit), arrivals in arrived.items() if kind == kpi.kind}
        ours = [rule for rule in rules.values() if rule.kpi == kpi.id]
        of_units, of_place = ([rule for rule in ours if rule.scope == scope] for scope in ("unit", "place"))
        for unit, arrivals in heard.items() if of_units else ():
            told = changes(kpi, arrivals, settle_ms[kpi.kind], zone_ms, until)
            found |= {(rule.id, unit, ""): of_value(rule, told) for rule in of_units}
        if of_place:
            whole = sorted((one for arrivals in heard.values() for one in arrivals), key=lambda one: one[0])
            told = place_changes(kpi, whole, zone_ms, until)
            found |= {(rule.id, place, ""): of_value(rule, told) for rule in of_place}
    return {key: sequence for key, sequence in found.items() if sequence.steps or not sequence.is_sure}
