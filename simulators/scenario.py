"""A scenario: what is different today, as one TOML file in `simulators/scenarios/` (the stem is the id)."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from sensors.definition import Problem
from sensors.kind import Kind
from sensors.place import Place
from simulators.fault import Fault, check_faults

YEAR_H = 24 * 366
Weekday = Literal["", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Storm(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A storm that crosses the place `after_h` hours after the city's start, and again every `every_h` (0: once).

    Its centre moves from the first point to the second; at the centre it rains `peak_mm_h` at its height, and
    `radius_km` away about a third of that.
    """

    after_h: float
    hours: float
    peak_mm_h: float
    radius_km: float
    from_lat: float
    from_lon: float
    to_lat: float
    to_lon: float
    every_h: float = 0.0


class Trouble(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What goes wrong: shares of all messages, and device troubles by the day."""

    late_share: float = 0.0
    late_up_to_s: int = 600
    duplicate_share: float = 0.0
    malformed_share: float = 0.0
    calibrations_per_day: float = 0.0
    calibration_min: int = 20
    silent_sources: int = 0
    silent_h: float = 2.0


class Crowd(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """People come to some `units` between two local hours of each day: `traffic` and `visitors` multiply vehicles and
    (all day) tickets there; `on_duty` desks serve on free days too."""

    units: list[str]
    from_h: float = 0.0
    to_h: float = 24.0
    traffic: float = 1.0
    visitors: float = 1.0
    on_duty: bool = False


class Scenario(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`wetness` −1 (dry) to 1 (wet) shifts ordinary rain; `traffic` and `visitors` multiply vehicles and tickets;
    `every_day_is` makes each day that weekday, and a working day unless it is at the weekend.

    Of `trouble`: `late_share` of all messages come up to `late_up_to_s` late, `duplicate_share` come twice,
    `malformed_share` are spoiled; an air station calibrates for `calibration_min` minutes `calibrations_per_day`
    times a day on average; `silent_sources` devices say nothing for `silent_h` hours of each day. `faults` come on
    top, in exact counts: of a message that two of them would hit, the first has it, and chance has no part in it.
    """

    id: str
    name_vi: str
    name_en: str
    description_vi: str = ""
    description_en: str = ""
    wetness: float = 0.0
    traffic: float = 1.0
    visitors: float = 1.0
    every_day_is: Weekday = ""
    storm: Storm | None = None
    trouble: Trouble = Trouble()
    crowds: list[Crowd] = []
    faults: list[Fault] = []


def check_scenario(scenario: Scenario, place: Place, kinds: Mapping[str, Kind]) -> list[Problem]:
    """What a scenario may say wrongly though every member has the right type."""
    trouble, storm = scenario.trouble, scenario.storm
    checks = {
        "name_vi": (bool(scenario.name_vi), "a name in Vietnamese"),
        "name_en": (bool(scenario.name_en), "a name in English"),
        "wetness": (-1 <= scenario.wetness <= 1, "-1 to 1"),
        "traffic": (0 <= scenario.traffic <= 10, "0 to 10"),
        "visitors": (0 <= scenario.visitors <= 20, "0 to 20"),
        "trouble.late_share": (0 <= trouble.late_share <= 1, "0 to 1"),
        "trouble.late_up_to_s": (1 <= trouble.late_up_to_s <= 3600, "1 to 3600 seconds"),
        "trouble.duplicate_share": (0 <= trouble.duplicate_share <= 1, "0 to 1"),
        "trouble.malformed_share": (0 <= trouble.malformed_share <= 1, "0 to 1"),
        "trouble": (trouble.late_share + trouble.duplicate_share + trouble.malformed_share <= 1, "shares up to 1"),
        "trouble.calibrations_per_day": (0 <= trouble.calibrations_per_day <= 1, "0 to 1 per station"),
        "trouble.calibration_min": (1 <= trouble.calibration_min <= 240, "1 to 240 minutes"),
        "trouble.silent_sources": (0 <= trouble.silent_sources <= 1000, "0 to 1000"),
        "trouble.silent_h": (0 <= trouble.silent_h <= 24, "0 to 24 hours"),
    }
    if storm is not None:
        checks |= {
            "storm.hours": (0 < storm.hours <= 240, "more than 0, up to 240 hours"),
            "storm.after_h": (0 <= storm.after_h <= YEAR_H, "0 to a year of hours"),
            "storm.every_h": (storm.every_h == 0 or storm.hours <= storm.every_h <= YEAR_H,
                              "0, or at least the storm's hours, up to a year of them"),
            "storm.peak_mm_h": (0 < storm.peak_mm_h <= 200, "more than 0, up to 200 mm an hour"),
            "storm.radius_km": (0 < storm.radius_km <= 2_000, "more than 0, up to 2000 km"),
            "storm.from_lat": (-90 <= storm.from_lat <= 90, "-90 to 90 degrees"),
            "storm.from_lon": (-180 <= storm.from_lon <= 180, "-180 to 180 degrees"),
            "storm.to_lat": (-90 <= storm.to_lat <= 90, "-90 to 90 degrees"),
            "storm.to_lon": (-180 <= storm.to_lon <= 180, "-180 to 180 degrees"),
        }  # fmt: skip
    for number, crowd in enumerate(scenario.crowds, start=1):
        checks |= {
            f"crowds[{number}].units": (bool(crowd.units), "at least one unit's code"),
            f"crowds[{number}].to_h": (0 <= crowd.from_h < crowd.to_h <= 24, "later than from_h, up to 24"),
            f"crowds[{number}].traffic": (0 <= crowd.traffic <= 10, "0 to 10"),
            f"crowds[{number}].visitors": (0 <= crowd.visitors <= 20, "0 to 20"),
        }
        checks |= {
            f"crowds[{number}].units[{at}]": (code in place.units, f"the code of a unit of {place.id}, not {code}")
            for at, code in enumerate(crowd.units, start=1)
        }
    problems = [Problem(where, f"expected {expected}") for where, (holds, expected) in checks.items() if not holds]
    return problems + check_faults(scenario.faults, place, kinds)
