"""Messages as devices and desks send them: SenML packs and CloudEvents in JSON."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from sensors.kind import Kind
from simulators.chance import Floats, Truths
from simulators.fleet import Steps

DECIMALS = {"flow": 0, "co": 0, "level": 3}
_CALIBRATING = ',{"n":"status","vs":"calibrating"}]'


class Message(NamedTuple):
    """`time` is when it is sent (ms UTC); what it tells may have been observed before."""

    time: int
    topic: str
    payload: bytes


def packs(kind: Kind, steps: Steps, values: dict[str, Floats], calibrating: Truths | None) -> Iterator[bytes]:
    """One pack a step: the time, the source's count, and the quantities that the kind has, within its range."""
    quantities = {name: kind.quantities[name] for name in values if name in kind.quantities}
    record = ",".join(
        f'{{"n":"{name}","u":"{quantity.ucum}","v":%.{DECIMALS.get(name, 1)}f}}'
        for name, quantity in quantities.items()
    )
    template = '[{"bt":%.3f,"seq":%d,' + record[1:] + "]"
    columns = [values[name].clip(quantity.low, quantity.high).tolist() for name, quantity in quantities.items()]
    aside = [False] * len(steps.time) if calibrating is None else calibrating.tolist()
    times = (steps.time / 1000).tolist()
    for time, sequence, is_aside, *numbers in zip(times, steps.sequence.tolist(), aside, *columns, strict=True):
        pack = template % (time, sequence, *numbers)
        yield (pack[:-1] + _CALIBRATING if is_aside else pack).encode()


def event(kind: Kind, name: str, source: str, id_: str, time: int, sequence: int, data: Mapping[str, object]) -> bytes:
    """A desk's event; raises KeyError when the kind has no such event."""
    stamp = datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds")
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": id_,
            "source": source,
            "type": kind.events[name].type,
            "time": stamp.replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "sequence": str(sequence),
            "data": data,
        }
    )
