"""The live channel over real websockets: who is told what, when, and who is let in."""

import json
from itertools import pairwise

import pytest
from gateway_client import served, wall_client
from gateway_world import DEFINITIONS, UNIT, World, alert_json, kpi_json, ledger_json
from websockets.exceptions import ConnectionClosed, InvalidStatus

from control_center.http_gateway import GatewaySettings, build_gateway
from sensors.system_clock import now_ms
from streams.memory_live import MemoryLive
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio


async def test_a_newcomer_is_told_the_wall_then_everything_then_what_changed(world: World) -> None:
    first = await world.live.publish({"k:vn_aqi@22": kpi_json(31.9), f"k:vn_aqi@{UNIT}": kpi_json(9), "l:0": b"{}"})
    async with wall_client(world.site) as wall:
        await wall.hello()
        meta = await wall.next()
        assert (meta["t"], meta["epoch"]) == ("meta", "epoch-1")
        assert meta["wall"]["id"] == "overview"
        assert {kpi["id"] for kpi in meta["kpis"]} >= {"vn_aqi", "satisfaction"}
        assert [UNIT, DEFINITIONS.place.units[UNIT].name] in meta["units"]
        await wall.until_sequence(first)
        assert sorted(wall.held) == ["k:vn_aqi@22", "l:0"], "a unit's own figures are not the wall's"
        sequence = await world.live.publish({"k:vn_aqi@22": kpi_json(32.4), "l:0": None})
        frame = await wall.until_sequence(sequence)
        assert frame["d"] == {"k:vn_aqi@22": json.loads(kpi_json(32.4)), "l:0": None}
        assert abs(frame["now"] - now_ms()) < 20_000


async def test_who_comes_back_is_told_only_what_changed_meanwhile(world: World) -> None:
    sequence = await world.live.publish({"k:vn_aqi@22": kpi_json(1), "k:rain_1h@22": kpi_json(2)})
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until_sequence(sequence)
    newer = await world.live.publish({"k:rain_1h@22": kpi_json(3)})
    async with wall_client(world.site) as wall:
        await wall.hello("epoch-1", sequence)
        frame = await wall.until_sequence(newer)
        assert list(frame["d"]) == ["k:rain_1h@22"]
        assert [heard["t"] for heard in wall.heard] == ["d"] * len(wall.heard)


async def test_who_comes_from_another_epoch_is_told_to_forget_what_it_had(world: World) -> None:
    sequence = await world.live.publish({"k:vn_aqi@22": kpi_json(1)})
    async with wall_client(world.site) as wall:
        await wall.hello("epoch-0", 99)
        assert (await wall.next())["t"] == "meta"
        await wall.until_sequence(sequence)
        assert list(wall.held) == ["k:vn_aqi@22"]


@pytest.mark.long
async def test_a_still_world_beats_every_second_and_proves_its_state(world: World) -> None:
    progress = b'{"offset":1,"lag":0,"at":1}'
    sequence = await world.live.publish(
        {"k:vn_aqi@22": kpi_json(31.9), "a:1": alert_json("1"), "s:silent": b"{}", "p:0": progress}
    )
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until_sequence(sequence)
        wall.heard.clear()
        proof = await wall.until("hash")
        assert (proof["n"], proof["h"]) == wall.proof()
        assert (proof["s"], proof["n"]) == (wall.sequence, 4)
        beats = [frame for frame in wall.heard if frame["t"] == "d"]
        assert all(frame["d"] == {} for frame in beats)
        gaps = [later["now"] - earlier["now"] for earlier, later in pairwise(beats)]
        assert len(gaps) >= 2
        assert max(gaps) < 2_000


async def test_a_storm_of_changes_is_five_frames_a_second_with_the_latest_value(world: World) -> None:
    await world.live.publish({"k:vn_aqi@22": kpi_json(0)})
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until("d")
        wall.heard.clear()
        last = 0.0
        while len(wall.heard) < 8:
            for _ in range(50):
                last += 1
                await world.live.publish({"k:vn_aqi@22": kpi_json(last)})
            await wall.next()
        while wall.held["k:vn_aqi@22"]["v"] != last:
            await wall.next()
        times = [heard["now"] for heard in wall.heard if heard["t"] == "d"]
        assert times[-1] - times[0] >= 190 * (len(times) - 1)


