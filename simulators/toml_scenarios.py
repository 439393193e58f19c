"""Reads scenarios and the city's equipment from TOML; every fault is told with its file and place."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from sensors.definition import Problem, convert
from sensors.errors import DefinitionError, Fault, SettingsError
from sensors.place import Place
from sensors.toml_definitions import read_toml
from simulators.equipment import Equipment, check_equipment
from simulators.scenario import Scenario, check_scenario

T = TypeVar("T", bound=msgspec.Struct)
SHIPPED_SCENARIOS = Path(__file__).parent / "scenarios"
SHIPPED_EQUIPMENT = Path(__file__).parent / "equipment.toml"


def scenario_names() -> list[str]:
    """The shipped scenarios."""
    return sorted(path.stem for path in SHIPPED_SCENARIOS.glob("*.toml"))


def load_scenario(name: str) -> Scenario:
    """A shipped scenario by its name, or one's own by its file; raises SettingsError or DefinitionError."""
    path = Path(name) if name.endswith(".toml") else SHIPPED_SCENARIOS / f"{name}.toml"
    if not path.is_file():
        raise SettingsError(
            f"--scenario {name}: không có kịch bản này / no such scenario; "
            f"có / there are {', '.join(scenario_names())}, hoặc một tệp / or a file of your own: FILE.toml"
        )
    return _load(Scenario, path, check_scenario, id=path.stem)


def load_equipment(place: Place, path: Path = SHIPPED_EQUIPMENT) -> Equipment:
    """The city's equipment; raises DefinitionError."""
    return _load(Equipment, path, lambda equipment: check_equipment(equipment, place))


def _load(type_: type[T], path: Path, check: Callable[[T], list[Problem]], **more: str) -> T:
    raw, faults = read_toml(path)
    if faults:
        raise DefinitionError(faults)
    item, problems = convert({**raw, **more}, type_)
    if item is not None:
        problems = check(item)
    if item is None or problems:
        raise DefinitionError([Fault(str(path), problem.place, problem.expected) for problem in problems])
    return item
