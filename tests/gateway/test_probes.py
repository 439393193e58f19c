"""What watches the gateway: `/ready` in words, `/health`, and `/metrics` for Prometheus."""

import asyncio

import msgspec
import pytest
from gateway_client import served, wall_client
from gateway_world import DEFINITIONS, HOUR_MS, T0, World, alert_json, checkpoint, kpi_json, ledger_json, past_of

from control_center.http_context import GatewaySettings, ReplaySpan
from control_center.http_gateway import build_gateway
from sensors.system_clock import now_ms
from streams.checkpoint import ROLL_UP
from streams.fault import Seen, changes, fold
from streams.memory_live import MemoryLive
from streams.reel import SETTLED_MS, Unrecorded
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio


async def test_ready_says_in_words_why_not_and_is_ready_once_partitions_progress(world: World) -> None:
    not_yet = await world.site.ask("/ready")
    assert not_yet.status == 503
    assert not_yet.json["reasons"][0]["en"] == "no worker has reported yet"
    progress = msgspec.json.encode({"watermark": T0, "offset": 5, "lag": 0, "at": now_ms()})
    sequence = await world.live.publish({"p:0": progress})
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until_sequence(sequence)
    assert (await world.site.ask("/ready")).json == {"ready": True, "reasons": [], "warnings": []}
    health = (await world.site.ask("/health")).json
    assert (health["status"], len(health["build"])) == ("ok", 12)


async def test_a_fault_of_the_centre_is_a_reason_not_to_be_ready_and_what_stops_nothing_a_warning(world: World) -> None:
    now = now_ms()
    progress = msgspec.json.encode({"watermark": T0, "offset": 5, "lag": 0, "at": now})
    low = fold({}, {"disk_low": Seen("còn 150 MB", "150 MB left"), "bridge_overtaken": Seen("twin", "twin")}, now)
    full = fold({}, {"disk_full": Seen("còn 0 MB", "0 MB left")}, now)
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until_sequence(await world.live.publish({"p:0": progress} | changes({}, low)))
        warned = await world.site.ask("/ready")
        await wall.until_sequence(await world.live.publish(changes(low, full)))
        stopped = await world.site.ask("/ready")
        metrics = (await world.site.ask("/metrics")).body.decode()
        old = changes({}, fold({}, {"disk_full": Seen()}, now - 16_000))
        await wall.until_sequence(await world.live.publish(old))
        forgotten = await world.site.ask("/ready")
    assert warned.status == 200
    assert warned.json["warnings"] == [
        {"what": "disk_low", "vi": "Đĩa sắp đầy – còn 150 MB", "en": "Disk nearly full – 150 MB left"},
        {
            "what": "bridge_overtaken", "vi": "Hai cầu nối cùng phần chia tranh nhau – twin",
            "en": "Two bridges of one share overtake each other – twin",
        },
    ]  # fmt: skip
    assert stopped.status == 503
    assert stopped.json["reasons"][0]["vi"] == "Đĩa đầy: ngừng xác nhận – còn 0 MB"
    assert stopped.json["reasons"][0]["en"] == "Disk full: acknowledging stopped – 0 MB left"
    assert 'ioc_fault{what="disk_full"} 1.0' in metrics
    assert forgotten.status == 200, "what a process that died has left behind is not believed for ever"


async def test_a_ledger_that_does_not_add_up_is_a_warning_until_it_does(world: World) -> None:
    told = []
    async with wall_client(world.site) as wall:
        await wall.hello()
        for row in (ledger_json(10, 7, 1, 0), ledger_json(10, 7, 1, 2)):
            await wall.until_sequence(await world.live.publish({"l:0": row}))
            told.append((await world.site.ask("/ready")).json["warnings"])
    assert told == [
        [{
            "what": "ledger_differs", "vi": "Sổ cái lệch 2 bản tin",
            "en": "Ledger does not add up: 2 messages differ",
        }],
        [],
    ]  # fmt: skip


async def test_a_live_store_that_is_gone_makes_it_not_ready_and_stops_the_heartbeat(world: World) -> None:
    await world.live.publish({"l:0": ledger_json(1, 1, 0, 0)})
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until("d")
        await world.live.close()
        async with asyncio.timeout(20):
            ready = await world.site.ask("/ready")
            while ready.json["reasons"][0]["en"] != "the live store does not answer":
                ready = await world.site.ask("/ready")
        assert ready.status == 503
        assert (await world.site.ask("/health")).status == 200


async def test_metrics_have_the_ledger_ages_lags_and_channels(world: World) -> None:
    assert world.store.commit(checkpoint(reasons={"bad_topic": 1}))
    changes = {
        "l:0": ledger_json(10, 7, 1, 2), "k:vn_aqi@22": kpi_json(31.9), "a:1": alert_json("1"),
        "p:0": msgspec.json.encode({"watermark": T0, "offset": 5, "lag": 2, "at": now_ms()}),
        "b:one": b'{"pending":3,"at":1,"overtaken":2,"overtaken_at":1}', "s:silent": b'{"a/b/c":1}',
    }  # fmt: skip
    sequence = await world.live.publish(changes)
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until_sequence(sequence)
        answer = await world.site.ask("/metrics")
    assert str(answer.headers["Content-Type"]).startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    for line in (
        'ioc_messages_total{outcome="received"} 10.0', "ioc_messages_in_flight 2.0", "ioc_ledger_difference 0.0",
        'ioc_messages_held{stage="journal"} 2.0', 'ioc_messages_held{stage="bridge"} 3.0',
        'ioc_kpi_value{kpi="vn_aqi"} 31.9', 'ioc_partition_lag_messages{partition="0"} 2.0',
        'ioc_alerts_open{severity="critical"} 1.0', "ioc_silent_sources 1.0", 'ioc_live_sockets{wall="overview"} 1.0',
        'ioc_rejections_total{reason="bad_topic"} 1.0', 'ioc_bridge_pending_messages{bridge="one"} 3.0',
        'ioc_bridge_overtaken_total{bridge="one"} 2.0',
    ):  # fmt: skip
        assert line in lines


async def test_a_replay_says_at_ready_when_what_it_shows_was_not_kept_as_the_worker_changed(store: SqlStore) -> None:
    gap = Unrecorded(T0 - 4_000, T0, (3, ROLL_UP))
    settings = GatewaySettings(replay=ReplaySpan(T0 - HOUR_MS, T0 + HOUR_MS, 30.0, [gap]))
    shown = [T0]
    gateway = build_gateway(settings, MemoryLive("past"), past_of(store, T0), DEFINITIONS, lambda: shown[-1])
    async with served(gateway) as site:
        told = []
        for moment in (T0 - 4_001, T0 - 4_000, T0 + SETTLED_MS, T0 + SETTLED_MS + 1):
            shown.append(moment)
            told.append([row for row in (await site.ask("/ready")).json["warnings"] if row["what"] == "replay_gap"])
    assert [len(rows) for rows in told] == [0, 1, 1, 0]
    assert "the worker changed (partition 3, the whole place)" in told[1][0]["en"]
    assert "đổi tiến trình xử lý (phân vùng 3, toàn địa phương)" in told[1][0]["vi"]
