"""What decoders give: readings from devices and events from desks, before anything is judged."""

from typing import Any, NamedTuple

import msgspec

from sensors.errors import Reason
from sensors.kind import Status


class Reading(NamedTuple):
    """One number: the quantity's id within its kind, the observed time (ms UTC), the value in the kind's unit."""

    quantity: str
    time: int
    value: float


class BadReading(NamedTuple):
    """One record of a pack that cannot be used, while others of the pack can."""

    quantity: str
    reason: Reason
    detail: str


class Pack(msgspec.Struct, frozen=True, gc=False):
    """A decoded message of a device: its readings, what was wrong with some of them, and its own numbering.

    `is_timed` is False when the device gave no time; the readings' time is then the time of reception.
    """

    readings: list[Reading]
    bad: list[BadReading]
    status: Status = "measuring"
    sequence: int | None = None
    is_timed: bool = True


class DeskEvent(NamedTuple):
    """A decoded message of a desk: CloudEvents attributes (`type` mapped to the kind's event id) and data."""

    id: str
    source: str
    event: str
    time: int
    data: dict[str, Any]
    sequence: int | None = None
    is_timed: bool = True
