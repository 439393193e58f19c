"""`ioc explain` and /api/explain on a running centre: published over MQTT, explained live, and in the past."""

import json
import subprocess
import sys
import time
from typing import Any

import pytest
from mqtt_brokers import Publisher
from up_process import Centre

pytestmark = pytest.mark.long

UNIT = "06658"
TOPIC = f"ioc/{UNIT}/traffic/s1"
DESK = f"ioc/{UNIT}/queue/quay-1"


def speed(time_s: float, value: float) -> bytes:
    return json.dumps([{"n": "speed", "u": "km/h", "t": time_s, "v": value}]).encode()


def step(name: str, at: float, number: int) -> bytes:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    event = {"specversion": "1.0", "id": str(number), "source": "urn:quay-1", "type": f"vn.ioc.queue.{name}"}
    return json.dumps(event | {"time": stamp, "data": {"ticket": "A001"}}).encode()


def explain(centre: Centre, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "control_center.console", "explain", *arguments, "--data", str(centre.data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def told(centre: Centre, *arguments: str) -> Any:
    """What the command tells as JSON, once it has found what it tells to be true."""
    done = explain(centre, *arguments, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def of(centre: Centre, path: str, n: int) -> Any:
    """What the gateway tells, as soon as the number has n readings."""

    def found() -> Any:
        answer = centre.tries(path)
        return answer if answer and answer["value"]["n"] == n else None

    return centre.until(found, f"{path} is told of {n} readings")


def test_a_number_is_explained_while_it_is_live_when_it_is_past_and_after_everything_has_stopped(
    centre: Centre,
) -> None:
    start = int(time.time()) // 300 * 300 - 600
    device = Publisher(centre.mqtt_port)
    device.publish_all((TOPIC, speed(start + 10 * at, 30 + at)) for at in range(20))
    device.publish(TOPIC, speed(start, 30))
    device.publish_all([(DESK, step("taken", start, 1)), (DESK, step("called", start + 90, 2))])
    device.settle()
    device.close()
    centre.settled(22)
    path = f"/api/explain?kpi=traffic_speed&unit={UNIT}"
    past = of(centre, f"{path}&at={(start + 1) * 1000}", 20)
    assert (past["value"]["from"], past["value"]["value"], past["value"]["n"]) == (start * 1000, 39.5, 20)
    assert past["recomputed"]["verdict"]["vi"] == "khớp"
    assert past["outcomes"]["counted"] == 20
    oldest = past["messages"][-1]
    assert (oldest["topic"], oldest["payload"], oldest["outcome"]) == (TOPIC, speed(start, 30).decode(), "counted")
    wait = of(centre, f"/api/explain?kpi=wait_mean&unit={UNIT}", 1)
    assert (wait["value"]["value"], wait["recomputed"]["matches"]) == (1.5, True)
    assert wait["messages"][0]["linked"][0]["payload"] == step("taken", start, 1).decode()
    whole = of(centre, "/api/explain?kpi=wait_mean", 1)
    assert (whole["scope"], whole["recomputed"]["matches"], whole["units"][0]["unit"]) == ("place", True, UNIT)

    assert told(centre, "wait_mean", UNIT)["messages"] == wait["messages"]
    centre.stop()
    assert told(centre, "traffic_speed", UNIT, str((start + 1) * 1000))["messages"] == past["messages"]
    story = explain(centre, "traffic_speed", UNIT, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start + 1)))
    assert story.returncode == 0
    for words in ("39,50", "khớp / matches", "Tốc độ", TOPIC, '"v": 30'):
        assert words in story.stdout, words


def test_what_cannot_be_explained_exits_with_2_for_wrong_use_and_1_where_there_is_nothing(centre: Centre) -> None:
    assert explain(centre, "no_such_kpi", UNIT).returncode == 2
    assert explain(centre, "traffic_speed", "99999").returncode == 2
    assert explain(centre, "traffic_speed", UNIT, "yesterday").returncode == 2
    nothing = explain(centre, "traffic_speed", UNIT)
    assert (nothing.returncode, "there is no value" in nothing.stderr) == (1, True)
