"""`WS /live?wall=…`: the live channel (control_center.frame has its words, streams.sync what is owed).

One task per client awaits its own sends; there is no queue. A client that reads slowly is sent, when it is ready
again, what it is owed by then; one that reads nothing for `SEND_S` is closed.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from control_center import frame
from control_center.http_access import may_read
from control_center.http_context import Context, address_of, has_own_origin
from control_center.live_mirror import Feed
from streams.asyncio_signal import happened

HELLO_S = 10.0
SEND_S = 20.0
PROOF_MS = 5_000
TICK_WAIT_S = 5.0
SERVER_FULL = "the gateway has as many live channels as it may have"


@dataclass
class Client:
    """Where one client stands."""

    socket: WebSocket
    wall: str
    feed: Feed
    epoch: str = ""
    sequence: int = 0
    proved_at: int = 0


class Doors:
    """How many channels are open, in all and by address."""

    def __init__(self, most: int, most_per_address: int) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Take a place; False when there is none."""
        if self._open[address] >= self._most_per_address or self._open.total() >= self._most:
            return False
        self._open[address] += 1
        return True

    def leave(self, address: str) -> None:
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


def add_channel(app: FastAPI, context: Context) -> None:
    """Put the live channel on the application."""
    doors = Doors(context.settings.sockets_max, context.settings.sockets_per_address_max)

    @app.websocket("/live")
    async def live(socket: WebSocket, wall: str = "overview") -> None:
        refusal = await _refusal(context, socket, wall)
        if refusal is not None:
            await _deny(context, socket, *refusal)
            return
        address = address_of(socket)
        if not doors.enter(address):
            await _deny(context, socket, 429, "full", "quá nhiều kênh trực tiếp", SERVER_FULL)
            return
        open_sockets = context.metrics.sockets.labels(wall)
        open_sockets.inc()
        try:
            await socket.accept()
            await _serve(context, Client(socket, wall, context.mirror.feeds[wall]))
        finally:
            doors.leave(address)
            open_sockets.dec()


async def _refusal(context: Context, socket: WebSocket, wall: str) -> tuple[int, str, str, str] | None:
    """Status, reason for the metrics, and words; None for who may come in."""
    if not has_own_origin(socket):
        return 403, "origin", "trang khác không được mở kênh này", "a page of another origin may not open this channel"
    if not await may_read(context, socket):
        return 401, "token", "cần đăng nhập hoặc mã xem (?token=)", "log in, or bring the wall's token (?token=)"
    if wall not in context.walls:
        return 404, "wall", f"không có màn hình {wall[:64]}", f"there is no wall {wall[:64]}"
    return None


async def _deny(context: Context, socket: WebSocket, status: int, reason: str, vi: str, en: str) -> None:
    context.metrics.refused.labels(reason).inc()
    await socket.send_denial_response(JSONResponse({"detail": {"vi": vi, "en": en}}, status))


async def _serve(context: Context, client: Client) -> None:
    """Read and send until either ends."""
    try:
        async with asyncio.timeout(HELLO_S):
            if not await _read_one(context, client):
                return
    except (TimeoutError, WebSocketDisconnect):
        await _close(context, client, "no hello", "say hello first")
        return
    tasks = [asyncio.create_task(_read(context, client)), asyncio.create_task(_send(context, client))]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            # A disconnect is the ordinary end; anything else is a mistake of ours, and is shown.
            if isinstance(ended, Exception) and not isinstance(ended, WebSocketDisconnect | TimeoutError):
                raise ended


async def _read(context: Context, client: Client) -> None:
    while await _read_one(context, client):
        pass


async def _read_one(context: Context, client: Client) -> bool:
    """One message of the client's; False when it was the last."""
    received = await client.socket.receive()
    if received["type"] == "websocket.disconnect":
        return False
    message = frame.read(received.get("text") or received.get("bytes") or "")
    if isinstance(message, str):
        await _close(context, client, "protocol", message)
        return False
    if isinstance(message, frame.Hello):
        client.epoch, client.sequence, client.proved_at = message.epoch, message.seq, context.clock()
    else:
        context.metrics.reported(client.wall, message)
    return True


async def _send(context: Context, client: Client) -> None:
    mirror = context.mirror
    await mirror.looked()
    while True:
        tick = mirror.ticks.next()
        # Nothing is sent while the store does not answer: an empty or old picture with a fresh clock would be a lie.
        if mirror.state.epoch and not mirror.fault:
            await _send_owed(context, client)
        while not await happened(tick, TICK_WAIT_S):
            pass


async def _send_owed(context: Context, client: Client) -> None:
    now = context.clock()
    frames, client.epoch, client.sequence = client.feed.owed(client.epoch, client.sequence, now)
    if now - client.proved_at >= PROOF_MS:
        client.proved_at = now
        frames = [*frames, client.feed.proof()]
    for text in frames:
        async with asyncio.timeout(SEND_S):
            await client.socket.send_text(text)
        context.metrics.frames.inc()
        context.metrics.frame_bytes.inc(len(text))


async def _close(context: Context, client: Client, reason: str, words: str) -> None:
    context.metrics.refused.labels(reason).inc()
    if client.socket.application_state is WebSocketState.CONNECTED:
        await client.socket.close(frame.CLOSE_PROTOCOL, words)
