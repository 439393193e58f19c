"""Where the messages of a topic go: resolved once, then looked up."""

from collections.abc import Iterable
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensors.errors import MessageRejected
from sensors.kind import Kind
from sensors.topic import Topic, parse
from streams.catalogue import Catalogue
from streams.columns import Ints
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
        self._numbers: dict[str, int] = {}
        self.table: list[Route] = []
        # The last column stands for topics that cannot be used: index −1.
        self._columns = np.array([[-1], [0], [0], [0]], dtype=np.int64)

    def of(self, topics: list[str]) -> tuple[Routed, dict[int, MessageRejected]]:
        """The routes of a beat's messages, and why those that have none were rejected, by the message's index."""
        if len(self.table) >= ROUTES_CACHED:
            self._forget()
        route = self._look_up(topics)
        unknown = np.flatnonzero(route < 0).tolist()
        reasons = self._add(dict.fromkeys(topics[message] for message in unknown))
        rejected = {message: reasons[topics[message]] for message in unknown if topics[message] in reasons}
        if len(rejected) < len(unknown):
            route = self._look_up(topics)
        if len(self.table) >= self._columns.shape[1]:
            self._extend()
        kind, group, source, is_status = self._columns[:, route]
        return Routed(route, kind, group, source, is_status.astype(np.bool_)), rejected

    def _extend(self) -> None:
        """Columns for the routes that are new."""
        known, unused = self._columns.shape[1] - 1, self._columns[:, -1:]
        rows = [(one.kind_index, one.group, one.source, one.topic.is_status) for one in self.table[known:]]
        self._columns = np.concatenate((self._columns[:, :known], np.array(rows, dtype=np.int64).T, unused), axis=1)

    def _look_up(self, topics: list[str]) -> Ints:
        return np.fromiter(map(self._numbers.get, topics, repeat(-1)), np.int64, len(topics))

    def _add(self, topics: Iterable[str]) -> dict[str, MessageRejected]:
        """Resolve topics that are new; returns why those that cannot be used are rejected."""
        reasons = {}
        for topic in topics:
            try:
                self.table.append(self._resolve(parse(topic)))
                self._numbers[topic] = len(self._numbers)
            except MessageRejected as reason:
                reasons[topic] = reason
        return reasons

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
