"""What the embedded broker refuses is read from its log: by lines that a real one wrote, and by a real one itself."""

from pathlib import Path

import pytest
from mqtt_brokers import publish_to_a_topic_with_a_space, start_nats
from servers import running

from control_center.broker_log_tail import read_refusals
from sensors.broker_refusal import Refusal, parse

STAMP = "[7991] 2026/11/24 13:54:48.417591"
SPACE = f'{STAMP} [ERR] 127.0.0.1:55061 - mid:5 - "x" - character not supported for MQTT topics'
LARGE = f'{STAMP} [ERR] 10.1.2.3:36493 - mid:24 - "y" - maximum payload exceeded: 1100025 vs 1048576'
OTHERS = [
    "",
    "[7991] 2026/11/24 13:54:47.045130 [INF] Server is ready",
    '[7991] 2026/11/24 13:54:48.069247 [INF] Creating MQTT streams/consumers with replicas 1 for account "$G"',
    "[7991] 2026/11/24 13:54:48.069247 [ERR] JetStream out of storage",
]


def test_a_space_in_a_topic_and_a_payload_over_the_limit_are_refusals_with_address_and_reason() -> None:
    assert parse(SPACE) == Refusal("127.0.0.1:55061", "bad_topic", "character not supported for MQTT topics")
    assert parse(LARGE) == Refusal("10.1.2.3:36493", "too_large", "maximum payload exceeded: 1100025 vs 1048576")


@pytest.mark.parametrize("line", OTHERS)
def test_any_other_line_is_none(line: str) -> None:
    assert parse(line) is None


def test_a_log_is_read_on_from_where_it_ended_half_lines_later_and_a_rotated_one_from_its_beginning(
    tmp_path: Path,
) -> None:
    log = tmp_path / "broker.log"
    assert read_refusals(log, 0) == ([], 0)
    log.write_text(f"{OTHERS[1]}\n{SPACE}\n{LARGE[:40]}")
    found, after = read_refusals(log, 0)
    assert [refusal.reason for _, refusal in found] == ["bad_topic"]
    with log.open("a") as file:
        file.write(LARGE[40:] + "\n")
    found, end = read_refusals(log, after)
    assert [(at, refusal.reason) for at, refusal in found] == [(after, "too_large")]
    assert read_refusals(log, end) == ([], end)
    log.write_text(f"{SPACE}\n")
    assert [refusal.reason for _, refusal in read_refusals(log, end)[0]] == ["bad_topic"]


@pytest.mark.long
def test_a_real_broker_says_what_it_refused_and_whose_it_was() -> None:
    with running(start_nats) as broker:
        own = publish_to_a_topic_with_a_space(broker.port)
        assert broker.says(parse) == Refusal(own, "bad_topic", "character not supported for MQTT topics")
