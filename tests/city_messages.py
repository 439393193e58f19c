"""Days of the simulated city, and what its messages say once they are decoded."""

from collections.abc import Iterable
from functools import cache

from small_city import DAY, EQUIPMENT, HOUR, KINDS, NOTHING_WRONG, PLACE

from sensors.decoders import cloudevents, senml
from sensors.reading import DeskEvent, Pack
from sensors.topic import parse
from simulators.city import City
from simulators.payload import Message


@cache
def full_day(day: int) -> list[Message]:
    """A local day of the whole place, with a tenth of its devices and all its desks in their opening hours."""
    return list(City(PLACE, KINDS, NOTHING_WRONG, EQUIPMENT, 7, day, rate=0.5).messages(day, day + DAY))


def of_kind(messages: Iterable[Message], kind: str) -> list[Message]:
    return [message for message in messages if parse(message.topic).kind == kind]


def decode(message: Message) -> Pack | DeskEvent:
    kind = KINDS[parse(message.topic).kind]
    if kind.format == "senml":
        return senml.decode(message.payload, message.time, kind)
    return cloudevents.decode(message.payload, message.time, kind)


def readings(messages: Iterable[Message], kind: str, quantity: str) -> list[tuple[int, str, float]]:
    """(observed time, topic, value)"""
    found = []
    for message in of_kind(messages, kind):
        pack = decode(message)
        assert isinstance(pack, Pack)
        found += [(one.time, message.topic, one.value) for one in pack.readings if one.quantity == quantity]
    return found


def desk_events(messages: Iterable[Message]) -> list[tuple[Message, DeskEvent]]:
    found = []
    for message in messages:
        if KINDS[parse(message.topic).kind].format == "cloudevents":
            event = decode(message)
            assert isinstance(event, DeskEvent)
            found.append((message, event))
    return found


def hour_of(time: int) -> int:
    return (time + 7 * HOUR) % DAY // HOUR
