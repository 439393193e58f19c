"""A broker that acknowledges nothing is told of; one that does is not, nor one whose rules keep the probe out."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from mqtt_brokers import Broker, start_mosquitto, start_nats
from servers import running
from structlog.testing import capture_logs

from sensors.broker_answers import CLOSED_MAX, DEAF_MS, Answers
from sensors.mqtt_bridge import MqttAddress
from sensors.mqtt_probe import EVERY_MS, MqttProbe

NOW = 1_790_000_000_000
LATER = NOW + DEAF_MS + 1


# What comes of asking


def test_our_own_broker_is_deaf_once_nothing_has_come_back_whatever_else_it_answers() -> None:
    answers = Answers(NOW, is_ours=True)
    answers.accepted(NOW)
    answers.acknowledged(NOW + DEAF_MS)
    assert not answers.is_deaf(NOW + DEAF_MS)
    assert answers.is_deaf(LATER)
    answers.returned(LATER)
    assert not answers.is_deaf(LATER + DEAF_MS)
    assert answers.is_deaf(LATER + DEAF_MS + 1)


@pytest.mark.parametrize("best", [Answers.acknowledged, Answers.returned])
def test_a_citys_broker_must_go_on_giving_the_best_answer_that_it_has_given(
    best: Callable[[Answers, int], None],
) -> None:
    answers = Answers(NOW, is_ours=False)
    answers.accepted(NOW)
    answers.acknowledged(NOW)
    best(answers, NOW)
    assert not answers.is_deaf(NOW + DEAF_MS)
    assert answers.is_deaf(LATER)
    answers.closed(LATER)
    answers.accepted(LATER)
    assert answers.is_deaf(LATER), "that it lets us in again is less than it has given before"
    best(answers, LATER)
    assert not answers.is_deaf(LATER + DEAF_MS)


def test_a_citys_broker_that_lets_the_probe_in_and_never_answers_is_not_judged_and_one_that_lets_nobody_in_is() -> None:
    answers = Answers(NOW, is_ours=False)
    assert (answers.is_deaf(LATER), answers.is_unknown(LATER)) == (True, False)
    answers.accepted(LATER)
    assert not answers.is_unknown(LATER + DEAF_MS)
    later = LATER + DEAF_MS + 1
    assert (answers.is_deaf(later), answers.is_unknown(later)) == (False, True)
    answers.closed(later)
    assert (answers.is_deaf(later + DEAF_MS), answers.is_deaf(later + DEAF_MS + 1)) == (False, True)


def test_a_citys_broker_that_refuses_the_probe_is_not_deaf_and_our_own_cannot_refuse_it() -> None:
    city, ours = Answers(NOW, is_ours=False), Answers(NOW, is_ours=True)
    for answers in (city, ours):
        answers.refused("Not authorized")
    assert (city.refusal, city.is_deaf(LATER), city.is_unknown(LATER)) == ("Not authorized", False, False)
    assert (ours.refusal, ours.is_deaf(LATER)) == ("", True)


@pytest.mark.parametrize("has_kept", [False, True])
def test_a_broker_that_closes_every_connection_when_it_is_asked_refuses_and_one_that_has_kept_one_is_deaf(
    has_kept: bool,
) -> None:
    answers = Answers(NOW, is_ours=False)

    def connections(count: int, questions: int) -> None:
        for _ in range(count):
            assert not answers.refusal
            answers.accepted(NOW)
            for _ in range(questions):
                answers.asked()
                answers.acknowledged(NOW)
            answers.closed(NOW)
            answers.closed(NOW)  # as of a connection that was never accepted

    connections(CLOSED_MAX - 1, questions=1)
    connections(CLOSED_MAX, questions=0)
    if has_kept:
        connections(1, questions=2)
    connections(1, questions=1)
    assert bool(answers.refusal) is not has_kept
    assert answers.is_deaf(LATER) is has_kept


# Real brokers


class Asked:
    """A probe of a broker, and the time, that goes on as fast as the broker answers."""

    def __init__(self, url: str, is_ours: bool) -> None:
        self.now = NOW
        self.probe = MqttProbe(MqttAddress.parse(url), lambda: self.now, "ioc-probe-story", is_ours)

    async def until(self, is_deaf: bool) -> None:
        async with asyncio.timeout(30):
            while self.probe.is_deaf(self.now) != is_deaf:
                await asyncio.sleep(0.05)
                self.now += EVERY_MS // 4

    async def for_a_while(self, rounds: int = 40, step_ms: int = EVERY_MS // 4) -> bool:
        """Whether it was deaf at any time of so many rounds of 50 ms."""
        found = False
        for _ in range(rounds):
            await asyncio.sleep(0.05)
            self.now += step_ms
            found = found or self.probe.is_deaf(self.now)
        return found


@asynccontextmanager
async def asking(url: str, is_ours: bool) -> AsyncIterator[Asked]:
    asked = Asked(url, is_ours)
    asked.probe.start()
    try:
        yield asked
    finally:
        await asyncio.to_thread(asked.probe.stop)


@contextmanager
def stopped(broker: Broker) -> Iterator[None]:
    os.kill(broker.process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.process.pid, signal.SIGCONT)


@pytest.mark.long
@pytest.mark.parametrize(
    ("start", "is_ours"), [(start_nats, True), (start_nats, False), (start_mosquitto, False)],
    ids=["our NATS", "a NATS of the city", "a Mosquitto of the city"],
)  # fmt: skip
def test_a_broker_that_does_not_acknowledge_is_deaf_and_one_that_does_is_not(
    start: Callable[[], Broker], is_ours: bool
) -> None:
    async def story(broker: Broker) -> None:
        async with asking(broker.url, is_ours) as asked:
            asked.now = LATER
            await asked.until(is_deaf=False)
            assert not await asked.for_a_while()
            with stopped(broker):
                await asked.until(is_deaf=True)
            await asked.until(is_deaf=False)

    with running(start) as broker:
        asyncio.run(story(broker))


@pytest.mark.long
def test_a_broker_is_asked_and_found_deaf_also_once_the_clock_was_set_back() -> None:
    async def story(broker: Broker) -> None:
        async with asking(broker.url, is_ours=True) as asked:
            assert not await asked.for_a_while()
            asked.now -= 3_600_000
            assert not await asked.for_a_while()
            with stopped(broker):
                await asked.until(is_deaf=True)

    with running(start_nats) as broker:
        asyncio.run(story(broker))


@pytest.mark.long
@pytest.mark.parametrize("allowed", ["write", "readwrite"])
def test_a_mosquitto_whose_rules_allow_the_probe_something_is_deaf_only_when_it_stands_still(allowed: str) -> None:
    async def story(broker: Broker) -> None:
        async with asking(f"mqtt://city@{broker.address}", is_ours=False) as asked:
            assert not await asked.for_a_while()
            with stopped(broker):
                await asked.until(is_deaf=True)
            await asked.until(is_deaf=False)

    rules = {"acl_file": f"user city\ntopic readwrite ioc/#\ntopic {allowed} ioc-probe/#\n"}
    with running(lambda: start_mosquitto(files=rules)) as broker:
        asyncio.run(story(broker))


@pytest.mark.long
def test_a_nats_of_the_city_that_refuses_the_probes_topic_is_judged_by_what_it_acknowledges() -> None:
    async def story(broker: Broker) -> None:
        async with asking(f"mqtt://city:pw@{broker.address}", is_ours=False) as asked:
            assert not await asked.for_a_while()
            with stopped(broker):
                await asked.until(is_deaf=True)
            await asked.until(is_deaf=False)

    rules = 'permissions: {publish: ["ioc.>", "$MQTT.>"], subscribe: ["ioc.>", "$MQTT.sub.>"]}'
    lines = f"authorization {{users: [{{user: city, password: pw, {rules}}}]}}"
    with running(lambda: start_nats(more=lines)) as broker, capture_logs() as logs:
        asyncio.run(story(broker))
    said = [entry["event"] for entry in logs]
    assert said == ["the broker refuses the probe's subscription; what it acknowledges counts"]


@pytest.mark.long
def test_a_mosquitto_whose_rules_do_not_know_the_probe_is_never_deaf_and_what_it_does_is_said_once() -> None:
    """In real time, for Mosquitto 2.0.11 closes the connection, and the next one is opened a second later."""

    async def story(broker: Broker) -> None:
        async with asking(f"mqtt://city@{broker.address}", is_ours=False) as asked:
            assert not await asked.for_a_while(round(1.5 * CLOSED_MAX * EVERY_MS / 50), step_ms=50)

    rules = {"acl_file": "user city\ntopic readwrite ioc/#\n"}
    with running(lambda: start_mosquitto(files=rules)) as broker, capture_logs() as logs:
        asyncio.run(story(broker))
    closes = any("Bad socket" in line for line in broker.lines)
    expected = ["the broker refuses the probe and is not probed any more"] if closes else []
    assert [entry["event"] for entry in logs] == expected


@pytest.mark.long
def test_a_broker_that_refuses_the_login_is_said_once_and_not_probed_any_more() -> None:
    async def story(broker: Broker) -> None:
        async with asking(f"mqtt://nobody:wrong@{broker.address}", is_ours=False) as asked:
            assert not await asked.for_a_while()
            with stopped(broker):
                assert not await asked.for_a_while(20)

    with running(lambda: start_mosquitto(files={"password_file": ""})) as broker, capture_logs() as logs:
        asyncio.run(story(broker))
    assert [(entry["event"], entry["reason"]) for entry in logs] == [
        ("the broker refuses the probe and is not probed any more", "Not authorized")
    ]
