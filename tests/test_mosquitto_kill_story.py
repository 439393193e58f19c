"""A city's own Mosquitto, which may lose what it acknowledged when it is killed: the ledger says exactly how much.

Sources number their messages. Whatever the broker loses, received + missing = sent, for every source.
"""

import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from disasters import UNITS, moments
from mqtt_brokers import SAVES_SELDOM, Broker, Publisher, start_mosquitto
from servers import running
from up_process import Centre

pytestmark = pytest.mark.long

UNACKNOWLEDGED = 100
SOURCES = [f"{unit}/traffic/s{number}" for unit in UNITS for number in range(2)]


class NumberedLoad:
    """Every source tells its speed in turn and numbers its messages from 0; counts what it has sent of each."""

    def __init__(self, port: int) -> None:
        self.sent: Counter[str] = Counter()
        self._device = Publisher(port, inflight=UNACKNOWLEDGED)
        self._in_turn = itertools.cycle(SOURCES)
        self._start = time.time() - 3600

    @property
    def acknowledged(self) -> int:
        return self._device.acknowledged

    def next_message(self, source: str) -> tuple[str, bytes]:
        number = self.sent[source]
        self.sent[source] += 1
        record = {"n": "speed", "u": "km/h", "t": round(self._start + number / 4, 2), "v": 30 + number % 40}
        return f"ioc/{source}", json.dumps([record | {"seq": number}]).encode()

    def tell(self, source: str) -> None:
        self._device.publish(*self.next_message(source))

    def go_on(self, count: int) -> None:
        """So many messages, of all sources in turn, as fast as the broker takes them."""
        for source in itertools.islice(self._in_turn, count):
            self._device.publish_paced(*self.next_message(source), UNACKNOWLEDGED)

    def settle(self) -> int:
        """Wait for every PUBACK; returns how many messages were sent, all of them acknowledged."""
        self._device.settle(90)
        return self._device.acknowledged

    def close(self) -> None:
        self._device.close()


@pytest.fixture(
    params=[start_mosquitto, partial(start_mosquitto, SAVES_SELDOM)], ids=["saves at every change", "saves seldom"]
)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    with running(request.param) as made:
        yield made


@pytest.fixture
def centre(broker: Broker, tmp_path: Path) -> Iterator[Centre]:
    with Centre(tmp_path / "data", "--no-simulate", "--mqtt", broker.url) as made:
        made.ready()
        yield made


def strike(centre: Centre, broker: Broker, load: NumberedLoad, chance: random.Random, is_bridge_still: bool) -> None:
    """kill -9 of the broker in mid-load; a bridge that stands still lets messages wait in the broker's memory."""
    stopped = centre.pid("bridge") if is_bridge_still else None
    if stopped is not None:
        os.kill(stopped, signal.SIGSTOP)
    try:
        load.go_on(chance.randint(80, 600))
        broker.kill()
        for source in SOURCES:  # devices do not know yet
            load.tell(source)
    finally:
        if stopped is not None:
            os.kill(stopped, signal.SIGCONT)
    broker.start()
    load.go_on(200)


def until_one_comes_through(centre: Centre, load: NumberedLoad) -> None:
    """The bridge is back: a source of its own asks until a message is heard of; it numbers these too."""
    before = centre.ask("/api/ledger")["accepted"]

    def heard() -> bool:
        load.tell(f"{UNITS[0]}/traffic/probe")
        return bool(centre.ask("/api/ledger")["accepted"] > before)

    centre.until(heard, "the bridge hears the broker")


def test_what_mosquitto_loses_when_it_is_killed_is_missing_exactly(centre: Centre, broker: Broker) -> None:
    chance = random.Random("mosquitto")
    load = NumberedLoad(broker.port)
    until_one_comes_through(centre, load)
    for source in SOURCES:
        load.tell(source)
    centre.settled(load.settle())
    for moment in range(moments(4)):
        strike(centre, broker, load, chance, is_bridge_still=moment % 2 == 1)
    load.settle()
    until_one_comes_through(centre, load)
    # What the tail of a source has lost shows when its next message comes.
    for source in SOURCES:
        load.tell(source)
    sent = load.settle()
    assert sent == load.sent.total()

    def accounted_for() -> bool:
        ledger = centre.ask("/api/ledger")
        return not ledger["in_flight"] and bool(ledger["accepted"] + ledger["missing"] == sent)

    centre.until(accounted_for, f"received + missing = {sent}, all that were sent", 60)
    ledger = centre.ask("/api/ledger")
    print(f"sent and acknowledged {sent}, of which Mosquitto lost {ledger['missing']}: {ledger}")
    assert (ledger["sent"], ledger["difference"], ledger["rejected"], ledger["unreadable"]) == (sent, 0, 0, 0)
    assert ledger["numbered"] == ledger["accepted"]
    missing = centre.ask("/api/missing?limit=10000")
    assert sum(row["missing"] for row in missing) == ledger["missing"]
    for row in missing:
        name = f"{row['unit']}/{row['kind']}/{row['source']}"
        assert (row["sent"], row["restarts"]) == (load.sent[name], 0), name
        assert sum(gap["count"] for gap in row["gaps"]) == row["missing"], name
        assert all(0 < gap["first"] <= gap["last"] < load.sent[name] - 1 for gap in row["gaps"]), name
    load.close()
