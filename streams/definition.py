"""What KPI files and rule files may say wrongly though every member has the right type.

Each check gives faults, never raises. `broken` names definitions that exist but whose own files are faulty:
a reference to one is not a second fault. Without a place (its files are faulty) nothing is looked up in it.
"""

import math
import string
from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise

from sensors.definition import Problem
from sensors.errors import Fault
from sensors.kind import Kind, Quantity
from sensors.place import Place
from streams.alert import Example, Rule
from streams.catalogue import AQI_POLLUTANTS
from streams.kpi import Goal, Kpi

SHORT_MAX = 18
PANES_MAX = 1500
"""Panes that a window may merge: a day of minutes fits."""

DAY_S = 86_400
HOUR_S = 3_600
_KEEPS_UNIT = ("sum", "mean", "min", "max", "last", "change", "p50", "p90", "p95")
_QUANTILES = ("p50", "p90", "p95")
_PER_UCUM = {"second": "s", "minute": "min", "hour": "h", "day": "d"}
_HEADLINE_NAMES = {"value", "unit"}

Check = tuple[str, object, str]
"""Place, whether it holds (truthy), what was expected."""


def check_kpis(
    kpis: Mapping[str, Kpi], kinds: Mapping[str, Kind], place: Place | None, broken: Collection[str] = ()
) -> list[Fault]:
    """All faults of all KPIs, as `kpis/<id>.toml`."""
    faults = []
    for kpi in kpis.values():
        checks = [*_wording(kpi), *_timing(kpi), *_bounds(kpi), *_target(kpi, place)]
        if place is not None:
            checks += [
                ("department", kpi.department in place.departments, "a department of the place"),
                ("field", not kpi.field or kpi.field in place.fields, "a field of the place, or nothing"),
            ]
        if kpi.kind in kinds:
            checks += _reading(kpi, kinds[kpi.kind])
        elif kpi.kind not in broken:
            checks.append(("kind", False, f"one of the kinds {', '.join(kinds)}"))
        faults += [Fault(f"kpis/{kpi.id}.toml", where, expected) for where, expected in _failed(checks)]
    return faults


def check_rules(
    rules: Mapping[str, Rule],
    kpis: Mapping[str, Kpi],
    kinds: Mapping[str, Kind],
    place: Place | None,
    broken: Collection[str] = (),
) -> list[Fault]:
    """All faults of all alert rules, as `alerts/<id>.toml`; ISA-18.2's rationalisation members are required."""
    faults = []
    for rule in rules.values():
        checks = [*_rationale(rule), *_examples(rule.examples)]
        if place is not None:
            checks.append(("owner", rule.owner in place.departments, "a department of the place"))
        if sum(map(bool, (rule.kpi, rule.silent, rule.figure))) != 1:
            checks.append(("kpi", False, "exactly one of kpi, silent and figure"))
        elif rule.figure:
            checks += _threshold(rule)
        elif rule.kpi:
            checks += [*_threshold(rule), ("kpi", rule.kpi in kpis or rule.kpi in broken, "the id of a KPI")]
        else:
            checks += _silence(rule, kinds, broken)
        faults += [Fault(f"alerts/{rule.id}.toml", where, expected) for where, expected in _failed(checks)]
    return faults


def _failed(checks: Iterable[Check]) -> list[Problem]:
    return [Problem(where, expected) for where, holds, expected in checks if not holds]


def _wording(kpi: Kpi) -> list[Check]:
    room = f"1 to {SHORT_MAX} characters, the wall's room"
    return [
        ("name_vi", kpi.name_vi.strip(), "a name in Vietnamese"),
        ("name_en", kpi.name_en.strip(), "a name in English"),
        ("short_vi", kpi.short_vi.strip() and len(kpi.short_vi) <= SHORT_MAX, room),
        ("short_en", kpi.short_en.strip() and len(kpi.short_en) <= SHORT_MAX, room),
        ("decimals", 0 <= kpi.decimals <= 6, "0 to 6"),
        ("ucum", kpi.ucum, "a unit of measure in UCUM; 1 for a bare number"),
    ]


