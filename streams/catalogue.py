"""The definitions, compiled once: indices for kinds, quantities, units and fields, and the series that KPIs need."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sensors.key import key_of
from sensors.kind import Kind
from sensors.place import Place
from streams.alert import Rule
from streams.columns import Ints
from streams.kpi import Kpi
from streams.pane import Bound, SeriesSpec

AQI_POLLUTANTS = ("pm25", "pm10", "o3", "co", "so2", "no2")
NOWCAST_HOURS = 12
ZONE_MS = {"Asia/Ho_Chi_Minh": 7 * 3_600_000}
"""Fixed offsets: Vietnam has kept UTC+7 without daylight saving since 1975."""


@dataclass(frozen=True)
class Catalogue:
    """Everything the core needs to know, in the order its columns use.

    `quantity_ids` are "<kind>/<quantity>"; `lateness_ms`, `settle_ms` are by kind; `series_of` gives, for every
    KPI, its series (six for VN_AQI, in the order of AQI_POLLUTANTS).
    """

    place: Place
    kinds: dict[str, Kind]
    kpis: dict[str, Kpi]
    rules: dict[str, Rule]
    zone_ms: int
    kind_index: dict[str, int]
    unit_codes: tuple[str, ...]
    unit_index: dict[str, int]
    field_index: dict[str, int]
    quantity_ids: tuple[str, ...]
    quantity_index: dict[tuple[str, str], int]
    lateness_ms: Ints
    settle_ms: Ints
    series: dict[str, SeriesSpec]
    series_of: dict[str, tuple[str, ...]]
    scope_codes: tuple[str, ...]
    scope_of_unit: Ints

    @property
    def quantity_keys(self) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
        """Stable hashes of the quantities, for identities."""
        return np.array([key_of(name) for name in self.quantity_ids], dtype=np.uint64)


def compile_catalogue(place: Place, kinds: dict[str, Kind], kpis: dict[str, Kpi], rules: dict[str, Rule]) -> Catalogue:
    """Index the (already checked) definitions."""
    unit_codes = tuple(sorted(place.units))
    quantity_ids = tuple(f"{kind}/{quantity}" for kind in sorted(kinds) for quantity in sorted(kinds[kind].quantities))
    series, series_of = _series(kpis, kinds)
    districts = tuple(sorted(place.districts))
    return Catalogue(
        place=place,
        kinds=kinds,
        kpis=kpis,
        rules=rules,
        zone_ms=ZONE_MS[place.zone],
        kind_index={kind: index for index, kind in enumerate(sorted(kinds))},
        unit_codes=unit_codes,
        unit_index={code: index for index, code in enumerate(unit_codes)},
        field_index={"": 0} | {field: index for index, field in enumerate(sorted(place.fields), start=1)},
        quantity_ids=quantity_ids,
        quantity_index={(name.split("/")[0], name.split("/")[1]): index for index, name in enumerate(quantity_ids)},
        lateness_ms=np.array([kinds[kind].lateness_s * 1000 for kind in sorted(kinds)], dtype=np.int64),
        settle_ms=np.array([kinds[kind].settle_s * 1000 for kind in sorted(kinds)], dtype=np.int64),
        series=series,
        series_of=series_of,
        scope_codes=(*districts, place.code),
        scope_of_unit=np.array([districts.index(place.units[code].district) for code in unit_codes], dtype=np.int64),
    )


def _series(kpis: dict[str, Kpi], kinds: dict[str, Kind]) -> tuple[dict[str, SeriesSpec], dict[str, tuple[str, ...]]]:
    wanted: dict[str, list[tuple[Kpi, str]]] = {}
    series_of: dict[str, tuple[str, ...]] = {}
    for kpi in kpis.values():
        quantities = AQI_POLLUTANTS if kpi.measure == "vn_aqi" else (kpi.quantity,)
        by = "source" if kpi.across else "unit"
        names = tuple(f"{kpi.kind}/{quantity}/{kpi.pane_s}/{by}" for quantity in quantities)
        series_of[kpi.id] = names
        for name, quantity in zip(names, quantities, strict=True):
            wanted.setdefault(name, []).append((kpi, quantity))
    return {name: _spec([kpi for kpi, _ in users], users[0][1], kinds) for name, users in wanted.items()}, series_of


def _spec(users: list[Kpi], quantity: str, kinds: dict[str, Kind]) -> SeriesSpec:
    first = users[0]
    kind = kinds[first.kind]
    reach_s = max(reach_ms(kpi) // 1000 for kpi in users) + kind.lateness_s + kind.settle_s
    quantiles = any(kpi.measure in ("p50", "p90", "p95") for kpi in users)
    return SeriesSpec(
        kind=first.kind,
        quantity=quantity,
        pane_ms=first.pane_s * 1000,
        by_source=bool(first.across),
        by_field=any(kpi.field for kpi in users),
        reach=reach_s // first.pane_s + 3,
        bounds=tuple(_unique(bound_of(kpi) for kpi in users if kpi.measure == "share")),
        bin_high=kind.quantities[quantity].high if quantiles else 0.0,
    )


def reach_ms(kpi: Kpi) -> int:
    """How far before a window's end its value looks: the window, or the Nowcast's twelve hours."""
    return NOWCAST_HOURS * 3_600_000 if kpi.measure == "vn_aqi" else kpi.window_s * 1000


def bound_of(kpi: Kpi) -> Bound:
    """A share's bound as it stands in a series' list of bounds."""
    return (kpi.at_most, kpi.at_least)


def _unique(items: Iterable[Bound]) -> list[Bound]:
    return list(dict.fromkeys(items))
