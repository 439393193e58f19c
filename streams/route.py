"""Where the messages of a topic go: resolved once, then looked up."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensors.batch import topic_text
from sensors.errors import MessageRejected
from sensors.kind import Kind
from sensors.payloads import Payloads
from sensors.topic import Topic, parse
from streams.catalogue import Catalogue
from streams.columns import Ints
from streams.identity import Keys
from streams.lookup import Lookup
from streams.source import Sources

ROUTES_CACHED = 200_000


class Route(NamedTuple):
    """One topic: its kind, its group (kind × units + unit), its source, and the kind's quantities in the catalogue."""

    topic: Topic
    kind: Kind
    kind_index: int
    group: int
    source: int
    quantities: dict[str, int]


class Routed(NamedTuple):
    """For every message: kind, −1 where the topic cannot be used, group, source, and whether it is a status."""

    route: Ints
    kind: Ints
    group: Ints
    source: Ints
    is_status: NDArray[np.bool_]


class Routes:
    """The routes of a partition."""

    def __init__(self, catalogue: Catalogue, sources: Sources) -> None:
        self._catalogue = catalogue
        self._sources = sources
        self._forget()

    def _forget(self) -> None:
        self._known = Lookup()
        self.table: list[Route] = []
        # The last column stands for topics that cannot be used: index −1.
        self._columns = np.array([[-1], [0], [0], [0]], dtype=np.int64)

    def of(self, keys: Keys, topics: Payloads) -> tuple[Routed, dict[int, MessageRejected]]:
        """The routes of a beat's messages, and why those that have none were rejected, by the message's index.

        `keys` are those of the topics (sensors.batch); of a topic that is known its text is not looked at.
        """
        if len(self.table) >= ROUTES_CACHED:
            self._forget()
        route = self._known.find(keys)
        unknown = np.flatnonzero(route < 0)
        rejected: dict[int, MessageRejected] = {}
        if len(unknown):
            rejected = self._add(keys, topics, unknown)
            route[unknown] = self._known.find(keys[unknown])
        kind, group, source, is_status = self._columns[:, route]
        return Routed(route, kind, group, source, is_status.astype(np.bool_)), rejected

    def _add(self, keys: Keys, topics: Payloads, unknown: Ints) -> dict[int, MessageRejected]:
        """Resolve topics that are new; returns why messages whose topic cannot be used are rejected."""
        first = len(self.table)
        reasons: dict[int, MessageRejected] = {}
        fresh: set[int] = set()
        rejected = {}
        for message, key in zip(unknown.tolist(), keys[unknown].tolist(), strict=True):
            if key not in fresh and key not in reasons:
                try:
                    self.table.append(self._resolve(parse(topic_text(topics[message]))))
                    self._known.add(key)
                    fresh.add(key)
                except MessageRejected as reason:
                    reasons[key] = reason
            if key in reasons:
                rejected[message] = reasons[key]
        rows = [(one.kind_index, one.group, one.source, one.topic.is_status) for one in self.table[first:]]
        if rows:
            known, unused = self._columns[:, :-1], self._columns[:, -1:]
            self._columns = np.concatenate((known, np.array(rows, dtype=np.int64).T, unused), axis=1)
        return rejected

    def _resolve(self, topic: Topic) -> Route:
        catalogue = self._catalogue
        if topic.unit not in catalogue.unit_index:
            raise MessageRejected("unknown_unit", f"{topic.unit} is no unit of {catalogue.place.id}")
        if topic.kind not in catalogue.kinds:
            known = ", ".join(sorted(catalogue.kinds))
            raise MessageRejected("unknown_kind", f"{topic.kind} is none of {known}")
        kind, index = catalogue.kinds[topic.kind], catalogue.kind_index[topic.kind]
        group = index * len(catalogue.unit_codes) + catalogue.unit_index[topic.unit]
        quantities = {name: catalogue.quantity_index[topic.kind, name] for name in kind.quantities}
        return Route(topic, kind, index, group, self._sources.intern(topic), quantities)
