"""What has arrived from the broker and is not journaled yet: filled on the MQTT client's thread, emptied on the loop's.

Here the counting begins, so here it must be exact. As of any moment, for one process of a bridge:

    arrived = taken out + held + repeated
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

from sensors.packet import Publish
from sensors.packing import Counts

MESSAGES_MAX = 100_000
BYTES_MAX = 256 * 2**20
"""Beyond either the socket is not read: the broker then waits, at its limit of unacknowledged messages or before."""


class Arrived(NamedTuple):
    """The messages of one read of the socket; times in ms UTC, `connection` counts the connections so far."""

    publishes: list[Publish]
    received_at: int
    connection: int


class Inbox:
    """In the order of arrival. Every method may be called on any thread; `wait_for_room` only on the client's."""

    def __init__(self, messages_max: int = MESSAGES_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._reads: list[Arrived] = []
        self._unanswered: set[bytes] = set()
        self._connection = 0
        self._arrived = self._repeated = self._bytes = 0
        self._room = threading.Event()
        self._room.set()
        self.held = 0

    def put(self, publishes: list[Publish], now: int) -> None:
        """Take in the messages of one read, but those that the broker sends again while they still wait here."""
        with self._lock:
            fresh = [one for one in publishes if self._is_fresh(one)]
            self._arrived += len(publishes)
            self._repeated += len(publishes) - len(fresh)
            if not fresh:
                return
            self._reads.append(Arrived(fresh, now, self._connection))
            self.held += len(fresh)
            self._bytes += sum([len(one.payload) for one in fresh])
            if self.held >= self._messages_max or self._bytes >= self._bytes_max:
                self._room.clear()

    def wait_for_room(self) -> None:
        """Return once there is room; `open` ends the waiting for good."""
        self._room.wait()

    def open(self) -> None:
        """Let nobody wait any more, at the end."""
        self._messages_max = self._bytes_max = 2**62
        self._room.set()

    def take(self) -> list[Arrived]:
        """Everything that is held."""
        with self._lock:
            taken, self._reads = self._reads, []
            self.held = self._bytes = 0
            self._room.set()
            return taken

    def counts(self) -> Counts:
        """All three of one moment."""
        with self._lock:
            return Counts(self._arrived, self._repeated, self.held)

    def acknowledge(self, taken: list[Arrived], send: Callable[[list[bytes]], None]) -> None:
        """`send` the numbers of what is journaled: of this connection's messages only, for another one counts anew."""
        # Under the lock, or an acknowledgement could slip into the numbering of a connection that begins meanwhile.
        with self._lock:
            ours = [read.publishes for read in taken if read.connection == self._connection]
            mids = [one.mid for publishes in ours for one in publishes if one.mid]
            send(mids)
            self._unanswered.difference_update(mids)

    def reconnected(self) -> None:
        """The connection has ended: the broker forgets the numbers, and sends again what it has no answer to."""
        with self._lock:
            self._connection += 1
            self._unanswered.clear()

    def _is_fresh(self, publish: Publish) -> bool:
        if not publish.mid:
            return True
        if publish.is_redelivered and publish.mid in self._unanswered:
            return False  # the broker grew impatient: it is here already, waiting for the journal
        self._unanswered.add(publish.mid)
        return True
