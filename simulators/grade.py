"""Grades: what the oracle expects beside what the centre answers, section by section. Pure comparison, no I/O."""

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from simulators.alarm import Key, Sequence
from simulators.expectation import QUANTILES, Definition, Windows
from simulators.fault import Fault
from simulators.injection import Injected
from simulators.numbering import Sent
from simulators.oracle import Ledger

RELATIVE, ABSOLUTE = 1e-6, 1e-6
OF_QUANTILES = 0.01
"""The centre's quantiles come from bins of a relative error of 1 %; below `BIN_SMALLEST` they are told as 0."""
BIN_SMALLEST = 0.1
OUTCOMES = ("received", "accepted", "duplicate", "too_late", "rejected")


class Section(NamedTuple):
    """`missing` were expected and are not there, `extra` are there and were not expected; `first` tells the first
    thing that differs. A section with `why_not` could not be graded, or not all of it."""

    name: str
    compared: int = 0
    different: int = 0
    missing: int = 0
    extra: int = 0
    first: str = ""
    why_not: str = ""

    @property
    def is_finding(self) -> bool:
        return bool(self.different or self.missing or self.extra)


def of_mapping(name: str, expected: Mapping[Any, Any], answered: Mapping[Any, Any], why_not: str = "") -> Section:
    """Key by key, equal or not."""
    missing, extra = sorted(expected.keys() - answered.keys()), sorted(answered.keys() - expected.keys())
    both = sorted(expected.keys() & answered.keys())
    different = [key for key in both if expected[key] != answered[key]]
    first = ""
    for key in [*different, *missing, *extra][:1]:
        first = f"{_told(key)}: {_told(answered.get(key, '–'))}, đúng là / expected {_told(expected.get(key, '–'))}"
    return Section(name, len(both), len(different), len(missing), len(extra), first, why_not)


def of_faults(asked: Iterable[Fault], injected: Iterable[Injected]) -> Section:
    """What each recipe hit in the run beside what it asked for, at least one message: a run without its faults is no
    proof that they are counted."""
    both = [(f"faults[{one.number}] {fault.recipe}", fault, one) for fault, one in zip(asked, injected, strict=True)]
    expected = {name: fault.messages or max(1, one.messages) for name, fault, one in both}
    return of_mapping("fault recipes", expected, {name: one.messages for name, _, one in both})


def of_totals(total: Ledger, sent: Collection[Sent], answer: Mapping[str, Any]) -> Section:
    """The ledger's totals; the difference of the centre's own sum must be 0, and nothing may be in flight.

    What sources have sent and what is missing are compared where the centre says them.
    """
    expected = {name: getattr(total, name) for name in (*OUTCOMES, "readings")} | {"in_flight": 0, "difference": 0}
    of_sources = {"sent": sum(one.sent for one in sent), "missing": sum(one.missing for one in sent)}
    expected |= {name: count for name, count in of_sources.items() if name in answer}
    return of_mapping("ledger", expected, {name: answer.get(name) for name in expected})


def of_reasons(reasons: Mapping[str, int], answer: Mapping[str, Any]) -> Section:
    """Rejections by their reason."""
    return of_mapping("rejections", dict(reasons), dict(answer.get("by_reason", {})))


def of_rows(expected: Mapping[tuple[int, str], Ledger], rows: Iterable[Mapping[str, Any]] | None) -> Section:
    """The ledger by partition and kind, its minutes added up: a run may be slower or faster than the city's time."""
    if rows is None:
        return Section("ledger by partition and kind", why_not=NO_ANSWER)
    answered: dict[tuple[int, str], list[int]] = {}
    for row in rows:
        counts = answered.setdefault((row["partition"], row["kind"]), [0] * len(OUTCOMES))
        for place, name in enumerate(OUTCOMES):
            counts[place] += row[name]
    wanted = {key: [getattr(counts, name) for name in OUTCOMES] for key, counts in expected.items()}
    return of_mapping("ledger by partition and kind", wanted, answered)


