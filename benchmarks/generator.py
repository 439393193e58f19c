"""A device that publishes as cheaply as Python can: MQTT 3.1.1 over a raw socket, packets written ahead in columns.

Every packet of a run has the same length, so a tick's packets are rows of one numpy array: only number, time and value
are written anew, for all of them at once (some 0.1 µs a message; paho takes 60). It shares the machine's cores with
what is measured, so it must cost next to nothing.
"""

import asyncio
import contextlib
import socket
import time

import numpy as np
from numpy.typing import NDArray

UNITS = ["06658", "06661", "06673", "06994", "07069", "06712", "06793", "06838", "06652", "06676", "07192", "06811"]
SOURCES = 600
INFLIGHT_MAX = 20_000
TICK_S = 0.004
TICK_MESSAGES_MAX = SOURCES * 3
"""Readings of a source must differ in their millisecond, and the next tick begins 4 ms later."""

VALUES = 900
_MIDS = 65_535
_STAMP = "1790000000.123"


def _text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def packet(kind: int, body: bytes) -> bytes:
    length, header = len(body), bytearray([kind])
    while True:
        length, digit = divmod(length, 128)
        header.append(digit | (128 if length else 0))
        if not length:
            return bytes(header) + body


class Packets:
    """The n-th message of a run, and the next ones, as bytes."""

    def __init__(self) -> None:
        payload = f'[{{"n":"flow","u":"{{veh}}/h","t":{_STAMP},"v":100}}]'.encode()
        topics = [_text(f"ioc/{UNITS[source % len(UNITS)]}/traffic/s{source:03d}") for source in range(SOURCES)]
        rows = [packet(0x32, topic + b"\0\0" + payload) for topic in topics]
        self.length = len(rows[0])
        self._rows = np.frombuffer(b"".join(rows), np.uint8).reshape(SOURCES, self.length)
        mid = self.length - len(payload) - 2
        stamp, value = mid + 2 + payload.index(_STAMP.encode()), self.length - len("100}]")
        self._mid, self._stamp = slice(mid, mid + 2), slice(stamp, stamp + len(_STAMP))
        self._value = slice(value, value + 3)
        digits = "".join(f"{100 + number}" for number in range(VALUES)).encode()
        self._values = np.frombuffer(digits, np.uint8).reshape(VALUES, 3)

    def take(self, first: int, count: int, now: int) -> bytes:
        """`count` PUBLISH packets of QoS 1 from message `first` on, their readings from `now` (ms UTC) on."""
        numbers = np.arange(first, first + count)
        made = self._rows[numbers % SOURCES]
        made[:, self._mid] = (numbers % _MIDS + 1).astype(">u2").view(np.uint8).reshape(count, 2)
        made[:, self._value] = self._values[numbers % VALUES]
        for start in range(0, count, SOURCES):
            made[start : start + SOURCES, self._stamp] = _digits(now + start // SOURCES)
        return made.tobytes()


def _digits(stamp: int) -> NDArray[np.uint8]:
    return np.frombuffer(f"{stamp // 1000}.{stamp % 1000:03d}".encode(), np.uint8)


class Generator:
    """One MQTT 3.1.1 connection that publishes with QoS 1 and counts PUBACKs.

    Everything happens on a tick, the counting too: a read for each PUBACK would cost more than all of the sending.
    """

    def __init__(self, inflight_max: int = INFLIGHT_MAX, tick_s: float = TICK_S) -> None:
        self.sent = 0
        self.acknowledged = 0
        self.sent_at: list[int] = []
        self._inflight_max = inflight_max
        self._tick_s = tick_s
        self._packets = Packets()
        self._rest = 0

    async def open(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_sendall(self._socket, packet(0x10, _text("MQTT") + b"\x04\x02\x00\x00" + _text("generator")))
        assert await loop.sock_recv(self._socket, 4) == b"\x20\x02\x00\x00"

    async def run(self, rate: float, seconds: float) -> None:
        """Send at an even rate; slower when the broker holds back its acknowledgements."""
        loop, started = asyncio.get_running_loop(), time.perf_counter()
        total = int(rate * seconds)
        begin = self.sent
        while self.sent - begin < total:
            self._count()
            due = min(total, int((time.perf_counter() - started) * rate)) - (self.sent - begin)
            due = min(due, self._inflight_max - (self.sent - self.acknowledged), TICK_MESSAGES_MAX)
            if due > 0:
                now = time.time_ns() // 1_000_000
                data = self._packets.take(self.sent, due, now)
                self.sent += due
                self.sent_at += [now] * due
                await loop.sock_sendall(self._socket, data)
            await asyncio.sleep(self._tick_s)
        while self.acknowledged < self.sent:
            self._count()
            await asyncio.sleep(self._tick_s)

    def _count(self) -> None:
        with contextlib.suppress(BlockingIOError):
            chunk = self._socket.recv(1_000_000)
            assert chunk, "the broker closed the connection"
            whole, self._rest = divmod(self._rest + len(chunk), 4)  # a PUBACK is four bytes, and nothing else comes
            self.acknowledged += whole
