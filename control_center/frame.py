"""The words of the live channel, as JSON text: what a wall says, and the frames that it is sent.

→ {"t":"hello","v":1,"epoch":…,"seq":…}   first, and again when the wall wants everything anew (epoch "")
← {"t":"meta","epoch","build","wall","kpis","units","place","now"}   forget what you had; only where needed
← {"t":"d","s":seq,"now":ms,"more":n,"d":{key: value | null}}        null: deleted; empty d: heartbeat
← {"t":"hash","s":seq,"n":keys,"h":"8 hex digits"}                   of the state at seq: streams.sync
→ {"t":"health","up","heap","gap","long","nodes"}                    each page, every 10 s
"""

from collections.abc import Mapping
from typing import Any

import msgspec

PROTOCOL = 1
MESSAGE_BYTES_MAX = 65_536
CLOSE_PROTOCOL = 4000
"""Websocket close code: the wall and the gateway do not speak the same language; the reason says more."""


class Hello(msgspec.Struct, tag="hello", tag_field="t"):
    """Where a wall stands: the last sequence it applied, and the epoch that numbers it."""

    v: int
    epoch: str = ""
    seq: int = 0


class Health(msgspec.Struct, tag="health", tag_field="t"):
    """How a page does: seconds up, bytes of heap, longest gap and longest task in ms, DOM nodes; null where unknown."""

    up: float | None = None
    heap: float | None = None
    gap: float | None = None
    long: float | None = None
    nodes: float | None = None


_decode = msgspec.json.Decoder(Hello | Health).decode


def read(text: str | bytes) -> Hello | Health | str:
    """A wall's message; a text when it cannot be understood: the words to close with (123 bytes at most)."""
    if len(text) > MESSAGE_BYTES_MAX:
        return "message over 64 kB"
    try:
        message: Hello | Health = _decode(text)
    except (msgspec.MsgspecError, UnicodeError):
        return 'expected {"t":"hello","v":1,"epoch":"…","seq":0} or {"t":"health",…}'
    if isinstance(message, Hello) and message.v != PROTOCOL:
        return f"this gateway speaks version {PROTOCOL}, the page {message.v}: reload the page"
    return message


def meta(described: Mapping[str, Any], epoch: str, now: int) -> str:
    """A newcomer's first frame; `described` is the same for all."""
    return msgspec.json.encode({"t": "meta", "epoch": epoch, "now": now, **described}).decode()


def delta(sequence: int, now: int, more: int, changes: Mapping[str, bytes | None]) -> str:
    """What changed; the values are JSON already."""
    members = b",".join(
        msgspec.json.encode(key) + b":" + (b"null" if value is None else value) for key, value in changes.items()
    )
    return f'{{"t":"d","s":{sequence},"now":{now},"more":{more},"d":{{{members.decode()}}}}}'


def proof(sequence: int, keys: int, state_hash: str) -> str:
    """What the wall's state must hash to at `sequence`."""
    return f'{{"t":"hash","s":{sequence},"n":{keys},"h":"{state_hash}"}}'
