"""The topic grammar: `ioc/<unit>/<kind>/<source>`, and `…/status` for the retained liveness of a source."""

import re
import zlib
from typing import NamedTuple

from sensors.errors import MessageRejected

_SHAPE = re.compile(r"ioc/([0-9]{5})/([a-z][a-z0-9_]{0,31})/([A-Za-z0-9_-]{1,64})(/status)?")


class Topic(NamedTuple):
    """`unit` is a five-digit commune code, `kind` a kind's id, `source` one device or desk within both."""

    unit: str
    kind: str
    source: str
    is_status: bool = False


def parse(topic: str) -> Topic:
    """Read a topic; raises MessageRejected("bad_topic") with what was expected."""
    match = _SHAPE.fullmatch(topic)
    if match is None:
        raise MessageRejected("bad_topic", "expected ioc/<five-digit unit>/<kind>/<source of 1-64 A-Z a-z 0-9 _ ->")
    unit, kind, source, status = match.groups()
    return Topic(unit, kind, source, status is not None)


def partition_of(topic: str, partitions: int) -> int:
    """The partition of a message: a stable hash of its unit, so that order within a unit holds.

    A topic of any shape has one: its second level is hashed, whatever it is.
    """
    levels = topic.split("/", 2)
    unit = levels[1] if len(levels) > 1 else ""
    return zlib.crc32(unit.encode(errors="surrogatepass")) % partitions


def in_share(partition: int, share: int, shares: int) -> bool:
    """Whether bridge `share` of `shares` (counted from 1) writes this partition: exactly one does."""
    return partition % shares == share - 1
