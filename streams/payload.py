"""A message's payload as a person may see it: text where it is text, and of a desk's event only what is used."""

import base64
from typing import Any, Literal, NamedTuple

import msgspec

from sensors.decoders.cloudevents import KEPT
from sensors.kind import Kind

SHOWN_BYTES = 16_384
HIDDEN = "…"


class Shown(NamedTuple):
    """The text, how it is written, and whether members were left out."""

    text: str
    encoding: Literal["text", "base64"]
    is_reduced: bool


def shown(payload: bytes, kind: Kind) -> Shown:
    """At most 16 kB of it. Of an event's data, members that the processor does not use may be a citizen's name or
    number (Law 91/2025/QH15): their names stay, their values do not."""
    if kind.format == "cloudevents":
        reduced = _reduced(payload)
        if reduced is not None:
            return Shown(reduced[:SHOWN_BYTES].decode(errors="replace"), "text", True)
    try:
        return Shown(payload.decode()[:SHOWN_BYTES], "text", False)
    except UnicodeDecodeError:
        return Shown(base64.b64encode(payload[:SHOWN_BYTES]).decode(), "base64", False)


def _reduced(payload: bytes) -> bytes | None:
    """The event without the values of other members; None where there are none, or where it is no JSON object."""
    try:
        event: Any = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    data = event.get("data") if isinstance(event, dict) else None
    if not isinstance(data, dict) or all(name in KEPT for name in data):
        return None
    kept = {name: value if name in KEPT else HIDDEN for name, value in data.items()}
    return msgspec.json.encode(event | {"data": kept})
