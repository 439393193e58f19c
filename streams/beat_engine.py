"""The engine: it owns partitions, beats, writes a checkpoint a second, and tells the live store.

A shell around `partition.Partition` and `roll_up.RollUp`. Records come from Faust agents (`faust_worker`); time
comes from the `clock` it is given, once a beat: everything on a beat happens at one `now`, and a beat's time and the
records in it are kept with the checkpoint, so that the same beats can be made again (`ioc replay`). A beat does not
hang on the database: checkpoints are written beside it (`checkpoint_writer`), and so are people's answers
(`command_inbox`). If one of its tasks dies, the process must die (one TaskGroup): a worker whose beat has stopped must
not look alive.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from functools import partial

import msgspec
import structlog

from sensors.errors import Unavailable
from sensors.journal import Record
from streams.alert import Command
from streams.catalogue import Catalogue, reach_ms
from streams.checkpoint import ROLL_UP, Mail, SummaryRow
from streams.checkpoint_writer import CheckpointWriter
from streams.command_inbox import CommandInbox
from streams.held import Held, HeldRollUp
from streams.live import LiveStore
from streams.live_keys import alert_entry, alert_key, bridge_entry, entry, ledger_entry, value_entry, value_key
from streams.live_teller import Teller
from streams.partition import Beat, Partition
from streams.patient_call import patiently
from streams.report_inbox import ReportInbox
from streams.roll_up import Report, RollUp
from streams.room import ROOM_BYTES, ROOM_FIRST, ROOM_MOST, next_room
from streams.snapshot_keeper import SNAPSHOT_MS, SnapshotKeeper, is_new_hour
from streams.sql_store import SqlStore

BEAT_S = 0.5
QUICK_BEAT_S = 0.2
"""Where messages wait for it, a beat comes sooner: what is published is on the wall in well under half a second."""

CHECKPOINT_MS = 1_000
UNWRITTEN_MAX = 2 * ROOM_MOST
"""Messages a partition takes in before it waits for a checkpoint, which is then due at once."""

HOUSEKEEPING_S = 600.0
STOPPED_MS = 3_000
"""A beat that comes so late was stopped, or its machine was: others may own its partitions by now."""

ROLL_UP_WAIT_S = 0.005
ROLL_UP_KEPT_AFTER_MS = 10_000
log = structlog.get_logger("engine")


def calm_collector() -> None:
    """Let Python's collector of cycles look seldom: a beat makes tens of thousands of objects, none of them in a cycle,
    and looking through all of them at every 700th costs as much as decoding does."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


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
        generation: Callable[[], int] = lambda: 0,
        fenced: Callable[[int], None] = lambda partition: None,
        roll_up_wait_s: float = ROLL_UP_WAIT_S,
        patience_s: float | None = None,
    ) -> None:
        """`received` gives the journal's next ordinals at once, as far as they are known; `is_alone`: no other worker
        exists; `generation` numbers the assignments of partitions to workers; `fenced` hears of partitions that were
        dropped because another worker had written; one that is not alone waits `roll_up_wait_s` for its own reports.

        A beat waits `patience_s` for the database, and goes on without it; partitions take in as much as beats get
        through (`room`). None: a beat waits as long as it takes, and takes what it is given, so that it comes to the
        same however threads take their turns. That is the default: replays and tests need it, and who forgets to say
        otherwise gets a slow wall on a slow disk, not a run that cannot be made again.
        """
        self._catalogue = catalogue
        self._store = store
        self._clock = clock
        self._send_report = send_report
        self._received = received
        self._is_alone = is_alone
        self._generation = generation
        self._fenced = fenced
        self._roll_up_wait_s = roll_up_wait_s
        self._patience_s = patience_s
        # A window is told as long as it holds anything: the newest ends up to its reach after the newest reading.
        self._horizons = {
            kpi.id: catalogue.kinds[kpi.kind].lateness_s * 1000 + reach_ms(kpi) + kpi.every_s * 1000
            for kpi in catalogue.kpis.values()
        }
        self.keeper = SnapshotKeeper(store, self._horizons)
        self._held: dict[int, Held] = {}
        self._opening: dict[int, asyncio.Lock] = {}
        self._roll_up: HeldRollUp | None = None
        self._only: Collection[int] | None = None
        self._beat_at = 0
        self._reports = ReportInbox(store, is_alone)
        self._mails: list[Mail] = []
        self._summaries: list[SummaryRow] = []
        self._room = ROOM_MOST if patience_s is None else ROOM_FIRST
        self._filled, self._computed_s = 0, 0.0
        self._wake = asyncio.Event()
        self._drained = asyncio.Event()
        self._gives_way = False
        self._teller = Teller(live, self._everything)
        self._untidy: set[int] = set()
        self._commands = CommandInbox(store, live, is_alone, self._wake.set)
        self._writer = CheckpointWriter(store, clock, self._wake.set)
        self.waits = self._writer.waits
        self.overtaken: dict[str, int] = {}
        """When each bridge was last overtaken by another (ms UTC), by its own word."""

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
            recovered = await patiently(lambda: self._store.recover(partition, self._horizons))
            now = self._clock()
            state = Partition(partition, self._catalogue, recovered, now)
            totals = msgspec.structs.replace(recovered.totals)  # the partition counts on in the other one
            begins, generation = recovered.offset >= 0, self._generation()
            held = Held(state, recovered.ordinal, totals, recovered.at, begins=begins, generation=generation)
            self._held[partition] = held
            log.info("partition recovered", partition=partition, offset=state.offset, ordinal=recovered.ordinal)
            await self._teller.tell(self._all_of(partition, state))
            await self._tidy(partition)

    async def own_roll_up(self) -> None:
        """Recover the roll-up from its last checkpoint and every partition's newest shares."""
        lock = self._opening.setdefault(ROLL_UP, asyncio.Lock())
        async with lock:
            if self._roll_up is not None:
                return
            # What this process is writing of its own partitions, nobody tells the roll-up again.
            await self._writer.wait(None)
            recovered = await patiently(lambda: self._store.recover(ROLL_UP, self._horizons))
            now = self._clock()
            state = RollUp(self._catalogue, recovered, now)
            self._roll_up = HeldRollUp(state, now, recovered.at, recovered.at, begins=recovered.offset >= 0)
            await self._teller.tell(self._all_of(ROLL_UP, state))
            await self._tidy(ROLL_UP)

    def disown(self, partition: int) -> None:
        """Drop a partition's state without writing: its next owner recovers it from the database.

        What is being written of it is the database's affair: that owner has it, or it is fenced.
        """
        dropped = self._owner(partition)
        if partition == ROLL_UP:
            self._roll_up = None
        elif self._held.pop(partition, None) is not None:
            log.info("partition dropped", partition=partition)
        if dropped is not None:
            self._commands.forget(dropped.state)
            values = (value_key(value) for value in dropped.state.newest_values())
            alerts = (alert_key(alert) for alert in dropped.state.open_alerts())
            others = ["s:silent"] if partition == ROLL_UP else [f"l:{partition}", f"p:{partition}"]
            self._teller.forget([*values, *alerts, *others])

    def _owner(self, partition: int) -> Held | HeldRollUp | None:
        return self._roll_up if partition == ROLL_UP else self._held.get(partition)

    def _all(self) -> dict[int, Held | HeldRollUp]:
        return {**self._held, **({ROLL_UP: self._roll_up} if self._roll_up is not None else {})}

    def _all_of(self, number: int, state: Partition | RollUp) -> dict[str, bytes | None]:
        """The newest values and the open alerts: what a live store that has nothing is told first."""
        changes: dict[str, bytes | None] = dict(value_entry(value) for value in state.newest_values())
        changes.update(alert_entry(alert, self._catalogue, number) for alert in state.open_alerts())
        return changes

    async def _tidy(self, *partitions: int) -> None:
        """Take back what an earlier worker has told of these and not written; later, where the live store is away."""
        for number in partitions:
            held = self._owner(number)
            if held is None or await self._teller.tidy(number, held.state.open_alerts):
                self._untidy.discard(number)
            else:
                self._untidy.add(number)

    def _everything(self) -> dict[str, bytes | None]:
        """But for alerts of which something is kept back still: these come when it is logged."""
        told: dict[str, bytes | None] = {}
        for number, held in self._all().items():
            told.update(self._all_of(number, held.state))
            for key in held.annunciator.unheard():
                told.pop(key, None)
        return told

    def skip_to(self, partition: int, offset: int) -> None:
        """The journal has nothing of an owned partition before this offset any more."""
        state = self._held[partition].state
        state.offset = max(state.offset, offset)

    def take_written(self, may_be: bool) -> None:
        """For replays: whether what has been written may be told as written on the next beat, as it was then."""
        self._writer.holds_back = not may_be

    async def observe(self, record: Record, acknowledge: Callable[[], Awaitable[None]] | None = None) -> bool:
        """Take a record in; `acknowledge` is called once the checkpoint that covers it has been committed.

        False: records before it have not been here, so it was not taken. They must be told first, and it again.
        """
        if record.partition not in self._held:
            await self.own(record.partition)
        held = self._held.get(record.partition)
        if held is None:
            return True  # revoked while it was being recovered: its next owner is told this record
        if acknowledge is not None and record.offset < held.state.checkpointed:
            await acknowledge()
            return True
        if acknowledge is not None and record.offset > held.state.offset:
            return False
        while (is_full := self._is_full(held.state)) or held.taken >= UNWRITTEN_MAX:
            self._drained.clear()
            waits_for_database = held.waiting is not None or self._writer.is_writing or self._gives_way
            if is_full or not waits_for_database:
                self._wake.set()
            await self._drained.wait()
            if self._held.get(record.partition) is not held:
                return True
        before = held.state.pending
        held.state.observe(record)
        held.taken += held.state.pending - before
        if acknowledge is not None:
            held.unacknowledged.append((record.offset, acknowledge))
        return True

    def _is_full(self, state: Partition) -> bool:
        """Whether a beat must come before a partition takes more in. A replay's beats take what they took then."""
        is_heavy = self._patience_s is not None and state.pending_bytes >= ROOM_BYTES
        return state.pending >= self._room or is_heavy

    async def report(self, report: Report) -> None:
        """The roll-up's side: take a partition's report in."""
        await self.own_roll_up()
        if self._roll_up is not None:  # else revoked while it was being recovered
            await self._reports.take(self._roll_up, report, self._beat_at if self._is_alone else self._clock())

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until `stop`; then one last checkpoint."""
        calm_collector()
        helpers = [asyncio.create_task(self._commands.watch()), asyncio.create_task(self._keep_house())]
        try:
            await self._beat_until(stop, helpers)
        finally:
            for helper in helpers:
                helper.cancel()
            self.keeper.give_up()
        await self.beat(self._clock(), final=True)
        await self.keeper.ended()

    async def _beat_until(self, stop: asyncio.Event, helpers: "list[asyncio.Task[None]]") -> None:
        loop = asyncio.get_running_loop()
        beaten_at = loop.time() - BEAT_S
        while not stop.is_set():
            for helper in helpers:
                if helper.done():
                    helper.result()
            await self._rest(beaten_at, stop)
            beaten_at = loop.time()
            await self.beat(self._clock())
            if self._patience_s is not None:
                self._room = next_room(self._room, self._filled, self._computed_s)

    async def _rest(self, beaten_at: float, stop: asyncio.Event) -> None:
        """Until the next beat is due: half a second after the last, sooner where messages wait, at once when woken."""
        loop = asyncio.get_running_loop()
        for due in (beaten_at + QUICK_BEAT_S, beaten_at + BEAT_S):
            if not self._wake.is_set() and not stop.is_set():
                waits = [asyncio.create_task(self._wake.wait()), asyncio.create_task(stop.wait())]
                await asyncio.wait(waits, timeout=max(0.0, due - loop.time()), return_when=asyncio.FIRST_COMPLETED)
                for wait in waits:
                    wait.cancel()
            if any(held.state.pending for held in self._held.values()):
                break
        self._wake.clear()

    async def beat(self, now: int, final: bool = False, only: Collection[int] | None = None) -> None:
        """One beat of everything owned, at `now` (ms UTC): commands, evaluate, tell the live store, checkpoint if due.

        `only`: as if nothing else were owned than these partitions (the roll-up among them, or not). What is shown
        before its checkpoint is committed follows from the journal alone, and is found again from there: so a beat goes
        on without the database, but the `final` one. What alerts do hangs on when beats came, too: it is written first
        (`annunciator`).
        """
        is_late = not self._is_alone and now - self._beat_at > STOPPED_MS
        patience_s = None if final else self._patience_s
        # Where one checkpoint follows the other, nobody else would get at SQLite: no person with a command.
        self._gives_way = self._writer.is_writing and not final
        if final or is_late:
            await self._writer.wait(None)
        await self._take_written(final)
        if is_late:
            await self._drop_lost()
        self._beat_at, self._only = now, only
        self._commands.carry_out(now, [held.state for held in self._beating()])
        await self._commands.answer(patience_s)
        await self._tidy(*self._untidy)
        await self._teller.tell(await self._evaluate(now))
        await self._write(now, final, patience_s)
        await self._take_written(final)
        await self._teller.tell(dict([*self._annunciated(now), *self._progress(now)]))

    async def _evaluate(self, now: int) -> dict[str, bytes | None]:
        """Every partition's beat, then the roll-up's, which has heard of theirs; returns what is to be told at once."""
        told: list[tuple[int, Held | HeldRollUp, dict[str, bytes | None]]] = []
        ends = self._received() if self._received else {}
        self._filled, self._computed_s = 0, 0.0
        for number, held in self._partitions():
            self._filled = max(self._filled, held.state.pending)
            end = ends.get(number) if self._received else 0
            beat = self._timed(partial(held.state.evaluate, now, end))
            held.beaten(now, beat, end or 0, self._teller.sequence)
            held.annunciator.hold(now, self._alerts_of(number, beat))
            told.append((number, held, self._values_of(beat)))
            self._reports.sent()
            report = Report(number, beat.partials, beat.silent, held.generation, now, held.checkpointed_at)
            await self._send_report(report)
            await asyncio.sleep(0)  # pages and probes have their turn
        self._drained.set()
        await self._reports_arrive()
        if (rolling := self._rolling()) is not None:
            beat = self._timed(partial(rolling.state.evaluate, now))
            rolling.beaten(now, beat, self._teller.sequence)
            rolling.annunciator.hold(now, self._alerts_of(ROLL_UP, beat))
            told.append((ROLL_UP, rolling, self._values_of(beat) | dict([entry("s:silent", **rolling.state.silent())])))
        # What was revoked meanwhile is another's to tell.
        ours = [changes for number, held, changes in told if self._owner(number) is held]
        return {key: value for changes in ours for key, value in changes.items()}

    def _timed(self, evaluate: Callable[[], Beat]) -> Beat:
        began = time.perf_counter()
        beat = evaluate()
        self._computed_s += time.perf_counter() - began
        return beat

    def _partitions(self) -> list[tuple[int, Held]]:
        """Those that take part in this beat."""
        return [(number, held) for number, held in sorted(self._held.items()) if self._is_in(number)]

    def _rolling(self) -> HeldRollUp | None:
        """The roll-up, if it takes part in this beat."""
        return self._roll_up if self._is_in(ROLL_UP) else None

    def _beating(self) -> list[Held | HeldRollUp]:
        """Both, the roll-up first."""
        both = [self._rolling(), *(held for _, held in self._partitions())]
        return [held for held in both if held is not None]

    def _is_in(self, partition: int) -> bool:
        return self._only is None or partition in self._only

    async def _keep_state(self, at: int) -> None:
        """Once an hour the state is kept of what has just been written as of `at`, before it is written again; all of
        it as of one moment, where we are alone.

        Among others the roll-up's comes last: a replay lets partitions begin before it (streams.journal_replay).
        """
        written = [number for number, held in self._held.items() if held.checkpointed_at == at]
        if self._roll_up is not None and self._roll_up.checkpointed_at == at:
            is_last = min(at - self._roll_up.owned_at, at % SNAPSHOT_MS) >= ROLL_UP_KEPT_AFTER_MS
            written += [ROLL_UP] if self._is_alone or is_last else []
        if written and (not self._is_alone or len(written) == len(self._held) + self.owns_roll_up):
            await self.keeper.begin(sorted(written), at)

    async def _drop_lost(self) -> None:
        """After a stop of this process: partitions that another worker has written since are not ours any more."""
        standing = await patiently(self._store.offsets)
        for number, held in list(self._held.items()):
            if standing.get(number, 0) > held.state.checkpointed:
                log.warning("another worker has taken the partition over", partition=number)
                self.disown(number)

    def _annunciated(self, now: int) -> Iterator[tuple[str, bytes | None]]:
        """What alerts did, as far as their log has it."""
        for held in self._beating():
            yield from held.annunciator.due(now).items()

    def _progress(self, now: int) -> Iterator[tuple[str, bytes]]:
        """Ledger and progress of every partition."""
        for number, held in self._partitions():
            held.waited = held.waiting is not None
            yield ledger_entry(number, held.received, held.evaluated, held.ordinal, held.totals, held.numbered)
            lag = held.received - held.ordinal
            yield entry(f"p:{number}", watermark=held.watermark, offset=held.offset, lag=lag, at=now)

    async def _write(self, now: int, final: bool, patience_s: float | None) -> None:
        """Begin to write all checkpoints that wait, in one transaction, on the beat after the one before has ended."""
        if self._writer.is_writing or self._gives_way:
            return
        self._make_checkpoints(now, final)
        owned = self._all()
        checkpoints = [held.waiting for held in owned.values() if held.waiting is not None]
        if checkpoints:
            self._writer.begin(checkpoints)
            await self._writer.wait(patience_s)
        elif not owned:
            self._writer.nothing_waits()

    def _make_checkpoints(self, now: int, final: bool) -> None:
        """Those that are due, unless one still waits to be written; each is as of its partition's last beat."""
        for _, held in self._partitions():
            is_due = self._is_due(now, held.checkpointed_at) or held.taken >= UNWRITTEN_MAX or held.has_steps
            if held.waiting is None and (final or is_due):
                held.make_checkpoint(now)
        rolling = self._rolling()
        if rolling is None or rolling.waiting is not None:
            return
        if final or self._is_due(now, rolling.checkpointed_at) or rolling.has_steps:
            rolling.make_checkpoint(now, self._mails, self._summaries)
            self._mails, self._summaries = [], []

    def _is_due(self, now: int, before: int) -> bool:
        """Every second, also of a clock that was set back, and all at once when an hour begins: the state that is kept
        then is of one moment."""
        return not 0 <= now - before < CHECKPOINT_MS or is_new_hour(now, before)

    async def _reports_arrive(self) -> None:
        """The roll-up takes this beat's reports in before its own beat; else the place's figures would be a beat older.

        Where other workers have partitions too, theirs come when they come, and nobody waits for them.
        """
        if self._roll_up is not None and self._is_alone:
            await self._reports.all_taken()
        else:
            await asyncio.sleep(self._roll_up_wait_s)

    def _values_of(self, beat: Beat) -> dict[str, bytes | None]:
        for name, at in beat.overtaken.items():
            self.overtaken[name] = max(at, self.overtaken.get(name, 0))
        changes: dict[str, bytes | None] = dict(value_entry(value) for value in beat.current)
        changes.update(bridge_entry(name, batch) for name, batch in beat.bridges.items())
        return changes

    def _alerts_of(self, partition: int, beat: Beat) -> dict[str, bytes | None]:
        return dict(alert_entry(alert, self._catalogue, partition) for alert in beat.alerts)

    async def _take_written(self, final: bool) -> None:
        """What has been written is acknowledged, and kept if its hour has come, but at the end; partitions lost to
        other workers are dropped.

        A checkpoint that no longer waits is of a state that was dropped meanwhile: another may stand in its place by
        now, which knows nothing of it.
        """
        written_at = 0
        taken = self._writer.take()
        for checkpoint, is_written in taken:
            number, held = checkpoint.partition, self._owner(checkpoint.partition)
            if is_written:
                written_at = max(written_at, checkpoint.at)
                self._commands.written(command for command, _ in checkpoint.applied)
            if held is None or held.waiting is not checkpoint:
                continue
            if is_written:
                for acknowledge in held.written(checkpoint):
                    await acknowledge()
            else:
                log.warning("fenced: another worker owns the partition", partition=number)
                self.disown(number)
                self._fenced(number)
        if taken:
            self._drained.set()
        if written_at and not final:
            await self._keep_state(written_at)

    async def _keep_house(self) -> None:
        """Retention of the database; any worker may do it, several do no harm."""
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            try:
                await asyncio.to_thread(self._store.forget, self._clock())
            except Unavailable as reason:
                log.warning("retention waits", reason=str(reason))

    def order(self, command: Command) -> None:
        """Carry a command out on the next beat."""
        self._commands.order(command)

    def queue_summary(self, summary: SummaryRow, mails: list[Mail]) -> None:
        """Write a summary and its mails with the roll-up's next checkpoint."""
        self._summaries.append(summary)
        self._mails.extend(mails)
