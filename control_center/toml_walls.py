"""Reads the walls: the shipped ones and the city's own, laid over them by name."""

from collections.abc import Mapping
from pathlib import Path

from control_center.wall import Wall, check_walls
from sensors.errors import DefinitionError, Fault
from sensors.toml_definitions import gather
from streams.kpi import Kpi

SHIPPED_WALLS = Path(__file__).parent / "walls"


def load_walls(kpis: Mapping[str, Kpi], overlay: Path | None = None) -> dict[str, Wall]:
    """The walls by id; the city's folder `overlay` may hold `walls/`. Raises DefinitionError with all faults."""
    walls, faults = read_walls(kpis, overlay)
    if faults:
        raise DefinitionError(faults)
    return walls


def read_walls(kpis: Mapping[str, Kpi] | None, overlay: Path | None = None) -> tuple[dict[str, Wall], list[Fault]]:
    """The walls by id and all faults; without the KPIs (these have faults themselves), those of the files alone."""
    folders = [SHIPPED_WALLS] if overlay is None else [SHIPPED_WALLS, overlay / "walls"]
    found = gather(Wall, folders)
    home = {f"walls/{stem}.toml": path for stem, path in found.files.items()}
    wrong = check_walls(found.items, kpis) if kpis is not None else []
    return found.items, [*found.faults, *(fault._replace(file=home[fault.file]) for fault in wrong)]
