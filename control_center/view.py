"""What one wall follows of the live state: its own keys, and at most `ALERTS_SENT_MAX` alerts, the worst first.

A view is a function of the state at a sequence number alone, so gateways agree on it, and a wall may change over
from one to another. Alerts that come under or over the cap are ordinary changes and deletions to the wall; when they
did so hangs on when the gateway looked, so once there are more than fit, a wall that changes over starts anew.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from control_center.wall import ALERTS_SENT_MAX, FOLLOWED
from streams.fault import Fault, standing
from streams.live import Delta
from streams.sync import SyncState, key_hash, state_hash

_SEVERITIES = {"critical": 0, "warning": 1, "notice": 2}


class _Brief(msgspec.Struct):
    """What ranks an alert."""

    severity: str = ""
    state: str = ""
    raised_at: int = 0


_brief = msgspec.json.Decoder(_Brief).decode


class View:
    """A wall's part of the live state. `more` counts the open alerts that did not fit; `gateway` names whose view
    it is: the epoch carries it once the numbering is this gateway's own."""

    def __init__(self, keys: frozenset[str], alerts_max: int = ALERTS_SENT_MAX, gateway: str = "") -> None:
        self.state = SyncState()
        self.more = 0
        self._keys = keys
        self._alerts_max = alerts_max
        self._gateway = gateway
        self._was_crowded = False
        self._alerts: dict[str, tuple[Any, bytes]] = {}
        self._shown: set[str] = set()
        self._hashes: dict[str, int] = {}

    def follow(self, delta: Delta) -> None:
        """Take over a delta of the whole state."""
        if delta.is_full:
            self._alerts, self._shown, self._hashes, self._was_crowded = {}, set(), {}, False
        changes = {key: value for key, value in delta.changes.items() if self._is_followed(key)}
        alerts = {key: value for key, value in changes.items() if key.startswith("a:")}
        if alerts:
            changes = {key: value for key, value in changes.items() if key not in alerts} | self._cap(alerts)
        self._was_crowded |= self.more > 0
        epoch = f"{delta.epoch}~{self._gateway}" if self._was_crowded and self._gateway else delta.epoch
        self.state.fold(delta._replace(epoch=epoch, changes=changes))
        for key, value in changes.items():
            if value is None:
                self._hashes.pop(key, None)
            else:
                self._hashes[key] = key_hash(key, value)

    def proof(self) -> tuple[int, str]:
        """How many keys there are, and their state hash."""
        return len(self._hashes), state_hash(iter(self._hashes.values()))

    def _is_followed(self, key: str) -> bool:
        return key in self._keys or key.startswith(FOLLOWED)

    def _cap(self, changed: dict[str, bytes | None]) -> dict[str, bytes | None]:
        for key, value in changed.items():
            if value is None:
                self._alerts.pop(key, None)
            else:
                self._alerts[key] = (_rank(key, value), value)
        shown = self._worst()
        self.more = len(self._alerts) - len(shown)
        gone: dict[str, bytes | None] = {key: None for key in changed if key not in shown}
        gone |= dict.fromkeys(self._shown - shown)
        kept = {key: self._alerts[key][1] for key in sorted(shown) if key in changed or key not in self._shown}
        self._shown = shown
        return gone | kept

    def _worst(self) -> set[str]:
        if len(self._alerts) <= self._alerts_max:
            return set(self._alerts)
        return set(worst_first({key: value for key, (_, value) in self._alerts.items()})[: self._alerts_max])


def worst_first(alerts: dict[str, bytes]) -> list[str]:
    """Keys of alerts: by severity, then unclaimed before claimed, then the newest first."""
    return sorted(alerts, key=lambda key: _rank(key, alerts[key]))


def _rank(key: str, value: bytes) -> tuple[int, bool, int, str]:
    brief = _brief(value)
    return _SEVERITIES.get(brief.severity, 3), not brief.state.startswith("unack"), -brief.raised_at, key


def standing_faults(state: SyncState, now: int) -> list[Fault]:
    """What ails the centre itself at `now` (ms UTC), the gravest first."""
    return standing([value for _, value in state.items("f:")], now)


def decoded(items: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """JSON values by what follows the first colon of their keys."""
    return {key.partition(":")[2]: msgspec.json.decode(value) for key, value in items}
