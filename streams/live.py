"""The live store: the newest value of every key, numbered, so that anyone can be told what changed since.

State-based synchronisation (display.md): every key carries the sequence number of its last change; a client is
owed every key changed since the sequence it has. Shells: `memory_live` (in process) and `redis_live`; one
contract suite (`tests/test_live_contract.py`) runs on both.

Keys, and the JSON value behind each:

    k:<kpi>@<scope>   {"v": number|null, "n": int, "src": int, "from": ms, "to": ms, "as": ms, "st": state, "rev": int}
    a:<alert id>      the alert as JSON: Alert's fields, and "name_vi", "name_en", "headline_vi", "headline_en",
                      "owner_vi", "owner_en", "field_vi", "field_en", "response_vi", "response_en", "unit_vi",
                      "partition"; deleted when the alert is closed
    l:<partition>     {"received", "accepted", "duplicate", "too_late", "rejected", "in_flight", "unwritten",
                      "readings", "sent", "numbered", "unreadable", "missing"}
    b:<bridge>        {"pending", "arrived", "repeated", "overtaken", "overtaken_at": ms, "at": ms}: the newest of the
                      bridge (sensors.batch)
    s:silent          {"<unit>/<kind>/<source>": ms of last word, …}: sources now silent
    f:<what>          {"what", "since": ms, "at": ms, "vi", "en", "detail"}: what ails the centre itself
                      (streams.fault); deleted when it is over, not believed 15 s after `at`; in a cluster
                      f:<what>@<teller>, of each worker its own
    p:<partition>     {"watermark": ms, "offset": int, "lag": int, "at": ms}: the worker's progress
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol


class Delta(NamedTuple):
    """What changed after a sequence number. `is_full`: everything there is; forget what you had.

    `changes` maps keys to JSON bytes, or to None where the key was deleted; in order of change.
    """

    epoch: str
    sequence: int
    is_full: bool
    changes: dict[str, bytes | None]


class LiveStore(Protocol):
    """The worker writes once a beat; gateways read. Raises Unavailable when the store does not answer."""

    async def publish(self, changes: Mapping[str, bytes | None]) -> int:
        """One write, one round trip: set keys (bytes) and delete keys (None); returns the new sequence number.

        A key set to the bytes it already has does not count as changed.
        """

    def renewed(self) -> bool:
        """True, once, after a `publish` that met a store which has lost what this writer told it before."""

    async def since(self, epoch: str, sequence: int) -> Delta:
        """Every key changed after `sequence`; in full for an unknown epoch or a sequence older than the tombstones."""

    async def changed(self, sequence: int, timeout_s: float) -> bool:
        """Wait until something newer than `sequence` is there; False after the timeout."""

    async def call(self) -> None:
        """Tell the workers that a person's command waits in the database."""

    async def called(self, timeout_s: float) -> bool:
        """Wait for such a call; False after the timeout."""

    async def close(self) -> None: ...
