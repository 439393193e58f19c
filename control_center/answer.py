"""The shapes of the API's answers, and how they follow from live values and rows of the database."""

from collections.abc import Iterable
from typing import Any

import msgspec
from typing_extensions import TypedDict

from streams.beat import Counts, Value
from streams.checkpoint import LedgerRow, SourceRow
from streams.kpi import Kpi
from streams.numbering import Gap

KpiAnswer = TypedDict(
    "KpiAnswer",
    {
        "kpi": str, "value": float | None, "n": int, "unit": str, "ucum": str, "from": int | None, "to": int | None,
        "state": str, "revision": int, "as_of": int | None, "sources": int,
    },
)  # fmt: skip
"""A KPI over one window: `unit` is the commune's, former district's or place's code, `ucum` the unit of measure;
times are ms UTC; `value` is null where nothing was observed, `state` "unknown" where nothing ever was. `sources` counts
the devices of a KPI across them, else the units."""


class HeldAnswer(TypedDict):
    """Where messages are that have no outcome yet: at the bridges (not journaled, so not received either), in the
    journal, or evaluated and waiting for a checkpoint. in_flight = journal + checkpoint."""

    bridge: int
    journal: int
    checkpoint: int


class BridgeAnswer(TypedDict):
    """What a bridge said last (`at`, ms UTC) of its process: messages held, arrived, and come again while held; how
    often another bridge had overtaken it, and when last (null: never)."""

    bridge: str
    at: int
    pending: int
    arrived: int
    repeated: int
    overtaken: int
    overtaken_at: int | None


class LedgerAnswer(TypedDict):
    """Totals of messages since the data folder was made; `difference` is 0. `readings` are in messages accepted.

    Of sources that number their messages: sent = numbered + unreadable + missing.
    """

    received: int
    accepted: int
    duplicate: int
    too_late: int
    rejected: int
    in_flight: int
    held: HeldAnswer
    bridges: list[BridgeAnswer]
    difference: int
    readings: int
    refused_by_broker: int
    by_reason: dict[str, int]
    sent: int
    numbered: int
    unreadable: int
    missing: int


class LedgerRowAnswer(TypedDict):
    """Outcomes of one partition, kind and minute of reception (ms UTC)."""

    partition: int
    kind: str
    minute: int
    received: int
    accepted: int
    duplicate: int
    too_late: int
    rejected: int


class GapAnswer(TypedDict):
    """Numbers that did not arrive; `after` and `before` are the observed times of their neighbours (ms UTC)."""

    first: int
    last: int
    count: int
    after: int
    before: int


class MissingAnswer(TypedDict):
    """A source of which messages never came: sent = numbered + unreadable + missing; its newest gaps."""

    unit: str
    kind: str
    source: str
    sent: int
    numbered: int
    unreadable: int
    missing: int
    restarts: int
    gaps: list[GapAnswer]


class RejectionAnswer(TypedDict):
    """What could not be used: `payload` is base64, cut at 64 kB. Refused by the broker itself: `address` says whose."""

    topic: str
    reason: str
    detail: str
    payload: str
    time: int
    ordinal: int | None
    partition: int | None
    address: str


class _LiveValue(msgspec.Struct):
    v: float | None
    n: int
    src: int
    from_: int = msgspec.field(name="from")
    to: int
    as_: int = msgspec.field(name="as")
    st: str
    rev: int


class _LiveLedger(msgspec.Struct):
    received: int
    accepted: int
    duplicate: int
    too_late: int
    rejected: int
    in_flight: int
    readings: int
    unwritten: int = 0
    numbered: int = 0
    unreadable: int = 0
    missing: int = 0


def of_live(kpi: Kpi, unit: str, value: bytes) -> KpiAnswer:
    """From the live store's JSON."""
    live = msgspec.json.decode(value, type=_LiveValue)
    return {
        "kpi": kpi.id, "value": live.v, "n": live.n, "unit": unit, "ucum": kpi.ucum, "from": live.from_, "to": live.to,
        "state": live.st, "revision": live.rev, "as_of": live.as_, "sources": live.src,
    }  # fmt: skip


def of_value(kpi: Kpi, value: Value) -> KpiAnswer:
    """From the database."""
    return {
        "kpi": kpi.id, "value": value.value, "n": value.n, "unit": value.scope, "ucum": kpi.ucum, "from": value.start,
        "to": value.end, "state": value.state, "revision": value.revision, "as_of": value.as_of,
        "sources": value.sources,
    }  # fmt: skip


