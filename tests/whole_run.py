"""A city's messages through packing, partitions, roll-up and a real database in memory, in virtual time.

What the engine does on a beat (streams/beat_engine.py), without its tasks, threads and servers.
"""

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa
from told import Message as Received
from told import take_in

from control_center.answer import missing_of
from sensors.batch import encode
from sensors.journal import Record
from sensors.packing import Packer
from simulators import grade
from simulators.alarm import Key
from simulators.expectation import Definition
from simulators.grade import Section
from simulators.oracle import Oracle
from simulators.payload import Message
from streams.catalogue import Catalogue
from streams.checkpoint import ROLL_UP
from streams.partition import Partition
from streams.roll_up import Report, RollUp
from streams.sql_store import SqlStore
from streams.sql_tables import LedgerTable, table_of

PARTITIONS = 4


class WholeRun:
    """`start` is the time of the first beat; `received` is when a message came: its own time, or a later one."""

    def __init__(self, catalogue: Catalogue, start: int, partitions: int = PARTITIONS) -> None:
        self.store = SqlStore("sqlite://")
        self.store.migrate()
        self._catalogue = catalogue
        self._packer = Packer("bridge", partitions, {})
        self._offsets = dict.fromkeys(range(partitions), 0)
        self.partitions = {
            number: Partition(number, catalogue, self.store.recover(number), start) for number in range(partitions)
        }
        self._roll_up = RollUp(catalogue, self.store.recover(ROLL_UP), start)

    def play(self, messages: Iterable[Message], beat_ms: int, delay_ms: int = 0) -> int:
        """Let the messages come, each `delay_ms` after it was sent, with a beat every `beat_ms`; returns the last."""
        due = 0
        for message in messages:
            now = message.time + delay_ms
            due = due or now + beat_ms
            while now >= due:
                self.beat(due)
                due += beat_ms
            take_in(self._packer, Received(message.topic, message.payload, now))
        self.beat(due)
        return due

    def beat(self, now: int) -> None:
        for batch in self._packer.seal(now):
            offset = self._offsets[batch.partition]
            self._offsets[batch.partition] = offset + 1
            self.partitions[batch.partition].observe(Record(batch.partition, offset, encode(batch)))
        for number, partition in self.partitions.items():
            beat = partition.evaluate(now)
            report = Report(number, beat.partials, beat.silent)
            unknown = self._roll_up.unknown(report.partials)
            if unknown:
                self._roll_up.restore(*self.store.shares(unknown), now)
            self._roll_up.report(report, now)
            checkpoint = partition.checkpoint(now)
            assert self.store.commit(checkpoint)
            partition.committed(checkpoint.offset)
        self._roll_up.evaluate(now)
        assert self.store.commit(self._roll_up.checkpoint(now, [], []))


def differences(run: WholeRun, oracle: Oracle, catalogue: Catalogue) -> list[Section]:
    """Every section that differs between the database and the oracle, the ledger minute by minute."""
    counts = msgspec.to_builtins(run.store.ledger_totals()) | {"in_flight": 0, "difference": 0}
    sections = [grade.of_totals(oracle.total(), (), counts)]
    sections.append(grade.of_mapping("aside", {"": oracle.total().set_aside}, {"": counts["readings_set_aside"]}))
    sections.append(grade.of_mapping("reasons", oracle.reasons, run.store.rejection_reasons()))
    with run.store.engine.connect() as connection:
        rows = connection.execute(sa.select(table_of(LedgerTable))).mappings().all()
    expected = {key: [getattr(row, name) for name in grade.OUTCOMES] for key, row in oracle.rows.items()}
    kept = {(row["partition"], row["kind"], row["minute"]): [row[name] for name in grade.OUTCOMES] for row in rows}
    sections.append(grade.of_mapping("minutes", expected, kept))
    sections.append(grade.of_sent(oracle.sent(), [missing_of(*row) for row in run.store.missing(10_000)]))
    for kpi in catalogue.kpis.values():
        sections.append(of_kpi(run, oracle, msgspec.convert(msgspec.to_builtins(kpi), Definition), catalogue))
    return [section for section in sections if section.is_finding]


def of_kpi(run: WholeRun, oracle: Oracle, kpi: Definition, catalogue: Catalogue) -> Section:
    found = oracle.windows(kpi)
    values = run.store.windows(kpi.id, 0, 1 << 60, 1_000_000)
    rows = [{"unit": value.scope, "to": value.end, "value": value.value, "n": value.n} for value in values]
    return grade.of_windows(kpi, found, oracle.closed(kpi, found), rows, catalogue.place.units)


def alert_steps(run: WholeRun) -> dict[Key, tuple[str, ...]]:
    """The steps of every alert, by rule, scope and device."""
    return {
        (alert.rule, alert.scope, alert.device): tuple(step.op for step in run.store.alert_steps(alert.id))
        for alert in run.store.alerts(open_only=False, limit=10_000)
    }
