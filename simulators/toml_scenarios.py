"""Reads scenarios and the city's equipment from TOML; every fault is told with its file and place."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from sensors.csv_place import shipped_place
from sensors.definition import Problem, convert
from sensors.errors import DefinitionError, Fault, SettingsError
from sensors.place import Place
from sensors.toml_definitions import load_kinds, read_toml
from simulators.city import City
from simulators.equipment import Equipment, check_equipment
from simulators.scenario import Scenario, check_scenario

T = TypeVar("T", bound=msgspec.Struct)
SHIPPED_SCENARIOS = Path(__file__).parent / "scenarios"
SHIPPED_EQUIPMENT = Path(__file__).parent / "equipment.toml"
RATE_MIN, RATE_MAX = 0.01, 20_000


def scenario_names() -> list[str]:
    """The shipped scenarios."""
    return sorted(path.stem for path in SHIPPED_SCENARIOS.glob("*.toml"))


def load_scenario(name: str) -> Scenario:
    """A shipped scenario by its name, or one's own by its file, for the place and the kinds that are simulated: the
    shipped ones. Raises SettingsError or DefinitionError."""
    path = _path(name)
    if not path.is_file():
        raise SettingsError(
            f"--scenario {name}: không có kịch bản này / no such scenario; "
            f"có / there are {', '.join(scenario_names())}, hoặc một tệp / or a file of your own: FILE.toml"
        )
    place, kinds = shipped_place(), load_kinds()
    return _load(Scenario, path, lambda scenario: check_scenario(scenario, place, kinds), id=path.stem)


def load_equipment(place: Place, path: Path = SHIPPED_EQUIPMENT) -> Equipment:
    """The city's equipment; raises DefinitionError."""
    return _load(Equipment, path, lambda equipment: check_equipment(equipment, place))


def load_city(name: str, seed: int, start: int, rate: float | None, round_the_clock: bool) -> tuple[Scenario, City]:
    """A scenario as `load_scenario` has it, and its city, of which every fault recipe concerns some source.

    `start` in ms UTC, `rate` in messages a second; raises SettingsError or DefinitionError.
    """
    if rate is not None and not RATE_MIN <= rate <= RATE_MAX:
        raise SettingsError(f"--rate {rate:g}: {RATE_MIN:g} đến / to {RATE_MAX}")
    place, told = shipped_place(), load_scenario(name)
    city = City(place, load_kinds(), told, load_equipment(place), seed, start, rate, round_the_clock)
    idle = city.idle_faults()
    if idle:
        expected = "expected a kind, unit and source that some source of the city has"
        raise DefinitionError([Fault(str(_path(name)), f"faults[{number}]", expected) for number in idle])
    return told, city


def _path(name: str) -> Path:
    return Path(name) if name.endswith(".toml") else SHIPPED_SCENARIOS / f"{name}.toml"


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
