"""Tells the live store what changed: what it cannot take now waits, and one that has lost everything is told all."""

from collections.abc import Callable, Iterable, Mapping

import structlog

from sensors.errors import Unavailable
from streams.alert import Alert
from streams.live import LiveStore
from streams.live_keys import alert_key, alerts_of

log = structlog.get_logger("engine")


class Teller:
    """For one engine. `sequence` is the number of the last change that it told; `everything` is what a live store is
    told first that has nothing: newest values and open alerts."""

    def __init__(self, live: LiveStore, everything: Callable[[], Mapping[str, bytes | None]]) -> None:
        self.sequence = 0
        self._live = live
        self._everything = everything
        self._backlog: dict[str, bytes | None] = {}

    async def tell(self, changes: Mapping[str, bytes | None]) -> None:
        """Publish these, and before them what waits, of each key the newest value only."""
        self._backlog.update(changes)
        try:
            # In order of keys: frames must not hang on what a worker remembers, or on how it came to say something.
            await self._publish(dict(sorted(self._backlog.items())))
            self._backlog = {}
            if self._live.renewed():
                self._backlog = dict(self._everything())
                log.warning("the live store has lost everything: it is told again", keys=len(self._backlog))
                await self._publish(self._backlog)
                self._backlog = {}
        except Unavailable as reason:
            log.warning("live store waits", reason=str(reason), keys=len(self._backlog))

    def forget(self, keys: Iterable[str]) -> None:
        """What waits of these is another worker's to tell now, who may have told something newer."""
        for key in keys:
            self._backlog.pop(key, None)

    async def tidy(self, partition: int, open_alerts: Callable[[], Iterable[Alert]]) -> bool:
        """Delete a partition's alerts but for the open ones: what an earlier worker told and never wrote, only the live
        store knows. `open_alerts` is asked when that has answered: more may be raised until then. False: not yet, as
        it does not answer."""
        try:
            told = (await self._live.since("", 0)).changes
            left = alerts_of(partition, told) - {alert_key(alert) for alert in open_alerts()}
            if left:
                log.warning("alerts are taken back that were told and never written", alerts=sorted(left))
                await self._publish(dict.fromkeys(sorted(left)))
        except Unavailable:
            return False
        return True

    async def _publish(self, changes: Mapping[str, bytes | None]) -> None:
        self.sequence = await self._live.publish(changes)
