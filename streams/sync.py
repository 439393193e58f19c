"""State-based synchronisation: an ordered state in which every key carries the sequence number of its last change.

What a client is owed is every key changed since the sequence it has. A newcomer, one that resumes, a slow one and
one that never fell behind go through the same lines, and no queue can grow: the latest value wins. A deletion
leaves a tombstone; past `TOMBSTONES_MAX` the oldest go, and a client older than those starts again in full.

The state hash lets two ends prove that they hold the same: the sum modulo 2^32 of `key_hash` over all keys. A
browser computes the same from what it parsed, as crc32 of the UTF-8 bytes of `key + "\\0" + JSON.stringify(value)`;
`canonical` therefore writes numbers as ECMAScript does.
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from streams.live import Delta

TOMBSTONES_MAX = 200


class SyncState:
    """Values by key, in order of change. `floor`: a client older than this cannot be told what was deleted."""

    def __init__(self, epoch: str = "", tombstones_max: int = TOMBSTONES_MAX) -> None:
        self.epoch = epoch
        self.sequence = 0
        self.floor = 0
        self._tombstones_max = tombstones_max
        self._entries: dict[str, tuple[int, bytes | None]] = {}
        self._tombstones: dict[str, int] = {}

    def get(self, key: str) -> bytes | None:
        """The value of a key; None where there is none."""
        entry = self._entries.get(key)
        return entry[1] if entry is not None else None

    def items(self, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Keys with their values, tombstones left out, the longest unchanged first."""
        for key, (_, value) in self._entries.items():
            if value is not None and key.startswith(prefix):
                yield key, value

    def publish(self, changes: Mapping[str, bytes | None]) -> int:
        """Take the writer's changes under the next number; what changes nothing leaves the number as it was."""
        real = {key: value for key, value in changes.items() if value != self.get(key)}
        if real:
            self.sequence += 1
            for key, value in real.items():
                self._put(key, value)
            self._drop_tombstones()
        return self.sequence

    def renumber(self, sequence: int) -> None:
        """Let everything there is be as new as `sequence`, and count on from there: nobody may have looked yet."""
        self._entries = {key: (sequence, value) for key, (_, value) in self._entries.items() if value is not None}
        self._tombstones = {}
        self.sequence = self.floor = sequence

    def skip_to(self, sequence: int) -> None:
        """Let the next change have a number beyond `sequence`; smaller ones than what there is change nothing."""
        self.sequence = max(self.sequence, sequence)

    def fold(self, delta: Delta) -> None:
        """Follow another state: take over its numbering and what changed in it.

        A key that it says is gone leaves a tombstone here even if it never was here: a client may have seen it
        through another follower.
        """
        if delta.is_full:
            self._entries.clear()
            self._tombstones.clear()
            self.floor = delta.sequence
        self.epoch, self.sequence = delta.epoch, delta.sequence
        # Also what is as it was: it may have been gone in between, and a client may have seen that elsewhere.
        for key, value in delta.changes.items():
            self._put(key, value)
        self._drop_tombstones()

    def since(self, epoch: str, sequence: int) -> Delta:
        """What a client with that epoch and sequence is owed; in full where its past is not known here."""
        if epoch != self.epoch or not self.floor <= sequence <= self.sequence:
            return Delta(self.epoch, self.sequence, True, dict(self.items()))
        newest_first: list[tuple[str, bytes | None]] = []
        for key in reversed(self._entries):
            changed_at, value = self._entries[key]
            if changed_at <= sequence:
                break
            newest_first.append((key, value))
        return Delta(self.epoch, self.sequence, False, dict(reversed(newest_first)))

    def _put(self, key: str, value: bytes | None) -> None:
        self._entries.pop(key, None)  # so that the key moves to the end
        self._tombstones.pop(key, None)
        self._entries[key] = (self.sequence, value)
        if value is None:
            self._tombstones[key] = self.sequence

    def _drop_tombstones(self) -> None:
        while len(self._tombstones) > self._tombstones_max:
            oldest = next(iter(self._tombstones))
            self.floor = max(self.floor, self._tombstones.pop(oldest))
            del self._entries[oldest]


def key_hash(key: str, value: bytes) -> int:
    """One key's part of the state hash; `value` is JSON."""
    return zlib.crc32(f"{key}\0{canonical(msgspec.json.decode(value))}".encode("utf-8", "surrogatepass"))


def state_hash(parts: Iterator[int]) -> str:
    """The parts of all keys, put together in any order: eight hexadecimal digits."""
    return f"{sum(parts) % 2**32:08x}"


def canonical(value: Any) -> str:
    """JSON text exactly as ECMAScript's `JSON.stringify` writes a value that `JSON.parse` read."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_quoted(name)}:{canonical(member)}" for name, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return _number(float(value))


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _number(value: float) -> str:
    """ECMAScript's Number::toString: the shortest digits that read back, plain between 1e-6 and 1e21."""
    if not math.isfinite(value):
        return "null"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if not digits:
        return "0"
    if 0 < point <= 21:
        padded = digits.ljust(point, "0")
        return sign + padded[:point] + (f".{padded[point:]}" if padded[point:] else "")
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    head = digits[0] + (f".{digits[1:]}" if digits[1:] else "")
    return f"{sign}{head}e{point - 1:+d}"
