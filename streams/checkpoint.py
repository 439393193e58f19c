"""What one checkpoint transaction carries (architecture §4), as plain data; `sql_store` writes and reads it."""

import msgspec

from streams.alert import Alert, AlertStep
from streams.beat import Counts, Rejection, Value

ROLL_UP = -1
"""The partition number under which the roll-up keeps its own checkpoint."""


class PaneRow(msgspec.Struct, frozen=True):
    """One pane of one series. `series` is "<kind>/<quantity>/<pane_s>", `entity` a unit code or
    "<unit>/<source>", `field` a field of public services or "". `hits` counts readings within each share bound
    (streams.pane_store), `bins` are the log-bin counts as packed bytes; `first_offset` and `last_offset` bound the
    journal records it came from.
    """

    series: str
    entity: str
    field: str
    pane: int
    n: int
    total: float
    low: float
    high: float
    first_time: int
    first_value: float
    last_time: int
    last_value: float
    hits: bytes
    bins: bytes
    first_offset: int
    last_offset: int


class TicketRow(msgspec.Struct, frozen=True):
    """A queue ticket that still has something to say; times ms UTC, None where not yet known."""

    desk: str
    ticket: str
    taken: int | None
    called: int | None
    served: int | None
    left: int | None
    field: str
    touched: int


class SourceRow(msgspec.Struct, frozen=True):
    """A source, for people: when it spoke first and last (received), its newest observed time, status and numbering.

    `sequence` is its newest number; sent = `numbered` + `unreadable` + `missing`. `skew_ms`: how far its clock is
    ahead; None where it gives no times, or has not spoken lately.
    """

    unit: str
    kind: str
    source: str
    first_seen: int
    last_seen: int
    observed: int
    status: str
    online: bool
    sequence: int | None
    numbered: int = 0
    unreadable: int = 0
    missing: int = 0
    restarts: int = 0
    skew_ms: int | None = None


class SourceName(msgspec.Struct, frozen=True):
    """A source's number within its partition, and its name."""

    number: int
    unit: str
    kind: str
    source: str


class SourceBlock(msgspec.Struct, frozen=True):
    """What is known of the sources with the numbers from `block` × 1,024 on, packed (streams.source)."""

    block: int
    content: bytes


class SourceChange(msgspec.Struct, frozen=True):
    """What is known of sources that spoke between two checkpoints, packed: laid over blocks in order of `number`."""

    number: int
    content: bytes


class SeenRow(msgspec.Struct, frozen=True):
    """Hashes (8 bytes each) of identities first seen in this checkpoint; dropped once `until` (reception) is past."""

    until: int
    keys: bytes


class LedgerRow(msgspec.Struct, frozen=True):
    """Outcomes of one partition, kind and minute of reception (ms UTC): added to what the row already has."""

    kind: str
    minute: int
    counts: Counts


class Mail(msgspec.Struct, frozen=True):
    """Something to send. `id` is deterministic, so that the same content is never sent twice."""

    id: str
    channel: str
    recipient: str
    subject: str
    body: str
    created_at: int


class SummaryRow(msgspec.Struct, frozen=True):
    """A summary that was made: its digest, facts (JSON) and text in both languages."""

    id: str
    at: int
    digest: str
    facts: bytes
    text_vi: str
    text_en: str


class Partial(msgspec.Struct, frozen=True):
    """A partition's mergeable share of one window, for the roll-up; `cells` is the packed share (streams.partial).

    `is_patch`: units that it does not name are as the share before it had them.
    """

    kpi: str
    end: int
    cells: bytes
    is_patch: bool = False


class BeatMark(msgspec.Struct, frozen=True, array_like=True):
    """One beat of a partition: its time (ms UTC), the offset reached, messages numbered by the bridge until then, and
    the live store's sequence number before it.

    Of the roll-up, `offset` counts beats, and `heard` says by partition how old (ms) the newest report was that it had
    taken in: in the cluster they come over Kafka. `begins`: the first one since its worker took over from another, or
    from itself before a restart; what that had shown after its last checkpoint is nowhere kept. `waited`: on the beat
    before, a checkpoint still waited to be written when the ledger was told.
    """

    now: int
    offset: int
    received: int
    sequence: int
    heard: dict[int, int] = {}
    begins: bool = False
    waited: bool = False

    def heard_to(self) -> dict[int, int]:
        """By partition, up to which of its beats (ms UTC) the roll-up had heard."""
        return {partition: self.now - age for partition, age in self.heard.items()}


class Checkpoint(msgspec.Struct, frozen=True):
    """Everything that one partition's transaction writes.

    `expected` is the offset the database must still have, `expected_at` the time of its last checkpoint (None: any):
    the fence, which must hold also where no record has come since. `offset` is the next one to read; `ordinal` the
    messages settled so far; `clock` is the packed watermark state; `totals` all counts since the beginning.
    `open_values` are the newest values of windows still open (msgpack list[Value]), `beats` the beats since the last
    checkpoint (msgpack list[BeatMark]): what a replay needs to make the same beats again. `applied` are the commands
    carried out, each with the beat's time. `rejections` are the last ones since the last checkpoint, `reasons` count
    all of them but those that were too late, which are an outcome of their own. `dropped_panes` are (series, entity,
    field, pane): that row's panes before it may go; `seen_until` is the time of reception up to which identities may
    go.
    """

    partition: int
    expected: int
    offset: int
    ordinal: int
    at: int
    clock: bytes
    totals: Counts
    panes: list[PaneRow] = []
    tickets: list[TicketRow] = []
    tickets_done: list[tuple[str, str]] = []
    source_names: list[SourceName] = []
    source_blocks: list[SourceBlock] = []
    source_changes: list[SourceChange] = []
    source_changes_until: int = 0
    seen: list[SeenRow] = []
    values: list[Value] = []
    partials: list[Partial] = []
    alerts: list[Alert] = []
    steps: list[AlertStep] = []
    rejections: list[Rejection] = []
    reasons: dict[str, int] = {}
    ledger: list[LedgerRow] = []
    applied: list[tuple[str, int]] = []
    mails: list[Mail] = []
    summaries: list[SummaryRow] = []
    pending_holds: bytes = b""
    dropped_panes: list[tuple[str, str, str, int]] = []
    seen_until: int = 0
    open_values: bytes = b""
    beats: bytes = b""
    expected_at: int | None = None


class Recovered(msgspec.Struct):
    """What a partition starts again from, as of the checkpoint at `at`; `offset` -1 and empty when it never ran.

    `minutes` (the ledger's last hour) and `reasons` (of rejections, since the data began) are in kept states only: no
    partition needs them, but a replay is asked for them. There a partition's `partials` are its own shares, as of `at`,
    and the roll-up has none (`has_shares`; earlier versions kept all of them with the roll-up's state).
    """

    offset: int
    ordinal: int
    clock: bytes
    totals: Counts
    panes: list[PaneRow]
    tickets: list[TicketRow]
    source_names: list[SourceName]
    source_blocks: list[SourceBlock]
    seen: list[SeenRow]
    values: list[Value]
    partials: list[Partial]
    alerts: list[Alert]
    occurrences: dict[tuple[str, str, str], int]
    pending_holds: bytes
    open_values: bytes = b""
    at: int = 0
    source_changes: list[SourceChange] = []
    minutes: list[LedgerRow] = []
    reasons: dict[str, int] = {}
    has_shares: bool = False
