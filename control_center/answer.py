"""The shapes of the API's answers, and how they follow from live values and rows of the database."""

from collections.abc import Iterable
from typing import Any

import msgspec
from typing_extensions import TypedDict

from streams.beat import Counts, Value
from streams.kpi import Kpi

KpiAnswer = TypedDict(
    "KpiAnswer",
    {
        "kpi": str, "value": float | None, "n": int, "unit": str, "ucum": str, "from": int | None, "to": int | None,
        "state": str, "revision": int, "as_of": int | None, "sources": int,
    },
)  # fmt: skip
"""A KPI over one window: `unit` is the commune's, former district's or place's code, `ucum` the unit of measure;
times are ms UTC; `value` is null where nothing was observed, `state` "unknown" where nothing ever was."""


class LedgerAnswer(TypedDict):
    """Totals of messages since the data folder was made; `difference` is 0. `readings` are in messages accepted."""

    received: int
    accepted: int
    duplicate: int
    too_late: int
    rejected: int
    in_flight: int
    difference: int
    readings: int
    refused_by_broker: int
    by_reason: dict[str, int]


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


def ledger_of_live(partitions: Iterable[bytes], refused: int, by_reason: dict[str, int]) -> LedgerAnswer:
    """The sum over the partitions' JSON in the live store."""
    rows = [msgspec.json.decode(row, type=_LiveLedger) for row in partitions]
    total = {name: sum(getattr(row, name) for row in rows) for name in _LiveLedger.__struct_fields__}
    return _ledger(total, refused, by_reason)


def ledger_of_counts(counts: Counts, refused: int, by_reason: dict[str, int]) -> LedgerAnswer:
    """From the database, which knows of nothing in flight."""
    total = {name: getattr(counts, name) for name in ("accepted", "duplicate", "too_late", "rejected", "readings")}
    return _ledger(total | {"received": counts.received, "in_flight": 0}, refused, by_reason)


def _ledger(total: dict[str, Any], refused: int, by_reason: dict[str, int]) -> LedgerAnswer:
    outcomes = ("accepted", "duplicate", "too_late", "rejected", "in_flight")
    return {
        "received": total["received"], "accepted": total["accepted"], "duplicate": total["duplicate"],
        "too_late": total["too_late"], "rejected": total["rejected"], "in_flight": total["in_flight"],
        "difference": total["received"] - sum(total[name] for name in outcomes), "readings": total["readings"],
        "refused_by_broker": refused, "by_reason": by_reason,
    }  # fmt: skip
