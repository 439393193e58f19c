"""A record of the journal that no bridge wrote is counted once, by a reason of its own, and stops nobody."""

from pathlib import Path

import msgspec
import pytest
from small_world import FOREIGN, NOON, A, Feed, catalogue, kinds, kpis, place, senml, write_foreign
from told import Message
from whole_processor import WholeProcessor

from sensors.batch import Batch, encode, journaled
from sensors.errors import MessageRejected
from sensors.journal import Record
from sensors.sqlite_journal import SqliteJournal
from streams.bridge import words
from streams.catalogue import compile_catalogue
from streams.duckdb_audit import DuckdbAudit
from streams.journal_lineage import Lineages, Question
from streams.schedule import Schedule
from streams.span import Span
from streams.sql_store import SqlStore
from streams.toml_catalogue import Definitions

pytestmark = pytest.mark.anyio

MINUTE = 60_000
SPEED = f"ioc/{A}/traffic/cam"
ONE = Batch(0, 0, NOON, "b1", 0, [SPEED, SPEED], [b"[]", b"[]"], [NOON, NOON], [1])


@pytest.mark.parametrize(
    "changes",
    [
        {"received_at": b"\0" * 8}, {"received_at": b"\0" * 17}, {"topic_keys": b""}, {"sizes": b"\0" * 7},
        {"topics": b"\xff" * 37}, {"text": b"[]"}, {"redelivered": [2]}, {"first": -1}, {"first": 2**62},
    ],
)  # fmt: skip
def test_a_record_whose_columns_do_not_fit_together_is_no_batch(changes: dict[str, object]) -> None:
    whole = journaled(encode(ONE))
    with pytest.raises(MessageRejected, match="bad_record"):
        journaled(msgspec.msgpack.encode(msgspec.structs.replace(whole, **changes)))


@pytest.mark.parametrize("record", FOREIGN)
def test_a_foreign_record_is_one_rejection_with_its_first_bytes_and_the_partition_goes_on(record: bytes) -> None:
    feed = Feed(catalogue(), number=3)
    feed.tell((SPEED, senml("speed", NOON, 40), NOON))
    feed.records.append(Record(3, 1, record))
    feed.partition.observe(feed.records[-1])
    feed.tell((SPEED, senml("speed", NOON + 1_000, 50), NOON + 1_000))
    beat = feed.partition.evaluate(NOON + 2_000)
    (rejection,) = feed.partition.checkpoint(NOON + 2_000).rejections
    assert (rejection.reason, rejection.partition, rejection.ordinal, rejection.at) == (
        "bad_record",
        3,
        -2,
        NOON + 2_000,
    )
    assert (rejection.detail[:17], rejection.payload) == ("journal record 1:", record[:1_024])
    assert (beat.offset, beat.totals.received, beat.totals.accepted, beat.totals.rejected) == (3, 2, 2, 0)


def test_foreign_records_wait_like_messages_so_that_no_flood_of_them_fills_the_memory() -> None:
    feed = Feed(catalogue())
    for offset in range(5):
        feed.partition.observe(Record(0, offset, b"garbage"))
    assert feed.partition.pending == 5
    assert feed.partition.evaluate(NOON).offset == 5
    assert feed.partition.pending == 0


def test_a_foreign_record_at_the_end_of_a_partition_says_nothing_of_bridges() -> None:
    said = words({0: Record(0, 7, b"garbage"), 1: Record(1, 0, encode(ONE))})
    assert {partition: word.bridge for partition, word in said.items()} == {1: "b1"}


@pytest.fixture
async def lived(tmp_path: Path) -> Path:
    """A quarter of an hour of one source, with foreign records before, between and behind its batches."""
    schedule = Schedule("leaders", "Tóm tắt", "Summary", ["07:00"], [], [])
    processor = WholeProcessor(Definitions(place(), kinds(), kpis(), {}, schedule), tmp_path, NOON, 2)
    await processor.start()
    for minute in range(15):
        now = NOON + minute * MINUTE
        for partition in (0, 1):
            write_foreign(tmp_path / "journal.sqlite", partition, FOREIGN[minute % len(FOREIGN)], now)
        await processor.live([Message(SPEED, senml("speed", now, 40 + minute), now)], now)
    write_foreign(tmp_path / "journal.sqlite", 0, b"garbage")
    await processor.close()
    return tmp_path


async def test_explaining_a_number_passes_over_foreign_records(lived: Path) -> None:
    store = SqlStore(f"sqlite:///{lived / 'history.sqlite'}")
    assert store.rejection_reasons() == {"bad_record": 30}
    made = compile_catalogue(place(), kinds(), kpis(), {})
    told = await Lineages(store, made, f"sqlite:///{lived / 'journal.sqlite'}").explain(Question("speed", A, None, 200))
    assert (told.recomputed.value, told.recomputed.matches) == (52.0, True)
    assert len(told.messages) == told.value.n == 5
    store.close()


async def test_an_audit_passes_over_foreign_records(lived: Path) -> None:
    store, journal = (
        SqlStore(f"sqlite:///{lived / 'history.sqlite'}"),
        SqliteJournal.read_only(lived / "journal.sqlite"),
    )
    schedule = Schedule("leaders", "Tóm tắt", "Summary", ["07:00"], [], [])
    (lived / "audit").mkdir()
    span = Span(NOON, NOON + 10 * MINUTE)
    audit = DuckdbAudit(Definitions(place(), kinds(), kpis(), {}, schedule), span, lived / "audit")
    report = await audit.audit(journal, store, lambda *_: None, 0.0)
    audit.close()
    await journal.close()
    store.close()
    assert (report.messages, report.wrong) == (15, 0)
    assert report.compared > 0
