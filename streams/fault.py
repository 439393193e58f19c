"""What ails the centre itself: a closed set of faults, each with its words, kept in the live store as `f:<what>`.

In a cluster each worker tells its own, as `f:<what>@<teller>`: what one of them sees no more, another may see still.

A fault is told as long as it lasts and deleted when it is over. `at` is when it was said last: what a process that
died has left behind in a store that outlives it is as old as it says, and is not believed for longer than STALE_MS.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import msgspec

What = Literal[
    "disk_full",         # nothing more is journaled or acknowledged until there is room
    "broker_deaf",       # the MQTT broker does not acknowledge what is published to it, or lets nobody in
    "journal_waits",     # the engine cannot open or read the journal
    "journal_slow",      # what the bridge journals is kept seconds later, and acknowledged as late
    "checkpoint_waits",  # the database does not take checkpoints: figures are live, and not kept
    "bridge_silent",     # nothing has been journaled for a while, not even the bridge's heartbeat
    "disk_low",          # nearly full: a warning, everything still works
    "bridge_overtaken",  # two bridges write the same partitions by turns: nothing is lost, yet one is too many
    "state_not_kept",    # an hour's whole state was not: a replay of that hour begins with the one before
]  # fmt: skip
"""The gravest first: the order in which people are told."""

WAITS_MS = 3_000
"""A transaction may wait for another's fsync; what takes longer is told."""

AGAIN_MS = 5_000
STALE_MS = 15_000
FORGOTTEN_MS = 60_000
WARNINGS: tuple[What, ...] = ("disk_low", "bridge_overtaken", "state_not_kept")
"""What stops nothing: shown and told, and no reason not to be ready."""


class Words(NamedTuple):
    vi: str
    en: str


WORDS: dict[What, Words] = {
    "disk_full": Words("Đĩa đầy: ngừng xác nhận", "Disk full: acknowledging stopped"),
    "broker_deaf": Words("Máy chủ MQTT không xác nhận", "MQTT broker does not acknowledge"),
    "journal_waits": Words("Không đọc được nhật ký thông điệp", "Message journal cannot be read"),
    "journal_slow": Words("Nhật ký thông điệp ghi chậm", "Message journal is slow"),
    "checkpoint_waits": Words("Không ghi được cơ sở dữ liệu", "Database takes no checkpoints"),
    "bridge_silent": Words("Cầu nối MQTT im lặng", "MQTT bridge is silent"),
    "disk_low": Words("Đĩa sắp đầy", "Disk nearly full"),
    "bridge_overtaken": Words("Hai cầu nối cùng phần chia tranh nhau", "Two bridges of one share overtake each other"),
    "state_not_kept": Words("Không lưu được trạng thái để phát lại", "The state for replays could not be kept"),
}


class Seen(NamedTuple):
    """What a look saw of a fault: figures in words for people, and the machine's own reason as `detail`."""

    vi: str = ""
    en: str = ""
    detail: str = ""


class Fault(msgspec.Struct, frozen=True):
    """The JSON behind a key of a fault. `since` and `at` in ms UTC; `detail` is the machine's own reason, if any."""

    what: What
    since: int
    at: int
    vi: str
    en: str
    detail: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Fault).decode


def fold(told: Mapping[What, Fault], seen: Mapping[What, Seen], now: int) -> dict[What, Fault]:
    """The faults at `now`: `seen` by this look, `told` what was said before (so since when)."""
    found = {}
    for what, look in seen.items():
        before = told.get(what)
        vi, en = (f"{words} – {more}" if more else words for words, more in zip(WORDS[what], look, strict=False))
        fault = Fault(what, now if before is None else before.since, now, vi, en, look.detail)
        is_news = before is None or now - before.at >= AGAIN_MS or (before.vi, before.detail) != (vi, look.detail)
        found[what] = fault if is_news or before is None else before
    return found


def changes(told: Mapping[What, Fault], faults: Mapping[What, Fault], teller: str = "") -> dict[str, bytes | None]:
    """What the live store must hear so that it holds `faults` of this `teller` where it held `told`."""
    end = f"@{teller}" if teller else ""
    said: dict[str, bytes | None] = {
        f"f:{what}{end}": _encode(fault) for what, fault in faults.items() if told.get(what) is not fault
    }
    return said | {f"f:{what}{end}": None for what in told if what not in faults}


def left_behind(values: Mapping[str, bytes], now: int) -> list[str]:
    """The keys among these `values` of the live store that nobody has said again for so long that their teller died."""
    return [key for key, value in values.items() if now - _decode(value).at > FORGOTTEN_MS]


def standing(values: Iterable[bytes], now: int) -> list[Fault]:
    """The faults behind values of the live store that are still believed, the gravest first.

    What several tell in the same words is one fault, since the first of them saw it.
    """
    order = list(WORDS)
    found: dict[tuple[What, str], Fault] = {}
    for fault in sorted((_decode(value) for value in values), key=lambda fault: fault.since):
        if now - fault.at <= STALE_MS:
            found.setdefault((fault.what, fault.vi), fault)
    return sorted(found.values(), key=lambda fault: order.index(fault.what))
