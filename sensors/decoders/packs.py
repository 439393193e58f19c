"""SenML packs of the plainest form, many at once, into columns; everything else is left to `senml.decode`.

Nearly every message of a device says a few known quantities in known units at an absolute time. Those are decoded by
hundreds, and by thousands where they differ in their digits only (`stencil`), and judged as columns, at a fifth to a
tenth of the cost. A message that is out of the ordinary in any way (a base unit, a status, a bad value, broken JSON) is
only marked: the caller hands it to `senml.decode`, which knows the reasons. So the two cannot disagree but by a fault
of ours, and tests/test_fuzz.py and tests/test_stencil.py hold one against the other.
"""

from itertools import chain, repeat
from typing import Annotated, NamedTuple

import msgspec
import numpy as np

from sensors.decoders.senml import (
    CLOCK_NOT_SET_BEFORE_MS,
    FUTURE_ALLOWED_MS,
    NUMBER_MAX,
    RECORDS_MAX,
    RELATIVE_BELOW_S,
    SECONDS_MAX,
)
from sensors.decoders.stencil import ROWS_MAX, Flags, Floats, Part, Stencils, Told
from sensors.kind import Kind
from sensors.payloads import Ints, Payloads

CHUNK = 250
"""Messages decoded by one call: one that is broken sends its whole chunk the slow way."""


class Record(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """The fields of a plain record; any other sends the message the slow way."""

    n: str = ""
    u: str = ""
    v: float = float("nan")
    t: float = 0.0
    bt: float = 0.0
    seq: Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)] = -1
    bn: str = ""


class Packs(NamedTuple):
    """`is_plain` and `number` (−1: none) have one entry a message; the others one a reading of plain messages:
    `message` its index, `quantity` the place in the kind's quantities, `time` ms UTC, `value` in the kind's unit."""

    is_plain: Flags
    number: Ints
    message: Ints
    quantity: Ints
    time: Ints
    value: Floats


_decode_lines = msgspec.json.Decoder(list[Record]).decode_lines


