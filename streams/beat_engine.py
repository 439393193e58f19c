"""The engine: it owns partitions, beats twice a second, writes a checkpoint a second, and tells the live store.

A shell around `partition.Partition` and `roll_up.RollUp`. Records come from Faust agents (`faust_worker`); time
comes from the `clock` it is given. If one of its tasks dies, the process must die (one TaskGroup): a worker whose
beat has stopped must not look alive.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from sensors.errors import CommandRefused, Unavailable
from sensors.journal import Record
from streams.alert import Command
from streams.beat import Counts
from streams.catalogue import Catalogue
from streams.checkpoint import ROLL_UP, Checkpoint, Mail, SummaryRow
from streams.fault import What
from streams.live import LiveStore
from streams.live_keys import alert_entry, entry, ledger_entry, value_entry
from streams.partition import Beat, Partition
from streams.roll_up import Report, RollUp
from streams.sql_store import SqlStore

BEAT_S = 0.5
CHECKPOINT_MS = 1_000
INTAKE_MAX = 5_000
"""Messages a partition takes in before it waits for a beat: some 20 ms of decoding, 5 MB at 1 kB a message."""

COMMAND_POLL_S = 5.0
HOUSEKEEPING_S = 600.0
ROLL_UP_WAIT_S = 0.005
_T = TypeVar("_T")
log = structlog.get_logger("engine")


@dataclass
class Held:
    """A partition that this process owns: its state, what waits to be written, and what may then be acknowledged."""

    state: Partition
    ordinal: int
    totals: Counts
    checkpointed_at: int
    waiting: Checkpoint | None = None
    unacknowledged: deque[tuple[int, Callable[[], Awaitable[None]]]] = field(default_factory=deque)
    taken: int = 0


class Engine:
    """Owns partitions and, where its part of the work says so, the roll-up."""

    def __init__(
        self,
        catalogue: Catalogue,
        store: SqlStore,
        live: LiveStore,
        clock: Callable[[], int],
        send_report: Callable[[Report], Awaitable[None]],
        received: Callable[[], dict[int, int]] | None = None,
        is_alone: bool = True,
    ) -> None:
        """`received` gives the journal's next ordinals where that is cheap; `is_alone`: no other worker exists."""
        self._catalogue = catalogue
        self._store = store
        self._live = live
        self._clock = clock
        self._send_report = send_report
        self._received = received
        self._is_alone = is_alone
        self._horizons = {kpi.id: catalogue.kinds[kpi.kind].lateness_s * 1000 for kpi in catalogue.kpis.values()}
        self._held: dict[int, Held] = {}
        self._opening: dict[int, asyncio.Lock] = {}
        self._roll_up: RollUp | None = None
        self._roll_up_checkpoint: Checkpoint | None = None
        self._roll_up_at = 0
        self._mails: list[Mail] = []
        self._summaries: list[SummaryRow] = []
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._commands_done: set[str] = set()
        self._backlog: dict[str, bytes | None] = {}
        self.waits: dict[What, tuple[int, str]] = {}
        """What is waited for, since when (ms UTC) and why: `disk_watch` tells it, also in the midst of a slow call."""

    @property
    def owned(self) -> list[int]:
        return sorted(self._held)

    @property
    def owns_roll_up(self) -> bool:
        return self._roll_up is not None

    def offset(self, partition: int) -> int:
        """The next journal offset that an owned partition wants."""
        return self._held[partition].state.offset

    def keep_from(self) -> dict[int, int]:
        """For every owned partition, the first offset that retention must keep."""
        return {number: held.state.checkpointed for number, held in self._held.items()}

    async def own(self, partition: int) -> None:
        """Recover a partition from its last checkpoint, unless it is owned already."""
        lock = self._opening.setdefault(partition, asyncio.Lock())
        async with lock:
            if partition in self._held:
                return
            recovered = await self._patiently(lambda: self._store.recover(partition, self._horizons))
            now = self._clock()
            state = Partition(partition, self._catalogue, recovered, now)
            held = Held(state, recovered.ordinal, recovered.totals, now)
            changes: dict[str, bytes | None] = dict(value_entry(value) for value in state.newest_values())
            changes.update(alert_entry(alert, self._catalogue) for alert in recovered.alerts)
            self._held[partition] = held
            log.info("partition recovered", partition=partition, offset=state.offset, ordinal=recovered.ordinal)
            await self._publish(changes)

    async def own_roll_up(self) -> None:
        """Recover the roll-up from its last checkpoint and every partition's newest shares."""
        lock = self._opening.setdefault(ROLL_UP, asyncio.Lock())
        async with lock:
            if self._roll_up is not None:
                return
            recovered = await self._patiently(lambda: self._store.recover(ROLL_UP, self._horizons))
            self._roll_up = RollUp(self._catalogue, recovered, self._clock())
            changes: dict[str, bytes | None] = dict(value_entry(value) for value in self._roll_up.newest_values())
            changes.update(alert_entry(alert, self._catalogue) for alert in recovered.alerts)
            await self._publish(changes)

    def disown(self, partition: int) -> None:
        """Drop a partition's state without writing: its next owner recovers it from the database."""
        if partition == ROLL_UP:
            self._roll_up, self._roll_up_checkpoint = None, None
        elif self._held.pop(partition, None) is not None:
            log.info("partition dropped", partition=partition)
        self._commands_done.clear()

    async def observe(self, record: Record, acknowledge: Callable[[], Awaitable[None]] | None = None) -> None:
        """Take a record in; `acknowledge` is called once the checkpoint that covers it has been committed."""
        if record.partition not in self._held:
            await self.own(record.partition)
        held = self._held[record.partition]
        if acknowledge is not None and record.offset < held.state.checkpointed:
            await acknowledge()
            return
        while held.state.pending >= INTAKE_MAX or held.taken >= 4 * INTAKE_MAX:
            self._drained.clear()
            self._wake.set()
            await self._drained.wait()
            if self._held.get(record.partition) is not held:
                return
        before = held.state.pending
        held.state.observe(record)
        held.taken += held.state.pending - before
        if acknowledge is not None:
            held.unacknowledged.append((record.offset, acknowledge))

    async def report(self, report: Report) -> None:
        """The roll-up's side: take a partition's report in."""
        await self.own_roll_up()
        roll_up = self._roll_up
        assert roll_up is not None
        unknown = roll_up.unknown(report.partials)
        if unknown:
            # The other partitions may have spoken of these windows long ago, even in an earlier process.
            shares, values = await self._patiently(lambda: self._store.shares(unknown))
            roll_up.restore(shares, values, self._clock())
        roll_up.report(report, self._clock())

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until `stop`; then one last checkpoint."""
        helpers = [asyncio.create_task(self._watch_commands()), asyncio.create_task(self._keep_house())]
        try:
            await self._beat_until(stop, helpers)
        finally:
            for helper in helpers:
                helper.cancel()
        await self.beat(final=True)

    async def _beat_until(self, stop: asyncio.Event, helpers: "list[asyncio.Task[None]]") -> None:
        loop = asyncio.get_running_loop()
        next_beat = loop.time()
        while not stop.is_set():
            for helper in helpers:
                if helper.done():
                    helper.result()
            next_beat = max(next_beat + BEAT_S, loop.time() - BEAT_S)
            waits = [asyncio.create_task(self._wake.wait()), asyncio.create_task(stop.wait())]
            await asyncio.wait(waits, timeout=max(0.0, next_beat - loop.time()), return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
            self._wake.clear()
            await self.beat()

    async def beat(self, final: bool = False) -> None:
        """One beat of everything owned: evaluate, tell the live store and the roll-up, checkpoint when due."""
        changes: dict[str, bytes | None] = {}
        ends = self._received() if self._received else {}
        for number, held in list(self._held.items()):
            beat = held.state.evaluate(self._clock())
            self._describe(beat, changes)
            await self._send_report(Report(number, beat.partials, beat.silent))
            if held.waiting is None and (final or beat.now - held.checkpointed_at >= CHECKPOINT_MS):
                held.waiting = held.state.checkpoint(beat.now)
            if held.waiting is not None:
                await self._commit(number, held)
            received = max(ends.get(number, 0), held.state.next_ordinal)
            changes.update([ledger_entry(number, received, held.ordinal, held.totals)])
            changes.update(
                [entry(f"p:{number}", watermark=beat.watermark, offset=held.state.offset,
                       lag=received - held.ordinal, at=beat.now)]
            )
        self._drained.set()
        # The roll-up's agent takes this beat's reports in meanwhile; else the place's figures would be a beat older.
        await asyncio.sleep(ROLL_UP_WAIT_S)
        await self._beat_roll_up(changes, final)
        await self._publish(changes)

    async def _beat_roll_up(self, changes: dict[str, bytes | None], final: bool) -> None:
        if self._roll_up is None:
            return
        beat = self._roll_up.evaluate(self._clock())
        self._describe(beat, changes)
        changes.update([entry("s:silent", **self._roll_up.silent())])
        due = beat.now - self._roll_up_at >= CHECKPOINT_MS or final
        if self._roll_up_checkpoint is None and due:
            self._roll_up_checkpoint = self._roll_up.checkpoint(beat.now, self._mails, self._summaries)
            self._mails, self._summaries = [], []
            self._roll_up_at = beat.now
        if self._roll_up_checkpoint is not None:
            committed = await self._try_commit(self._roll_up_checkpoint)
            if committed is not None:
                self._roll_up_checkpoint = None
            if committed is False:
                self.disown(ROLL_UP)

    def _describe(self, beat: Beat, changes: dict[str, bytes | None]) -> None:
        changes.update(value_entry(value) for value in beat.current)
        changes.update(alert_entry(alert, self._catalogue) for alert in beat.alerts)
        for name, (pending, at) in beat.bridges.items():
            changes.update([entry(f"b:{name}", pending=pending, at=at)])

    async def _commit(self, number: int, held: Held) -> None:
        checkpoint = held.waiting
        assert checkpoint is not None
        committed = await self._try_commit(checkpoint)
        if committed is None:
            return
        if not committed:
            log.warning("fenced: another worker owns the partition", partition=number)
            self.disown(number)
            return
        held.waiting, held.taken = None, 0
        held.ordinal, held.totals = checkpoint.ordinal, checkpoint.totals
        held.checkpointed_at = checkpoint.at
        held.state.committed(checkpoint.offset)
        while held.unacknowledged and held.unacknowledged[0][0] < checkpoint.offset:
            await held.unacknowledged.popleft()[1]()

    async def _try_commit(self, checkpoint: Checkpoint) -> bool | None:
        """True: written; False: fenced; None: the database does not answer, the same checkpoint waits."""
        since, _ = self.waits.setdefault("checkpoint_waits", (self._clock(), ""))
        try:
            committed = await asyncio.to_thread(self._store.commit, checkpoint)
            self.waits.pop("checkpoint_waits", None)
            return committed
        except Unavailable as reason:
            self.waits["checkpoint_waits"] = since, str(reason)
            log.warning("checkpoint waits", partition=checkpoint.partition, reason=str(reason))
            return None

    async def _publish(self, changes: dict[str, bytes | None]) -> None:
        """Tell the live store; what it cannot take now waits, newest value only."""
        self._backlog.update(changes)
        try:
            await self._live.publish(self._backlog)
            self._backlog = {}
        except Unavailable as reason:
            log.warning("live store waits", reason=str(reason), keys=len(self._backlog))

    async def _patiently(self, call: Callable[[], _T]) -> _T:
        delay = 0.2
        while True:
            try:
                return await asyncio.to_thread(call)
            except Unavailable as reason:
                log.warning("database does not answer", reason=str(reason))
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)

    async def _keep_house(self) -> None:
        """Retention of the database; any worker may do it, several do no harm."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            try:
                await asyncio.to_thread(self._store.forget, self._clock())
            except Unavailable as reason:
                log.warning("retention waits", reason=str(reason))

    async def _watch_commands(self) -> None:
        while True:
            try:
                await self._live.called(COMMAND_POLL_S)
                for command in await asyncio.to_thread(self._store.waiting_commands):
                    await self._carry_out(command)
            except Unavailable as reason:
                log.warning("commands wait", reason=str(reason))
                await asyncio.sleep(1.0)

    async def _carry_out(self, command: Command) -> None:
        if command.id in self._commands_done:
            return
        owner = self._owner_of(command.alert)
        if owner is None:
            if self._is_alone or self._clock() - command.at > 15_000:
                await asyncio.to_thread(self._store.refuse_command, command.id, "Cảnh báo đã đóng / alert is closed")
            return
        self._commands_done.add(command.id)
        try:
            owner.command(command, self._clock())
        except CommandRefused as refused:
            await asyncio.to_thread(self._store.refuse_command, command.id, str(refused))
        self._wake.set()

    def _owner_of(self, alert: str) -> Partition | RollUp | None:
        states = [held.state for held in self._held.values()]
        if self._roll_up is not None and self._roll_up.has_alert(alert):
            return self._roll_up
        return next((state for state in states if state.has_alert(alert)), None)

    def queue_summary(self, summary: SummaryRow, mails: list[Mail]) -> None:
        """Write a summary and its mails with the roll-up's next checkpoint."""
        self._summaries.append(summary)
        self._mails.extend(mails)
