"""MQTT packets in bytes: the part of MQTT 3.1.1 and 5 that every message passes (their §2.1, §3.3 and §3.4).

Feed in what the socket gave, cut anywhere; take out messages, and every other packet as it came for whoever speaks
the rest of MQTT. A read of 64 kB holds hundreds of messages, so it is walked once and nothing is copied twice.
"""

from typing import NamedTuple

PUBACK = 0x40
_PUBACK_HEAD = b"\x40\x02"
_AT_LEAST_ONCE = 0x02


class Publish(NamedTuple):
    """A message from the broker; `mid` are the two bytes to acknowledge it by, none for QoS 0.

    `is_redelivered`: the broker marked it DUP.
    """

    topic: bytes
    payload: bytes
    mid: bytes
    is_redelivered: bool = False


class Packet(NamedTuple):
    """Any other packet: its first byte, and what follows its length."""

    command: int
    body: bytes


class Malformed(ValueError):
    """Bytes that no MQTT packet begins with."""


class PacketReader:
    """The bytes of one connection, put together into packets; `is_five` for MQTT 5, whose messages have properties."""

    def __init__(self, is_five: bool) -> None:
        self._is_five = is_five
        self._rest = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> tuple[list[Publish], list[Packet]]:
        """The messages and the other packets that `data` completes, each in their order.

        A PUBLISH that is not sound, or has a QoS that a subscription with QoS 1 cannot bring, is among the others.
        Raises Malformed for a length that MQTT does not have.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return [], []
            data = bytes(self._rest)
        return self._walk(data)

    def _walk(self, data: bytes) -> tuple[list[Publish], list[Packet]]:
        publishes: list[Publish] = []
        others: list[Packet] = []
        at, size, is_five = 0, len(data), self._is_five
        while at < size:
            body, end = _bounds(data, at, size)
            if end > size:
                break
            publish = _publish(data, at, body, end, is_five) if data[at] & 0xF4 == 0x30 else None
            if publish is None:
                others.append(Packet(data[at], data[body:end]))
            else:
                publishes.append(publish)
            at = end
        self._rest = bytearray(data[at:])
        self._needed = end - at if at < size else 0
        return publishes, others


def _bounds(data: bytes, at: int, size: int) -> tuple[int, int]:
    """Where a packet's body begins and ends; an end beyond `size` says how much is needed to go on."""
    if at + 2 <= size and data[at + 1] < 128:
        return at + 2, at + 2 + data[at + 1]
    length = shift = 0
    for place in range(at + 1, min(at + 5, size)):
        length |= (data[place] & 127) << shift
        shift += 7
        if data[place] < 128:
            return place + 1, place + 1 + length
    if size >= at + 5:
        raise Malformed("a packet's length has more than four bytes")
    return size, size + 1


def _publish(data: bytes, at: int, body: int, end: int, is_five: bool) -> Publish | None:
    """The message of QoS 0 or 1 between `body` and `end`; None where it is not sound."""
    head = data[at]
    name = body + 2
    topic = name + int.from_bytes(data[body:name])
    payload = topic + (head & _AT_LEAST_ONCE)  # the flag of QoS 1 happens to be the size of what it brings
    if is_five:
        payload = _bounds(data, payload - 1, end)[1]  # over the properties: they say nothing that is kept
    if topic == name or payload > end or end < name:
        return None
    mid = data[topic : topic + 2] if head & _AT_LEAST_ONCE else b""
    return Publish(data[name:topic], data[payload:end], mid, head & 0x08 != 0)


def pubacks(mids: list[bytes]) -> bytes:
    """The acknowledgements of messages of QoS 1, one after the other."""
    return _PUBACK_HEAD + _PUBACK_HEAD.join(mids)
