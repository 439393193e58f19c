"""Reads a place's folder: `place.toml` and one CSV table each of units, districts, departments, fields, ….

A city's own folder may have any of these files; such a file takes the place of the whole shipped one.
"""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from sensors.definition import convert
from sensors.errors import DefinitionError, Fault
from sensors.place import Department, District, Field, Holiday, Place, Target, Title, Unit
from sensors.place_check import check_place
from sensors.toml_definitions import read_toml

T = TypeVar("T", bound=msgspec.Struct)
SHIPPED_PLACE = Path(__file__).parent / "places" / "quang-ninh"
MAP_FILE = "map_schematic.json"


class Head(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What `place.toml` says."""

    code: str
    zone: str
    titles: list[Title]
    opening_hours: list[tuple[str, str]]


class GatheredPlace(NamedTuple):
    """A place and all faults of its files; the place is None when there are any."""

    place: Place | None
    faults: list[Fault]


def shipped_place() -> Place:
    """Quảng Ninh as it comes with the package."""
    return load_place(SHIPPED_PLACE)


def load_place(folder: Path, overlay: Path | None = None) -> Place:
    """Read a place; raises DefinitionError with all faults of all its files. The folder's name is the place's id."""
    gathered = gather_place(folder, overlay)
    if gathered.place is None:
        raise DefinitionError(gathered.faults)
    return gathered.place


def gather_place(folder: Path, overlay: Path | None = None) -> GatheredPlace:
    """As `load_place`, without raising."""
    folders = [folder] if overlay is None else [folder, overlay]
    faults: list[Fault] = []
    head = _head(pick(folders, "place.toml"), faults)
    units = _table(Unit, "code", pick(folders, "units.csv"), faults)
    districts = _table(District, "code", pick(folders, "districts.csv"), faults)
    departments = _table(Department, "id", pick(folders, "departments.csv"), faults)
    fields = _table(Field, "id", pick(folders, "fields.csv"), faults)
    holidays = _table(Holiday, "day", pick(folders, "holidays.csv"), faults)
    targets = _table(Target, "id", pick(folders, "targets.csv"), faults)
    if head is None or faults:
        return GatheredPlace(None, faults)
    place = Place(
        id=folder.name,
        code=head.code,
        zone=head.zone,
        titles=head.titles,
        units={unit.code: unit for unit in units},
        districts={district.code: district for district in districts},
        departments={department.id: department for department in departments},
        fields={field.id: field for field in fields},
        holidays=sorted(holidays, key=lambda holiday: holiday.day),
        targets={target.id: target for target in targets},
        opening_hours=head.opening_hours,
    )
    faults = [fault._replace(file=str(pick(folders, fault.file))) for fault in check_place(place)]
    return GatheredPlace(None if faults else place, faults)


def pick(folders: Sequence[Path], name: str) -> Path:
    """The file of the last folder that has it; of the first when none has."""
    return next((folder / name for folder in reversed(folders) if (folder / name).exists()), folders[0] / name)


def _head(path: Path, faults: list[Fault]) -> Head | None:
    raw, unreadable = read_toml(path)
    faults += unreadable
    if unreadable:
        return None
    head, problems = convert(raw, Head)
    faults += [Fault(str(path), problem.place, problem.expected) for problem in problems]
    return head


def _table(type_: type[T], key: str, path: Path, faults: list[Fault]) -> list[T]:
    """The rows of a CSV table whose columns are named like the record's members; an empty cell is the default.

    No two rows may have the same `key`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        faults.append(Fault(str(path), "", f"a readable CSV file in UTF-8: {error}"))
        return []
    reader = csv.DictReader(text.splitlines(keepends=True), restkey="more cells than columns", restval="")
    rows: list[T] = []
    seen: dict[str, int] = {}
    for raw in reader:
        at = f"line {reader.line_num}"
        row, problems = convert(_cells(raw, type_), type_, strict=False)
        faults += [Fault(str(path), f"{at}.{problem.place}", problem.expected) for problem in problems]
        name = str(raw.get(key))
        if name in seen:
            faults.append(Fault(str(path), f"{at}.{key}", f"{key} of its own; line {seen[name]} has {name} already"))
        seen[name] = reader.line_num
        if row is not None:
            rows.append(row)
    if not seen:
        faults.append(Fault(str(path), "", "at least one row"))
    return rows


def _cells(raw: dict[str, str], type_: type[msgspec.Struct]) -> dict[str, str | None]:
    """A row without its empty cells; a member that is required but may be None gets None."""
    required = {member.encode_name for member in msgspec.structs.fields(type_) if member.required}
    nullable = {member.encode_name for member in msgspec.structs.fields(type_) if member.type == float | None}
    cells: dict[str, str | None] = {name: cell for name, cell in raw.items() if cell}
    return dict.fromkeys(required & nullable & raw.keys()) | cells
