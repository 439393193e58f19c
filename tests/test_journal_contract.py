"""One contract for both journals: the embedded shape's SQLite file, and a real Apache Kafka of the cluster."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from journal_shelf import PARTITIONS, Shelf, batch, payloads, shelf_of, taken

from sensors.batch import Batch, decode
from sensors.errors import Overtaken

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["sqlite", pytest.param("kafka", marks=pytest.mark.long)])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shelf]:
    made = shelf_of(request, tmp_path)
    yield made
    await made.close()


async def test_a_new_journal_is_empty_and_numbers_from_zero(shelf: Shelf) -> None:
    zeros = dict.fromkeys(range(PARTITIONS), 0)
    assert await (await shelf.writer()).next_ordinals() == zeros
    reader = await shelf.reader()
    assert await reader.ends() == zeros
    assert await reader.read(0, 0) == []


async def test_records_come_back_in_the_order_of_appending_with_offsets_from_zero(shelf: Shelf) -> None:
    writer, reader = await shelf.writer(), await shelf.reader()
    await writer.append([batch(1, 0, b"a", b"b"), batch(2, 0, b"x"), batch(1, 2, b"c")])
    await writer.append([batch(1, 3, b"d")])
    records = await reader.read(1, 0)
    assert [(record.partition, record.offset) for record in records] == [(1, 0), (1, 1), (1, 2)]
    assert await payloads(reader, 1) == [[b"a", b"b"], [b"c"], [b"d"]]
    assert await payloads(reader, 2) == [[b"x"]]
    assert await reader.ends() == {0: 0, 1: 3, 2: 1, 3: 0}


async def test_a_batch_comes_back_as_it_was(shelf: Shelf) -> None:
    kept = Batch(3, 7, 123_456, "cầu-1", 5, ["ioc/06694/air/s1", "ôi/#"], [b"\x00\xff", b""], [1, 2], [1])
    await (await shelf.writer()).append([kept])
    [record] = await (await shelf.reader()).read(3, 0)
    assert decode(record.batch) == kept


async def test_ordinals_go_on_where_a_closed_writer_ended(shelf: Shelf) -> None:
    writer = await shelf.writer()
    await writer.append([batch(0, 0, b"a", b"b"), batch(0, 2, b"c"), batch(3, 0, b"x")])
    await writer.append([batch(0, 3)])  # a heartbeat: a record without messages
    await writer.close()
    assert await (await shelf.writer()).next_ordinals() == {0: 3, 1: 0, 2: 0, 3: 1}


async def test_reading_may_begin_in_the_middle_and_end_at_a_limit(shelf: Shelf) -> None:
    writer, reader = await shelf.writer(), await shelf.reader()
    await writer.append([batch(2, n, b"%d" % n) for n in range(10)])
    assert [record.offset for record in await reader.read(2, 4, limit=3)] == [4, 5, 6]
    assert await payloads(reader, 2, 8) == [[b"8"], [b"9"]]
    assert await payloads(reader, 2, 10) == []
    assert await payloads(reader, 2, 99) == []
    assert await payloads(reader, 2, 0) == [[b"%d" % n] for n in range(10)]


async def test_a_reader_that_found_nothing_sees_what_another_handle_writes_next(shelf: Shelf) -> None:
    writer, reader = await shelf.writer(), await shelf.reader()
    for turn in range(5):
        assert await reader.read(0, turn) == []
        assert await reader.read(0, turn) == []
        await writer.append([batch(0, turn, b"%d" % turn)])
        assert await payloads(reader, 0, turn) == [[b"%d" % turn]]


async def test_a_writer_whose_ordinals_another_has_used_is_told_until_it_asks_again(shelf: Shelf) -> None:
    old, new, reader = await shelf.writer(), await shelf.writer(), await shelf.reader()
    await old.next_ordinals()
    await old.append([batch(1, 0, b"a"), batch(2, 0, b"x")])
    assert (await new.next_ordinals())[1] == 1
    await new.append([batch(1, 1, b"b"), batch(1, 2, b"c", b"d")])
    with pytest.raises(Overtaken, match="partition 1"):
        await old.append([batch(1, 1, b"e"), batch(2, 1, b"y")])
    ends = await reader.ends()
    with pytest.raises(Overtaken, match="partition 1"):
        await old.append([batch(1, 1, b"e")])
    assert await reader.ends() == ends, "only the first of them may have left something"
    ordinals = await old.next_ordinals()
    assert ordinals[1] >= 4
    await old.append([batch(1, ordinals[1], b"e"), batch(2, ordinals[2], b"y")])
    assert set(await taken(reader, 1)) == {b"a", b"b", b"c", b"d", b"e"}
    assert set(await taken(reader, 2)) == {b"x", b"y"}


async def test_two_writers_in_turns_never_have_a_message_kept_that_the_worker_passes_over(shelf: Shelf) -> None:
    writers, reader = [await shelf.writer(), await shelf.writer()], await shelf.reader()
    ordinals = [dict(await writer.next_ordinals()) for writer in writers]
    chance, kept = random.Random(5), list[bytes]()
    for turn in range(60):
        who, partition = chance.randrange(2), chance.randrange(2)
        told = [b"%d-%d" % (turn, n) for n in range(chance.randrange(4))]
        for _ in range(2):
            try:
                await writers[who].append([batch(partition, ordinals[who][partition], *told)])
                break
            except Overtaken:
                ordinals[who] = dict(await writers[who].next_ordinals())
        else:
            raise AssertionError("overtaken with nobody else about")
        ordinals[who][partition] += len(told)
        kept += told
    assert set(await taken(reader, 0) + await taken(reader, 1)) >= set(kept)
    assert (await writers[0].next_ordinals()) == (await writers[1].next_ordinals())


async def test_a_third_writer_numbers_above_all_that_is_kept_though_a_stale_one_wrote_last(shelf: Shelf) -> None:
    stale, right = await shelf.writer(), await shelf.writer()
    await stale.next_ordinals()
    await right.next_ordinals()
    await right.append([batch(0, 0, *[b"a"] * 400)])
    with pytest.raises(Overtaken):
        await stale.append([batch(0, n, b"s") for n in range(100)])
    assert (await (await shelf.writer()).next_ordinals())[0] == 400


async def test_a_heartbeat_of_another_writer_overtakes_nobody(shelf: Shelf) -> None:
    writer, other, reader = await shelf.writer(), await shelf.writer(), await shelf.reader()
    await writer.next_ordinals()
    await other.next_ordinals()
    for turn in range(3):
        await writer.append([batch(0, turn, b"%d" % turn)])
        ordinals = await other.next_ordinals()
        await other.append([batch(0, ordinals[0])])
    await writer.append([batch(0, 7, b"after a gap")])
    assert await taken(reader, 0) == [b"0", b"1", b"2", b"after a gap"]


async def test_an_append_of_nothing_is_nothing(shelf: Shelf) -> None:
    await (await shelf.writer()).append([])
    assert await (await shelf.reader()).ends() == dict.fromkeys(range(PARTITIONS), 0)


async def test_a_handle_can_be_closed_twice(shelf: Shelf) -> None:
    writer, reader = await shelf.writer(), await shelf.reader()
    for handle in (writer, reader, writer, reader):
        await handle.close()
