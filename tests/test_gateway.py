"""The gateway over real sockets: live channel, API, accounts and probes."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_client import Site, served, wall_client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from control_center.answer import LedgerAnswer
from control_center.argon2_accounts import hash_password
from control_center.http_context import ReplaySpan
from control_center.http_gateway import GatewaySettings, build_gateway
from control_center.sql_accounts import SqlAccounts
from sensors.broker_refusal import Refusal
from sensors.errors import CommandRefused
from sensors.system_clock import now_ms
from simulators.http_centre import HttpCentre
from streams.alert import Alert, AlertStep, Command
from streams.beat import Counts, Rejection, State, Value
from streams.checkpoint import ROLL_UP, Checkpoint, LedgerRow, Recovered, SourceName, SummaryRow
from streams.fault import Seen, changes, fold
from streams.memory_live import MemoryLive
from streams.past_store import PastStore
from streams.snapshot_store import SnapshotStore
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

pytestmark = pytest.mark.anyio

DEFINITIONS = load_all()
HOUR_MS = 3_600_000
T0 = 1_790_000_000_000 // HOUR_MS * HOUR_MS
PASSWORD = "k7mp-x3qz-9hda"
UNIT = next(iter(DEFINITIONS.place.units))


class World:
    """One gateway with its stores; `site` asks it."""

    def __init__(self, store: SqlStore, live: MemoryLive, site: Site) -> None:
        self.store, self.live, self.site = store, live, site
        self.accounts = SqlAccounts(store.engine)

    async def log_in(self, name: str, role: str) -> dict[str, str]:
        """The headers of somebody logged in."""
        self.accounts.add_account(name, hash_password(PASSWORD), role, now_ms())
        body = json.dumps({"name": name, "password": PASSWORD}).encode()
        answer = await self.site.ask("/login", body, Content_Type="application/json")
        assert answer.status == 200, answer.body
        cookie = str(answer.headers["Set-Cookie"]).split(";")[0]
        return {"Cookie": cookie, "X_CSRF_Token": answer.json["csrf"]}


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    made = SqlStore(f"sqlite:///{tmp_path / 'history.sqlite'}")
    made.migrate()
    return made


@pytest.fixture
async def world(store: SqlStore) -> AsyncIterator[World]:
    live = MemoryLive("epoch-1")
    async with served(build_gateway(GatewaySettings(), live, store, DEFINITIONS)) as site:
        yield World(store, live, site)


def kpi_json(value: float | None, end: int = T0, revision: int = 0) -> bytes:
    return msgspec.json.encode(
        {"v": value, "n": 7, "src": 2, "from": end - HOUR_MS, "to": end, "as": end - 1, "st": "final", "rev": revision}
    )


def ledger_json(received: int, accepted: int, rejected: int, in_flight: int) -> bytes:
    return msgspec.json.encode(
        {"received": received, "accepted": accepted, "duplicate": 0, "too_late": 0, "rejected": rejected,
         "in_flight": in_flight, "readings": 3 * accepted, "at": T0}
    )  # fmt: skip


def alert_row(alert: str, state: str = "unack_active", acked_by: str = "") -> Alert:
    return Alert(alert, "r", UNIT, "", "critical", state, T0, T0 + HOUR_MS, 1.5, acked_by=acked_by)  # type: ignore[arg-type]


def alert_json(alert: str, state: str = "unack_active", acked_by: str = "") -> bytes:
    return msgspec.json.encode(alert_row(alert, state, acked_by))


def value_row(kpi: str, end: int, value: float | None, state: State = "final") -> Value:
    return Value(kpi, UNIT, end - HOUR_MS, end, value, 5, 1, state, 0, end - 1)


def checkpoint(**parts: Any) -> Checkpoint:
    return Checkpoint(0, -1, 0, 0, T0, b"", parts.pop("totals", Counts()), **parts)


# The live channel


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


# Figures


async def test_the_ledger_sums_the_partitions_and_its_difference_is_what_is_not_explained(world: World) -> None:
    waiting = json.dumps(json.loads(ledger_json(10, 7, 1, 2)) | {"unwritten": 1}).encode()
    bridge = b'{"pending":2,"arrived":18,"repeated":4,"overtaken":5,"overtaken_at":70,"at":90}'
    older = b'{"pending":1,"arrived":7,"repeated":0,"at":80}'
    rows = {"l:0": waiting, "l:1": ledger_json(5, 4, 0, 0), "b:two": older, "b:one": bridge}
    await world.live.publish(rows)
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until_sequence(1)
        ledger = (await world.site.ask("/api/ledger")).json
    assert ledger["received"] == 15
    assert (ledger["accepted"], ledger["rejected"], ledger["in_flight"], ledger["readings"]) == (11, 1, 2, 33)
    assert ledger["held"] == {"bridge": 3, "journal": 1, "checkpoint": 1}
    counts = {"at": 90, "pending": 2, "arrived": 18, "repeated": 4, "overtaken": 5, "overtaken_at": 70}
    never = {"at": 80, "pending": 1, "arrived": 7, "repeated": 0, "overtaken": 0, "overtaken_at": None}
    assert ledger["bridges"] == [{"bridge": "one", **counts}, {"bridge": "two", **never}]
    assert ledger["difference"] == 1


async def test_before_a_worker_speaks_the_ledger_comes_from_the_database(world: World) -> None:
    counts = Counts(received=9, accepted=6, duplicate=1, too_late=1, rejected=1, readings=12)
    assert world.store.commit(checkpoint(totals=counts, ledger=[LedgerRow("air", T0 // 60_000 * 60_000, counts)]))
    ledger = (await world.site.ask("/api/ledger")).json
    assert [ledger[name] for name in ("received", "accepted", "duplicate", "too_late", "rejected")] == [9, 6, 1, 1, 1]
    assert (ledger["in_flight"], ledger["difference"], ledger["readings"]) == (0, 0, 12)


def past_of(store: SqlStore, moment: int) -> PastStore:
    """What was known when nothing had been said yet."""
    nothing = Recovered(-1, 0, b"", Counts(), [], [], [], [], [], [], [], [], {}, b"")
    return PastStore(store, SnapshotStore(dict.fromkeys((ROLL_UP, 0), nothing)), lambda: moment)


REPLAYED = GatewaySettings(replay=ReplaySpan(T0 - HOUR_MS, T0, 30.0))


async def test_a_replay_tells_nothing_of_what_has_come_since(store: SqlStore) -> None:
    row = alert_row("r-1")
    told = {
        "rejections": [Rejection(0, 1, 0, T0 + 1, "ioc/x", "bad_topic", "why", b"")],
        "ledger": [LedgerRow("air", T0, Counts(received=9, accepted=8, rejected=1))],
        "values": [value_row("vn_aqi", T0, 48.0)], "alerts": [row], "steps": [AlertStep("r-1", 0, T0 + 1, "raise")],
        "source_names": [SourceName(0, UNIT, "air", "tram-1")],
        "summaries": [SummaryRow("s", T0 + 1, "", b"{}", "", "")],
    }  # fmt: skip
    assert store.commit(checkpoint(totals=Counts(received=9, accepted=8, rejected=1, readings=12), **told))
    store.record_refusals(T0 + 1, [(0, Refusal("10.0.0.7:4711", "too_large", "maximum payload"))], 99)
    served_past = build_gateway(REPLAYED, MemoryLive("past"), past_of(store, T0), DEFINITIONS, lambda: T0)
    async with served(served_past) as site:
        ledger = (await site.ask("/api/ledger")).json
        assert set(ledger) == set(LedgerAnswer.__annotations__)
        assert not any(ledger[name] for name in ledger if name != "held"), ledger
        for path in ("ledger/rows", "rejections", "sources", "missing", "alerts", "alerts?open=0",
                     "kpis/vn_aqi/windows", f"kpis/vn_aqi/history?unit={UNIT}"):  # fmt: skip
            assert (await site.ask(f"/api/{path}")).json == [], path
        assert (await site.ask(f"/api/kpis/vn_aqi?unit={UNIT}")).json["state"] == "unknown"
        assert [(await site.ask(path)).status for path in ("/api/summary", "/api/alerts/r-1")] == [404, 404]
        assert "ioc_broker_refusals_total 0.0" in (await site.ask("/metrics")).body.decode()
        assert [warning["what"] for warning in (await site.ask("/ready")).json["warnings"]] == ["replay"]


async def test_in_a_replay_nothing_is_ordered_or_explained_and_who_logs_in_does_so_now(store: SqlStore) -> None:
    live = MemoryLive("past")
    await live.publish({"a:r-1": alert_json("r-1")})
    async with served(build_gateway(REPLAYED, live, past_of(store, T0), DEFINITIONS, lambda: T0)) as site:
        headers = await World(store, live, site).log_in("binh", "operator")
        comment = await site.ask("/api/alerts/r-1/comment", b'{"text": "x"}', **headers)
        taken = await site.ask("/api/alerts/r-1/acknowledge", b"", **headers)
        explained = await site.ask("/api/explain?kpi=vn_aqi", **headers)
        assert [answer.status for answer in (comment, taken, explained)] == [409, 409, 409]
        assert all("phát lại" in answer.json["detail"]["vi"] for answer in (comment, taken, explained))
        with pytest.raises(CommandRefused, match="phát lại"):
            past_of(store, T0).record_command(Command("c1", T0, "binh", "acknowledge", "r-1"))
        assert store.waiting_commands() == []
        session = headers["Cookie"].partition("=")[2]
        assert SqlAccounts(store.engine).session(session, now_ms() + HOUR_MS), "it lasts as long as any other"
        assert SqlAccounts(store.engine).session(session, now_ms() + 13 * HOUR_MS) is None


async def test_rejections_are_newest_first_with_their_payload(world: World) -> None:
    rows = [Rejection(0, number, 0, T0 + number, "ioc/x", "bad_topic", "why", b"\xff\x00") for number in range(3)]
    assert world.store.commit(checkpoint(rejections=rows))
    answers = (await world.site.ask("/api/rejections?limit=2")).json
    assert [row["time"] for row in answers] == [T0 + 2, T0 + 1]
    assert base64.b64decode(answers[0]["payload"]) == b"\xff\x00"
    assert (answers[0]["topic"], answers[0]["reason"], answers[0]["ordinal"]) == ("ioc/x", "bad_topic", 2)
    assert (await world.site.ask("/api/rejections?limit=0")).status == 422


async def test_what_the_broker_refused_stands_among_the_rejections_with_the_clients_address(world: World) -> None:
    assert world.store.commit(checkpoint(rejections=[Rejection(0, 1, 0, T0, "ioc/x", "bad_topic", "why", b"")]))
    world.store.record_refusals(T0 + 1, [(0, Refusal("10.0.0.7:4711", "too_large", "maximum payload"))], 99)
    answers = (await world.site.ask("/api/rejections")).json
    assert [(row["reason"], row["address"], row["ordinal"]) for row in answers] == [
        ("too_large", "10.0.0.7:4711", None), ("bad_topic", "", 1),
    ]  # fmt: skip
    assert (await world.site.ask("/api/ledger")).json["refused_by_broker"] == 1


async def test_the_newest_value_is_the_live_one_else_the_databases_else_unknown(world: World) -> None:
    rows = [value_row("vn_aqi", T0, 48.0), value_row("vn_aqi", T0 - HOUR_MS, 51.0)]
    assert world.store.commit(checkpoint(values=rows))
    of_database = (await world.site.ask(f"/api/kpis/vn_aqi?unit={UNIT}")).json
    assert of_database == {
        "kpi": "vn_aqi", "value": 48.0, "n": 5, "unit": UNIT, "ucum": DEFINITIONS.kpis["vn_aqi"].ucum,
        "from": T0 - HOUR_MS, "to": T0, "state": "final", "revision": 0, "as_of": T0 - 1, "sources": 1,
    }  # fmt: skip
    unknown = (await world.site.ask("/api/kpis/vn_aqi")).json
    assert (unknown["value"], unknown["state"], unknown["unit"], unknown["n"]) == (None, "unknown", "22", 0)
    sequence = await world.live.publish({f"k:vn_aqi@{UNIT}": kpi_json(57.5, T0 + HOUR_MS)})
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until_sequence(sequence)
    live = (await world.site.ask(f"/api/kpis/vn_aqi?unit={UNIT}")).json
    assert (live["value"], live["n"], live["sources"], live["to"]) == (57.5, 7, 2, T0 + HOUR_MS)


@pytest.mark.parametrize(("path", "word"), [("/api/kpis/vn_aqy", "vn_aqy"), ("/api/kpis/vn_aqi?unit=99999", "99999")])
async def test_an_unknown_kpi_or_unit_is_answered_in_both_languages(world: World, path: str, word: str) -> None:
    answer = await world.site.ask(path)
    assert answer.status == 404
    assert word in answer.json["detail"]["vi"]
    assert word in answer.json["detail"]["en"]


async def test_history_has_every_closed_window_between_two_instants(world: World) -> None:
    values = [value_row("vn_aqi", T0 + hour * HOUR_MS, float(hour)) for hour in range(5)]
    values.append(value_row("vn_aqi", T0 + 5 * HOUR_MS, 5.0, "provisional"))
    assert world.store.commit(checkpoint(values=values))
    everything = (await world.site.ask(f"/api/kpis/vn_aqi/history?unit={UNIT}")).json
    assert [row["value"] for row in everything] == [0.0, 1.0, 2.0, 3.0, 4.0]
    some = (await world.site.ask(f"/api/kpis/vn_aqi/history?unit={UNIT}&from={T0 + HOUR_MS}&limit=2")).json
    assert [row["to"] for row in some] == [T0 + HOUR_MS, T0 + 2 * HOUR_MS]
    wrong = await world.site.ask(f"/api/kpis/vn_aqi/history?unit={UNIT}&from=yesterday")
    assert wrong.status == 422
    assert "RFC 3339" in wrong.json["detail"]["en"]


async def test_all_alerts_that_ever_were_can_be_had_in_parts(world: World) -> None:
    alerts = [
        Alert(f"r-{UNIT}-{n}", "r", UNIT, f"d{n}", "notice", "closed", T0 + n // 3, T0 + n // 3 + 1, 1.5)
        for n in range(35)
    ]
    steps = [AlertStep(alert.id, 0, alert.raised_at, "raise") for alert in alerts]
    assert world.store.commit(checkpoint(alerts=alerts, steps=steps))
    some = (await world.site.ask(f"/api/alerts?open=0&limit=2&by={T0 + 3}")).json
    assert [alert["id"] for alert in some] == [f"r-{UNIT}-10", f"r-{UNIT}-11"]
    asked = HttpCentre(f"http://{world.site.host}")
    for size in (4, 35, 1_000):
        heard = await asyncio.to_thread(asked.alerts, size)
        assert heard == {("r", UNIT, f"d{n}"): ("raise",) for n in range(35)}
    assert await asyncio.to_thread(asked.alerts, 3) is None, "three of one moment leave no way on"


async def test_definitions_place_map_and_description_are_served(world: World) -> None:
    kpis = (await world.site.ask("/api/kpis")).json
    assert {kpi["id"] for kpi in kpis} == set(DEFINITIONS.kpis)
    assert len((await world.site.ask("/api/place")).json["units"]) == 54
    assert "Sơ đồ" in (await world.site.ask("/api/map")).json["note"]
    paths = (await world.site.ask("/openapi.json")).json["paths"]
    assert {"/api/ledger", "/api/kpis/{kpi_id}/history", "/ready", "/api/alerts/{alert_id}/acknowledge"} <= set(paths)


# People


async def test_an_operator_takes_an_alert_and_it_is_recorded_before_anyone_hears_of_it(world: World) -> None:
    sequence = await world.live.publish({"a:r-1": alert_json("r-1"), "a:r-2": alert_json("r-2", "ack_active", "binh")})
    operator = await world.log_in("truc-ban", "operator")
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until_sequence(sequence)
    taken = await world.site.ask("/api/alerts/r-1/acknowledge", b"", **operator)
    assert (taken.status, taken.json["alert"]) == (202, "r-1")
    said = await world.site.ask("/api/alerts/r-1/comment", '{"text":"Đã gọi cho trạm"}'.encode(), **operator)
    assert said.status == 202
    commands = world.store.waiting_commands()
    assert [(row.id, row.who, row.op, row.text) for row in commands] == [
        (taken.json["command"], "truc-ban", "acknowledge", ""),
        (said.json["command"], "truc-ban", "comment", "Đã gọi cho trạm"),
    ]
    assert await world.live.called(0)
    again = await world.site.ask("/api/alerts/r-2/acknowledge", b"", **operator)
    assert (again.status, "binh" in again.json["detail"]["vi"]) == (409, True)
    assert (await world.site.ask("/api/alerts/r-3/acknowledge", b"", **operator)).status == 404
    assert (await world.site.ask("/api/alerts/r-1/comment", b'{"text":" "}', **operator)).status == 422


async def test_nobody_acts_without_account_role_token_and_own_origin(world: World) -> None:
    await world.live.publish({"a:r-1": alert_json("r-1")})
    operator, viewer = await world.log_in("truc-ban", "operator"), await world.log_in("lanh-dao", "viewer")
    path = "/api/alerts/r-1/acknowledge"
    assert (await world.site.ask(path, b"")).status == 401
    assert (await world.site.ask(path, b"", Cookie="ioc_session=made-up", X_CSRF_Token="x")).status == 401
    assert (await world.site.ask(path, b"", Cookie=operator["Cookie"])).status == 403
    assert (await world.site.ask(path, b"", **viewer)).status == 403
    assert (await world.site.ask(path, b"", **operator, Origin="http://evil.example")).status == 403
    assert world.store.waiting_commands() == []


async def test_the_session_cookie_is_out_of_reach_of_pages_and_ends_with_logout(world: World) -> None:
    headers = await world.log_in("truc-ban", "operator")
    me = await world.site.ask("/api/me", **headers)
    assert me.json == {"name": "truc-ban", "role": "operator", "csrf": headers["X_CSRF_Token"]}
    form = await world.site.ask("/login", f"name=truc-ban&password={PASSWORD}".encode())
    assert (form.status, form.headers["Location"]) == (303, "/desk")
    cookie = str(form.headers["Set-Cookie"]).lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    body = f"name=truc-ban&password={PASSWORD}".encode()
    behind_tls = await world.site.ask("/login", body, X_Forwarded_Proto="https")
    assert "secure" in str(behind_tls.headers["Set-Cookie"]).lower()
    assert (await world.site.ask("/logout", b"", **headers)).status == 303
    assert (await world.site.ask("/api/me", **headers)).status == 401


async def test_a_disabled_account_is_logged_out_and_cannot_come_back(world: World) -> None:
    headers = await world.log_in("truc-ban", "operator")
    world.accounts.disable_account("truc-ban")
    assert (await world.site.ask("/api/me", **headers)).status == 401
    body = json.dumps({"name": "truc-ban", "password": PASSWORD}).encode()
    assert (await world.site.ask("/login", body, Content_Type="application/json")).status == 401


async def test_five_wrong_passwords_lock_even_the_right_one_out_for_a_while(world: World) -> None:
    await world.log_in("truc-ban", "operator")
    guess = b'{"name":"truc-ban","password":"wrong"}'
    for _ in range(5):
        wrong = await world.site.ask("/login", guess, Content_Type="application/json")
        assert wrong.status == 401
    body = json.dumps({"name": "truc-ban", "password": PASSWORD}).encode()
    locked = await world.site.ask("/login", body, Content_Type="application/json")
    assert locked.status == 429
    assert int(str(locked.headers["Retry-After"])) > 200


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"name":1,"password":"x"}', b"\xff", b"x" * 70_000, b"[" * 9000])
async def test_a_login_that_is_none_is_refused_in_words(world: World, body: bytes) -> None:
    answer = await world.site.ask("/login", body, Content_Type="application/json")
    assert answer.status in (400, 413)
    assert set(answer.json["detail"]) == {"vi", "en"}


async def test_the_desk_asks_for_an_account(world: World) -> None:
    desk = await world.site.ask("/desk")
    assert (desk.status, desk.headers["Location"]) == (303, "/login")


async def test_an_address_that_is_none_is_answered_in_both_languages(world: World) -> None:
    for answer in (await world.site.ask("/nowhere"), await world.site.ask("/api/ledger", b"")):
        assert answer.status in (404, 405)
        assert set(answer.json["detail"]) == {"vi", "en"}


async def test_every_answer_carries_a_strict_policy(world: World) -> None:
    for path in ("/health", "/wall", "/nowhere", "/api/kpis"):
        headers = (await world.site.ask(path)).headers
        assert str(headers["Content-Security-Policy"]).startswith("default-src 'none'; script-src 'self';")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-cache"


# Probes


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


async def test_a_live_store_that_is_gone_makes_it_not_ready_and_stops_the_heartbeat(world: World) -> None:
    await world.live.publish({"l:0": ledger_json(1, 1, 0, 0)})
    async with wall_client(world.site) as wall:
        await wall.hello()
        await wall.until("d")
        await world.live.close()
        ready = await world.site.ask("/ready")
        while ready.json["reasons"][0]["en"] != "the live store does not answer":
            ready = await world.site.ask("/ready")
        assert ready.status == 503
        assert (await world.site.ask("/health")).status == 200


async def test_metrics_have_the_ledger_ages_lags_and_channels(world: World) -> None:
    assert world.store.commit(checkpoint(rejections=[Rejection(0, 1, 0, T0, "t", "bad_topic", "", b"")]))
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
