"""What a place's rows must agree on with each other: parents, dates, titles, opening hours."""

import re
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sensors.errors import Fault
from sensors.place import Dated, Place

_UNIT_CODE = re.compile(r"[0-9]{5}")
_DISTRICT_CODE = re.compile(r"[0-9]{3}")
_HOUR = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def check_place(place: Place) -> list[Fault]:
    """All faults; `file` is the name of the file within the place's folder."""
    return [*_head(place), *_units(place), *_districts(place), *_dates(place)]


def _head(place: Place) -> list[Fault]:
    faults = []
    try:
        ZoneInfo(place.zone)
    except (ZoneInfoNotFoundError, ValueError):
        faults.append(Fault("place.toml", "zone", "an IANA time zone, for example Asia/Ho_Chi_Minh"))
    if not place.code:
        faults.append(Fault("place.toml", "code", "the whole place's own code"))
    flat = [hour for period in place.opening_hours for hour in period]
    if not flat or not all(_HOUR.fullmatch(hour) for hour in flat) or flat != sorted(set(flat)):
        faults.append(Fault("place.toml", "opening_hours", "periods of HH:MM, ascending, that do not overlap"))
    return faults + _titles(place)


def _titles(place: Place) -> list[Fault]:
    """Every day has exactly one title: the first is open at its start, the last at its end, no gap between."""
    titles = place.titles
    if not titles or titles[0].valid_from is not None or titles[-1].valid_to is not None:
        return [Fault("place.toml", "titles", "a first title without valid_from and a last one without valid_to")]
    return [
        Fault("place.toml", f"titles[{number}].valid_from", "the day after the title before it ends")
        for number, (before, after) in enumerate(pairwise(titles), start=2)
        if before.valid_to is None or after.valid_from is None or (after.valid_from - before.valid_to).days != 1
    ]


def _units(place: Place) -> list[Fault]:
    faults = []
    for unit in place.units.values():
        checks = {
            "code": (_UNIT_CODE.fullmatch(unit.code), "five digits"),
            "district": (unit.district in place.districts, "the code of a district in districts.csv"),
            "population": (unit.population >= 0, "0 or more people"),
            "area_km2": (unit.area_km2 > 0, "an area above 0"),
            "lat": (-90 <= unit.lat <= 90, "degrees from -90 to 90"),
            "lon": (-180 <= unit.lon <= 180, "degrees from -180 to 180"),
        }
        faults += [
            Fault("units.csv", f"{unit.code}.{name}", expected)
            for name, (holds, expected) in checks.items()
            if not holds
        ]
    return faults


def _districts(place: Place) -> list[Fault]:
    return [
        Fault("districts.csv", f"{code}.code", "three digits, and not the place's own code")
        for code in place.districts
        if not _DISTRICT_CODE.fullmatch(code) or code == place.code
    ]


def _dates(place: Place) -> list[Fault]:
    rows: list[tuple[str, str, Dated]] = []
    rows += [("units.csv", key, row) for key, row in place.units.items()]
    rows += [("districts.csv", key, row) for key, row in place.districts.items()]
    rows += [("departments.csv", key, row) for key, row in place.departments.items()]
    rows += [("fields.csv", key, row) for key, row in place.fields.items()]
    rows += [("targets.csv", key, row) for key, row in place.targets.items()]
    return [
        Fault(file, f"{key}.valid_to", "a day not before valid_from")
        for file, key, row in rows
        if row.valid_from is not None and row.valid_to is not None and row.valid_to < row.valid_from
    ]
