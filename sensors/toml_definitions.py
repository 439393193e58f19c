"""Reads folders of TOML definitions, one file each; the stem is the id (architecture §6).

A city keeps a folder of its own beside the shipped one: a file of the same name takes the place of the whole
shipped file, a file with `off = true` switches it off, any other file adds a definition.
"""

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec

from sensors.definition import convert
from sensors.errors import DefinitionError, Fault
from sensors.kind import Kind

T = TypeVar("T", bound=msgspec.Struct)
SHIPPED_KINDS = Path(__file__).parent / "kinds"
_STEM = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_TOML_PLACE = re.compile(r"\s*\(at (?P<place>line \d+, column \d+|end of document)\)$")


class Found(NamedTuple, Generic[T]):
    """What folders held: the good definitions by id, the file of every id (also faulty ones), and all faults."""

    items: dict[str, T]
    files: dict[str, str]
    faults: list[Fault]


def load(type_: type[T], folders: Sequence[Path]) -> dict[str, T]:
    """The definitions of all `folders`, later ones overriding; raises DefinitionError with all faults of all files.

    `type_` must have an `id`; folders that do not exist count as empty.
    """
    found = gather(type_, folders)
    if found.faults:
        raise DefinitionError(found.faults)
    return found.items


def load_kinds(folders: Sequence[Path] = (SHIPPED_KINDS,)) -> dict[str, Kind]:
    """The kinds of sources, shape checked; `streams.toml_catalogue` checks what they mean."""
    return load(Kind, folders)


def gather(type_: type[T], folders: Sequence[Path]) -> Found[T]:
    """As `load`, without raising."""
    found: Found[T] = Found({}, {}, [])
    chosen: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            if not _STEM.fullmatch(path.stem):
                found.faults.append(Fault(str(path), "", "a file name of a-z 0-9 _ - that starts with a letter"))
            else:
                _choose(path, chosen, found.faults)
    for stem, path in sorted(chosen.items()):
        found.files[stem] = str(path)
        raw, faults = read_toml(path)
        raw.pop("off", None)
        if not faults:
            faults = _convert_into(found.items, type_, stem, raw, path)
        found.faults.extend(faults)
    return found


def read_toml(path: Path) -> tuple[dict[str, object], list[Fault]]:
    """A TOML file as a table; a file that cannot be read is empty and has a fault with the line."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        return {}, [Fault(str(path), f"byte {error.start + 1}", "UTF-8 text")]
    except OSError as error:
        return {}, [Fault(str(path), "", f"a readable file: {error.strerror}")]
    try:
        return tomllib.loads(text), []
    except tomllib.TOMLDecodeError as error:
        return {}, [Fault(str(path), *_syntax(str(error), text))]


def _syntax(message: str, text: str) -> tuple[str, str]:
    """Line and sentence out of tomllib's message, which ends in "(at line 2, column 9)" or "(at end of document)"."""
    at = _TOML_PLACE.search(message)
    lines = max(1, len(text.splitlines()))
    place = at["place"] if at and at["place"].startswith("line") else f"line {lines}"
    return place, f"TOML: {_TOML_PLACE.sub('', message)}"


def _choose(path: Path, chosen: dict[str, Path], faults: list[Fault]) -> None:
    """Let `path` take the place of an earlier file of its name, or switch that off."""
    off = read_toml(path)[0].get("off", False)
    if not isinstance(off, bool):
        faults.append(Fault(str(path), "off", "true or false"))
    elif not off:
        chosen[path.stem] = path
    elif chosen.pop(path.stem, None) is None:
        faults.append(Fault(str(path), "off", f"nothing to switch off: no {path.name} was read before"))


def _convert_into(items: dict[str, T], type_: type[T], stem: str, raw: dict[str, object], path: Path) -> list[Fault]:
    if "id" in raw:
        return [Fault(str(path), "id", "nothing: the file's name is the id")]
    item, problems = convert({"id": stem} | raw, type_)
    if item is not None:
        items[stem] = item
    return [Fault(str(path), problem.place, problem.expected) for problem in problems]
