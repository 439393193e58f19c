"""A wall: what one screen shows, one TOML file in `control_center/walls/` (the stem is the id), and its geometry.

A letter can be read where its capital height h, seen from D, subtends enough: θ = 2·atan(h / 2D). Names and alerts
must reach `ARC_MINUTES_MIN` for the one who sits farthest; a layout that would not is refused at start. Every size
on the page is in rem, and one rem is 1/90 of the wall's height, so the geometry follows from two lengths.
"""

import math
from collections.abc import Mapping
from typing import Literal

import msgspec

from sensors.errors import Fault
from streams.kpi import Kpi

Layout = Literal["standard", "far"]
PanelKind = Literal["tile", "map", "trend", "alerts", "ledger"]

ARC_MINUTES_MIN = 16.0
REM_PER_HEIGHT = 90
CAPITAL_OF_FONT = 0.70  # Barlow Semi Condensed

FONT_REM: dict[Layout, dict[str, float]] = {
    "standard": {"value": 6.2, "name": 2.65, "detail": 2.1},
    "far": {"value": 12.45, "name": 5.4},
}
"""Font sizes by layout. `name` is also the size of the alerts: what must be read; details may be smaller."""

TILES_MAX: dict[Layout, int] = {"standard": 12, "far": 4}
ALERTS_SENT_MAX = 200
FOLLOWED = ("a:", "l:", "b:", "p:", "s:", "f:")
"""Every wall follows alerts, ledger, bridges, progress, silent sources and the centre's own faults."""


class Panel(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One panel. A `tile` or `trend` shows `kpi`; `hours` is how far a trend looks back; `rows` of an alert list."""

    kind: PanelKind
    kpi: str = ""
    hours: int = 6
    rows: int = 5


class Wall(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A wall. `height_mm` of the picture, `distance_mm` from the farthest seat; `layout` "auto" follows from them."""

    id: str
    name_vi: str
    name_en: str
    height_mm: float
    distance_mm: float
    panels: list[Panel]
    layout: Literal["auto", "standard", "far"] = "auto"


def arc_minutes(wall: Wall, layout: Layout, text: str) -> float:
    """How large capitals of a text ("value", "name", "detail") are from the farthest seat."""
    capital_mm = FONT_REM[layout][text] * CAPITAL_OF_FONT * wall.height_mm / REM_PER_HEIGHT
    return math.degrees(2 * math.atan(capital_mm / (2 * wall.distance_mm))) * 60


def layout_of(wall: Wall) -> Layout | None:
    """The densest layout, of those the wall allows, whose names can be read; None when there is none."""
    allowed: tuple[Layout, ...] = ("standard", "far") if wall.layout == "auto" else (wall.layout,)
    return next((layout for layout in allowed if arc_minutes(wall, layout, "name") >= ARC_MINUTES_MIN), None)


def kpis_of(wall: Wall) -> list[str]:
    """The KPIs it shows, each once, in order."""
    return list(dict.fromkeys(panel.kpi for panel in wall.panels if panel.kpi))


def keys_of(wall: Wall, place_code: str) -> frozenset[str]:
    """The KPI keys of the live store that it follows: the place's own figures."""
    return frozenset(f"k:{kpi}@{place_code}" for kpi in kpis_of(wall))


def check_walls(walls: Mapping[str, Wall], kpis: Mapping[str, Kpi]) -> list[Fault]:
    """Every fault of every wall; `file` is "walls/<id>.toml"."""
    return [fault for wall in walls.values() for fault in _faults(wall, kpis)]


def _faults(wall: Wall, kpis: Mapping[str, Kpi]) -> list[Fault]:
    file = f"walls/{wall.id}.toml"
    if not (wall.height_mm > 0 and wall.distance_mm > 0):
        return [Fault(file, "height_mm, distance_mm", "lengths in mm, above 0")]
    layout = layout_of(wall)
    if layout is None:
        return [Fault(file, "layout", _unreadable(wall))]
    found = []
    tiles = sum(panel.kind == "tile" for panel in wall.panels)
    if tiles > TILES_MAX["standard"]:
        found.append(Fault(file, "panels", f"at most {TILES_MAX['standard']} tiles, not {tiles}"))
    for number, panel in enumerate(wall.panels, start=1):
        needs_kpi = panel.kind in ("tile", "trend")
        if needs_kpi and panel.kpi not in kpis:
            found.append(Fault(file, f"panels[{number}].kpi", f"a KPI's id, not {panel.kpi!r}"))
        if not needs_kpi and panel.kpi:
            found.append(Fault(file, f"panels[{number}].kpi", f"nothing: a {panel.kind} panel shows no KPI"))
        if not (1 <= panel.hours <= 168 and 1 <= panel.rows <= 20):
            found.append(Fault(file, f"panels[{number}]", "hours from 1 to 168, rows from 1 to 20"))
    return found


def _unreadable(wall: Wall) -> str:
    layout: Layout = "standard" if wall.layout == "standard" else "far"
    reached = arc_minutes(wall, layout, "name")
    nearest = wall.distance_mm * reached / ARC_MINUTES_MIN
    return (
        f"names of at least {ARC_MINUTES_MIN:.0f}′: layout {layout} on a wall {wall.height_mm:.0f} mm high gives "
        f"{reached:.1f}′ at {wall.distance_mm:.0f} mm; sit within {nearest:.0f} mm, or take a higher wall"
    )