@pytest.mark.long
async def test_who_does_not_read_is_sent_the_newest_state_later_and_no_backlog(world: World) -> None:
    """2 MB a frame: after a few, the sockets between are full; the gateway keeps none of the others."""
    async with (
        wall_client(world.site, max_size=None) as reads,
        wall_client(world.site, max_size=None, max_queue=1) as frozen,
    ):
        await reads.hello()
        await frozen.hello()
        for number in range(15):
            sequence = await world.live.publish({"l:0": json.dumps(["x" * 2_000_000, number]).encode()})
            await reads.until_sequence(sequence)
        await frozen.until_sequence(sequence)
        assert frozen.held["l:0"][1] == 14
        assert len([frame for frame in frozen.heard if frame.get("d")]) < 12


async def test_a_page_of_another_version_is_closed_with_words(world: World) -> None:
    async with world.site.live() as socket:
        await socket.send('{"t":"hello","v":2,"epoch":"","seq":0}')
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        4000, "this gateway speaks version 1, the page 2: reload the page"
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"t":"hello"}', '{"t":"act","v":1}', "[" * 5000, '{"t":"hello","v":"1"}']
)
async def test_what_is_no_word_of_the_channel_closes_it_with_words(world: World, text: str) -> None:
    async with world.site.live() as socket:
        await socket.send(text)
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4000
    assert "expected" in closed.value.rcvd.reason


async def test_a_page_of_another_origin_may_not_open_the_channel(world: World) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await world.site.live(origin="http://evil.example")
    assert refused.value.response.status_code == 403
    async with world.site.live(origin=f"http://{world.site.host}"):
        pass


async def test_an_unknown_wall_is_refused(world: World) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await world.site.live("wall=nowhere")
    assert refused.value.response.status_code == 404


async def test_with_a_wall_token_nobody_reads_without_it(store: SqlStore) -> None:
    settings = GatewaySettings(wall_token="the-token")
    async with served(build_gateway(settings, MemoryLive("e"), store, DEFINITIONS)) as site:
        with pytest.raises(InvalidStatus) as refused:
            await site.live()
        assert refused.value.response.status_code == 401
        async with site.live("wall=overview&token=the-token"):
            pass
        assert (await site.ask("/api/ledger")).status == 401
        assert (await site.ask("/api/ledger", Authorization="Bearer the-token")).status == 200
        assert (await site.ask("/api/ledger?token=another")).status == 401
        assert (await site.ask("/health")).status == 200


async def test_anonymous_reading_is_for_this_machine_by_its_own_names_only(world: World) -> None:
    """A proxy's clients are not local, nor is a page that points a name of its own at 127.0.0.1."""
    assert (await world.site.ask("/api/ledger")).status == 200
    assert (await world.site.ask("/api/ledger", X_Forwarded_For="10.0.0.9")).status == 401
    assert (await world.site.ask("/api/ledger", Host="evil.example")).status == 401


async def test_channels_are_counted_by_address_and_a_closed_one_makes_room(store: SqlStore) -> None:
    gateway = build_gateway(GatewaySettings(sockets_per_address_max=2), MemoryLive("e"), store, DEFINITIONS)
    async with served(gateway) as site, site.live(), site.live() as second:
        with pytest.raises(InvalidStatus) as refused:
            await site.live()
        assert refused.value.response.status_code == 429
        await second.send("nonsense")
        await second.wait_closed()
        async with wall_client(site) as third:
            await third.hello()


async def test_a_health_report_of_a_page_is_counted(world: World) -> None:
    await world.live.publish({"l:0": ledger_json(1, 1, 0, 0)})
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.socket.send('{"t":"health","up":12,"heap":2640000,"gap":31.5,"long":0,"nodes":812,"more":"x"}')
        await wall.until("d")
        await wall.until("d")
    text = (await world.site.ask("/metrics")).body.decode()
    assert 'ioc_wall_reports_total{wall="overview"} 1.0' in text
    assert 'ioc_wall_page_heap{wall="overview"} 2.64e+06' in text
