"""What the embedded broker says in its log about a client that it refused: read from one line.

NATS 2.x closes the connection of an MQTT client whose topic it cannot take (a space) or whose message is over the
limit of 1 MiB, and writes one line with the client's address. Such a message never reaches the bridge.
"""

import re
from typing import NamedTuple

_LINE = re.compile(r"\[ERR\] (?P<address>\S+:\d+) - (?:mid|cid):\d+ - (?:\"[^\"]*\" - )?(?P<what>.+)")
_REASONS = (
    ("maximum payload exceeded", "too_large"),
    ("character not supported for mqtt topics", "bad_topic"),
    ("invalid topic", "bad_topic"),
    ("topic", "bad_topic"),
)


class Refusal(NamedTuple):
    """One refusal: the client's address, a reason of the closed list where it is known, else "refused", the words."""

    address: str
    reason: str
    detail: str


def parse(line: str) -> Refusal | None:
    """The refusal that a line of the log tells of; None for any other line."""
    match = _LINE.search(line)
    if match is None:
        return None
    what = match["what"].strip()
    reason = next((reason for word, reason in _REASONS if word in what.lower()), "")
    return Refusal(match["address"], reason, what[:500]) if reason else None
