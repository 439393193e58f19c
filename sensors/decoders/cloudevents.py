"""CloudEvents 1.0, structured JSON: what a one-stop desk's terminal sends.

Only members that the processor uses are kept of `data`; names, identity numbers and telephone numbers never pass
(Law 91/2025/QH15 on personal data).
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from sensors.decoders.senml import CLOCK_NOT_SET_BEFORE_MS, FUTURE_ALLOWED_MS, number_of
from sensors.errors import MessageRejected
from sensors.kind import Event, Kind
from sensors.reading import DeskEvent

KEPT = ("ticket", "counter", "field", "service", "score", "channel", "dossier")
TEXT_MAX = 64
ATTRIBUTE_MAX = 256
NUMBER_BELOW = 2**63
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # CloudEvents 1.0 §2.2 forbids them; PostgreSQL has no place for NUL


class Envelope(msgspec.Struct, gc=False):
    """The attributes that are read (CloudEvents 1.0 §3); others are passed over."""

    id: str
    source: str
    specversion: str
    type: str
    time: datetime | None = None
    data: dict[str, Any] | None = None
    sequence: int | str | None = None


_envelope = msgspec.json.Decoder(Envelope).decode


def decode(payload: bytes, received_at: int, kind: Kind) -> DeskEvent:
    """Decode an event received at `received_at` (ms UTC); raises MessageRejected."""
    if len(payload) > kind.bytes_max:
        raise MessageRejected("too_large", f"{len(payload)} bytes; a {kind.id} message has at most {kind.bytes_max}")
    try:
        envelope = _envelope(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageRejected("bad_payload", f"no CloudEvent in structured JSON: {error}") from error
    try:
        return _resolve(envelope, received_at, kind)
    except MessageRejected as rejected:
        # What cannot be used has its number all the same: it is not missing.
        rejected.sequence = _sequence(envelope.sequence)
        raise


def _resolve(envelope: Envelope, received_at: int, kind: Kind) -> DeskEvent:
    if envelope.specversion != "1.0":
        raise MessageRejected("bad_version", f"specversion {envelope.specversion[:16]!r}; expected 1.0")
    for name in ("id", "source"):
        if not _is_text(getattr(envelope, name), ATTRIBUTE_MAX):
            raise MessageRejected("bad_payload", f"{name} has 1 to {ATTRIBUTE_MAX} characters, none of them a control")
    event = next((name for name, known in kind.events.items() if known.type == envelope.type), None)
    if event is None:
        known = ", ".join(event.type for event in kind.events.values())
        raise MessageRejected("unknown_event", f"type {envelope.type[:64]!r}; {kind.id} has {known}")
    return DeskEvent(
        envelope.id,
        envelope.source,
        event,
        _time_ms(envelope.time, received_at),
        _kept(envelope.data or {}, kind.events[event], kind),
        _sequence(envelope.sequence),
        envelope.time is not None,
    )


def _time_ms(time: datetime | None, received_at: int) -> int:
    if time is None:
        return received_at
    if time.tzinfo is None:
        raise MessageRejected("bad_payload", "time needs an offset (RFC 3339), such as Z or +07:00")
    observed = round((time - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    if observed > received_at + FUTURE_ALLOWED_MS:
        raise MessageRejected("in_the_future", f"{(observed - received_at) // 1000} s after reception")
    if observed < CLOCK_NOT_SET_BEFORE_MS:
        raise MessageRejected("clock_not_set", "before the year 2000")
    return observed


def _kept(data: dict[str, Any], event: Event, kind: Kind) -> dict[str, Any]:
    missing = [name for name in event.requires if name not in data]
    if missing:
        raise MessageRejected("missing_data", f"{event.type} needs data.{', data.'.join(missing)}")
    kept = {name: data[name] for name in KEPT if name in data}
    for name, value in kept.items():
        quantity = kind.quantities.get(name)
        if quantity is not None:
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise MessageRejected("not_a_number", f"data.{name} is a number")
            if not quantity.low <= value <= quantity.high:
                shown = f"{str(value)[:24]}; expected {quantity.low:g} to {quantity.high:g}"
                raise MessageRejected("implausible", f"data.{name} {shown}")
        elif not _is_name(value):
            expected = f"a text of 1 to {TEXT_MAX} characters, none of them a control, or a whole number"
            raise MessageRejected("bad_payload", f"data.{name} is {expected}")
    return kept


def _is_name(value: object) -> bool:
    """What names a ticket, a counter, a dossier: a text, or a number that a database can hold."""
    if isinstance(value, str):
        return _is_text(value, TEXT_MAX)
    return isinstance(value, int) and not isinstance(value, bool) and -NUMBER_BELOW <= value < NUMBER_BELOW


def _is_text(value: str, most: int) -> bool:
    return 0 < len(value) <= most and _CONTROL.search(value) is None


def _sequence(sequence: int | str | None) -> int | None:
    if isinstance(sequence, str):
        return int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) < 19 else None
    return number_of(sequence)
