"""Partitions' reports: taken in for the roll-up, with what the database knows of the windows they speak of."""

import asyncio

from streams.checkpoint import Partial
from streams.held import HeldRollUp
from streams.patient_call import patiently
from streams.roll_up import Report, RollUp
from streams.sql_recovery import UNMERGED_MS
from streams.sql_store import SqlStore

CLOCKS_MS = 1_000
"""So far workers' clocks may be apart, and more than that."""

REPORTS_S = 120.0


class ReportInbox:
    """For one engine; `is_alone`: every report is of its own partitions."""

    def __init__(self, store: SqlStore, is_alone: bool) -> None:
        self._store = store
        self._is_alone = is_alone
        self._sent = self._taken = 0
        self._news = asyncio.Event()

    def sent(self) -> None:
        """Another is on its way here."""
        self._sent += 1

    async def take(self, rolling: HeldRollUp, report: Report, now: int) -> None:
        """Let the roll-up hear a report at `now` (ms UTC)."""
        await self._look_up(rolling.state, report.partials, now)
        rolling.state.report(report, now)
        if not self._is_alone and report.partition not in rolling.caught_up:
            await self._catch_up(rolling, report, now)
        self._taken += 1
        self._news.set()

    async def all_taken(self) -> None:
        """Return when as many have been taken in as were sent; raises TimeoutError when none comes any more."""
        while self._taken < self._sent:
            self._news.clear()
            # The roll-up may be waiting for the database; an agent that died would make us wait for ever.
            await asyncio.wait_for(self._news.wait(), REPORTS_S)

    async def _look_up(self, roll_up: RollUp, partials: list[Partial], now: int) -> None:
        """The other partitions may have spoken of these windows long ago, even in an earlier process."""
        unknown = roll_up.unknown(partials)
        if unknown:
            shares, values = await patiently(lambda: self._store.shares(unknown))
            roll_up.restore(shares, values, now)

    async def _catch_up(self, rolling: HeldRollUp, report: Report, now: int) -> None:
        """What a partition had told the roll-up's last owner, and not written yet when the state was recovered here,
        nobody tells again: it is read once the partition has written since."""
        if report.written < rolling.owned_at + CLOCKS_MS:
            return
        since = rolling.recovered_at - UNMERGED_MS
        shares = await patiently(lambda: self._store.shares_of(report.partition, since))
        await self._look_up(rolling.state, [partial for _, partial in shares], now)
        rolling.state.catch_up(report.partition, shares, now)
        rolling.caught_up.add(report.partition)