class PackDecoder:
    """The tables of one kind, made once."""

    def __init__(self, kind: Kind) -> None:
        quantities = list(kind.quantities.values())
        self._bytes_max = kind.bytes_max
        self._names = {name: place for place, name in enumerate(kind.quantities)}
        units = sorted({unit for quantity in quantities for unit in (quantity.ucum, *quantity.accepts)} - {""})
        self._units = {"": 0} | {unit: place for place, unit in enumerate(units, start=1)}
        # By quantity (the last row: unknown) and unit (the last column: unknown); NaN where it cannot be converted.
        self._factor = np.full((len(quantities) + 1, len(self._units) + 1), np.nan)
        for place, quantity in enumerate(quantities):
            self._factor[place, 0] = 1.0
            for unit, factor in (*quantity.accepts.items(), (quantity.ucum, 1.0)):
                self._factor[place, self._units[unit]] = factor
        self._stencils = Stencils(self._names, self._units, kind.bytes_max)
        self._low = np.array([quantity.low for quantity in quantities] + [np.nan])
        self._high = np.array([quantity.high for quantity in quantities] + [np.nan])

    def decode(self, payloads: Payloads, received_at: Ints) -> Packs:
        """Decode what is plain of the messages received at `received_at` (ms UTC); never raises."""
        pieces = [self._told(payloads.cut(first, last)) for first, last in _spans(len(payloads), ROWS_MAX)]
        told = _joined(pieces)
        size = told.size
        message = np.repeat(np.arange(len(size)), size)
        said = size > 0
        firsts = (np.cumsum(size) - size)[said]
        number = np.full(len(size), -1, np.int64)
        number[said] = told.number[firsts]
        time, is_plain = _times(told, firsts)
        quantity, value = told.quantity, told.value * self._factor[told.quantity, told.unit]
        with np.errstate(invalid="ignore"):
            is_plain &= (value >= self._low[quantity]) & (value <= self._high[quantity])
        is_plain &= (time <= received_at[message] + FUTURE_ALLOWED_MS) & (time >= CLOCK_NOT_SET_BEFORE_MS)
        plain = said & (size <= RECORDS_MAX)
        plain[message[~is_plain]] = False
        kept = plain[message]
        if bool(kept.all()):
            return Packs(plain, number, message, quantity, time, value)
        return Packs(plain, number, message[kept], quantity[kept], time[kept], value[kept])

    def _told(self, payloads: Payloads) -> Told:
        """What each message says: by a stencil where many are alike, else by hundreds."""
        parts, left = self._stencils.read(payloads)
        if len(left) or not parts:
            others = payloads.pick(left) if parts else payloads
            chunks = [self._chunk(others.cut(first, last)) for first, last in _spans(len(others), CHUNK)]
            parts.append(Part(left, _joined(chunks)))
        if len(parts) == 1:
            return parts[0].told
        size = np.empty(len(payloads), np.int64)
        for part in parts:
            size[part.message] = part.told.size
        message = np.concatenate([np.repeat(part.message, part.told.size) for part in parts])
        order = np.argsort(message, kind="stable")
        joined = _joined([part.told for part in parts])
        return Told._make([size, *(column[order] for column in joined[1:])])

    def _chunk(self, payloads: Payloads) -> Told:
        # Taken out of the records at once: a beat's records all together are more than the processor's cache holds.
        packs = self._records(payloads)
        flat = list(chain.from_iterable(packs))
        count = len(flat)
        return Told(
            np.fromiter(map(len, packs), np.int64, len(packs)),
            np.fromiter([one.seq for one in flat], np.int64, count),
            _places([one.n for one in flat], self._names),
            _places([one.u for one in flat], self._units),
            np.fromiter([one.t for one in flat], np.float64, count),
            np.fromiter([one.bt for one in flat], np.float64, count),
            np.fromiter([one.v for one in flat], np.float64, count),
        )

    def _records(self, payloads: Payloads) -> list[list[Record]]:
        """The records of each message; none at all where one of them is not plain JSON of its own.

        Lines are told apart by a newline that no payload may have itself, between a "]" and a "[": so no payload can
        pass as two, or lend a neighbour its half.
        """
        lines = payloads.text
        joints = len(payloads) - 1
        if (
            lines[:1] == b"[" and lines[-1:] == b"]" and lines.count(b"\n") == joints == lines.count(b"]\n[")
            and (len(lines) <= self._bytes_max or payloads.size.max() <= self._bytes_max)
        ):  # fmt: skip
            try:
                packs = _decode_lines(lines)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                packs = []
            if len(packs) == len(payloads):
                return packs
        return [[]] * len(payloads)


def _spans(count: int, most: int) -> list[tuple[int, int]]:
    """Cut `count` into stretches of at most `most`; there is one at least."""
    return [(first, min(first + most, count)) for first in range(0, count or 1, most)]


def _joined(parts: list[Told]) -> Told:
    return parts[0] if len(parts) == 1 else Told._make(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _times(told: Told, firsts: Ints) -> tuple[Ints, Flags]:
    """The time of each record, ms UTC, and whether it is plain: absolute, with a base time, if any, from the first
    record of its message (`firsts`)."""
    seconds, base = told.seconds, told.base
    is_plain = np.ones(len(seconds), dtype=np.bool_)
    if base.any():
        is_first = np.zeros(len(seconds), dtype=np.bool_)
        is_first[firsts] = True
        is_plain = is_first | (base == 0)
        seconds = base[firsts][np.cumsum(is_first) - 1] + seconds
    is_plain &= (seconds >= RELATIVE_BELOW_S) & (seconds < SECONDS_MAX)
    return (np.where(is_plain, seconds, 0.0) * 1000 + 0.5).astype(np.int64), is_plain


def _places(texts: list[str], table: dict[str, int]) -> Ints:
    """The place of each text in `table`, −1 where it has none."""
    if len(set(texts)) == 1:
        # Nearly always: devices of a kind say the same. To look is cheaper than to look each of them up.
        return np.full(len(texts), table.get(texts[0], -1))
    return np.fromiter(map(table.get, texts, repeat(-1)), np.int64, len(texts))
