"""Messages that differ in their digits only, read as columns: what devices of one model say, beat after beat.

Take the digits out of such messages, and the same text is left of each: its *skeleton*. One of them is read as a plain
pack's grammar goes, which tells what number each of its runs of digits belongs to. Then the runs of all are cut out and
worked out together:

    [{"n":"speed","t":1790000000.25,"v":29.1,"seq":7}]     [{"n":"speed","t":.,"v":.,"seq":}]
                      └─ runs of digits ─┘                            └─ skeleton ─┘

Nothing is read here that JSON or the slow way would not read alike: messages whose digits stand in other places, a
number with a zero before it, or with more digits than a float holds exactly, are left to others.

Eight digits are made a number by three multiplications, as in D. Lemire, "Number Parsing at a Gigabyte per Second"
(Software: Practice and Experience 51, 2021), §6.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from sensors.payloads import Ints, Payloads

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

DIGITS = b"0123456789"
RUN_MAX = 15
"""Digits of a run: more are not worked out."""

ROWS_MIN = 300
"""Fewer messages of one skeleton are decoded as quickly by other ways."""

ROWS_MAX = 4_096
"""More than so many at once, and what is worked out on the way no longer stays in the processor's cache."""

SKELETONS_MAX = 256
STENCILS_MAX = 4
"""Of one skeleton: pm10 and pm25 differ in their digits only, but not in numbers."""

REST_MAX = 63
"""Where most messages cannot be read here, it is tried ever more seldom, at last once in so many times."""

EXACT_MAX = 2**53
"""Whole numbers up to it are exact in a float, and their quotients by powers of ten to 10^22 are rounded but once."""

_STRING = rb'"[^"\\\x00-\x1f]*"'
_NUMBER = rb"-?\d+(?:\.\d+)?"
_FIELD = rb'"(?:n|u|bn)": ?%s|"(?:v|t|bt)": ?%s|"seq": ?\d+' % (_STRING, _NUMBER)
_RECORD = rb"\{(?:%s)(?:, ?(?:%s))*\}" % (_FIELD, _FIELD)
_is_pack = re.compile(rb"\[%s(?:, ?%s)*\]" % (_RECORD, _RECORD)).fullmatch
_records = re.compile(_RECORD).finditer
_fields = re.compile(rb'"([a-z]+)": ?(?:"([^"]*)"|(-?)(\d+)(\.\d+)?)').finditer
_runs = re.compile(rb"\d+").finditer

_BEFORE = 16
"""Bytes before the first message, so that what ends early can be read as if it were longer."""

_POWERS: Ints = 10 ** np.arange(RUN_MAX + 1)
# Which of the eight bytes before a run's end are digits of it, by its length; the nearest to the end is the highest.
_OWN = np.array([0x0F0F0F0F0F0F0F0F >> 64 - 8 * length << 64 - 8 * length for length in range(9)], dtype=np.uint64)
_STEPS = [
    tuple(np.uint64(number) for number in step)
    for step in (
        (0x0F0F0F0F0F0F0F0F, 2561, 8),
        (0x00FF00FF00FF00FF, 6553601, 16),
        (0x0000FFFF0000FFFF, 42949672960001, 32),
    )
]


class Told(NamedTuple):
    """What messages say, as they say it: `size` has one entry a message, the number of its records; the others one a
    record: `number` (−1: none), the places of `quantity` and `unit` (−1: unknown), `seconds`, `base` and `value`."""

    size: Ints
    number: Ints
    quantity: Ints
    unit: Ints
    seconds: Floats
    base: Floats
    value: Floats


class Part(NamedTuple):
    """Some of the messages, by their index in ascending order, and what they say."""

    message: Ints
    told: Told


class _Number(NamedTuple):
    """A number of the sample: its first run of digits, whether another follows behind a point, and its sign."""

    run: int
    has_fraction: bool
    is_negative: bool


class _Record(NamedTuple):
    """A record of the sample: places as in `Told`, and its numbers by field."""

    quantity: int
    unit: int
    numbers: Mapping[bytes, _Number]


class _Runs(NamedTuple):
    """Runs of digits [run, message]: their lengths, what number each makes, and whether it begins with a zero."""

    length: Ints
    number: Ints
    begins_with_zero: Flags


