"""`ioc simulate` and `ioc feed` against the embedded broker: a subscriber gets what the city says, all of it."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from mqtt_brokers import Broker, start_nats
from paho.mqtt.enums import CallbackAPIVersion
from servers import HOST, running

from sensors.csv_place import shipped_place
from sensors.toml_definitions import load_kinds
from simulators.city import City
from simulators.toml_scenarios import load_equipment, load_scenario

pytestmark = pytest.mark.long

DEADLINE_S = 90.0
STARTED: "list[subprocess.Popen[str]]" = []
REPORT = re.compile(r"published (\d+) .* acknowledged (\d+) .* refused (\d+) .* statuses (\d+)")


class Subscriber:
    """A persistent session that keeps all it gets; QoS 1 may bring a message twice, so `distinct` counts them once."""

    def __init__(self, port: int) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.distinct: set[tuple[str, bytes]] = set()
        self._changed = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "story", clean_session=False)
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("ioc/#", 1)
        self._client.on_subscribe = self._on_subscribe
        self._client.reconnect_delay_set(1, 1)
        self._is_subscribed = threading.Event()
        self._client.connect(HOST, port, 30)
        self._client.loop_start()
        assert self._is_subscribed.wait(DEADLINE_S)

    def wait_for(self, holds: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(holds, DEADLINE_S), f"got {len(self.got)} messages"

    def messages(self) -> list[tuple[str, bytes]]:
        return [(topic, payload) for topic, payload in self.got if not topic.endswith("/status")]

    def last_statuses(self) -> dict[str, bytes]:
        return {topic: payload for topic, payload in self.got if topic.endswith("/status")}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_subscribe(self, *_: Any) -> None:
        self._is_subscribed.set()

    def _on_message(self, _: Any, __: Any, message: mqtt.MQTTMessage) -> None:
        with self._changed:
            self.got.append((message.topic, bytes(message.payload)))
            if not message.topic.endswith("/status"):
                self.distinct.add(self.got[-1])
            self._changed.notify_all()


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running(start_nats) as made:
        yield made


@pytest.fixture
def subscriber(broker: Broker) -> Iterator[Subscriber]:
    listening = Subscriber(broker.port)
    yield listening
    listening.close()


@pytest.fixture
def calm(tmp_path: Path) -> str:
    """A scenario without any trouble: every message is one of its kind."""
    path = tmp_path / "calm.toml"
    path.write_text('name_vi = "Yên"\nname_en = "Calm"\n', encoding="utf-8")
    return str(path)


def ioc(*arguments: str) -> "subprocess.Popen[str]":
    """The commands alone, with the exit codes of `ioc`."""
    code = (
        "import sys; from sensors.errors import SettingsError; from simulators.commands import app\n"
        "try: app()\nexcept SettingsError as error: print(error, file=sys.stderr); sys.exit(2)"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    STARTED.append(started)
    return started


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """A test that fails must not leave a city behind."""
    yield
    while STARTED:
        left = STARTED.pop()
        if left.poll() is None:
            left.kill()
            left.communicate()


def finish(started: "subprocess.Popen[str]") -> tuple[int, list[int], str]:
    """Exit code; published, acknowledged, refused, statuses; standard error."""
    out, err = started.communicate(timeout=DEADLINE_S)
    report = REPORT.search(out)
    return started.returncode, [int(number) for number in report.groups()] if report else [], err


def test_a_subscriber_gets_every_message_of_the_city_to_the_byte(broker: Broker, subscriber: Subscriber) -> None:
    started = ioc("simulate", "--mqtt", broker.url, "--from", "2026-09-07T08:00", "--hours", "0.5", "--speed", "0")
    code, (published, acknowledged, refused, statuses), _ = finish(started)
    place, begin = shipped_place(), 1_788_742_800_000
    city = City(place, load_kinds(), load_scenario("ordinary"), load_equipment(place), 7, begin)
    expected = Counter((message.topic, message.payload) for message in city.messages(begin, begin + 1_800_000))
    assert (code, refused) == (0, 0)
    assert published == acknowledged == sum(expected.values()) + statuses
    subscriber.wait_for(lambda: len(subscriber.got) >= published)
    assert Counter(subscriber.messages()) == expected
    assert subscriber.last_statuses() == {f"{topic}/status": b"offline" for topic in city.sources()}


def test_live_goes_on_after_the_backfill_without_gap_or_overlap_until_it_is_told_to_stop(
    broker: Broker, subscriber: Subscriber, calm: str
) -> None:
    began = time.time()
    started = ioc("simulate", "--mqtt", broker.url, "--live", "--backfill", "20m", "--round-the-clock",
                  "--scenario", calm, "--rate", "20")  # fmt: skip

    def is_live() -> bool:
        topic, payload = subscriber.got[-1] if subscriber.got else ("", b"")
        return "/traffic/" in topic and b"bt" in payload and json.loads(payload)[0]["bt"] > began + 5

    subscriber.wait_for(is_live)
    started.send_signal(signal.SIGTERM)
    code, (published, acknowledged, _, _), _ = finish(started)
    assert (code, published) == (0, acknowledged)
    subscriber.wait_for(lambda: len(subscriber.got) >= published)
    counted: dict[str, list[int]] = defaultdict(list)
    first = began
    for topic, payload in subscriber.messages():
        said = json.loads(payload)
        if isinstance(said, list):
            counted[topic].append(said[0]["seq"])
            first = min(first, said[0]["bt"])
        else:
            counted[topic].append(int(said["sequence"]))
    assert first == pytest.approx(began - 20 * 60, abs=10)
    assert len(counted) > 500
    for topic, sequence in counted.items():
        assert sorted(sequence) == list(range(min(sequence), min(sequence) + len(sequence))), topic


def test_a_broker_that_dies_under_load_costs_no_message(broker: Broker, subscriber: Subscriber, calm: str) -> None:
    started = ioc("simulate", "--mqtt", broker.url, "--hours", "2", "--speed", "0", "--scenario", calm)
    for enough in (3_000, 9_000):
        subscriber.wait_for(lambda enough=enough: len(subscriber.got) >= enough)  # type: ignore[misc]
        broker.kill()
        broker.start()
    code, (published, acknowledged, _, statuses), said = finish(started)
    assert (code, published) == (0, acknowledged)
    assert "connected again" in said
    subscriber.wait_for(lambda: len(subscriber.distinct) >= published - statuses)
    assert len(subscriber.distinct) == published - statuses


def test_a_series_is_fed_with_its_own_steps_and_a_finding_is_told(
    broker: Broker, subscriber: Subscriber, tmp_path: Path
) -> None:
    file = tmp_path / "speed_a.csv"
    file.write_text("timestamp,value\n2015-09-01 12:00,50\n2015-09-01 12:05,x\n2015-09-01 12:20,40\n")
    started = ioc("feed", str(file), "--kind", "traffic", "--unit", "06658", "--source", "cam-9", "--shift",
                  "--mqtt", broker.url)  # fmt: skip
    code, (published, acknowledged, _, statuses), said = finish(started)
    assert (code, published, acknowledged, statuses) == (1, 4, 4, 2)
    assert f"{file}: dòng / line 3, cột / column value" in said
    subscriber.wait_for(lambda: len(subscriber.got) >= 4)
    packs = [json.loads(payload)[0] for _, payload in subscriber.messages()]
    assert [pack["v"] for pack in packs] == [50, 40]
    assert packs[1]["bt"] - packs[0]["bt"] == 1_200
    assert abs(packs[1]["bt"] - time.time()) < DEADLINE_S
    assert subscriber.last_statuses() == {"ioc/06658/traffic/cam-9/status": b"offline"}


def test_a_feed_that_dies_is_told_offline_by_its_last_will(
    broker: Broker, subscriber: Subscriber, tmp_path: Path
) -> None:
    file = tmp_path / "speed_a.csv"
    file.write_text("timestamp,value\n2015-09-01 12:00,50\n2015-09-01 13:00,40\n")
    started = ioc("feed", str(file), "--kind", "traffic", "--unit", "06658", "--source", "cam-9", "--speed", "1",
                  "--mqtt", broker.url)  # fmt: skip
    subscriber.wait_for(lambda: bool(subscriber.messages()))
    started.kill()
    started.communicate()
    subscriber.wait_for(lambda: b"offline" in subscriber.last_statuses().values())


def test_no_broker_is_wrong_use_after_some_patience(broker: Broker) -> None:
    broker.stop()
    code, _, said = finish(ioc("simulate", "--mqtt", broker.url, "--hours", "1", "--speed", "0"))
    assert code == 2
    assert f"--mqtt {broker.url}" in said
