"""What is known of sources comes back from checkpoints as it was, whoever spoke and however often that was written."""

from collections.abc import Iterable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensors.topic import Topic
from streams.checkpoint import SourceBlock, SourceChange
from streams.source import BLOCK, CHANGED_LEAST, CHANGES_MAX, Sources, Spoken

NOW = 1_790_000_000_000
WIDTHS = {"air": 6, "traffic": 2}
KINDS = list(WIDTHS)


class Kept:
    """Sources, and what a database has of them."""

    def __init__(self) -> None:
        self.sources = Sources(WIDTHS)
        self.blocks: dict[int, SourceBlock] = {}
        self.changes: dict[int, SourceChange] = {}
        self._names = []

    def speak(self, numbers: Iterable[int], at: int, sequence: int) -> None:
        """Each of these sources says something: its own message number `sequence`, observed a second before `at`."""
        topics = [Topic("06652", KINDS[number % 2], f"s{number}") for number in numbers]
        who = np.array([self.sources.intern(topic) for topic in topics], dtype=np.int64)
        received, observed = np.full(len(who), at), at - 1_000 + who
        self.sources.spoke(Spoken(who, received, observed, np.zeros(len(who), np.int64)))
        self.sources.count(who, np.full(len(who), sequence), observed)
        self.sources.observed(who, observed)
        streams = self.sources.columns["stream"][who]
        self.sources.streams["newest"][streams] = observed
        self.sources.streams["received"][streams + 1] = received

    def checkpoint(self) -> None:
        self._names += self.sources.take_new()
        blocks, changes, until = self.sources.take_changed()
        self.blocks |= {block.block: block for block in blocks}
        self.changes |= {change.number: change for change in changes}
        self.changes = {number: change for number, change in self.changes.items() if number >= until}

    def restored(self, widths: dict[str, int] = WIDTHS) -> Sources:
        found = Sources(widths)
        found.restore(self._names, list(self.blocks.values()), list(self.changes.values())[::-1])
        return found

    def restart(self) -> None:
        """What was not written is forgotten."""
        self.sources = self.restored()


def told(sources: Sources) -> list[object]:
    """All that can be asked of sources."""
    rows = [sources.row(number) for number in range(len(sources))]
    streams = sources.streams.of(np.arange(sources.streams.rows)).tolist()
    gaps = {source: list(listed) for source, listed in sources.numbering.gaps.items()}
    return [rows, streams, gaps, sources.numbering.totals()]


steps = st.lists(
    st.tuples(st.just("speak"), st.lists(st.integers(0, 8), min_size=1, max_size=5, unique=True), st.integers(0, 9))
    | st.tuples(st.sampled_from(["checkpoint", "restart", "status", "unreadable"])),
    max_size=30,
)


@given(steps)
def test_sources_come_back_as_of_the_last_checkpoint(steps: list[tuple[object, ...]]) -> None:
    kept = Kept()
    written = told(kept.sources)
    for at, step in enumerate(steps):
        match step:
            case ("speak", list(who), int(sequence)):
                kept.speak(who, NOW + at * 60_000, sequence)
            case ("checkpoint",):
                kept.checkpoint()
                written = told(kept.sources)
            case ("restart",):
                kept.restart()
                assert told(kept.sources) == written
            case ("status",) if len(kept.sources):
                kept.sources.tell_status(at % len(kept.sources), NOW + at, is_online=at % 3 == 0)
            case ("unreadable",) if len(kept.sources):
                kept.sources.cannot_read([at % len(kept.sources)])
    kept.checkpoint()
    assert told(kept.restored()) == told(kept.sources)


def test_many_changes_become_blocks_and_go_and_nothing_is_lost_of_it() -> None:
    kept, most = Kept(), 0
    kept.speak(range(BLOCK + 7), NOW, 0)
    kept.checkpoint()
    for turn in range(1, CHANGES_MAX + 20):
        kept.speak([turn % 11, BLOCK + 3], NOW + turn * 1_000, turn)
        kept.checkpoint()
        most = max(most, len(kept.changes))
    assert most == CHANGES_MAX > len(kept.changes)
    assert sorted(kept.blocks) == [0, 1]
    assert told(kept.restored()) == told(kept.sources)


def test_changes_of_many_rows_become_blocks_early() -> None:
    kept = Kept()
    for turn in range(12):
        kept.speak(range(1_000), NOW + turn * 1_000, turn)
        kept.checkpoint()
    assert CHANGED_LEAST < 5 * 1_000
    assert len(kept.changes) == 12 - 2 * 5
    assert told(kept.restored()) == told(kept.sources)


def test_a_checkpoint_costs_by_who_spoke_and_not_by_how_many_there_are() -> None:
    kept = Kept()
    kept.speak(range(3 * BLOCK), NOW, 0)
    kept.checkpoint()
    before = set(kept.changes)
    kept.speak([5, BLOCK + 5, 2 * BLOCK + 5], NOW + 1_000, 1)
    kept.checkpoint()
    (fresh,) = kept.changes.keys() - before
    assert len(kept.changes[fresh].content) < 500
    kept.checkpoint()
    assert len(kept.changes) == len(before) + 1, "nobody spoke"


def test_streams_of_a_kind_that_has_other_quantities_now_have_all_said_what_their_source_has() -> None:
    kept = Kept()
    kept.speak(range(4), NOW, 0)
    kept.checkpoint()
    other = kept.restored({"air": 6, "traffic": 3})
    assert [other.row(number) for number in range(4)] == [kept.sources.row(number) for number in range(4)]
    assert other.columns["stream"].tolist() == [0, 6, 9, 15]
    now, before = other.streams.of(np.arange(18)), kept.sources.streams.of(np.arange(16))
    assert now[:, 0:6].tolist() == before[:, 0:6].tolist()
    assert now[:, 9:15].tolist() == before[:, 8:14].tolist()
    for number, streams in ((1, slice(6, 9)), (3, slice(15, 18))):
        row = other.row(number)
        assert now[:, streams].tolist() == [[row.observed] * 3, [row.last_seen] * 3]
