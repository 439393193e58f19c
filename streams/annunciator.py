"""Alerts are annunciated once their log has them: no wall shows what nobody could look up afterwards.

    hold(a beat's) ──▶ cover(): a checkpoint has them ──▶ logged(): it is written ──▶ due(): tell these

Values follow from the journal alone and are told at once; what an alert does hangs on when beats came, too, so that the
next owner of its partition may find something else. But who is in danger must not wait for a disk: after `HELD_MS` it
is told all the same.
"""

from collections.abc import Mapping

HELD_MS = 2_000
"""As long as an alert is kept back for a slow database: a healthy one takes 10 to 50 ms."""

Changes = Mapping[str, bytes | None]


class Annunciator:
    """Of one partition, or of the roll-up: what its alerts did, as changes of the live store, that no wall has yet."""

    def __init__(self) -> None:
        self._held: list[tuple[int, Changes]] = []
        self._covered = self._logged = 0

    def hold(self, now: int, changes: Changes) -> None:
        """What alerts did on the beat at `now` (ms UTC)."""
        if changes:
            self._held.append((now, changes))

    def cover(self) -> None:
        """A checkpoint has been made, which has everything until now."""
        self._covered = len(self._held)

    def logged(self) -> None:
        """That checkpoint is committed."""
        self._logged = self._covered

    def due(self, now: int) -> dict[str, bytes | None]:
        """What is to be told by `now`, once: of each alert the newest of what is in its log, or was held too long."""
        # A clock that was set back does not say how long something has been held: it is told.
        late = sum(not 0 <= now - at < HELD_MS for at, _ in self._held)
        count = max(self._logged, late)
        told = {key: value for _, changes in self._held[:count] for key, value in changes.items()}
        del self._held[:count]
        self._covered, self._logged = max(0, self._covered - count), 0
        return told

    def unheard(self) -> set[str]:
        """The keys of alerts of which something is kept back."""
        return {key for _, changes in self._held for key in changes}
