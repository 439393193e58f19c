"""`ioc replay` beside a running centre: the first half of a story on a wall of its own, while live has both halves."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, page_at
from mqtt_brokers import Publisher, publish_to_a_topic_with_a_space
from playwright.async_api import expect
from polled_process import Polled
from replay_process import replayed
from servers import HOST
from up_process import Centre

pytestmark = [pytest.mark.long, pytest.mark.anyio]
UNITS = ("06658", "06673", "06712")
MESSAGES = 30
LOST = 10
QUESTIONS = ("sources", "missing", "rejections", "ledger/rows", "alerts", "alerts?open=0", "kpis/traffic_speed")


def answers_of(centre: Polled) -> dict[str, Any]:
    """What its gateway answers to what pages ask of a moment."""
    return {question: centre.ask(f"/api/{question}") for question in QUESTIONS}


def speeds(device: Publisher, value: float, first: int) -> None:
    """Readings of now, of one speed everywhere, numbered from `first`; one of them is lost on its way."""
    at = time.time_ns() // 1_000_000
    for number in range(MESSAGES + 1):
        record = {"n": "speed", "u": "km/h", "t": (at + number) / 1000, "v": value, "seq": first + number // len(UNITS)}
        if number != LOST:
            device.publish(f"ioc/{UNITS[number % len(UNITS)]}/traffic/cam", json.dumps([record]).encode())


async def test_a_replay_shows_what_was_known_then_and_live_goes_on(tmp_path: Path) -> None:
    with Centre(tmp_path / "data", "--no-simulate") as centre:
        centre.ready()
        begin = time.time_ns() // 1_000_000
        device = Publisher(centre.mqtt_port)
        speeds(device, 30.0, 0)
        centre.settled(MESSAGES)
        centre.until(lambda: centre.ask("/api/kpis/traffic_speed")["n"] == MESSAGES, "all of it is shown")
        then = answers_of(centre)
        assert [row["missing"] for row in then["missing"]] == [1]
        end = time.time_ns() // 1_000_000
        centre.until(lambda: time.time_ns() // 1_000_000 > end + 1_000, "the span is over")
        speeds(device, 60.0, MESSAGES // len(UNITS) + 1)
        device.publish(f"ioc/{UNITS[0]}/traffic/cam", b"{")
        publish_to_a_topic_with_a_space(centre.mqtt_port)
        centre.until(lambda: centre.ask("/api/ledger")["refused_by_broker"], "the broker's refusal is counted")
        live = centre.settled(2 * MESSAGES)
        assert (live["received"], live["rejected"], live["by_reason"]) == (2 * MESSAGES + 1, 1, {"bad_payload": 1})
        now = answers_of(centre)
        with replayed(tmp_path / "replay.log", begin, end, "--speed", "10", "--data", str(centre.data)) as past:
            ledger = past.settled(MESSAGES)
            assert (ledger["received"], ledger["rejected"], ledger["by_reason"]) == (MESSAGES, 0, {})
            assert (ledger["missing"], ledger["refused_by_broker"]) == (1, 0)
            past.until(lambda: past.ask("/api/kpis/traffic_speed")["n"] == MESSAGES, "all of it is shown again")
            assert answers_of(past) == then
            assert not [name for name in QUESTIONS[:4] if then[name] == now[name]], "they tell past from present"
            assert past.tries("/api/explain?kpi=traffic_speed") is None, "only the running centre explains"
            async with chromium() as browser, page_at(browser, f"{HOST}:{past.port}", "/wall") as wall:
                await expect(wall.page.locator("#replay .plate")).to_contain_text("PHÁT LẠI")
                await expect(wall.page.locator(".replay-frame")).to_be_visible()
                await expect(wall.page.locator('[data-ledger="received"]')).to_have_text(str(MESSAGES))
                epochs = {frame["epoch"] for frame in wall.frames if "epoch" in frame}
        assert epochs, "the wall has had frames"
        # But for its bridge, which says every second that it lives.
        assert centre.ask("/api/ledger") | {"bridges": live["bridges"]} == live, "live has not noticed"
        assert now["kpis/traffic_speed"]["value"] > then["kpis/traffic_speed"]["value"] == pytest.approx(30.0)
