"""Fault recipes: what goes wrong on purpose, with whom, when and how often, as `[[faults]]` tables of a scenario.

A recipe is a name of a closed set; its counts are exact. Every recipe's margin is clear (a delay well inside the
kind's lateness, or well beyond), so that what must become of a message does not hang on milliseconds.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from sensors.definition import Problem
from sensors.kind import Kind
from sensors.place import Place

Recipe = Literal[
    "drop",  # never published: a gap in the source's numbering
    "duplicate",  # published twice, to the byte, seconds apart
    "delay",  # published late, well inside the kind's lateness
    "delay_beyond",  # published too late to count
    "reorder",  # published after the source's next message
    "clock_ahead",  # the device's clock is less than 120 s ahead
    "clock_far_ahead",  # … 1,024 weeks ahead (a GPS week that rolled over): rejected
    "clock_behind",  # … behind, inside the kind's lateness
    "frozen",  # the value of the recipe's beginning, again and again
    "spike",  # a value near the top of the plausible range
    "drift",  # a value that leaves the truth more and more
    "calibration",  # the device says that it calibrates: set aside
    "malformed",  # cut short on the way: no JSON any more
    "unknown_measure",  # a unit of measure that cannot be converted
    "unknown_unit",  # a unit's code that the place does not have
    "reconnect",  # sources hold their messages and send them at once, in order
    "outage",  # the broker is away: all sources do
    "rename",  # a unit's sources speak under another unit's code
]

HOLDS = ("reconnect", "outage")
ALTERS = ("frozen", "spike", "drift", "calibration", "clock_ahead", "clock_far_ahead", "clock_behind", "reorder",
          "unknown_measure")  # fmt: skip
"""What only a measuring device can do: desks have neither a clock that errs nor values in units of measure."""

AHEAD_S_MAX = 110
GPS_ROLL_OVER_S = 1_024 * 7 * 86_400
HOLD_S_MAX = 6 * 3_600
DAY_S = 86_400


class Fault(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One recipe. From `after_s` after the city's start (or the first local midnight after it) on, for `for_s`
    seconds, `sources` sources (0: all) of `kind` (empty: every kind that can), in `unit` or called `source` where
    these are given. Of their messages `messages` in all are hit, spread evenly over the sources (0: every one).

    `by_s` is how late, or how far off a clock is; 0 for what follows from the kind. `to_unit` is the new code of a
    renamed unit; `sources` of it, at least one, go on under the old one for `straggle_s`.
    """

    recipe: Recipe
    kind: str = ""
    unit: str = ""
    source: str = ""
    sources: int = 1
    messages: int = 0
    after_s: int = 0
    at_midnight: bool = False
    for_s: int = 600
    by_s: int = 0
    to_unit: str = ""
    straggle_s: int = 0


def check_faults(faults: list[Fault], place: Place, kinds: Mapping[str, Kind]) -> list[Problem]:
    """What recipes may say wrongly though every member has the right type. Whether a `source` is there hangs on how
    many devices the city has: the city says it."""
    problems = []
    a_unit = f"the code of a unit of {place.id}"
    for number, fault in enumerate(faults, start=1):
        is_rename = fault.recipe == "rename"
        able = [kind.id for kind in kinds.values() if _can_have(fault, kind)]
        checks = {
            "kind": (fault.kind in ("", *able), f"one of {', '.join(able)}: what can have {fault.recipe}"),
            "sources": (0 <= fault.sources <= 50_000, "0 (all) to 50000"),
            "messages": (0 <= fault.messages <= 1_000_000, "0 (every one) to 1000000"),
            "after_s": (0 <= fault.after_s <= 366 * DAY_S, "0 to a year of seconds"),
            "for_s": (1 <= fault.for_s <= (HOLD_S_MAX if fault.recipe in HOLDS else 31 * DAY_S),
                      f"1 to {31 * DAY_S} seconds; {HOLD_S_MAX} for {' and '.join(HOLDS)}"),
            "by_s": (0 <= fault.by_s <= (AHEAD_S_MAX if fault.recipe == "clock_ahead" else GPS_ROLL_OVER_S),
                     f"0 or more seconds; up to {AHEAD_S_MAX} for clock_ahead"),
            "to_unit": (fault.to_unit in place.units.keys() - {fault.unit} if is_rename else not fault.to_unit,
                        f"the new code, {a_unit}, for rename and only there"),
            "unit": (fault.unit in place.units or not (fault.unit or is_rename), f"{a_unit}; rename needs one"),
            "straggle_s": (0 <= fault.straggle_s <= (fault.for_s if is_rename else 0), "0 to for_s, only for rename"),
        }  # fmt: skip
        problems += [
            Problem(f"faults[{number}].{where}", f"expected {expected}")
            for where, (holds, expected) in checks.items() if not holds
        ]  # fmt: skip
    return problems


def can_hit(fault: Fault, kind: Kind) -> bool:
    """Whether a recipe concerns sources of this kind."""
    return fault.kind in ("", kind.id) and _can_have(fault, kind)


def _can_have(fault: Fault, kind: Kind) -> bool:
    return kind.format == "senml" or fault.recipe not in ALTERS


def shift_ms(fault: Fault, kind: Kind) -> int:
    """How late a message is, or how far off a clock: as the recipe says, or as the kind has it.

    Devices speak at whole minutes of their own: a clock that is off by 25 s more or 45 s never says another's time.
    """
    if fault.by_s:
        return fault.by_s * 1000
    cadence, lateness = kind.cadence_s * 1000, kind.lateness_s * 1000
    if fault.recipe == "delay":
        return lateness * 2 // 5
    if fault.recipe == "delay_beyond":
        return lateness * 3 // 2 + cadence
    if fault.recipe == "reorder":
        return cadence * 3 // 2
    if fault.recipe == "clock_ahead":
        return 45_000
    if fault.recipe == "clock_behind":
        return lateness * 2 // 5 // 60_000 * 60_000 + 25_000
    return GPS_ROLL_OVER_S * 1000 if fault.recipe == "clock_far_ahead" else 0
