"""Reads what a number was made of: the value and its parts from the database, its messages from the journal."""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from sensors.errors import IocError
from sensors.journal import JournalReader, Record, batches_of
from sensors.kafka_journal import TAIL
from sensors.url_journal import open_reader
from streams.beat import Value
from streams.catalogue import Catalogue
from streams.checkpoint import ROLL_UP
from streams.explanation import Explanation, Text
from streams.kpi import Kpi
from streams.lineage import DECODED_MAX, Lineage
from streams.partial import unpack_share
from streams.provenance import Asked, Part, explained, scope_of, units_of, window_end
from streams.roll_up import standing_values
from streams.sql_store import SqlStore, Standing
from streams.stretch import Stretch

MESSAGES_LISTED = 200
RECORDS_MAX = 1_000_000
RECORDS_A_READ = 500
MARGIN_RECORDS = 200
"""Records read before those of the value: what was told there before is a repetition here. At a batch every 50 ms it
is ten seconds, three times what a broker waits before it sends again."""

AHEAD_MS = 120_000
DAY_MS = 86_400_000
TICKET_QUANTITIES = ("wait", "service")
_MS_MAX = 1 << 60


class NothingToExplain(IocError):
    """There is no such KPI, unit or value; the texts say which."""

    def __init__(self, vi: str, en: str) -> None:
        super().__init__(f"{vi} / {en}")
        self.vi, self.en = vi, en


class Question(NamedTuple):
    """A KPI of a unit, former district or the place, at a moment (ms UTC; None: now); how many messages to list, and
    how many to decode at most."""

    kpi: str
    scope: str
    at: int | None = None
    messages: int = MESSAGES_LISTED
    most: int = DECODED_MAX


class Lineages:
    """Explains numbers of one history and one journal (its URL; opened for each question)."""

    def __init__(self, store: SqlStore, catalogue: Catalogue, journal: str) -> None:
        self._store = store
        self._catalogue = catalogue
        self._journal = journal

    async def explain(self, question: Question) -> Explanation:
        """From the value back to the messages; raises NothingToExplain, and Unavailable where a store is silent."""
        asked, standings, notes = await asyncio.to_thread(self._find, question)
        listed, most = question.messages, question.most
        lineage = Lineage(asked.kpi, self._catalogue, asked.units, asked.value.end, listed, most)
        is_cut = False
        async with open_reader(self._journal, "ioc-lineage") as reader:
            for stretch in self._stretches(asked, standings):
                is_cut |= await self._read(reader, stretch, lineage, notes)
        return await asyncio.to_thread(explained, asked, lineage, self._catalogue, notes, is_cut)

    def _find(self, question: Question) -> tuple[Asked, list[Standing], list[Text]]:
        kpi = self._catalogue.kpis.get(question.kpi)
        if kpi is None:
            raise NothingToExplain(f"không có chỉ tiêu {question.kpi[:64]}", f"there is no KPI {question.kpi[:64]}")
        if scope_of(self._catalogue, question.scope) is None:
            raise NothingToExplain(f"không có đơn vị {question.scope[:16]}", f"there is no unit {question.scope[:16]}")
        upto = _MS_MAX if question.at is None else window_end(kpi, question.at, self._catalogue.zone_ms)
        # Open windows first: what closes in between is then found among the closed ones.
        standings = self._store.standings()
        value = self._newest(kpi, question.scope, upto, standings)
        if value is None:
            raise NothingToExplain(
                f"{kpi.id} tại {question.scope}: chưa có giá trị nào tới lúc đó",
                f"{kpi.id} of {question.scope}: there is no value up to that moment",
            )
        units = units_of(self._catalogue, question.scope)
        parts = self._parts(kpi, units, value.end, standings)
        notes = _other_window(upto, value) if question.at is not None else []
        open_units = self._open_units(value, units, parts)
        return Asked(kpi, question.scope, units, question.at, value, parts, open_units), standings, notes

    def _newest(self, kpi: Kpi, scope: str, upto: int, standings: list[Standing]) -> Value | None:
        found = [self._store.newest_value(kpi.id, scope, upto)]
        found += [value for one in standings for value in _said(one) if (value.kpi, value.scope) == (kpi.id, scope)]
        known = [value for value in found if value is not None and value.end <= upto]
        # Of one window, what is closed was said later than what was open.
        return max(known, key=lambda value: (value.end, value.state != "provisional"), default=None)

    def _parts(self, kpi: Kpi, units: frozenset[str], end: int, standings: list[Standing]) -> dict[str, Part]:
        parts = {
            value.scope: Part(one.partition, value)
            for one in standings if one.partition != ROLL_UP
            for value in _said(one) if (value.kpi, value.end) == (kpi.id, end) and value.scope in units
        }  # fmt: skip
        closed = self._store.values_at(kpi.id, end, sorted(units))
        return parts | {value.scope: Part(partition, value) for partition, value in closed}

    def _stretches(self, asked: Asked, standings: list[Standing]) -> Iterable[Stretch]:
        """Of each partition the records between the first and the last of its units' values."""
        for one in standings:
            own = [part.value for part in asked.parts.values() if part.partition == one.partition]
            units = {value.scope: (value.first_offset, value.last_offset) for value in own if value.last_offset >= 0}
            still = asked.open_units.get(one.partition, frozenset())
            if units or still:
                first = min((first for first, _ in units.values()), default=one.offset)
                last = max((last for _, last in units.values()), default=-1)
                yield Stretch(one.partition, first, max(last, one.offset - 1) if still else last, units, still)

    def _open_units(self, value: Value, units: frozenset[str], parts: dict[str, Part]) -> dict[int, frozenset[str]]:
        """What was merged may hold units that have not said this window themselves yet: by partition, as the shares
        that were merged name them."""
        if value.scope in units:
            return {}
        shares, _ = self._store.shares([(value.kpi, value.end)])
        told = [unpack_share(share) for share in shares]
        return {share.partition: units & frozenset(share.units) - parts.keys() for share in told}

    async def _read(self, reader: JournalReader, stretch: Stretch, lineage: Lineage, notes: list[Text]) -> bool:
        """Read a stretch, and what comes before it, into `lineage`; True when a bound was reached before its end."""
        if stretch.open_units:
            first = await _offset_at(reader, stretch.partition, lineage.start - AHEAD_MS, stretch.first)
            stretch = stretch._replace(first=first)
        start = await self._start(reader, stretch, lineage)
        records = await reader.read(stretch.partition, start, RECORDS_A_READ)
        if not records or records[0].offset > stretch.first:
            notes.append(_dropped(stretch, records))
        lineage.begin(stretch._replace(too_late=await self._too_late(reader, stretch, records)))
        while records and records[0].offset <= stretch.last:
            inside = [record for record in records if record.offset <= stretch.last]
            await asyncio.to_thread(_take_all, lineage, inside)
            if lineage.is_full or lineage.records >= RECORDS_MAX:
                return True
            if len(inside) < len(records) or inside[-1].offset == stretch.last:
                return False
            records = await reader.read(stretch.partition, inside[-1].offset + 1, RECORDS_A_READ)
        return not records

    async def _start(self, reader: JournalReader, stretch: Stretch, lineage: Lineage) -> int:
        """Where to begin: some records early, and with tickets at the first that may have been taken that day."""
        start = max(0, stretch.first - MARGIN_RECORDS)
        kpi, kind = lineage.kpi, self._catalogue.kinds[lineage.kpi.kind]
        if kind.format != "cloudevents" or kpi.quantity not in TICKET_QUANTITIES:
            return start
        zone = self._catalogue.zone_ms
        midnight = (lineage.start + zone) // DAY_MS * DAY_MS - zone
        return min(start, await _offset_at(reader, stretch.partition, midnight - AHEAD_MS, stretch.first))

    async def _too_late(self, reader: JournalReader, stretch: Stretch, records: list[Record]) -> frozenset[int]:
        # The last record need not have the highest ordinal: an old bridge's may stand there (sensors.kafka_journal).
        tail = await reader.read(stretch.partition, max(0, stretch.last + 1 - TAIL), TAIL)
        afters = [batch.after for batch in batches_of(record for record in tail if record.offset <= stretch.last)]
        firsts = [batch.first for batch in batches_of(records)]
        if not firsts or not afters:
            return frozenset()
        return await asyncio.to_thread(self._store.too_late_ordinals, stretch.partition, firsts[0], max(afters))