class Stencil:
    """How messages of one skeleton are read. `gaps` are the letters before each run of digits, back to the run before
    it (of the message before, for the first one), and `tail` those behind the last, with the newline. `texts` are the
    lengths and numbers that some runs must have, because they are part of a name."""

    def __init__(
        self, gaps: list[int], tail: int, records: list[_Record], texts: Mapping[int, tuple[int, int]]
    ) -> None:
        self._gaps = np.array(gaps, dtype=np.int64)
        self._tail = tail
        self._records = records
        self._texts = texts

    @classmethod
    def of(cls, sample: bytes, names: Mapping[str, int], units: Mapping[str, int]) -> Self | None:
        """The stencil of messages like the sample; None where that is no plain pack in a common spelling."""
        if _is_pack(sample) is None or not _is_utf8(sample):
            return None
        spans = [found.span() for found in _runs(sample)]
        if not spans:
            return None
        run_at = {first: run for run, (first, _) in enumerate(spans)}
        texts: dict[int, tuple[int, int]] = {}
        records = []
        for record in _records(sample):
            told: dict[bytes, str] = {}
            numbers: dict[bytes, _Number] = {}
            for field in _fields(sample, *record.span()):
                name, text, sign, _, fraction = field.groups()
                if name in told or name in numbers:
                    return None
                if text is None:
                    numbers[name] = _Number(run_at[field.start(4)], fraction is not None, bool(sign))
                    continue
                told[name] = text.decode()
                if name != b"bn":  # of what stands before a known name nothing is wanted
                    own = {run: span for run, span in enumerate(spans) if field.start(2) <= span[0] < field.end(2)}
                    texts |= {run: (end - first, int(sample[first:end])) for run, (first, end) in own.items()}
            places = names.get(told.get(b"n", ""), -1), units.get(told.get(b"u", ""), -1)
            records.append(_Record(*places, numbers))
        if any(length > RUN_MAX for length, _ in texts.values()):
            return None
        tail = len(sample) + 1 - spans[-1][1]
        ends = [-tail, *(end for _, end in spans[:-1])]
        gaps = [first - end for (first, _), end in zip(spans, ends, strict=True)]
        return cls(gaps, tail, records, texts)

    def read(self, text: bytes, count: int, width: int, longest: int) -> tuple[Flags, Told] | None:
        """Read `count` messages, one a line, that have this stencil's skeleton of `width` bytes, none over `longest`.

        Returns which of them are read, and what all say, good for those only; None where digits are out of place.
        """
        runs = self._cut(text, count)
        if runs is None:
            return None
        is_read = width + runs.length.sum(axis=0) <= longest
        for run, (length, number) in self._texts.items():
            is_read &= (runs.length[run] == length) & (runs.number[run] == number)
        told = Told(
            np.full(count, len(self._records)),
            self._column(runs, b"seq", -1.0, is_read).astype(np.int64),
            np.tile([record.quantity for record in self._records], count),
            np.tile([record.unit for record in self._records], count),
            self._column(runs, b"t", 0.0, is_read),
            self._column(runs, b"bt", 0.0, is_read),
            self._column(runs, b"v", np.nan, is_read),
        )
        return is_read, told

    def _cut(self, text: bytes, count: int) -> _Runs | None:
        """The runs of digits, if each message has those of the sample, and in their places."""
        padded = bytes(_BEFORE) + text
        letters = np.frombuffer(padded, dtype=np.uint8)
        is_digit = letters - ord("0") < 10
        edges = np.flatnonzero(is_digit[1:] != is_digit[:-1]) + 1
        shape = count, len(self._gaps)
        if len(edges) != 2 * count * len(self._gaps):
            return None
        start, end = edges[::2], edges[1::2]
        length = end - start
        gap = start.copy()
        gap[1:] -= end[:-1]
        gap[0] += self._tail - _BEFORE
        if not bool((gap.reshape(shape) == self._gaps).all()):
            return None
        begins_with_zero = (letters[start] == ord("0")) & (length > 1)
        number = _numbers(letters, end, length)
        return _Runs._make(column.reshape(shape).T for column in (length, number, begins_with_zero))

    def _column(self, runs: _Runs, field: bytes, otherwise: float, is_read: Flags) -> Floats:
        """What every record says in a field, `otherwise` where it has none; takes those off `is_read` that cannot be
        told exactly."""
        columns = [
            np.full(len(is_read), otherwise) if number is None else _told(runs, number, is_read)
            for number in (record.numbers.get(field) for record in self._records)
        ]
        return columns[0] if len(columns) == 1 else np.ravel(columns, order="F")


