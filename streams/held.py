"""What a process holds of the partitions it owns, and of the roll-up: state, what waits to be written, and what may be
acknowledged once it is."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from streams.annunciator import Annunciator
from streams.beat import Counts
from streams.checkpoint import BeatMark, Checkpoint, Mail, SummaryRow
from streams.partition import Beat, Partition
from streams.roll_up import RollUp

Acknowledge = Callable[[], Awaitable[None]]


@dataclass
class Held:
    """A partition. `taken` counts the messages taken in that are not written, of which `waiting`, the checkpoint that
    is made and not committed, covers `covered`; `unacknowledged` are records' offsets. `begins`: its next beat is
    the first after it was recovered; `waited`: when its ledger was last told, a checkpoint still waited; `has_steps`:
    alerts made steps on beats that are in no checkpoint; `annunciator` has those that no wall has heard of."""

    state: Partition
    ordinal: int
    totals: Counts
    checkpointed_at: int
    waiting: Checkpoint | None = None
    unacknowledged: deque[tuple[int, Acknowledge]] = field(default_factory=deque)
    taken: int = 0
    covered: int = 0
    beats: list[BeatMark] = field(default_factory=list)
    begins: bool = False
    waited: bool = False
    has_steps: bool = False
    annunciator: Annunciator = field(default_factory=Annunciator)
    numbered: tuple[int, int, int] = (0, 0, 0)
    received: int = 0
    evaluated: int = 0
    watermark: int = 0
    offset: int = 0
    generation: int = 0

    def beaten(self, now: int, beat: Beat, end: int, sequence: int) -> None:
        """What a beat came to; `end` is the journal's next ordinal as last known, `sequence` the live store's number
        before it."""
        self.evaluated = self.state.next_ordinal
        self.received = max(end, self.evaluated)
        self.numbered, self.watermark, self.offset = beat.numbered, beat.watermark, beat.offset
        self.beats.append(BeatMark(now, beat.offset, self.received, sequence, begins=self.begins, waited=self.waited))
        self.begins, self.has_steps = False, self.has_steps or bool(beat.steps)

    def make_checkpoint(self, now: int) -> None:
        """As of its last beat: what was taken in since then is not covered."""
        self.has_steps = False
        self.annunciator.cover()
        beats, self.beats = msgspec.msgpack.encode(self.beats), []
        self.waiting = self.state.checkpoint(now, beats)
        self.covered = self.taken - self.state.pending

    def written(self, checkpoint: Checkpoint) -> list[Acknowledge]:
        """What waited has been committed; returns what may be acknowledged now."""
        self.waiting = None
        self.annunciator.logged()
        self.taken -= self.covered
        self.ordinal, self.totals = checkpoint.ordinal, checkpoint.totals
        self.checkpointed_at = checkpoint.at
        self.state.committed(checkpoint.offset)
        covered = []
        while self.unacknowledged and self.unacknowledged[0][0] < checkpoint.offset:
            covered.append(self.unacknowledged.popleft()[1])
        return covered


@dataclass
class HeldRollUp:
    """The roll-up, owned since `owned_at` and as its checkpoint of `recovered_at` left it (ms UTC); nothing is
    acknowledged for it. `caught_up` are the partitions of which it has what its last owner may have heard."""

    state: RollUp
    owned_at: int
    recovered_at: int
    checkpointed_at: int
    caught_up: set[int] = field(default_factory=set)
    waiting: Checkpoint | None = None
    beats: list[BeatMark] = field(default_factory=list)
    begins: bool = False
    has_steps: bool = False
    annunciator: Annunciator = field(default_factory=Annunciator)

    def beaten(self, now: int, beat: Beat, sequence: int) -> None:
        """What a beat came to; `sequence` is the live store's number before it."""
        self.beats.append(BeatMark(now, beat.offset, 0, sequence, self.state.heard(now), self.begins))
        self.begins, self.has_steps = False, self.has_steps or bool(beat.steps)

    def make_checkpoint(self, now: int, mails: list[Mail], summaries: list[SummaryRow]) -> None:
        """As of its last beat."""
        self.has_steps = False
        self.annunciator.cover()
        beats, self.beats = msgspec.msgpack.encode(self.beats), []
        self.waiting = self.state.checkpoint(now, mails, summaries, beats)

    def written(self, checkpoint: Checkpoint) -> list[Acknowledge]:
        """What waited has been committed."""
        self.waiting, self.checkpointed_at = None, checkpoint.at
        self.annunciator.logged()
        self.state.committed(checkpoint.at)
        return []