def of_sent(expected: Mapping[Any, Sent], rows: Iterable[Mapping[str, Any]] | None) -> Section:
    """What numbering sources sent, and what of it is missing. Whether the number of a message that was refused
    could be read is the centre's own affair: the sum of numbered and unreadable counts, and where something was
    unreadable the gaps do not."""
    if rows is None:
        return Section("missing by source", why_not=NO_ANSWER)
    answered = {
        (row["unit"], row["kind"], row["source"]): (
            row["numbered"] + row["unreadable"], row["missing"],
            [] if row["unreadable"] else [(gap["first"], gap["last"]) for gap in row["gaps"]],
        )
        for row in rows if row["missing"]
    }  # fmt: skip
    wanted = {
        (source.unit, source.kind, source.source): (
            sent.numbered + sent.unreadable, sent.missing,
            [] if sent.unreadable else [(gap.first, gap.last) for gap in sent.gaps],
        )
        for source, sent in expected.items() if sent.missing
    }  # fmt: skip
    return of_mapping("missing by source", wanted, answered)


def of_windows(
    kpi: Definition, found: Windows, closed: Collection[tuple[str, int]], rows: Iterable[Mapping[str, Any]] | None,
    units: Collection[str],
) -> Section:  # fmt: skip
    """A KPI's closed windows. What is closed by now must be there; a unit's that the centre closed since is compared
    as well, a district's or the place's only when all of its units are closed."""
    if rows is None:
        return Section(kpi.id, why_not=NO_ANSWER)
    answered = {(row["unit"], row["to"]): (row["value"], row["n"]) for row in rows}
    comparable = {key for key in answered if key in found and (key[0] in units or key in closed)}
    different = sorted(key for key in comparable if not _is_same(kpi, found[key], *answered[key]))
    missing = sorted(set(closed) - answered.keys())
    extra = sorted(answered.keys() - found.keys())
    first = ""
    for key in [*different, *missing, *extra][:1]:
        value = found.get(key)
        wanted = "–" if value is None else f"{value.value} (n {value.n})"
        first = f"{key[0]} … {key[1]}: {_told(answered.get(key, '–'))}, đúng là / expected {wanted}"
    return Section(kpi.id, len(comparable), len(different), len(missing), len(extra), first)


def of_alerts(expected: Mapping[Key, Sequence], answered: Mapping[Key, tuple[str, ...]], skipped: str) -> Section:
    """Raises and returns of each rule, scope and device; those that hang on a moment are left out."""
    unsure = {key for key, sequence in expected.items() if not sequence.is_sure}
    wanted = {key: sequence.steps for key, sequence in expected.items() if key not in unsure}
    heard = {key: steps for key, steps in answered.items() if key not in unsure}
    why = [skipped] if skipped else []
    if unsure:
        why.append(f"{len(unsure)} dãy sát ngưỡng / sequences too near a limit")
    return of_mapping("alerts", wanted, heard, "; ".join(why))


def _is_same(kpi: Definition, expected: tuple[float | None, int], value: float | None, n: int) -> bool:
    wanted, wanted_n = expected
    if n != wanted_n or (value is None) != (wanted is None):
        return False
    if value is None or wanted is None:
        return True
    if kpi.measure in QUANTILES:
        near_zero = abs(wanted) <= BIN_SMALLEST * abs(kpi.factor)
        return (near_zero and value == 0) or math.isclose(value, wanted, rel_tol=OF_QUANTILES + RELATIVE)
    # The centre adds sources up in whole millionths, each rounded.
    parts = n if kpi.across == "sum" else 1
    return math.isclose(value, wanted, rel_tol=RELATIVE, abs_tol=ABSOLUTE * parts * max(1.0, abs(kpi.factor)))


def _told(value: object) -> str:
    if isinstance(value, tuple | list):
        return " ".join(_told(part) for part in value)
    return str(value)


NO_ANSWER = "trung tâm không trả lời câu hỏi này / the centre does not answer this question"
