"""Sources that number their messages: what was sent is what arrived and what is missing, before our door too.

    sent = numbered + unreadable + missing           for every source, always

`numbered` are the different numbers that arrived, `unreadable` messages of the source whose number could not be read
(each of them is one of the numbers that seem to be missing). A gap opens when a number is skipped, and is filled when
the missing message arrives late after all. Numbers that begin again (a device that was restarted, a counter that
wrapped) open a new numbering; what went missing between two numberings cannot be known.
"""

import msgspec
import numpy as np

from streams.columns import Columns, Flags, Ints, lengths_of, runs_of, stable_order
from streams.pane import EMPTY

GAPS_LISTED = 64
"""Gaps listed for each source; of older ones only the count is kept, and they are not filled any more."""

JUMP_MAX = 1_000_000
"""A number further ahead than this is no gap, but another numbering."""

NUMBER_MAX = 2**62
_COUNTED = ("first", "next", "newest", "since", "numbered", "span_before", "restarts")


class Gap(msgspec.Struct, array_like=True):
    """Numbers first … last did not arrive; observed times of the messages before and after them (ms UTC)."""

    first: int
    last: int
    after: int
    before: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1


class Numbering:
    """The numberings of all sources of a partition, by the source's index."""

    def __init__(self) -> None:
        self.columns = Columns(
            first=-1, next=0, newest=EMPTY, since=EMPTY, numbered=0, span_before=0, unreadable=0, restarts=0
        )
        self.gaps: dict[int, list[Gap]] = {}
        self._totals = np.zeros(3, dtype=np.int64)

    def count(self, sources: Ints, numbers: Ints, times: Ints) -> None:
        """Take numbered messages in, in order of arrival: source, number (0 or more) and observed time (ms UTC; EMPTY
        where it could not be used)."""
        if not len(sources):
            return
        order = stable_order(sources, self.columns.rows)
        source, number, time = sources[order], numbers[order], times[order]
        starts = runs_of(source)
        lengths = lengths_of(starts, len(source))
        who, columns = source[starts], self.columns
        begun = columns["first"][who] >= 0
        expected = np.where(begun, columns["next"][who], number[starts])
        steady = number == np.repeat(expected - starts, lengths) + np.arange(len(number))
        is_plain = np.logical_and.reduceat(steady, starts)
        self._count_plain(who[is_plain], begun[is_plain], expected, lengths, starts, is_plain, time)
        if is_plain.all():
            return
        others = who[~is_plain]
        self._totals -= self._sums(others)
        for place in np.flatnonzero(~is_plain).tolist():
            span = slice(int(starts[place]), int(starts[place] + lengths[place]))
            self._count_run(int(who[place]), number[span].tolist(), time[span].tolist())
        self._totals += self._sums(others)

    def _count_plain(
        self, who: Ints, begun: Flags, expected: Ints, lengths: Ints, starts: Ints, is_plain: Flags, time: Ints
    ) -> None:
        """Sources whose numbers go on without a gap: nearly all of them, nearly always."""
        if not len(who):
            return
        columns = self.columns
        newest = np.maximum.reduceat(time, starts)[is_plain]
        fresh = who[~begun]
        columns["first"][fresh] = expected[is_plain][~begun]
        columns["since"][fresh] = time[starts][is_plain][~begun]
        columns["next"][who] = (expected + lengths)[is_plain]
        columns["numbered"][who] += lengths[is_plain]
        # What is missing stays as it was: as many more were sent as arrived.
        self._totals[:2] += (lengths[is_plain].sum(), columns["unreadable"][fresh].sum())
        columns["newest"][who] = np.maximum(columns["newest"][who], newest)

    def _count_run(self, source: int, numbers: list[int], times: list[int]) -> None:
        """One source's messages one by one: somewhere in them a number is missing, told again, late or begins anew."""
        columns = [self.columns[name] for name in _COUNTED]
        first, following, newest, since, numbered, span_before, restarts = (int(one[source]) for one in columns)
        for number, told in zip(numbers, times, strict=True):
            time = newest if told == EMPTY else told
            if first < 0:
                begins = True
            elif number < following or (number > following and restarts and time < since):
                # It is late, of this numbering or of one before. The next number is the next one, whatever its clock
                # says, and so it is where a source's numbers go on without a gap: else it would hang on where beats
                # cut them. Before the first numbering there was none.
                is_filling = self._fill(source, number, time)
                numbered += is_filling
                # Anything else has arrived before.
                begins = not is_filling and number < following and time > newest
            else:
                begins = number - following > JUMP_MAX
                if not begins:
                    if number > following:
                        self._open(source, Gap(following, number - 1, newest, time))
                    following, numbered = number + 1, numbered + 1
            if begins:
                if first >= 0:
                    span_before, restarts = span_before + following - first, restarts + 1
                first, following, since, numbered = number, number + 1, time, numbered + 1
            newest = max(newest, time)
        counted = (first, following, newest, since, numbered, span_before, restarts)
        for column, count in zip(columns, counted, strict=True):
            column[source] = count

    def _open(self, source: int, gap: Gap) -> None:
        listed = self.gaps.setdefault(source, [])
        listed.append(gap)
        del listed[:-GAPS_LISTED]

    def _fill(self, source: int, number: int, time: int) -> bool:
        """Whether a late message fills a gap: its number lies in it, and it was observed by when the gap was seen."""
        listed = self.gaps.get(source, [])
        for place, gap in enumerate(listed):
            if gap.first <= number <= gap.last and time <= gap.before:
                parts = [Gap(gap.first, number - 1, gap.after, time), Gap(number + 1, gap.last, time, gap.before)]
                listed[place : place + 1] = [part for part in parts if part.count > 0]
                if not listed:
                    del self.gaps[source]
                return True
        return False

    def cannot_read(self, sources: Ints) -> None:
        """Messages of these sources arrived, and their numbers could not be read; they tell where a source numbers,
        be it later: what is said must not hang on whether its first number came in the same beat."""
        who = np.unique(sources)
        self._totals -= self._sums(who)
        np.add.at(self.columns["unreadable"], sources, 1)
        self._totals += self._sums(who)

    def missing(self, sources: slice | Ints = slice(None)) -> Ints:
        """How many messages of each source are missing; of these sources only, for those who ask for some."""
        first, following, before, numbered, unreadable = (
            self.columns[name][sources] for name in ("first", "next", "span_before", "numbered", "unreadable")
        )
        span = before + np.where(first >= 0, following - first, 0)
        return np.asarray(np.maximum(span - numbered - unreadable, 0))

    def totals(self) -> tuple[int, int, int]:
        """Over all sources: numbered, unreadable, missing; kept as they are counted."""
        numbered, unreadable, missing = self._totals.tolist()
        return numbered, unreadable, missing

    def _sums(self, sources: slice | Ints = slice(None)) -> Ints:
        """Over these sources: numbered, unreadable of those that number, missing."""
        first, numbered, unreadable = (self.columns[name][sources] for name in ("first", "numbered", "unreadable"))
        return np.array([numbered.sum(), unreadable[first >= 0].sum(), self.missing(sources).sum()], dtype=np.int64)

    def of(self, source: int) -> tuple[int | None, int, int, int]:
        """Of one source: the newest number (None where it does not number), numbered, unreadable, restarts."""
        columns = self.columns
        if columns["first"][source] < 0:
            return None, 0, 0, 0
        return (
            int(columns["next"][source]) - 1, int(columns["numbered"][source]), int(columns["unreadable"][source]),
            int(columns["restarts"][source]),
        )  # fmt: skip

    def gaps_of(self, sources: Ints) -> list[tuple[int, list[Gap]]]:
        """Those of `sources`, all different, that have gaps, with them."""
        # Few have any: to ask each source would cost more than all the rest.
        holed = np.intersect1d(np.fromiter(self.gaps, np.int64, len(self.gaps)), sources, assume_unique=True)
        return [(source, self.gaps[source]) for source in holed.tolist()]

    def put(self, sources: Ints, table: Ints, gaps: list[tuple[int, list[Gap]]]) -> None:
        """Take back what `columns.of` and `gaps_of` gave of different sources."""
        self._totals -= self._sums(sources)
        self.columns.put(sources, table)
        for source in sources.tolist() if self.gaps else ():
            self.gaps.pop(source, None)
        self.gaps.update(gaps)
        self._totals += self._sums(sources)