def unknown(kpi: Kpi, unit: str) -> KpiAnswer:
    """Where nothing was ever observed."""
    return {
        "kpi": kpi.id, "value": None, "n": 0, "unit": unit, "ucum": kpi.ucum, "from": None, "to": None,
        "state": "unknown", "revision": 0, "as_of": None, "sources": 0,
    }  # fmt: skip


def newer(one: KpiAnswer | None, other: KpiAnswer | None) -> KpiAnswer | None:
    """The later window, and of the same window the later revision."""
    if one is None or other is None:
        return one if other is None else other
    return max(one, other, key=lambda answer: (answer["to"] or 0, answer["revision"]))


class _LiveBridge(msgspec.Struct):
    pending: int
    at: int = 0
    arrived: int = 0
    repeated: int = 0
    overtaken: int = 0
    overtaken_at: int = 0


def ledger_of_live(
    partitions: Iterable[bytes], bridges: Iterable[tuple[str, bytes]], refused: int, by_reason: dict[str, int]
) -> LedgerAnswer:
    """The sum over the partitions' and bridges' JSON in the live store; bridges by their names."""
    rows = [msgspec.json.decode(row, type=_LiveLedger) for row in partitions]
    total = {name: sum(getattr(row, name) for row in rows) for name in _LiveLedger.__struct_fields__}
    told = [_bridge(name, msgspec.json.decode(one, type=_LiveBridge)) for name, one in sorted(bridges)]
    return _ledger(total | {"pending": sum(one["pending"] for one in told)}, told, refused, by_reason)


def _bridge(name: str, live: _LiveBridge) -> BridgeAnswer:
    return {
        "bridge": name, "at": live.at, "pending": live.pending, "arrived": live.arrived, "repeated": live.repeated,
        "overtaken": live.overtaken, "overtaken_at": live.overtaken_at or None,
    }  # fmt: skip


def ledger_of_counts(
    counts: Counts, numbered: tuple[int, int, int], refused: int, by_reason: dict[str, int]
) -> LedgerAnswer:
    """From the database, which knows of nothing in flight."""
    total = {name: getattr(counts, name) for name in ("accepted", "duplicate", "too_late", "rejected", "readings")}
    total |= dict(zip(("numbered", "unreadable", "missing"), numbered, strict=True))
    nothing = {"in_flight": 0, "unwritten": 0, "pending": 0}
    return _ledger(total | {"received": counts.received} | nothing, [], refused, by_reason)


def _ledger(
    total: dict[str, Any], bridges: list[BridgeAnswer], refused: int, by_reason: dict[str, int]
) -> LedgerAnswer:
    outcomes = ("accepted", "duplicate", "too_late", "rejected", "in_flight")
    return {
        "received": total["received"], "accepted": total["accepted"], "duplicate": total["duplicate"],
        "too_late": total["too_late"], "rejected": total["rejected"], "in_flight": total["in_flight"],
        "held": {
            "bridge": total["pending"], "journal": total["in_flight"] - total["unwritten"],
            "checkpoint": total["unwritten"],
        },
        "bridges": bridges,
        "difference": total["received"] - sum(total[name] for name in outcomes), "readings": total["readings"],
        "refused_by_broker": refused, "by_reason": by_reason,
        "sent": total["numbered"] + total["unreadable"] + total["missing"], "numbered": total["numbered"],
        "unreadable": total["unreadable"], "missing": total["missing"],
    }  # fmt: skip


def ledger_row(partition: int, row: LedgerRow) -> LedgerRowAnswer:
    """A row of the ledger."""
    counts = row.counts
    return {
        "partition": partition, "kind": row.kind, "minute": row.minute, "received": counts.received,
        "accepted": counts.accepted, "duplicate": counts.duplicate, "too_late": counts.too_late,
        "rejected": counts.rejected,
    }  # fmt: skip


def missing_of(source: SourceRow, gaps: Iterable[Gap]) -> MissingAnswer:
    """What is missing of a source."""
    listed: list[GapAnswer] = [
        {"first": gap.first, "last": gap.last, "count": gap.count, "after": gap.after, "before": gap.before}
        for gap in gaps
    ]
    return {
        "unit": source.unit, "kind": source.kind, "source": source.source,
        "sent": source.numbered + source.unreadable + source.missing, "numbered": source.numbered,
        "unreadable": source.unreadable, "missing": source.missing, "restarts": source.restarts, "gaps": listed,
    }  # fmt: skip
