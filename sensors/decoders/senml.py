"""SenML JSON packs (RFC 8428): base fields resolved, units converted, values judged for plausibility.

A record's quantity is its resolved name's text after the last ":" or "/". One pack is one message: usable readings
count even when another record of the pack is bad; a pack without any usable reading is rejected. A record named
`status` with the string value measuring, calibrating or fault tells the device's status (domain §3.6), and the
extension field `seq` in the first record numbers the source's messages (architecture §4).
"""

import math

import msgspec

from sensors.errors import MessageRejected, Reason
from sensors.kind import Kind, Quantity, Status
from sensors.reading import BadReading, Pack, Reading

VERSION = 10
RELATIVE_BELOW_S = 2**28
FUTURE_ALLOWED_MS = 120_000
CLOCK_NOT_SET_BEFORE_MS = 946_684_800_000
RECORDS_MAX = 1_000
SECONDS_MAX = 1e12
NEVER_MS = 1 << 60
NUMBER_MAX = 2**62
_STATUSES: dict[str, Status] = {"measuring": "measuring", "calibrating": "calibrating", "fault": "fault"}


class Record(msgspec.Struct, gc=False):
    """One SenML record; fields as in RFC 8428 §4.3, with `seq` of our own."""

    bn: str = ""
    bt: float = 0.0
    bu: str = ""
    bv: float = 0.0
    bs: float = 0.0
    bver: int = VERSION
    n: str = ""
    u: str = ""
    v: float | None = None
    vs: str | None = None
    vb: bool | None = None
    vd: str | None = None
    s: float | None = None
    t: float = 0.0
    ut: float | None = None
    seq: int | None = None


_new = tuple.__new__  # half of what calling a NamedTuple costs, for every reading
_records = msgspec.json.Decoder(list[Record]).decode
_anything = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


def decode(payload: bytes, received_at: int, kind: Kind) -> Pack:
    """Decode a pack received at `received_at` (ms UTC); raises MessageRejected."""
    if len(payload) > kind.bytes_max:
        raise MessageRejected("too_large", f"{len(payload)} bytes; a {kind.id} message has at most {kind.bytes_max}")
    try:
        records = _records(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageRejected("bad_payload", f"no SenML pack: {error}") from error
    if not 0 < len(records) <= RECORDS_MAX:
        raise MessageRejected("bad_payload", f"a pack has 1 to {RECORDS_MAX} records, not {len(records)}")
    is_escaped = b"\\u" in payload
    try:
        if b'_"' in payload or is_escaped:
            _must_understand(payload)
        return _resolve(records, received_at, kind, b'"b' in payload or is_escaped)
    except MessageRejected as rejected:
        # What cannot be used has its number all the same: it is not missing.
        rejected.sequence = number_of(records[0].seq)
        raise


def _must_understand(payload: bytes) -> None:
    """Fields whose name ends in "_" must be understood (RFC 8428 §4.4); we have none."""
    try:
        records = _anything(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Only now are the names of members that we do not read looked at.
        raise MessageRejected("bad_payload", f"no SenML pack: {error}") from error
    for record in records:
        for name in record:
            if name.endswith("_"):
                raise MessageRejected("bad_version", f"field {name[-32:]!r} must be understood, and is not")


def _resolve(records: list[Record], received_at: int, kind: Kind, has_base: bool) -> Pack:
    base_name, base_time, base_unit, base_value, base_sum = "", 0.0, "", 0.0, 0.0
    readings: list[Reading] = []
    bad: list[BadReading] = []
    status: Status = "measuring"
    is_timed = True
    quantities = kind.quantities
    for record in records:
        if has_base:
            base_name = record.bn or base_name
            base_time = record.bt or base_time
            base_unit = record.bu or base_unit
            base_value = record.bv or base_value
            base_sum = record.bs or base_sum
            if record.bver > VERSION:
                raise MessageRejected("bad_version", f"SenML version {record.bver}; up to {VERSION} is read")
        name = record.n
        if name not in quantities:
            name = _quantity_name(base_name + name)
        if name == "status":
            status = _status(record.vs)
            continue
        quantity = quantities.get(name)
        if quantity is None:
            if _says_nothing(record):
                continue
            bad.append(BadReading(name[:64], "unknown_quantity", f"{kind.id} has {', '.join(quantities)}"))
            continue
        seconds = base_time + record.t
        value = record.v
        if value is None:
            value = math.nan if record.s is None and not base_sum else base_sum + (record.s or 0.0)
        value += base_value
        unit = record.u or base_unit
        if unit and unit != quantity.ucum:
            factor = quantity.accepts.get(unit)
            if factor is None:
                bad.append(BadReading(name, "wrong_unit", _units(unit, quantity)))
                continue
            value *= factor
        if RELATIVE_BELOW_S <= seconds < SECONDS_MAX:
            time = int(seconds * 1000 + 0.5)
        elif -RELATIVE_BELOW_S < seconds < RELATIVE_BELOW_S:
            is_timed = is_timed and seconds != 0
            time = received_at + round(seconds * 1000)
        else:
            time = 0 if seconds < 0 else NEVER_MS
        if not quantity.low <= value <= quantity.high:
            bad.append(_implausible(name, value, quantity))
        elif time > received_at + FUTURE_ALLOWED_MS:
            bad.append(BadReading(name, "in_the_future", f"observed {(time - received_at) // 1000} s after reception"))
        elif time < CLOCK_NOT_SET_BEFORE_MS:
            bad.append(BadReading(name, "clock_not_set", "observed before the year 2000"))
        else:
            readings.append(_new(Reading, (name, time, value)))
    if not readings and bad:
        raise MessageRejected(bad[0].reason, f"{bad[0].quantity}: {bad[0].detail}")
    return Pack(readings, bad, status, number_of(records[0].seq), is_timed)


def number_of(number: int | None) -> int | None:
    """A source's own count, where it is one."""
    return number if number is not None and 0 <= number <= NUMBER_MAX else None


def _quantity_name(name: str) -> str:
    return name.rstrip(":/").replace("/", ":").rpartition(":")[2]


def _status(word: str | None) -> Status:
    status = _STATUSES.get(word or "")
    if status is None:
        raise MessageRejected("bad_payload", f"status is measuring, calibrating or fault, not {(word or '')[:32]!r}")
    return status


def _says_nothing(record: Record) -> bool:
    """A record that only carries base fields."""
    return not record.n and record.v is None and record.vs is None and record.vb is None and record.s is None


def _units(unit: str, quantity: Quantity) -> str:
    known = ", ".join((quantity.ucum, *quantity.accepts))
    return f"unit {unit[:32]!r}; expected {known}"


def _implausible(name: str, value: float, quantity: Quantity) -> BadReading:
    if not math.isfinite(value):
        reason: Reason = "not_a_number"
        return BadReading(name, reason, "a value is a finite number")
    return BadReading(name, "implausible", f"{value:g}; expected {quantity.low:g} to {quantity.high:g} {quantity.ucum}")
