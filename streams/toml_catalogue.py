"""Reads everything the processor is told: the place, kinds, KPIs and alert rules, shipped and the city's own.

The city's folder (`overlay`) may hold `place/`, `kinds/`, `kpis/`, `alerts/` and `summaries/`, laid out like the
shipped ones, and `walls/`, which the control centre reads.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sensors.csv_place import SHIPPED_PLACE, gather_place
from sensors.definition import check_kinds
from sensors.errors import DefinitionError, Fault, SettingsError
from sensors.kind import Kind
from sensors.place import Place
from sensors.toml_definitions import SHIPPED_KINDS, Found, gather
from streams.alert import Rule
from streams.alert_life import run_example
from streams.catalogue import ZONE_MS
from streams.definition import check_kpis, check_rules
from streams.kpi import Kpi
from streams.schedule import Schedule, check_schedule

SHIPPED_KPIS = Path(__file__).parent / "kpis"
SHIPPED_ALERTS = Path(__file__).parent / "alerts"
SHIPPED_SUMMARIES = Path(__file__).parent / "summaries"
FOLDERS = ("place", "kinds", "kpis", "alerts", "summaries", "walls")
LEADERS = "leaders"


@dataclass(frozen=True)
class Definitions:
    """What `compile_catalogue` takes: checked, by id."""

    place: Place
    kinds: dict[str, Kind]
    kpis: dict[str, Kpi]
    rules: dict[str, Rule]
    schedule: Schedule


def load_all(overlay: Path | None = None) -> Definitions:
    """Read and check all definitions; raises DefinitionError with every fault of every file, SettingsError where
    `overlay` is no folder."""
    definitions, _, faults = _gather_all(overlay)
    if definitions is None:
        raise DefinitionError(faults)
    return definitions


def check(overlay: Path | None = None) -> list[Fault]:
    """Every fault of every file, what nobody reads in the city's folder, and every example of a rule that does not come
    out as it says; raises SettingsError where `overlay` is no folder."""
    _, rules, faults = _gather_all(overlay)
    faults += _unread(overlay)
    broken = {fault.file for fault in faults}
    for rule in rules.items.values():
        if rules.files[rule.id] not in broken:
            faults += [Fault(rules.files[rule.id], "examples", mismatch) for mismatch in run_example(rule)]
    return faults


def _gather_all(overlay: Path | None) -> tuple[Definitions | None, Found[Rule], list[Fault]]:
    if overlay is not None and not overlay.is_dir():
        raise SettingsError(f"--definitions {overlay}: không phải thư mục / no such folder")
    faults: list[Fault] = []
    place, place_faults = gather_place(SHIPPED_PLACE, _of(overlay, "place"))
    kinds = gather(Kind, _folders(SHIPPED_KINDS, overlay))
    kpis = gather(Kpi, _folders(SHIPPED_KPIS, overlay))
    rules = gather(Rule, _folders(SHIPPED_ALERTS, overlay))
    faults += [*place_faults, *kinds.faults, *kpis.faults, *rules.faults]
    if place is not None and place.zone not in ZONE_MS:
        faults.append(Fault("place.toml", "zone", f"one of {', '.join(ZONE_MS)}: windows need a fixed offset"))
    faults += _at_home("kinds", kinds.files, check_kinds(kinds.items, place))
    broken = kinds.files.keys() - kinds.items.keys()
    faults += _at_home("kpis", kpis.files, check_kpis(kpis.items, kinds.items, place, broken))
    broken |= kpis.files.keys() - kpis.items.keys()
    faults += _at_home("alerts", rules.files, check_rules(rules.items, kpis.items, kinds.items, place, broken))
    schedules = gather(Schedule, _folders(SHIPPED_SUMMARIES, overlay))
    faults += [*schedules.faults, *_schedule_faults(schedules, kpis.files.keys())]
    if place is None or faults:
        return None, rules, faults
    return Definitions(place, kinds.items, kpis.items, rules.items, schedules.items[LEADERS]), rules, []


def _schedule_faults(schedules: Found[Schedule], kpis: Collection[str]) -> list[Fault]:
    if LEADERS not in schedules.files:
        return [Fault(f"summaries/{LEADERS}.toml", "", "the leaders' summary; it cannot be switched off")]
    return [
        Fault(schedules.files[schedule.id], member, expected)
        for schedule in schedules.items.values()
        for member, expected in check_schedule(schedule, kpis)
    ]


def _unread(overlay: Path | None) -> list[Fault]:
    """A mistyped folder must not pass as one that changes nothing. Hidden files are nobody's definitions."""
    if overlay is None:
        return []
    expected = f"không ai đọc / nobody reads this; expected the folders {', '.join(FOLDERS)}"
    return [
        Fault(str(path), "", expected)
        for path in sorted(overlay.iterdir())
        if not (path.name.startswith(".") or (path.name in FOLDERS and path.is_dir()))
    ]


def _of(overlay: Path | None, name: str) -> Path | None:
    return None if overlay is None else overlay / name


def _folders(shipped: Path, overlay: Path | None) -> list[Path]:
    return [shipped] if overlay is None else [shipped, overlay / shipped.name]


def _at_home(folder: str, files: dict[str, str], faults: list[Fault]) -> list[Fault]:
    """The checks know ids; a person needs the file that was read, shipped or the city's own."""
    paths = {f"{folder}/{stem}.toml": path for stem, path in files.items()}
    return [fault._replace(file=paths[fault.file]) for fault in faults]
