"""How much a partition takes in before a beat: as much as a beat gets through while nobody notices.

What a message costs is not known before: a thousand of one minute fold in two milliseconds, a thousand of a night
close hundreds of windows. So the room begins small, grows while it is filled and beats are short, and shrinks when one
was long; what finds no room waits in the journal. Slow start, as in Jacobson, "Congestion avoidance and control",
SIGCOMM 1988.
"""

ROOM_LEAST, ROOM_FIRST, ROOM_MOST = 250, 1_000, 10_000
"""Messages; the most are some 20 ms of decoding, 10 MB at 1 kB a message."""

ROOM_BYTES = 16 * 2**20
"""Of payloads: with as much, no more is taken in, however few the messages. Decoding holds them several times over."""

LONG_S = 1.0
"""A beat that computes longer, for all its partitions, keeps pages and probes waiting. Much less would make draining
dearer: the more beats, the more often a window is told that is not complete yet."""


def next_room(room: int, filled: int, took_s: float) -> int:
    """After a beat for which a partition had taken in `filled` messages at most, and which computed for `took_s`."""
    if took_s > LONG_S:
        return max(ROOM_LEAST, int(min(room, max(filled, ROOM_LEAST)) * LONG_S / took_s))
    if filled >= room:
        return min(ROOM_MOST, 2 * room)
    return max(ROOM_FIRST, room if filled >= room // 4 else room // 2)
