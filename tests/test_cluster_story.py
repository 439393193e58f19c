"""The cluster on real servers: two workers on Kafka, one killed in mid-load; figures equal an undisturbed run's."""

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cluster_processes import ROOT, Cluster, cluster_servers
from mqtt_brokers import Publisher
from redis_record import Changes, changes_shown, changes_shown_again, recorded
from replay_process import replayed

from sensors.system_clock import now_ms
from sensors.topic import partition_of
from sensors.url_journal import open_reader
from streams.beat_engine import UNWRITTEN_MAX
from streams.catalogue import Catalogue, compile_catalogue, reach_ms
from streams.checkpoint import ROLL_UP
from streams.journal_replay import Replay, load_reel
from streams.past_store import PastStore
from streams.redis_live import RedisLive
from streams.reel import SETTLED_MS, Reel
from streams.span import MS_MAX
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

pytestmark = pytest.mark.long

PARTITIONS = 8
UNITS = ["06658", "06661", "06673", "06994", "07069", "06712", "06793", "06838", "06652", "06676", "07192", "06811"]
MESSAGES = 8_000
UNACKNOWLEDGED = 300
HOUR_MS = 3_600_000
WAITING = 5_000
RECORD = "redis.txt"
FLOOD = UNWRITTEN_MAX + WAITING
"""Of one unit: a partition takes in no more than UNWRITTEN_MAX while nothing can be written."""


def slow_everywhere(folder: Path) -> Path:
    """Definitions with rules that raise an alert in every unit, and one for the whole place."""
    text = (ROOT / "streams" / "alerts" / "traffic_jam.toml").read_text().partition("[[examples]]")[0]
    for shipped, ours in (("below = 12", "below = 50"), ("clear = 18", "clear = 55"), ("hold_s = 300", "hold_s = 2")):
        assert shipped in text
        text = text.replace(shipped, ours)
    examples = """
[[examples]]
series = [[0, 60.0], [10, 40.0], [60, 60.0], [90, 60.0]]
raises_at_s = [12]
returns_at_s = [62]
"""
    (folder / "alerts").mkdir(parents=True)
    (folder / "alerts" / "slow.toml").write_text(text + examples)
    (folder / "alerts" / "slow_place.toml").write_text(text + 'scope = "place"\n' + examples)
    return folder


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    folder.mkdir()
    with cluster_servers() as servers:
        made = Cluster(folder, *servers, slow_everywhere(folder / "definitions"))
        try:
            made.begin(PARTITIONS)
            with recorded(made.redis, folder / RECORD):
                yield made
        finally:
            made.stop()