class Stencils:
    """The stencils of one kind, learnt from its messages; what is read does not hang on what was learnt, only how."""

    def __init__(self, names: Mapping[str, int], units: Mapping[str, int], bytes_max: int) -> None:
        """`names` and `units` give the places of quantities and units; no message is longer than `bytes_max`."""
        self._names = names
        self._units = units
        self._bytes_max = bytes_max
        self._known: dict[bytes, list[Stencil]] = {}
        self._rest = self._resting = 0

    def read(self, payloads: Payloads) -> tuple[list[Part], Ints]:
        """What can be read of these messages, and the indices of those that are left."""
        everything = np.arange(len(payloads))
        if len(payloads) < ROWS_MIN or self._resting > 0:
            self._resting = max(0, self._resting - 1)
            return [], everything
        parts = [part for group in self._groups(payloads) for part in self._read_group(*group)]
        is_left = np.ones(len(payloads), dtype=np.bool_)
        for part in parts:
            is_left[part.message] = False
        left = np.flatnonzero(is_left)
        self._rest = min(2 * self._rest + 1, REST_MAX) if 2 * len(left) > len(payloads) else 0
        self._resting = self._rest
        return parts, left

    def _groups(self, payloads: Payloads) -> list[tuple[bytes, Ints, bytes]]:
        """The messages of each skeleton that enough of them have: the skeleton, their indices, and their lines."""
        count = len(payloads)
        skeletons = payloads.text.translate(None, DIGITS)
        first = skeletons[: skeletons.find(b"\n") + 1]
        if len(skeletons) == count * len(first) - 1 and skeletons == (first * count)[:-1]:
            return [(first[:-1], np.arange(count), payloads.text)]
        lines = skeletons.split(b"\n")
        if len(lines) != count:
            return []  # a payload has a newline of its own
        members: dict[bytes, list[int]] = {}
        for index, line in enumerate(lines):
            members.setdefault(line, []).append(index)
        chosen = [(skeleton, np.array(own)) for skeleton, own in members.items() if len(own) >= ROWS_MIN]
        return [(skeleton, own, payloads.pick(own).text) for skeleton, own in chosen]

    def _read_group(self, skeleton: bytes, message: Ints, text: bytes) -> Iterator[Part]:
        """Read messages of one skeleton, `text` being their lines, by the stencils known, and by new ones."""
        if len(self._known) >= SKELETONS_MAX:
            self._known.clear()
        known = self._known.setdefault(skeleton, [])
        for place in range(STENCILS_MAX):
            if place == len(known):
                stencil = Stencil.of(text[: text.find(b"\n")], self._names, self._units)
                if stencil is None:
                    return
                known.append(stencil)
            answer = known[place].read(text, len(message), len(skeleton), self._bytes_max)
            if answer is None:
                return
            is_read, told = answer
            yield _picked(message, told, is_read)
            left = np.flatnonzero(~is_read)
            if len(left) < ROWS_MIN:
                return
            lines = text.split(b"\n")
            message, text = message[left], b"\n".join([lines[index] for index in left.tolist()])


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _picked(message: Ints, told: Told, is_read: Flags) -> Part:
    if bool(is_read.all()):
        return Part(message, told)
    of_records = np.repeat(is_read, told.size)
    return Part(message[is_read], Told._make([told.size[is_read], *(column[of_records] for column in told[1:])]))


def _numbers(letters: NDArray[np.uint8], end: Ints, length: Ints) -> Ints:
    """What number each run of at most RUN_MAX digits makes; longer ones make anything."""
    words = as_strided(letters[:8].view(np.dtype("<u8")), (len(letters) - 7,), (1,))
    number = _eight(words[end - 8], np.minimum(length, 8))
    long = np.flatnonzero(length > 8)
    if len(long):
        number[long] += _eight(words[end[long] - 16], np.minimum(length[long] - 8, 8)) * 10**8
    return number


def _eight(words: NDArray[np.uint64], length: Ints) -> Ints:
    """What the last `length` (0 to 8) of the eight digits in each word make."""
    words = words & _OWN[length]
    for mask, factor, shift in _STEPS:
        words = np.right_shift((words & mask) * factor, shift)
    return words.view(np.int64)


def _told(runs: _Runs, number: _Number, is_read: Flags) -> Floats:
    """One number of each message; takes those off `is_read` that are no JSON, or not exact."""
    length, whole = runs.length[number.run], runs.number[number.run]
    is_read &= (length <= RUN_MAX) & ~runs.begins_with_zero[number.run]
    told: Floats = whole.astype(np.float64)
    if number.has_fraction:
        digits = runs.length[number.run + 1]
        # Below 10^18 together, so that it does not run over.
        is_read &= (digits <= RUN_MAX) & (length + digits <= 18)
        scale = _POWERS[np.minimum(digits, RUN_MAX)]
        exact = whole * scale + runs.number[number.run + 1]
        is_read &= exact <= EXACT_MAX
        told = exact / scale
    return np.negative(told) if number.is_negative else told
