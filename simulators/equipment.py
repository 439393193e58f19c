"""What the city is equipped with (equipment.toml): devices of each kind and where, and how its desks are used."""

from typing import Literal

import msgspec
import numpy as np

from sensors.definition import Problem
from sensors.kind import Kind
from sensors.place import Place

MEASURED = ("air", "traffic", "rain", "level", "slope", "noise")


class Stations(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """`count` devices of one kind, spread over `units` (all, when empty) and called `name`-1, `name`-2, … in each."""

    count: int
    name: str
    spread: Literal["population", "area", "even"]
    units: list[str] = []
    source: str = ""


class Desks(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One-stop desks, one in every unit: tickets of a working day in the whole place and what becomes of them."""

    tickets_per_day: float
    patience_min: float
    ratings_per_served: float
    portal_ratings_per_day: float
    source: str = ""


class FieldHabits(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A field's share of tickets (any scale), mean minutes at the counter, and the share of satisfied people."""

    share: float
    service_min: float
    satisfied: float


class Equipment(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """The whole of equipment.toml."""

    stations: dict[str, Stations]
    desks: Desks
    fields: dict[str, FieldHabits]


def check_equipment(equipment: Equipment, place: Place) -> list[Problem]:
    """What the file may say wrongly though every member has the right type."""
    problems = []
    for kind, stations in equipment.stations.items():
        at = f"stations.{kind}"
        if kind not in MEASURED:
            problems.append(Problem(at, f"expected one of {', '.join(MEASURED)}"))
        if not 1 <= stations.count <= 50_000:
            problems.append(Problem(f"{at}.count", "expected 1 to 50000"))
        problems += [Problem(f"{at}.units", f"{code} is no unit of {place.id}") for code in stations.units
                     if code not in place.units]  # fmt: skip
    for field, habits in equipment.fields.items():
        if field not in place.fields:
            problems.append(Problem(f"fields.{field}", f"expected a field of {place.id}"))
        if not (habits.share >= 0 and habits.service_min > 0 and 0 <= habits.satisfied <= 1):
            problems.append(Problem(f"fields.{field}", "expected share >= 0, service_min > 0, satisfied 0 to 1"))
    return problems


def mean_rate(equipment: Equipment, kinds: dict[str, Kind]) -> float:
    """Messages a second of all devices in dry weather (desks come on top: they speak when somebody comes)."""
    return sum(stations.count / kinds[kind].cadence_s for kind, stations in equipment.stations.items() if kind in kinds)


def spread(stations: Stations, place: Place, factor: float) -> list[tuple[int, str]]:
    """(index of the unit, name) of every device, `factor` times the count: largest remainders, so the sum is exact."""
    units = list(place.units.values())
    chosen = [number for number, unit in enumerate(units) if not stations.units or unit.code in stations.units]
    chosen = chosen or list(range(len(units)))
    weights = np.array([_weight(stations, units[number].population, units[number].area_km2) for number in chosen])
    total = max(1, round(stations.count * factor))
    exact = weights / weights.sum() * total
    counts = np.floor(exact).astype(int)
    rest = np.argsort(-(exact - counts), kind="stable")[: total - int(counts.sum())]
    counts[rest] += 1
    return [
        (number, f"{stations.name}-{ordinal}")
        for number, count in zip(chosen, counts.tolist(), strict=True)
        for ordinal in range(1, count + 1)
    ]


def _weight(stations: Stations, population: int, area_km2: float) -> float:
    """By population or area, softened: a small unit has fewer devices, but not none."""
    by = {"population": population, "area": area_km2, "even": 1.0}[stations.spread]
    return float(max(by, 1e-9) ** 0.7)
