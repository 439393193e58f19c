"""A small simulated city, and the whole place's: shared by tests of the simulators."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from small_world import place as small_place

from sensors.csv_place import shipped_place
from sensors.toml_definitions import load_kinds
from simulators.city import City
from simulators.equipment import Equipment
from simulators.scenario import Scenario
from simulators.toml_scenarios import load_equipment

HOUR = 3_600_000
DAY = 24 * HOUR
PLACE, KINDS = shipped_place(), load_kinds()
EQUIPMENT = load_equipment(PLACE)
NOTHING_WRONG = Scenario(id="calm", name_vi="Yên", name_en="Calm")


def local(text: str) -> int:
    """A Vietnamese time in ms UTC."""
    return round(datetime.fromisoformat(f"{text}+07:00").timestamp() * 1000)


WEDNESDAY = local("2026-11-25T00:00")


def small_equipment() -> Equipment:
    stations = {
        kind: msgspec.structs.replace(of, count=4, units=[], spread="even") for kind, of in EQUIPMENT.stations.items()
    }
    desks = msgspec.structs.replace(EQUIPMENT.desks, tickets_per_day=200, portal_ratings_per_day=30)
    return Equipment(stations=stations, desks=desks, fields={"dat_dai": EQUIPMENT.fields["dat_dai"]})


def small_city(
    scenario: Scenario, seed: int = 7, start: int = WEDNESDAY, round_the_clock: bool = True, kinds: Sequence[str] = ()
) -> City:
    chosen = {kind: KINDS[kind] for kind in kinds or KINDS}
    return City(small_place(), chosen, scenario, small_equipment(), seed, start, round_the_clock=round_the_clock)