def _timing(kpi: Kpi) -> list[Check]:
    if min(kpi.window_s, kpi.every_s, kpi.pane_s) <= 0:
        return [("window_s", False, "window_s, every_s and pane_s above 0")]
    return [
        ("window_s", kpi.window_s % kpi.every_s == 0, f"a whole multiple of every_s ({kpi.every_s})"),
        ("every_s", kpi.every_s % kpi.pane_s == 0, f"a whole multiple of pane_s ({kpi.pane_s})"),
        ("every_s", DAY_S % kpi.every_s == 0 or kpi.every_s % DAY_S == 0, "a divisor of a day, or whole days"),
        ("pane_s", kpi.window_s // kpi.pane_s <= PANES_MAX, f"at most {PANES_MAX} panes in a window"),
        ("fresh_s", kpi.fresh_s > 0, "more than 0 seconds"),
    ]


def _bounds(kpi: Kpi) -> list[Check]:
    given = [bound for bound in (kpi.at_most, kpi.at_least) if bound is not None]
    if kpi.measure == "share":
        checks: list[Check] = [("at_most", len(given) == 1, "exactly one of at_most and at_least for a share")]
    else:
        checks = [("at_most", not given, "no at_most or at_least: only a share has a bound")]
    return [
        *checks,
        ("at_most", all(map(math.isfinite, given)), "a finite number"),
        ("factor", math.isfinite(kpi.factor) and kpi.factor > 0, "a finite number above 0"),
    ]


def _target(kpi: Kpi, place: Place | None) -> list[Check]:
    goal = kpi.goal
    if goal is None:
        return []
    bounds = [bound for bound in (goal.at_least, goal.at_most, goal.above) if bound is not None]
    known = place is None or not goal.target or goal.target in place.targets
    return [
        ("goal", len(bounds) == 1, "exactly one of at_least, at_most and above"),
        ("goal", all(map(math.isfinite, bounds)), "a finite number"),
        ("goal", len(bounds) != 1 or kpi.better == _better(goal), f"a bound that fits better = {kpi.better}"),
        ("goal.target", known, "the id of a target of the place, or nothing"),
    ]


def _better(goal: Goal) -> str:
    return "low" if goal.at_most is not None else "high"


def _reading(kpi: Kpi, kind: Kind) -> list[Check]:
    """What the KPI takes from its kind."""
    checks: list[Check] = [("field", not kpi.field or kind.format == "cloudevents", "nothing: only desks have fields")]
    if kpi.measure == "vn_aqi":
        return checks + _air_quality(kpi, kind)
    quantity = kind.quantities.get(kpi.quantity)
    if quantity is None:
        return [*checks, ("quantity", False, f"one of {', '.join(kind.quantities)} of {kind.id}")]
    given = _given_ucum(kpi, quantity)
    return [
        *checks,
        ("ucum", not given or kpi.ucum == given or kpi.factor != 1.0, f"{given}, or a factor that converts it"),
        ("ucum", kpi.measure != "share" or kpi.ucum == "%", "% for a share"),
        ("measure", kpi.measure not in _QUANTILES or quantity.low >= 0, "no quantile: the quantity can be negative"),
    ]


def _given_ucum(kpi: Kpi, quantity: Quantity) -> str:
    """The unit that the measure has by itself; empty where it is not that of the quantity."""
    if kpi.measure == "rate":
        return f"{quantity.ucum}/{_PER_UCUM[kpi.per]}"
    return quantity.ucum if kpi.measure in _KEEPS_UNIT else ""


def _air_quality(kpi: Kpi, kind: Kind) -> list[Check]:
    """VN_AQI is a station's index over whole hours (Decision 1459/QĐ-TCMT)."""
    hourly = kpi.window_s == kpi.every_s == kpi.pane_s == HOUR_S
    lacking = [name for name in AQI_POLLUTANTS if name not in kind.quantities]
    other = [name for name in AQI_POLLUTANTS if name in kind.quantities and kind.quantities[name].ucum != "ug/m3"]
    return [
        ("quantity", not kpi.quantity, "nothing: VN_AQI takes the kind's six pollutants"),
        ("kind", not lacking, f"a kind with {', '.join(AQI_POLLUTANTS)}; lacking {', '.join(lacking)}"),
        ("kind", not other, f"pollutants in ug/m3, not so {', '.join(other)}"),
        ("window_s", hourly, f"{HOUR_S} in window_s, every_s and pane_s"),
        ("across", kpi.across, "max, min or mean: the index is a station's"),
        ("factor", kpi.factor == 1.0, "1: the index has no unit"),
        ("ucum", kpi.ucum == "1", "1: the index has no unit"),
    ]


def _rationale(rule: Rule) -> list[Check]:
    required = (
        "name_vi name_en headline_vi headline_en owner cause_vi cause_en "
        "consequence_vi consequence_en response_vi response_en"
    )
    checks: list[Check] = [(name, str(getattr(rule, name)).strip(), "is required") for name in required.split()]
    return [
        *checks,
        ("respond_s", rule.respond_s > 0, "more than 0 seconds to respond"),
        ("hold_s", rule.hold_s >= 0, "0 or more seconds"),
        ("clear_hold_s", rule.clear_hold_s >= 0, "0 or more seconds"),
        ("n_min", rule.n_min >= 1, "1 or more"),
        ("headline_vi", _headline_holds(rule.headline_vi), "no other braces than {value} and {unit}"),
        ("headline_en", _headline_holds(rule.headline_en), "no other braces than {value} and {unit}"),
    ]


def _headline_holds(text: str) -> bool:
    try:
        return all(name is None or name in _HEADLINE_NAMES for _, name, _, _ in string.Formatter().parse(text))
    except ValueError:
        return False


def _threshold(rule: Rule) -> list[Check]:
    checks: list[Check] = [
        ("silent_s", rule.silent_s == 0, "nothing: silent_s belongs to silent"),
        ("above", (rule.above is None) != (rule.below is None), "exactly one of above and below"),
        ("clear", rule.clear is not None, "the level at which the alert returns"),
    ]
    levels = [level for level in (rule.above, rule.below, rule.clear) if level is not None]
    checks.append(("above", all(map(math.isfinite, levels)), "finite levels"))
    if rule.clear is not None and rule.above is not None:
        checks.append(("clear", rule.clear <= rule.above, f"at or under above ({rule.above:g})"))
    if rule.clear is not None and rule.below is not None:
        checks.append(("clear", rule.clear >= rule.below, f"at or over below ({rule.below:g})"))
    return checks


def _silence(rule: Rule, kinds: Mapping[str, Kind], broken: Collection[str]) -> list[Check]:
    levels = (rule.above, rule.below, rule.clear)
    checks: list[Check] = [
        ("above", all(level is None for level in levels), "no above, below or clear: silence has no level"),
        ("silent_s", rule.silent_s > 0, "more than 0 seconds"),
    ]
    if rule.silent in kinds:
        cadence_s = kinds[rule.silent].cadence_s
        checks.append(("silent_s", rule.silent_s > cadence_s, f"more than the kind's cadence of {cadence_s} seconds"))
    elif rule.silent not in broken:
        checks.append(("silent", False, f"one of the kinds {', '.join(kinds)}"))
    return checks


def _examples(examples: list[Example]) -> list[Check]:
    checks: list[Check] = []
    for number, example in enumerate(examples, start=1):
        at = f"examples[{number}]"
        times = [time for time, _ in example.series]
        checks += [
            (f"{at}.series", times, "at least one point"),
            (f"{at}.series", all(before < after for before, after in pairwise(times)), "ascending seconds"),
            (f"{at}.series", all(0 <= time < math.inf for time in times), "seconds from 0 on"),
        ]
    return checks
