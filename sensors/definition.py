"""Definitions as data: from raw TOML or CSV values to frozen records, with every fault and its place.

msgspec stops at the first fault of a record. Here each member is converted by itself, down through nested
records, so that one reading of a file names everything that is wrong in it. Items of lists count from 1.
"""

import math
import re
import types
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from sensors.errors import Fault
from sensors.kind import Event, Kind, Quantity
from sensors.place import Place

T = TypeVar("T")
_KIND_ID = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NAME_ID = re.compile(r"[a-z][a-z0-9_]{0,63}")
_AT = re.compile(r" - at `\$(?P<path>.*)`$")
_INDEX = re.compile(r"\[([0-9]+)\]")


class Problem(NamedTuple):
    """What is wrong at a dotted place within one definition."""

    place: str
    expected: str


def convert(raw: object, type_: type[T], strict: bool = True, place: str = "") -> tuple[T | None, list[Problem]]:
    """Read `raw` as a record of `type_`; the record is None when there is any problem.

    `strict=False` reads text cells of a CSV row as numbers, dates and truth values.
    """
    problems = _problems(raw, type_, strict, place)
    if problems:
        return None, problems
    return msgspec.convert(raw, type_, strict=strict), []


def _problems(raw: object, type_: Any, strict: bool, place: str) -> list[Problem]:
    record = _record_type(type_)
    if record is not None and isinstance(raw, dict):
        return _of_record(raw, record, strict, place)
    if get_origin(type_) is dict and isinstance(raw, dict):
        inner = get_args(type_)[1]
        return [found for key, value in raw.items() for found in _problems(value, inner, strict, _join(place, key))]
    if get_origin(type_) is list and isinstance(raw, list):
        inner = get_args(type_)[0]
        return [
            found
            for number, value in enumerate(raw, start=1)
            for found in _problems(value, inner, strict, f"{place}[{number}]")
        ]
    return _of_leaf(raw, type_, strict, place)


def _record_type(type_: Any) -> type[msgspec.Struct] | None:
    """The Struct in `type_`, alone or beside None."""
    choices = get_args(type_) if get_origin(type_) in (types.UnionType, Union) else (type_,)
    structs = [choice for choice in choices if isinstance(choice, type) and issubclass(choice, msgspec.Struct)]
    return structs[0] if len(structs) == 1 else None


def _of_record(raw: dict[str, object], type_: type[msgspec.Struct], strict: bool, place: str) -> list[Problem]:
    members = {member.encode_name: member for member in msgspec.structs.fields(type_)}
    missing = [
        Problem(_join(place, name), "is required")
        for name, member in members.items()
        if member.required and name not in raw
    ]
    unknown = [
        Problem(_join(place, name), f"is not known here; known are {', '.join(members)}")
        for name in raw
        if name not in members
    ]
    known = [
        found
        for name, value in raw.items()
        if name in members
        for found in _problems(value, members[name].type, strict, _join(place, name))
    ]
    return missing + unknown + known


def _of_leaf(raw: object, type_: Any, strict: bool, place: str) -> list[Problem]:
    try:
        msgspec.convert(raw, type_, strict=strict)
    except msgspec.ValidationError as error:
        text = str(error)
        if get_origin(type_) is Literal:
            return [Problem(place, f"expected one of {', '.join(get_args(type_))}, got {raw!r}")]
        at = _AT.search(text)
        deeper = _INDEX.sub(lambda index: f"[{int(index[1]) + 1}]", at["path"]) if at else ""
        return [Problem((place + deeper).lstrip("."), _lowered(_AT.sub("", text)))]
    return []


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def check_kinds(kinds: dict[str, Kind], place: Place | None) -> list[Fault]:
    """What a kind's file may say wrongly though every member has the right type.

    Without a place (its own files are faulty) departments are not looked up.
    """
    faults = []
    for kind in kinds.values():
        problems = [*_kind_itself(kind, place), *_events(kind)]
        for name, quantity in kind.quantities.items():
            problems += _quantity(name, quantity)
        faults += [Fault(f"kinds/{kind.id}.toml", where, expected) for where, expected in problems]
    return faults


def _kind_itself(kind: Kind, place: Place | None) -> list[Problem]:
    checks = {
        "": (_KIND_ID.fullmatch(kind.id), "a file name of 1 to 32 a-z 0-9 _, the topic's third level"),
        "name_vi": (kind.name_vi, "a name in Vietnamese"),
        "name_en": (kind.name_en, "a name in English"),
        "cadence_s": (kind.cadence_s >= 0, "0 or more seconds"),
        "lateness_s": (kind.lateness_s > 0, "more than 0 seconds"),
        "settle_s": (kind.settle_s >= 0, "0 or more seconds"),
        "bytes_max": (0 < kind.bytes_max <= 1_048_576, "1 to 1048576 bytes"),
        "quantities": (kind.quantities, "at least one quantity"),
        "department": (place is None or kind.department in place.departments, "a department of the place"),
    }
    return [Problem(where, expected) for where, (holds, expected) in checks.items() if not holds]


def _quantity(name: str, quantity: Quantity) -> list[Problem]:
    at = f"quantities.{name}"
    problems = [] if _NAME_ID.fullmatch(name) else [Problem(at, "a name of a-z 0-9 _")]
    if not quantity.ucum:
        problems.append(Problem(f"{at}.ucum", "a unit of measure in UCUM, for example ug/m3"))
    if not (math.isfinite(quantity.low) and math.isfinite(quantity.high) and quantity.low < quantity.high):
        problems.append(Problem(f"{at}.low", f"finite and below high ({quantity.high:g})"))
    for unit, factor in quantity.accepts.items():
        if not (math.isfinite(factor) and factor > 0):
            problems.append(Problem(f"{at}.accepts.{unit}", "a finite factor above 0"))
        if unit == quantity.ucum:
            problems.append(Problem(f"{at}.accepts.{unit}", "another unit than ucum itself"))
    return problems


def _events(kind: Kind) -> list[Problem]:
    if kind.format == "senml":
        return [Problem("events", "nothing: a senml kind has readings only")] if kind.events else []
    if not kind.events:
        return [Problem("events", "at least one event: a cloudevents kind has events")]
    types_seen: dict[str, str] = {}
    problems = []
    for name, event in kind.events.items():
        problems += _event(name, event)
        if event.type in types_seen:
            problems.append(Problem(f"events.{name}.type", f"a type of its own; {types_seen[event.type]} has it"))
        types_seen[event.type] = name
    return problems


def _event(name: str, event: Event) -> list[Problem]:
    problems = [] if _NAME_ID.fullmatch(name) else [Problem(f"events.{name}", "a name of a-z 0-9 _")]
    if not event.type:
        problems.append(Problem(f"events.{name}.type", "a CloudEvents type, for example vn.ioc.queue.taken"))
    return problems
