"""How a number came about, as data: what `streams.lineage` finds, and what `GET /api/explain` answers.

Read from top to bottom it is the way back: value → window → formula → units → panes → sources → messages. Times are
ms UTC unless a member is a text.
"""

from typing import Literal

import msgspec

Outcome = Literal[
    "counted",  # a reading of it is in the value
    "duplicate",  # told before: the same source, quantity and observed time, or the same CloudEvents id and source
    "too_late",  # older than the kind's lateness behind its unit
    "set_aside",  # the device calibrates or is at fault
    "rejected",  # could not be used; `reason` is from the closed list
    "other_window",  # usable, but its readings fall into other windows, or are of other quantities or fields
]
Scope = Literal["unit", "district", "place"]


class Text(msgspec.Struct, frozen=True):
    """One text in both languages."""

    vi: str
    en: str


class ToldValue(msgspec.Struct, frozen=True):
    """The value as it was said: `start` and `end` bound its window; `value` null where nothing was observed."""

    value: float | None
    n: int
    sources: int
    state: str
    revision: int
    as_of: int
    start: int = msgspec.field(name="from")
    end: int = msgspec.field(name="to")


class Window(msgspec.Struct, frozen=True):
    """[from, to): in the place's own time and in UTC as texts. `looks_back_to`: where the value's readings begin (a
    Nowcast looks twelve hours back)."""

    start: int = msgspec.field(name="from")
    end: int = msgspec.field(name="to")
    looks_back_to: int
    local_start: str = msgspec.field(name="from_local")
    local_end: str = msgspec.field(name="to_local")
    utc_start: str = msgspec.field(name="from_utc")
    utc_end: str = msgspec.field(name="to_utc")
    window_s: int
    every_s: int
    pane_s: int


class Bound(msgspec.Struct, frozen=True):
    """Something that the number is held against: the KPI's goal, or an alert rule that looks at it."""

    what: Literal["goal", "rule"]
    id: str
    name: Text
    condition: Text
    owner: Text
    severity: str
    source: str


class Formula(msgspec.Struct, frozen=True):
    """The definition in words: `lines` in order of the calculation, and the members that they tell of."""

    lines: list[Text]
    measure: str
    kind: str
    quantity: str
    across: str
    field: str
    factor: float
    source: str
    bounds: list[Bound]


class UnitPart(msgspec.Struct, frozen=True):
    """One unit's part: its own value of the same window as it was said (null: it said none), the readings in it, their
    share of all in percent, and the journal records that hold them (−1: none)."""

    unit: str
    name: str
    n: int
    share: float
    value: float | None
    state: str
    revision: int
    partition: int
    first_offset: int
    last_offset: int


class PaneLine(msgspec.Struct, frozen=True):
    """One pane of one quantity: what was counted in [from, to)."""

    quantity: str
    start: int = msgspec.field(name="from")
    end: int = msgspec.field(name="to")
    n: int
    sum: float
    min: float
    max: float


class SourceLine(msgspec.Struct, frozen=True):
    """One source: its counted readings, their share of all in percent, its own value of the KPI (null where one source
    has none), its newest observed time, and how far its clock was ahead of reception at most (negative: behind, which
    is the way and the waiting; null where it gives no times)."""

    unit: str
    unit_name: str
    source: str
    n: int
    share: float
    value: float | None
    newest: int
    ahead_ms: int | None


class AirLine(msgspec.Struct, frozen=True):
    """One pollutant of one station: `hours` are hourly means in µg/m³, newest first, null for a missing hour;
    `concentration` is what the index is taken of (dust: the Nowcast), `index` its VN_AQI."""

    unit: str
    source: str
    quantity: str
    hours: list[float | None]
    concentration: float | None
    index: float | None


class ReadingLine(msgspec.Struct, frozen=True):
    """One reading of a message: observed time and value, and what became of it."""

    quantity: str
    time: int
    value: float
    outcome: Outcome


class Linked(msgspec.Struct, frozen=True):
    """The other event of the same ticket, of which, with this one, a reading follows. `step` is taken, called …"""

    step: str
    time: int
    topic: str
    partition: int
    offset: int
    ordinal: int
    received_at: int
    payload: str


class MessageLine(msgspec.Struct, frozen=True):
    """One message as it stands in the journal. `payload` is its text, or base64 (`encoding`), cut at 16 kB of
    `payload_bytes`; of a desk's event only members that the processor uses are shown, others as "…" (`is_reduced`).
    `reason` and `detail` say why it was not counted; `step`, `ticket` tell an event of a queue."""

    topic: str
    partition: int
    offset: int
    ordinal: int
    received_at: int
    outcome: Outcome
    reason: str
    detail: str
    readings: list[ReadingLine]
    step: str
    ticket: str
    linked: list[Linked]
    payload: str
    encoding: Literal["text", "base64"]
    payload_bytes: int
    is_reduced: bool


class Recomputed(msgspec.Struct, frozen=True):
    """The value worked out again from the messages. `matches`: the same n and the same value as were said."""

    value: float | None
    n: int
    sources: int
    matches: bool
    verdict: Text


class Read(msgspec.Struct, frozen=True):
    """How much was read for it: records and messages of the journal, messages decoded, `listed` of `listable`;
    `is_cut`: a bound was reached, and a note says which."""

    records: int
    messages: int
    decoded: int
    listed: int
    listable: int
    is_cut: bool


class Explanation(msgspec.Struct, frozen=True):
    """One number, explained. `asked_at` is the moment asked for (null: the newest); `outcomes` counts the messages of
    the kind that the journal's range holds, by outcome; `notes` say what a reader must know."""

    kpi: str
    unit: str
    scope: Scope
    scope_name: str
    name: Text
    unit_of_measure: Text
    ucum: str
    decimals: int
    asked_at: int | None
    value: ToldValue
    window: Window
    formula: Formula
    units: list[UnitPart]
    panes: list[PaneLine]
    sources: list[SourceLine]
    air: list[AirLine]
    messages: list[MessageLine]
    outcomes: dict[str, int]
    recomputed: Recomputed
    read: Read
    notes: list[Text]