def run(
    folder: Path, start: int, disaster: Callable[[Cluster], threading.Thread | None],
    epilogue: Callable[[Cluster, int], None] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Publish the same messages into a fresh cluster; returns its ledger and every closed window.

    The `epilogue` is given the cluster and when the first message was published (ms UTC).
    """
    with cluster(folder) as made:
        made.until(lambda: kept(made).keys() == {ROLL_UP, *range(PARTITIONS)}, "states are kept to begin a replay with")
        everybody_writes(made)
        device, meanwhile = Publisher(made.broker.port, inflight=UNACKNOWLEDGED), None
        loaded = now_ms()
        for number in range(MESSAGES):
            if number == MESSAGES // 2:
                meanwhile = disaster(made)
            if number == MESSAGES * 5 // 8 and meanwhile is not None:
                meanwhile.join()
            source, step = number % 120, number // 120
            record = {"n": "speed", "u": "km/h", "t": start + step, "v": 10 + number % 50}
            topic, payload = f"ioc/{UNITS[source % 12]}/traffic/s{source}", json.dumps([record]).encode()
            device.publish_paced(topic, payload, UNACKNOWLEDGED)
        device.settle(60)
        device.close()

        ledger = made.settled(MESSAGES)

        def windows(scope: str) -> list[Any]:
            told: list[Any] = made.ask(f"/api/kpis/traffic_speed/history?unit={scope}")
            return [{name: window[name] for name in ("value", "n", "sources", "from", "to")} for window in told]

        def closed(*scopes: str) -> bool:
            return sum(window["n"] for scope in scopes for window in windows(scope)) == MESSAGES

        made.until(lambda: closed("22") and closed(*UNITS), "the windows of the units and of the place are closed")
        told = {"ledger": ledger, "windows": {scope: windows(scope) for scope in [*UNITS, "22"]}}
        if epilogue is not None:
            epilogue(made, loaded)
        return told


def told_by(store: SqlStore | PastStore, kpis: Iterable[str], has_fallen: bool) -> dict[str, Any]:
    """Every closed value, every alert with its steps, and the ledger.

    Where a worker `has_fallen`, the roll-up may have heard from it what it never wrote: then nothing that hangs on the
    beat on which it heard something.
    """
    told: dict[str, Any] = {}
    for kpi in kpis:
        told[kpi] = store.windows(kpi, 0, MS_MAX, 1_000_000)
        if has_fallen:
            told[kpi] = [
                value if value.scope in UNITS else msgspec.structs.replace(value, state="final", revision=0)
                for value in told[kpi]
            ]
    for alert in store.alerts(False, 10_000):
        if alert.scope in UNITS or not has_fallen:
            told[alert.id] = alert, store.alert_steps(alert.id)
    return told | {"ledger": store.ledger_totals(), "numbered": store.numbered_totals(), "sources": store.sources()}


def kept(made: Cluster) -> dict[int, list[int]]:
    """The moments of which states were kept, by partition."""
    with closing(SqlStore(made.database)) as store:
        return store.kept()


def everybody_writes(made: Cluster) -> None:
    """Returns when whoever has a partition or the roll-up by now has written a checkpoint, as they do every second."""
    since = now_ms()
    with closing(SqlStore(made.database)) as store:
        everybody = (ROLL_UP, *range(PARTITIONS))
        made.until(lambda: all(store.recover(number).at > since for number in everybody), "everybody writes")


def compiled(made: Cluster) -> Catalogue:
    loaded = load_all(made.definitions)
    return compile_catalogue(loaded.place, loaded.kinds, loaded.kpis, loaded.rules)


def states_are_kept_in_mid_load(made: Cluster) -> threading.Thread:
    """As workers do at the turn of an hour, while messages go on coming."""
    keeping = threading.Thread(target=keep_states, args=(made,))
    keeping.start()
    return keeping


def keep_states(made: Cluster) -> None:
    """Of each partition, and of the roll-up when it has heard of these; by then the database has later shares."""
    catalogue, moments = compiled(made), dict[int, int]()
    horizons = {kpi.id: reach_ms(kpi) + HOUR_MS for kpi in catalogue.kpis.values()}

    def is_kept(number: int) -> bool:
        at = moments[number] = store.recover(number).at
        moment = store.open_moment([number], at, horizons)
        return moment is not None and moment.keep()

    def has_heard() -> bool:
        heard = store.heard_at(store.recover(ROLL_UP).at)
        return all(heard.get(number, 0) >= at for number, at in moments.items())

    with closing(SqlStore(made.database)) as store:
        for number in range(PARTITIONS):
            made.until(partial(is_kept, number), f"the state of {number} is kept")
        made.until(has_heard, "the roll-up has heard of these")
        made.until(partial(is_kept, ROLL_UP), "its state is kept")


def it_is_shown_again(made: Cluster, store: SqlStore, loaded: int, end: int, has_fallen: bool) -> None:
    """From each state that was kept, the first and the one in mid-load, every value of units, districts and the place
    is shown on the beat on which it was shown, but around a fall of a worker, which is told; before the load,
    when the workers may join one after the other, nothing was shown that could be lost."""
    catalogue = compiled(made)
    if not has_fallen:
        made.until(lambda: len(kept(made)[ROLL_UP]) >= 2, "states are kept in mid-load")
    seen = []
    for moment in kept(made)[ROLL_UP]:
        reel = load_reel(store, PARTITIONS, moment + 1, end)
        assert reel.states[ROLL_UP].at == moment

        def owner(scope: str) -> int:
            return ROLL_UP if scope in catalogue.scope_codes else partition_of(f"ioc/{scope}", PARTITIONS)

        begin = min(step.now for step in reel.steps if step.now > moment)
        then = changes_shown(made.folder / RECORD, reel, owner, begin, end)
        again = asyncio.run(shown_again(made, catalogue, reel, begin))
        gaps = [gap for gap in reel.unrecorded if gap.until >= loaded]
        assert bool(gaps) == has_fallen, (loaded, reel.unrecorded)
        for gap in gaps:
            then, again = (without(changes, gap.since, gap.until + SETTLED_MS) for changes in (then, again))
            if gap.since < begin:
                # Of these not even the first beat since the state was written: nobody knows what stood at `begin`.
                lost = {key for key in then if owner(key.partition("@")[2]) in gap.partitions}
                then, again = (without(changes, 0, begin - 1, lost) for changes in (then, again))
        different = [key for key in {**then, **again} if then.get(key) != again.get(key)]
        assert not different, {key: (then.get(key), again.get(key)) for key in different}
        seen.append(len(then.get("k:traffic_speed@22", ())))
    # Where an hour began meanwhile, there is another one, after all of it; a fall may cover all of a quick load.
    assert has_fallen or sum(count > 2 for count in seen) >= 2


def without(changes: Changes, since: int, until: int, keys: Container[str] | None = None) -> Changes:
    """But for what was shown on beats in [since, until], of these `keys` or of all."""

    def is_left_out(key: str, at: int) -> bool:
        return since <= at <= until and (keys is None or key in keys)

    left = {key: [one for one in told if not is_left_out(key, one[0])] for key, told in changes.items()}
    return {key: told for key, told in left.items() if told}


async def shown_again(made: Cluster, catalogue: Catalogue, reel: Reel, begin: int) -> Changes:
    async with open_reader(made.journal, "ioc-story") as reader:
        shown = Replay(catalogue, reel, reader, begin)
        changes = await changes_shown_again(shown)
    shown.close()
    return changes


def it_is_made_again(made: Cluster, loaded: int, has_fallen: bool = False) -> None:
    """A replay of all of it, at full speed; then by the command, beside the running cluster."""
    catalogue, begin = compiled(made), kept(made)[ROLL_UP][0]
    with closing(SqlStore(made.database)) as store:
        told, end = told_by(store, catalogue.kpis, has_fallen), now_ms()

        def stands() -> bool:
            """Nothing has been told for so long that all of what was told before `end` is in the database."""
            nonlocal told, end
            now, known = now_ms(), told_by(store, catalogue.kpis, has_fallen)
            if known != told:
                told, end = known, now
            return now > end + 5_000

        made.until(stands, "nothing new is told")
        end += 2_500
        reel = load_reel(store, PARTITIONS, begin, end)
        assert not any(state.totals.received for state in reel.states.values()), "it begins before the first message"
        for again in asyncio.run(made_again(made, catalogue, reel, begin, store, has_fallen)):
            different = [name for name in {**told, **again} if told.get(name) != again.get(name)]
            assert not different, {name: (told.get(name), again.get(name)) for name in different}
        it_is_shown_again(made, store, loaded, end, has_fallen)
    assert told.keys() >= {f"slow-{unit}-1" for unit in UNITS}
    assert has_fallen or "slow_place-22-1" in told
    assert {value.scope for value in told["traffic_speed"]} >= {*UNITS, "22"}
    options = ("--database", made.database, "--journal", made.journal, "--partitions", str(PARTITIONS))
    options += ("--definitions", str(made.definitions))
    with replayed(made.folder / "replay.log", begin, end, "--speed", "1000", *options) as past:
        past.ready()
        now, then = made.ask("/api/ledger"), past.settled(MESSAGES)
        for name in ("accepted", "received", "readings"):
            assert then[name] == now[name]


async def made_again(
    made: Cluster, catalogue: Catalogue, reel: Reel, begin: int, store: SqlStore, has_fallen: bool
) -> list[dict[str, Any]]:
    """What a replay's own store tells when it is over, and what is told beside its wall."""

    async def no_wait(now: int) -> None:
        pass

    async with open_reader(made.journal, "ioc-story") as reader:
        shown = Replay(catalogue, reel, reader, begin)
        await shown.open()
        await shown.run(no_wait)
    past = PastStore(store, shown.store, lambda: shown.now)
    told = [told_by(each, catalogue.kpis, has_fallen) for each in (shown.store, past)]
    shown.close()
    return told


def what_waits_in_kafka_is_told(made: Cluster) -> None:
    """While the database is away a worker reads on for a while; of the rest the ledger knows by Kafka's end alone."""
    begin = int(time.time()) - 600
    made.postgres.stop()
    device = Publisher(made.broker.port, "flood", inflight=1_000)
    for number in range(FLOOD):
        source, step = number % 60, number // 60
        device.publish(f"ioc/{UNITS[0]}/traffic/f{source}", b'[{"n":"speed","t":%d,"v":40}]' % (begin + step))
    device.settle(120)
    device.close()
    # Its last record may bring a batch more than that in.
    made.until(lambda: in_journal(made) > WAITING - 500, "what waits in the journal is told")
    made.postgres.start()
    ledger = made.settled(MESSAGES + FLOOD)
    assert (ledger["held"], ledger["difference"]) == ({"bridge": 0, "journal": 0, "checkpoint": 0}, 0)


def in_journal(made: Cluster) -> int:
    """`held.journal` by the live store: the API asks the database too, and that is away."""

    async def ask() -> int:
        live = RedisLive(made.redis.url)
        try:
            told = (await live.since("", 0)).changes
        finally:
            await live.close()
        rows = [json.loads(value) for key, value in told.items() if key.startswith("l:") and value is not None]
        return sum(row["in_flight"] - row["unwritten"] for row in rows)

    return asyncio.run(ask())


def kill_once_it_works(made: Cluster) -> None:
    """kill -9 of worker-1 when some of the load has been counted, and most of it has not."""
    made.until(lambda: made.ask("/api/ledger")["accepted"], "some of the load is counted")
    made.kill("worker-1")


def epilogue(made: Cluster, loaded: int) -> None:
    it_is_made_again(made, loaded)
    what_waits_in_kafka_is_told(made)


def test_two_workers_one_killed_in_mid_load_give_the_figures_of_an_undisturbed_run(tmp_path: Path) -> None:
    start = int(time.time()) // 300 * 300 - 80
    undisturbed = run(tmp_path / "undisturbed", start, states_are_kept_in_mid_load, epilogue)
    disturbed = run(tmp_path / "disturbed", start, kill_once_it_works, partial(it_is_made_again, has_fallen=True))
    assert disturbed["windows"] == undisturbed["windows"]
    # Both worked, and the one that was left took over the other's partitions.
    logs = [(tmp_path / "disturbed" / f"worker-{number}.log").read_text() for number in (1, 2)]
    taken = [{int(number) for number in re.findall(r"partition recovered' partition=(\d)", log)} for log in logs]
    assert taken[0], "worker-1 had partitions when it was killed"
    assert taken[1] == set(range(PARTITIONS))
    for ledger in (disturbed["ledger"], undisturbed["ledger"]):
        assert (ledger["accepted"], ledger["readings"], ledger["difference"]) == (MESSAGES, MESSAGES, 0)
        assert (ledger["rejected"], ledger["too_late"]) == (0, 0)
        # What the broker told twice is received twice, and counted once.
        assert ledger["received"] == MESSAGES + ledger["duplicate"]
