"""`GET /api/explain` over real sockets: a gateway beside a journal, and one without."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway_client import Site, served
from told import Message
from whole_processor import WholeProcessor

from control_center.http_gateway import GatewaySettings, build_gateway
from sensors.errors import SettingsError
from streams.memory_live import MemoryLive
from streams.toml_catalogue import load_all

pytestmark = pytest.mark.anyio

DEFINITIONS = load_all()
UNIT = "06658"
T0 = 1_790_000_000_000 // 3_600_000 * 3_600_000
MINUTE = 60_000


def speed(time: int, value: float) -> bytes:
    return json.dumps([{"n": "speed", "u": "km/h", "t": time / 1000, "v": value}]).encode()


@pytest.fixture
async def processor(tmp_path: Path) -> AsyncIterator[WholeProcessor]:
    made = WholeProcessor(DEFINITIONS, tmp_path, T0, 4)
    for step in range(12):
        now = T0 + step * MINUTE
        await made.live([Message(f"ioc/{UNIT}/traffic/cam-1", speed(now, 30 + step), now)], now)
    yield made
    await made.close()


@pytest.fixture
async def site(processor: WholeProcessor, tmp_path: Path) -> AsyncIterator[Site]:
    settings = GatewaySettings(journal=f"sqlite:///{tmp_path / 'journal.sqlite'}")
    async with served(build_gateway(settings, MemoryLive("epoch-1"), processor.store, DEFINITIONS)) as site:
        yield site


async def test_a_number_is_explained_now_and_in_the_past(site: Site) -> None:
    live = (await site.ask(f"/api/explain?kpi=traffic_speed&unit={UNIT}")).json
    assert (live["value"]["state"], live["value"]["n"], live["recomputed"]["matches"]) == ("provisional", 2, True)
    past = (await site.ask(f"/api/explain?kpi=traffic_speed&unit={UNIT}&at={T0 + MINUTE}")).json
    assert (past["value"]["value"], past["value"]["from"], past["value"]["to"]) == (32.0, T0, T0 + 5 * MINUTE)
    assert past["recomputed"]["verdict"] == {"vi": "khớp", "en": "matches"}
    assert [line["payload"] for line in past["messages"]][-1] == speed(T0, 30).decode()
    assert past["units"][0]["partition"] == past["messages"][0]["partition"]
    whole = (await site.ask("/api/explain?kpi=traffic_speed&at=" + past["window"]["to_utc"])).json
    assert (whole["scope"], whole["unit"], whole["value"]["n"]) == ("place", "22", 5)
    rules = [bound["id"] for bound in past["formula"]["bounds"] if bound["what"] == "rule"]
    assert rules == ["traffic_jam"]


async def test_an_answer_is_what_the_api_describes_down_to_the_last_member(site: Site) -> None:
    described = (await site.ask("/openapi.json")).json["paths"]["/api/explain"]["get"]["responses"]["200"]
    answer = (await site.ask(f"/api/explain?kpi=traffic_speed&unit={UNIT}")).json
    assert len(answer["messages"]) > 1
    _is_as_described(answer, described["content"]["application/json"]["schema"])


def _is_as_described(answer: Any, schema: dict[str, Any]) -> None:
    """Of JSON Schema what is used here."""
    if isinstance(answer, dict) and "properties" in schema:
        assert answer.keys() == schema["properties"].keys(), schema["title"]
        for name, member in answer.items():
            _is_as_described(member, schema["properties"][name])
    elif isinstance(answer, list):
        assert schema["type"] == "array"
        for one in answer:
            _is_as_described(one, schema["items"])
    else:
        kinds = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null", dict: "object"}
        told = {one.get("type") for one in schema.get("anyOf", [schema])}
        is_of_kind = kinds[type(answer)] in told or (isinstance(answer, int) and "number" in told)
        assert is_of_kind or answer in schema.get("enum", ()), (answer, schema)


async def test_what_cannot_be_explained_is_answered_in_words(site: Site) -> None:
    for query, status in (
        ("kpi=nothing", 404), ("kpi=traffic_speed&unit=99999", 404), ("kpi=water_level", 404),
        (f"kpi=traffic_speed&at={T0 - 1}", 404), ("kpi=traffic_speed&at=yesterday", 422), ("", 422),
        ("kpi=traffic_speed&messages=100000", 422),
    ):  # fmt: skip
        answer = await site.ask(f"/api/explain?{query}")
        assert (answer.status, set(answer.json["detail"])) == (status, {"vi", "en"}), query


async def test_only_readers_may_ask(processor: WholeProcessor, tmp_path: Path) -> None:
    settings = GatewaySettings(journal=f"sqlite:///{tmp_path / 'journal.sqlite'}", wall_token="t0ken")
    async with served(build_gateway(settings, MemoryLive("epoch-1"), processor.store, DEFINITIONS)) as site:
        path = f"/api/explain?kpi=traffic_speed&unit={UNIT}"
        assert (await site.ask(path)).status == 401
        assert (await site.ask(f"{path}&token=t0ken")).status == 200


async def test_a_gateway_without_a_journal_says_so_and_a_wrong_one_is_refused_at_once(
    processor: WholeProcessor,
) -> None:
    live = MemoryLive("epoch-1")
    async with served(build_gateway(GatewaySettings(), live, processor.store, DEFINITIONS)) as site:
        answer = await site.ask(f"/api/explain?kpi=traffic_speed&unit={UNIT}")
        assert (answer.status, "--journal" in answer.json["detail"]["en"]) == (501, True)
    with pytest.raises(SettingsError, match="kafka://host:port"):
        build_gateway(GatewaySettings(journal="kafka"), live, processor.store, DEFINITIONS)
