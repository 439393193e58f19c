"""A kind of source: what its messages carry, as one TOML file in `sensors/kinds/` (the stem is the id)."""

from typing import Literal

import msgspec

Status = Literal["measuring", "calibrating", "fault"]
SILENT_CADENCES = 3


class Quantity(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One quantity of a kind. `ucum` is its unit of measure; `low` and `high` the plausible range, inclusive.

    `accepts` maps other units that devices may send to the factor that turns them into `ucum`.
    """

    name_vi: str
    name_en: str
    ucum: str
    low: float
    high: float
    accepts: dict[str, float] = {}


class Event(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One event type of a desk's kind: its CloudEvents `type`, and the members that `data` must have."""

    type: str
    name_vi: str
    name_en: str
    requires: list[str] = []


class Kind(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A kind of source.

    `cadence_s` is how often a source speaks (0: only when something happens); `lateness_s` how far behind the
    newest observed time of the partition a message may be and still count; `settle_s` how long a window waits
    for stragglers before it is called final. Messages over `bytes_max` are rejected.
    """

    id: str
    name_vi: str
    name_en: str
    format: Literal["senml", "cloudevents"]
    cadence_s: int
    lateness_s: int
    settle_s: int
    department: str
    quantities: dict[str, Quantity]
    events: dict[str, Event] = {}
    bytes_max: int = 65_536
    source: str = ""

    @property
    def silent_ms(self) -> int:
        """After how long without a word a source is silent: three cadences.

        0: never. Desks speak when somebody comes: where there is no cadence, silence means nothing.
        """
        return SILENT_CADENCES * self.cadence_s * 1000

    def is_silent(self, last_seen: int, online: bool, now: int) -> bool:
        """Whether a source (heard last at `last_seen`, ms UTC) said good-bye, or nothing for three cadences."""
        return bool(self.silent_ms) and (not online or now - last_seen > self.silent_ms)