def _take_all(lineage: Lineage, records: list[Record]) -> None:
    for record in records:
        lineage.take(record)


def _said(one: Standing) -> list[Value]:
    """The values of windows still open, as a partition's or the roll-up's checkpoint has them."""
    if not one.open_values:
        return []
    if one.partition == ROLL_UP:
        return standing_values(one.open_values)
    return msgspec.msgpack.decode(one.open_values, type=list[Value])


async def _offset_at(reader: JournalReader, partition: int, time: int, before: int) -> int:
    """The first offset below `before` whose record was sealed at `time` (ms UTC) or later; by halving."""
    low, high = 0, before
    while low < high:
        middle = (low + high) // 2
        found = await reader.read(partition, middle, 1)
        # One that no bridge wrote tells no time: then rather too much is read.
        if not found or found[0].offset >= high or all(one.sealed_at >= time for one in batches_of(found)):
            high = middle
        else:
            low = found[0].offset + 1
    return low


def _dropped(stretch: Stretch, records: list[Record]) -> Text:
    left = records[0].offset if records else stretch.last + 1
    gone = min(left, stretch.last + 1) - stretch.first
    return Text(
        f"phân vùng {stretch.partition}: nhật ký không còn giữ {gone} bản ghi đầu của số này (hết hạn lưu)",
        f"partition {stretch.partition}: the journal no longer holds this number's first {gone} records (retention)",
    )


def _other_window(upto: int, value: Value) -> list[Text]:
    """When the window of that moment has no value (yet), the newest before it is told, and this is said."""
    if value.end == upto:
        return []
    return [
        Text(
            "cửa sổ của thời điểm đó chưa có (hoặc chưa chốt) giá trị; đây là cửa sổ gần nhất trước đó",
            "the window of that moment has no value, or none closed yet; this is the newest one before it",
        )
    ]
