"""The gateway's answers over real sockets: ledger, rejections, values, history, alerts, and the same of a past."""

import asyncio
import base64
import json

import pytest
from gateway_client import served, wall_client
from gateway_world import (
    DEFINITIONS,
    HOUR_MS,
    REPLAYED,
    T0,
    UNIT,
    World,
    alert_json,
    alert_row,
    checkpoint,
    kpi_json,
    ledger_json,
    past_of,
    value_row,
)

from control_center.answer import LedgerAnswer
from control_center.http_gateway import build_gateway
from control_center.sql_accounts import SqlAccounts
from sensors.broker_refusal import Refusal
from sensors.errors import CommandRefused
from sensors.system_clock import now_ms
from simulators.http_centre import HttpCentre
from streams.alert import Alert, AlertStep, Command
from streams.beat import Counts, Rejection
from streams.checkpoint import LedgerRow, SourceName, SummaryRow
from streams.memory_live import MemoryLive
from streams.sql_store import SqlStore

pytestmark = pytest.mark.anyio


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


async def test_rejections_are_newest_first_with_their_payload(world: World) -> None:
    rows = [Rejection(0, number, 0, T0 + number, "ioc/x", "bad_topic", "why", b"\xff\x00") for number in range(3)]
    assert world.store.commit(checkpoint(rejections=rows))
    answers = (await world.site.ask("/api/rejections?limit=2")).json
    assert [row["time"] for row in answers] == [T0 + 2, T0 + 1]
    assert base64.b64decode(answers[0]["payload"]) == b"\xff\x00"
    assert (answers[0]["topic"], answers[0]["reason"], answers[0]["ordinal"]) == ("ioc/x", "bad_topic", 2)
    wrong = await world.site.ask("/api/rejections?limit=0")
    assert wrong.status == 422
    assert wrong.json["detail"] == {
        "vi": "tham số sai: query.limit: phải từ 1 trở lên",
        "en": "wrong parameters: query.limit: Input should be greater than or equal to 1",
    }


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


@pytest.mark.parametrize(
    "path", [f"/api/kpis/vn_aqi/history?unit={UNIT}&", "/api/kpis/vn_aqi/windows?", "/api/ledger/rows?"]
)
async def test_a_stretch_that_ends_before_it_begins_is_refused_not_answered_by_nothing(world: World, path: str) -> None:
    wrong = await world.site.ask(f"{path}from={T0 + 1}&to={T0}")
    assert (wrong.status, wrong.json["detail"]["en"]) == (422, "from: must not be after to")
    assert (await world.site.ask(f"{path}from={T0}&to={T0}")).status == 200


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
