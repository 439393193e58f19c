"""A gateway served by a real uvicorn in the test's own event loop, and the plain clients that ask it."""

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from email.message import Message
from typing import Any, NamedTuple

import uvicorn
from fastapi import FastAPI
from websockets.asyncio.client import ClientConnection, connect

from streams.sync import key_hash, state_hash


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _Server(uvicorn.Server):
    """Says when it listens, and leaves signals to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


class Site:
    """Where a gateway listens."""

    def __init__(self, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self._opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))

    async def ask(self, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """GET, or POST where there is a body; `_` in a header's name stands for `-`. Redirects are not followed."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://{self.host}{path}", data=body, headers=named)
        return await asyncio.to_thread(self._open, request)

    def _open(self, request: urllib.request.Request) -> Answer:
        try:
            with self._opener.open(request, timeout=20) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def live(self, query: str = "wall=overview", **options: Any) -> connect:
        return connect(f"ws://{self.host}/live?{query}", proxy=None, compression=None, **options)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[Site]:
    """Serve an application on a free port of loopback."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, ws="websockets-sansio", ws_per_message_deflate=False, log_level="warning",
        proxy_headers=False, timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = _Server(config)
    running = asyncio.create_task(server.serve())
    listening = asyncio.create_task(server.listens.wait())
    await asyncio.wait({running, listening}, return_when=asyncio.FIRST_COMPLETED)
    assert not running.done(), "the server did not start"
    try:
        yield Site(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await running
        listening.cancel()


class WallClient:
    """What a wall's page does with the live channel, in a few lines."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.epoch, self.sequence, self.more = "", 0, 0
        self.meta: dict[str, Any] = {}
        self.held: dict[str, Any] = {}
        self.heard: list[dict[str, Any]] = []

    async def hello(self, epoch: str = "", sequence: int = 0) -> None:
        await self.socket.send(json.dumps({"t": "hello", "v": 1, "epoch": epoch, "seq": sequence}))

    async def next(self) -> dict[str, Any]:
        """Take the next frame over, and return it."""
        async with asyncio.timeout(20):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        self.heard.append(frame)
        if frame["t"] == "meta":
            self.meta, self.epoch, self.held = frame, frame["epoch"], {}
        elif frame["t"] == "d":
            self.sequence, self.more = frame["s"], frame["more"]
            self.held = {key: value for key, value in (self.held | frame["d"]).items() if value is not None}
        return frame

    async def until_sequence(self, sequence: int) -> dict[str, Any]:
        """The frame that brings this sequence number."""
        frame = await self.next()
        while frame["t"] != "d" or frame["s"] < sequence:
            frame = await self.next()
        return frame

    async def until(self, kind: str) -> dict[str, Any]:
        frame = await self.next()
        while frame["t"] != kind:
            frame = await self.next()
        return frame

    def proof(self) -> tuple[int, str]:
        """The state hash of what this wall holds."""
        parts = [key_hash(key, json.dumps(value).encode()) for key, value in self.held.items()]
        return len(parts), state_hash(iter(parts))


@asynccontextmanager
async def wall_client(site: Site, **options: Any) -> AsyncIterator[WallClient]:
    async with site.live(**options) as socket:
        yield WallClient(socket)
        with contextlib.suppress(OSError):
            await socket.close()
