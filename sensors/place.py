"""The place: units, districts, titles, departments, calendar, fields and targets, all as dated data.

Files: `sensors/places/<place>/`. Nothing that law or organisation says is a constant in code (architecture §6).
Dates are inclusive on both ends and in the place's own time zone; an open end is None.
"""

from datetime import date

import msgspec


class Dated(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A fact with its validity and its source."""

    valid_from: date | None = None
    valid_to: date | None = None
    source: str = ""

    def holds_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day <= self.valid_to)


class Title(Dated, frozen=True, kw_only=True):
    """What the place calls itself, and its operations centre, in a period."""

    name_vi: str
    name_en: str
    centre_vi: str
    centre_en: str


class Unit(Dated, frozen=True, kw_only=True):
    """A commune-level unit: `code` five digits; `kind_vi` Phường, Xã or Đặc khu; `district` the former one's code."""

    code: str
    name: str
    kind_vi: str
    district: str
    population: int
    area_km2: float
    lat: float
    lon: float


class District(Dated, frozen=True, kw_only=True):
    """A former district-level unit (three-digit code), kept so that old figures and today's add up."""

    code: str
    name: str
    kind_vi: str


class Department(Dated, frozen=True, kw_only=True):
    """A department, an authority or an office that can own an alert or a target."""

    id: str
    name_vi: str
    name_en: str


class Field(Dated, frozen=True, kw_only=True):
    """A field (lĩnh vực) of public services."""

    id: str
    name_vi: str
    name_en: str


class Holiday(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A day off, or, with `is_working`, a weekend day that is worked in exchange."""

    day: date
    name_vi: str
    name_en: str
    is_working: bool = False
    source: str = ""


class Target(Dated, frozen=True, kw_only=True):
    """One public target of the resolution, as the resolution puts it."""

    id: str
    name_vi: str
    name_en: str
    comparator: str
    value: float | None
    ucum: str
    due: str
    scope: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about one place. `code` is the whole place's own code ("22"); `zone` an IANA time zone."""

    id: str
    code: str
    zone: str
    titles: list[Title]
    units: dict[str, Unit]
    districts: dict[str, District]
    departments: dict[str, Department]
    fields: dict[str, Field]
    holidays: list[Holiday]
    targets: dict[str, Target]
    opening_hours: list[tuple[str, str]]

    def title_on(self, day: date) -> Title:
        """The place's title on a day (tỉnh until 31 August 2026, thành phố from 1 September 2026)."""
        return next(title for title in self.titles if title.holds_on(day))

    def is_working_day(self, day: date) -> bool:
        """Monday to Friday without holidays, and the weekend days that are worked in exchange."""
        listed = next((holiday for holiday in self.holidays if holiday.day == day), None)
        return listed.is_working if listed is not None else day.weekday() < 5

    def scope_name(self, code: str, day: date) -> str:
        """A unit's, a former district's or the whole place's full name in Vietnamese."""
        if code in self.units:
            return f"{self.units[code].kind_vi} {self.units[code].name}"
        if code in self.districts:
            return f"{self.districts[code].kind_vi} {self.districts[code].name}"
        return self.title_on(day).name_vi
