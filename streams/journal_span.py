"""A stretch of the journal: where it begins for a moment in time, and its records in order, with what is gone."""

from collections.abc import AsyncIterator

from sensors.journal import JournalReader, Record, batches_of

RECORDS_A_READ = 200
"""Some 200 kB each at the bridge's usual batches, 2 MiB at most."""


async def begin_at(journal: JournalReader, part: int, end: int, wanted: int) -> int:
    """The offset to read from: 0, or the last record that was sealed by `wanted` (ms UTC), found by halving."""
    low, high = 0, end
    while high - low > 1:
        middle = (low + high) // 2
        found: list[Record] = await journal.read(part, middle, 1)
        # One that no bridge wrote tells no time: then rather too much is read.
        if found and found[0].offset < high and any(one.sealed_at <= wanted for one in batches_of(found)):
            low = found[0].offset
        else:
            high = middle
    return low


async def runs(journal: JournalReader, part: int, begin: int, end: int) -> AsyncIterator[tuple[list[Record], int]]:
    """The records of [begin, end), in parts, each with the time (ms UTC) from which on nothing has been missing.

    That is 0 from the very first record on, and later where retention has dropped some, before or meanwhile.
    """
    offset, known_from, is_cut = begin, 0, False
    while offset < end:
        found = await journal.read(part, offset, min(RECORDS_A_READ, end - offset))
        records = [record for record in found if record.offset < end]
        if not records:
            break
        is_cut = is_cut or (records[0].offset > 0 and (offset == begin or records[0].offset > offset))
        if is_cut and (batches := batches_of(records)):
            known_from, is_cut = batches[0].sealed_at, False
        offset = records[-1].offset + 1
        yield records, known_from
