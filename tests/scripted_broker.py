"""A broker made by hand, for what no real broker can be told to do: to send these bytes, cut here, and answer nothing.

It speaks MQTT 3.1.1 on a real socket to one client at a time: it accepts the session and every subscription, answers
pings and PUBLISHes of QoS 1, and notes each PUBACK.
"""

import asyncio
import contextlib
from typing import Self

from sensors.packet import Packet, PacketReader

CONNECT, SUBSCRIBE, PINGREQ, PUBACK = 0x10, 0x80, 0xC0, 0x40


def publish(topic: bytes, mid: int, payload: bytes, is_redelivered: bool = False) -> bytes:
    """A PUBLISH of QoS 1, in bytes."""
    body = len(topic).to_bytes(2) + topic + mid.to_bytes(2) + payload
    size, digits = len(body), bytearray()
    while size > 127:
        digits.append(size & 127 | 128)
        size >>= 7
    return bytes([0x3A if is_redelivered else 0x32, *digits, size]) + body


class ScriptedBroker:
    """`acknowledged` are the numbers of all PUBACKs, in their order."""

    protocol = 3

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.reads_with_pubacks = 0
        self.subscribed = asyncio.Event()
        self._changed = asyncio.Condition()
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"mqtt://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    async def send(self, data: bytes) -> None:
        """Send these bytes to the client that is connected."""
        assert self._writer is not None
        self._writer.write(data)
        await self._writer.drain()

    def cut(self) -> None:
        """End the connection."""
        self.subscribed.clear()
        if self._writer is not None:
            self._writer.close()

    async def until_acknowledged(self, count: int) -> None:
        async with self._changed, asyncio.timeout(20):
            await self._changed.wait_for(lambda: len(self.acknowledged) >= count)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        packets = PacketReader(is_five=False)
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                publishes, others = packets.feed(data)
                for one in publishes:
                    writer.write(b"\x40\x02" + one.mid)
                await self._answer(writer, others)

    async def _answer(self, writer: asyncio.StreamWriter, packets: list[Packet]) -> None:
        pubacks = [int.from_bytes(body) for command, body in packets if command == PUBACK]
        self.reads_with_pubacks += bool(pubacks)
        for command, body in packets:
            if command == CONNECT:
                writer.write(b"\x20\x02\x01\x00")
            elif command == PINGREQ:
                writer.write(b"\xd0\x00")
            elif command & 0xF0 == SUBSCRIBE:
                writer.write(b"\x90\x03" + body[:2] + b"\x01")
                self.subscribed.set()
        async with self._changed:
            self.acknowledged += pubacks
            self._changed.notify_all()
