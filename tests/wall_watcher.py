"""A wall that hangs there while disasters strike: it reconnects for ever, and checks every proof it is sent."""

import asyncio
import contextlib
import threading
import time
from itertools import pairwise

from gateway_client import Site, WallClient
from websockets.exceptions import InvalidHandshake, WebSocketException

AGAIN_S = 0.3
ANSWER_S = 30.0


class WallWatcher:
    """Resumes where it was, as a wall's page does. `proofs`: how often the state was proved, `proved_at` (monotonic s)
    when last; `moves`: when a figure changed (monotonic s)."""

    def __init__(self, port: int) -> None:
        self.proofs = 0
        self.proved_at = 0.0
        self.connections = 0
        self.resumed = 0
        self.mismatches: list[str] = []
        self.moves: list[float] = []
        self._site = Site(port)
        self._wall: WallClient | None = None
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._hang()), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._is_over.set()
        self._thread.join(ANSWER_S + 10)

    def stood_s(self, since: float) -> float:
        """The longest time, from `since` (monotonic s) to now, in which no figure changed."""
        moves = [since, *(moved_at for moved_at in self.moves if moved_at > since), time.monotonic()]
        return max(after - before for before, after in pairwise(moves))

    async def _hang(self) -> None:
        while not self._is_over.is_set():
            with contextlib.suppress(OSError, TimeoutError, InvalidHandshake, WebSocketException):
                async with self._site.live(open_timeout=ANSWER_S) as socket:
                    await self._follow(WallClient(socket))
            await asyncio.sleep(AGAIN_S)

    async def _follow(self, wall: WallClient) -> None:
        """From where the last connection ended; a gateway that cannot go on from there sends `meta` and everything."""
        self.connections += 1
        before, self._wall = self._wall, wall
        if before is not None:
            wall.meta, wall.held, wall.epoch, wall.sequence = before.meta, before.held, before.epoch, before.sequence
        is_resumed = bool(wall.epoch)
        await wall.hello(wall.epoch, wall.sequence)
        while not self._is_over.is_set():
            frame = await wall.next()
            wall.heard.clear()
            if frame["t"] == "d" and any(key.startswith("k:") for key in frame["d"]):
                self.moves.append(time.monotonic())
            if frame["t"] == "meta":
                is_resumed = False
            elif frame["t"] == "d" and is_resumed:
                self.resumed, is_resumed = self.resumed + 1, False
            elif frame["t"] == "hash":
                self._compare(wall, frame["s"], (frame["n"], frame["h"]))

    def _compare(self, wall: WallClient, sequence: int, proof: tuple[int, str]) -> None:
        assert sequence == wall.sequence, "a proof follows the frame that brings its sequence"
        if proof != wall.proof():
            self.mismatches.append(f"at {wall.epoch}/{sequence}: the gateway has {proof}, the wall {wall.proof()}")
        self.proofs += 1
        self.proved_at = time.monotonic()
