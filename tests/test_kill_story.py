"""kill -9 in mid-load: every message that got its PUBACK is counted exactly once."""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

import pytest
from mqtt_brokers import Publisher
from up_process import Centre

pytestmark = pytest.mark.long

UNITS = ["06658", "06661", "06673", "06994", "07069", "06712", "06793", "06838"]
MESSAGES = 6_000
UNACKNOWLEDGED = 200
"""So many messages are on their way whenever a disaster strikes."""


def speeds(count: int, start: int) -> list[tuple[str, bytes]]:
    """Readings of 80 sources, one a second each, every one different from all others."""
    told = []
    for number in range(count):
        source, step = number % 80, number // 80
        record = {"n": "speed", "u": "km/h", "t": start + step, "v": 10 + number % 50, "seq": step}
        told.append((f"ioc/{UNITS[source % len(UNITS)]}/traffic/s{source}", json.dumps([record]).encode()))
    return told


def publish_through(centre: Centre, disasters: dict[int, Callable[[], None]]) -> int:
    """Publish everything, as fast as the broker takes it, while disasters strike; returns what got its PUBACK.

    Each strikes when so many messages have been published and the one before it is over; publishing goes on meanwhile.
    """
    # All in the last part of one window of five minutes, so that it closes soon after the last of them.
    messages = speeds(MESSAGES, int(time.time()) // 300 * 300 - 80)
    device = Publisher(centre.mqtt_port, inflight=UNACKNOWLEDGED)
    strikes: list[Future[None]] = []
    with ThreadPoolExecutor(1) as hand:
        for number, message in enumerate(messages):
            if number in disasters:
                wait(strikes)
                strikes.append(hand.submit(disasters[number]))
            device.publish_paced(*message, UNACKNOWLEDGED)
    for strike in strikes:
        strike.result()
    device.settle(60)
    device.close()
    return device.acknowledged


def twice(centre: Centre, name: str) -> dict[int, Callable[[], None]]:
    """kill -9 of this child; and again, once the one that came for it works."""

    def strike() -> None:
        centre.kill_child(name)
        centre.ready()

    return dict.fromkeys((1_500, 4_000), strike)


def assert_counted_once(centre: Centre, acknowledged: int) -> None:
    assert acknowledged == MESSAGES
    ledger = centre.settled(MESSAGES)
    assert (ledger["accepted"], ledger["readings"]) == (MESSAGES, MESSAGES)
    assert (ledger["difference"], ledger["rejected"], ledger["too_late"]) == (0, 0, 0)
    assert ledger["received"] == ledger["accepted"] + ledger["duplicate"]
    # The window that they all fall into holds each of them once, over all units and over the whole place.
    for scopes in (UNITS, ["22"]):
        centre.until(lambda scopes=scopes: counted(centre, scopes) == MESSAGES, f"{MESSAGES} counted of {scopes}", 30)


def counted(centre: Centre, scopes: list[str]) -> int:
    """The readings behind every closed window of these scopes."""
    windows = [centre.ask(f"/api/kpis/traffic_speed/history?unit={scope}") for scope in scopes]
    return sum(int(window["n"]) for told in windows for window in told)


def test_the_engine_is_killed_twice_in_mid_load(centre: Centre) -> None:
    acknowledged = publish_through(centre, twice(centre, "engine"))
    assert_counted_once(centre, acknowledged)


def test_the_broker_is_killed_twice_in_mid_load(centre: Centre) -> None:
    acknowledged = publish_through(centre, twice(centre, "nats-server"))
    assert_counted_once(centre, acknowledged)


def test_the_bridge_is_killed_twice_in_mid_load(centre: Centre) -> None:
    acknowledged = publish_through(centre, twice(centre, "bridge"))
    assert_counted_once(centre, acknowledged)


def test_the_whole_of_ioc_up_is_killed_in_mid_load_and_started_again(centre: Centre) -> None:
    def disaster() -> None:
        centre.kill()
        centre.start()

    acknowledged = publish_through(centre, {2_500: disaster})
    assert_counted_once(centre, acknowledged)
