"""A real Chromium for the tests of pages: what it complains about, a line to the gateway that can be cut, and eyes.

Pages put their state into attributes, and tests wait on locators: nothing here sleeps.
"""

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, WebSocket, async_playwright, expect

from streams.asyncio_signal import Signal

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's Chromium; skips, in words, where there is none."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    expect.set_options(timeout=20_000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        await browser.close()


class Watched:
    """What a page does that it should not: complaints, requests to elsewhere; and every frame of the live channel."""

    patience_s = 20.0

    def __init__(self, page: Page, host: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.elsewhere: list[str] = []
        self.frames: list[dict[str, Any]] = []
        self.channels = 0
        self._more = Signal()
        page.on("console", lambda message: self._heard(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._asked(request.url, host))
        page.on("websocket", self._opened)

    def check(self) -> None:
        assert self.complaints == []
        assert self.elsewhere == []

    async def until(self, holds: Callable[[], bool], words: str) -> None:
        """Return when it is so; looked at whenever the live channel has brought a frame."""
        try:
            async with asyncio.timeout(self.patience_s):
                more = self._more.next()
                while not holds():
                    await more.wait()
                    more = self._more.next()
        except TimeoutError:
            raise AssertionError(f"not in {self.patience_s:.0f} s: {words}; last heard: {self.frames[-3:]}") from None

    def _heard(self, text: str) -> None:
        if "Content Security Policy" in text or "Uncaught" in text:
            self.complaints.append(text)

    def _asked(self, url: str, host: str) -> None:
        if urlsplit(url).netloc != host and urlsplit(url).scheme not in ("data", "blob"):
            self.elsewhere.append(url)

    def _opened(self, socket: WebSocket) -> None:
        self.channels += 1
        socket.on("framereceived", self._received)

    def _received(self, payload: str | bytes) -> None:
        self.frames.append(json.loads(payload))
        self._more.raise_()


@asynccontextmanager
async def page_at(
    browser: Browser, host: str, path: str, width: int = 1920, height: int = 1080
) -> AsyncIterator[Watched]:
    """A page, watched until the end; fails where it complained or asked elsewhere."""
    context = await browser.new_context(viewport={"width": width, "height": height})
    page = await context.new_page()
    watched = Watched(page, host)
    await page.goto(f"http://{host}{path}")
    yield watched
    watched.check()
    await context.close()


class Line:
    """A TCP line to the gateway. `cut` breaks it, `freeze` lets nothing through, `mend` makes it whole again."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.partition(":")
        self._port = int(port)
        self._flows = asyncio.Event()
        self._flows.set()
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self.host = ""

    def cut(self) -> None:
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        self._flows.clear()

    def mend(self) -> None:
        self._is_cut = False
        self._flows.set()

    async def joined(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A client came: connect it."""
        if self._is_cut:
            writer.transport.abort()
            return
        inner_reader, inner_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, inner_writer}
        await asyncio.gather(self._carry(reader, inner_writer), self._carry(inner_reader, writer))
        self._writers -= {writer, inner_writer}

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def line_to(target: str) -> AsyncIterator[Line]:
    line = Line(target)
    server = await asyncio.start_server(line.joined, "127.0.0.1", 0)
    line.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield line
    line.mend()
    line.cut()
    server.close()


CUT_OFF = """() => {
  const wrong = [];
  const [width, height] = [innerWidth, innerHeight];
  const root = document.documentElement;
  const isOut = (box, left, top, right, bottom) =>
    box.left < left - 1 || box.right > right + 1 || box.top < top - 2 || box.bottom > bottom + 2;
  if (root.scrollWidth > width + 1 || root.scrollHeight > height + 1) wrong.push('the page scrolls');
  for (const element of document.querySelectorAll('#page *')) {
    if (element.closest('svg') || !element.checkVisibility()) continue;
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())) continue;
    const text = `${element.className || element.id || element.tagName}: ${element.textContent}`;
    const isInline = getComputedStyle(element).display === 'inline';
    if (!isInline && element.scrollWidth > element.clientWidth + 1) wrong.push(`cut: ${text}`);
    const range = document.createRange();
    range.selectNodeContents(element);
    const letters = range.getBoundingClientRect();
    if (isOut(letters, 0, 0, width, height)) wrong.push(`outside: ${text}`);
    const panel = element.closest('.tile, .panel, #ledger')?.getBoundingClientRect();
    if (!panel) continue;
    if (isOut(letters, panel.left, panel.top, panel.right, panel.bottom)) wrong.push(`out of its panel: ${text}`);
  }
  return wrong;
}"""
"""What of a wall scrolls, is cut, or stands outside of its panel; an empty list where all can be read."""

DRAWN = """() => new Promise((done) => {
  const next = (frames) => requestAnimationFrame(() => (frames ? next(frames - 1) : done()));
  next(3);
})"""
"""What changed size is measured in the next frame, and drawn in the one after."""
