"""The centre of a virtual world: the real engine, database, live store, views and frames, at beats of given times.

A `Plan` says what goes wrong and on which beat. A run returns everything that was shown and everything that was kept,
so that runs can be compared to the byte.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

import sqlalchemy as sa
from small_world import NOON, catalogue, kpis, place
from sqlmodel import SQLModel
from virtual_city import KINDS, SPAN_MS, STRAGGLERS_MS, World

from control_center.live_mirror import Feed
from control_center.view import View
from sensors.errors import Unavailable
from streams.alert import Command, Rule
from streams.beat_engine import Engine
from streams.catalogue import Catalogue, compile_catalogue
from streams.memory_live import MemoryLive
from streams.roll_up import Report
from streams.sql_store import SqlStore
from streams.sync import SyncState, key_hash, state_hash

HOUR = 3_600_000
_TEXTS = ("x",) * 4
_WHY = ("x",) * 6
RULES = {
    "slow": Rule("slow", *_TEXTS, "warning", "so", *_WHY, 60, kpi="speed_p95", below=60.0, clear=70.0, hold_s=4.0,
                 clear_hold_s=2.0),
    "slow_place": Rule("slow_place", *_TEXTS, "critical", "so", *_WHY, 60, kpi="speed", below=45.0, clear=46.0,
                       scope="place"),
    "unhappy": Rule("unhappy", *_TEXTS, "notice", "so", *_WHY, 60, kpi="satisfied", below=70.0, n_min=3, hold_s=2.0),
    "silent": Rule("silent", *_TEXTS, "notice", "so", *_WHY, 60, silent="traffic", silent_s=150),
    "off": Rule("off", *_TEXTS, "critical", "so", *_WHY, 60, figure="ledger_difference", above=0.0, clear=0.0),
}  # fmt: skip


@cache
def made() -> Catalogue:
    """Shipped kinds in a small place, with KPIs of every measure that a window can have."""
    return compile_catalogue(place(), KINDS, kpis() | dict(catalogue().kpis), RULES)


@dataclass(frozen=True)
class Plan:
    """What goes wrong, by the index of the beat. `crashes`: the engine dies once its state is written ("written"), at
    once ("now"), or before it can write ("unwritten"), and is back after so many beats; `outages`: the database takes
    nothing on that beat ("read only" or "full"); `zombies`: the engine that died wakes for a beat after its successor
    has written. `live_survives`: the live store is a process of its own (the cluster)."""

    crashes: dict[int, tuple[str, int]] = field(default_factory=dict)
    outages: dict[int, str] = field(default_factory=dict)
    zombies: frozenset[int] = frozenset()
    gateway_crashes: frozenset[int] = frozenset()
    live_survives: bool = True
    commands: frozenset[int] = frozenset()


@dataclass
class Told:
    """What a run has shown (a digest of every frame, by wall) and kept (all rows of all tables)."""

    frames: list[str]
    tables: dict[str, list[tuple[Any, ...]]]
    crashed: int


def beats_of(world: World) -> list[int]:
    """When the beats are, ms UTC: close together and far apart, and at the end time passes."""
    draw = Random(world.seed * 17 + 3)
    times = [NOON + 1_000]
    while times[-1] < world.ended_at + 2_000:
        is_quiet = NOON + SPAN_MS + 30_000 < times[-1] < NOON + STRAGGLERS_MS
        steps = (300_000, 600_000) if is_quiet else (500, 500, 1_000, 1_000, 2_000, 5_000, 15_000, 45_000)
        times.append(times[-1] + draw.choice(steps))
    return times + [times[-1] + hours * HOUR + 1_000 for hours in (0, 1, 2, 3, 5, 8)]


# --- the database, and how it fails for real ---


@cache
def _stores() -> tuple[SqlStore, SqlStore]:
    """An empty database with all tables, and the one that runs use in turn: its statements are compiled once."""
    empty, used = SqlStore("sqlite://"), SqlStore("sqlite://")
    empty.migrate()
    return empty, used


def emptied_store() -> SqlStore:
    """The database in memory, empty again."""
    empty, used = _stores()
    with used.engine.connect() as target, empty.engine.connect() as source:
        source.connection.driver_connection.backup(target.connection.driver_connection)  # type: ignore[union-attr]
    return used


FAILURES = {"read only": "PRAGMA query_only = ON", "full": "PRAGMA max_page_count = 1"}
MENDED = ("PRAGMA query_only = OFF", "PRAGMA max_page_count = 1073741823")


def tell_database(store: SqlStore, *pragmas: str) -> None:
    with store.engine.connect() as connection:
        for pragma in pragmas:
            connection.exec_driver_sql(pragma)


def rows_of(store: SqlStore) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, sorted."""
    with store.engine.connect() as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for name, table in sorted(SQLModel.metadata.tables.items())
        }


def is_written(store: SqlStore, now: int) -> bool:
    """Whether everything has a checkpoint of this beat."""
    table = SQLModel.metadata.tables["checkpoint"]
    with store.engine.connect() as connection:
        return all(at == now for (at,) in connection.execute(sa.select(table.c.at)))


# --- those who look on ---


class Gateway:
    """What `control_center.live_mirror.Mirror` does on a tick, and the feed of one wall with room for a few alerts."""

    def __init__(self, name: str) -> None:
        self.state = SyncState()
        keys = frozenset(f"k:{kpi}@{place().code}" for kpi in made().kpis)
        self.feed = Feed(View(keys, alerts_max=6, gateway=name), {"wall": "w"})

    async def look(self, live: MemoryLive) -> None:
        delta = await live.since(self.state.epoch, self.state.sequence)
        self.state.fold(delta)
        self.feed.view.follow(delta)
        self.feed.forget()


class Wall:
    """A page: it folds the frames it is owed, and proves now and then that it holds what the gateway holds."""

    def __init__(self) -> None:
        self.epoch, self.sequence = "", 0
        self.held: dict[str, Any] = {}
        self.digest = hashlib.blake2b()

    def read(self, feed: Feed, now: int, is_proof_due: bool) -> None:
        frames, self.epoch, self.sequence = feed.owed(self.epoch, self.sequence, now)
        for frame in (*frames, feed.proof()) if is_proof_due else frames:
            self.digest.update(frame.encode() + b"\n")
            self._take(json.loads(frame))
        fresh = {key: json.loads(value) for key, value in feed.view.state.items()}
        assert self.held == fresh, "what was folded is not what a newcomer would get"

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["t"] == "meta":
            self.held = {}
        elif frame["t"] == "d":
            self.held = {key: value for key, value in (self.held | frame["d"]).items() if value is not None}
        else:
            parts = [key_hash(key, json.dumps(value).encode()) for key, value in self.held.items()]
            assert (frame["n"], frame["h"]) == (len(parts), state_hash(iter(parts))), "the proof does not hold"


# --- a run ---


class AtOnce(ThreadPoolExecutor):
    """Does what is given to a thread right here: a run must not hang on how threads take turns."""

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> "Future[Any]":
        done: Future[Any] = Future()
        try:
            done.set_result(work(*given, **named))
        except Exception as error:
            done.set_exception(error)
        return done


class Centre:
    """One run of a world under a plan."""

    def __init__(self, world: World, plan: Plan, store: SqlStore) -> None:
        self.world, self.plan, self.store = world, plan, store
        self.now = NOON
        self.engine: Engine | None = None
        self.zombie: Engine | None = None
        self.live = MemoryLive("thoi-dai-0")
        self._gateways_begun = 0
        self.gateways = [self._gateway(), self._gateway()]
        self.walls = [Wall() for _ in range(3)]
        self.crashed = 0
        self._back_at = 0
        self._due: tuple[str, int] | None = None
        self._draw = Random(world.seed)

    def _gateway(self) -> Gateway:
        self._gateways_begun += 1
        return Gateway(f"cong-{self._gateways_begun}")

    async def start(self) -> None:
        """A new engine takes over from the database."""
        if not self.plan.live_survives and self.crashed:
            self.live = MemoryLive(f"thoi-dai-{self.crashed}")
            self.gateways = [self._gateway(), self._gateway()]

        async def send_report(report: Report) -> None:
            await engine.report(report)

        engine = Engine(made(), self.store, self.live, lambda: self.now, send_report, self._received)
        self.engine = engine
        for partition in range(self.world.journal.partitions):
            await engine.own(partition)
        await engine.own_roll_up()
        for command in self.store.waiting_commands():
            engine.order(command)

    def _received(self) -> dict[int, int]:
        return self.world.journal.numbered_by(self.now)

    async def beat(self, index: int, now: int) -> None:
        """One beat of the world: what fails fails, the engine beats if it lives, and everyone looks."""
        self.now = now
        crash = self.plan.crashes.get(index)
        self._due = crash if crash is not None else self._due
        if self.engine is None and index >= self._back_at:
            await self.start()
        unwritten = self._due is not None and self._due[0] == "unwritten"
        failure = "read only" if unwritten else self.plan.outages.get(index, "")
        tell_database(self.store, *([FAILURES[failure]] if failure else MENDED))
        if self.engine is not None:
            await self._beat_engine(index, now)
        await self._beat_zombie(index, now)
        tell_database(self.store, *MENDED)
        await self._look_on(index, now)
        if self._due is not None and self.engine is not None and self._may_die(now):
            self._crash(index)

    def _may_die(self, now: int) -> bool:
        assert self._due is not None
        return self._due[0] != "written" or is_written(self.store, now)

    async def _beat_engine(self, index: int, now: int) -> None:
        engine = self.engine
        assert engine is not None
        if index in self.plan.commands:
            self._order(engine, index, now)
        for partition in range(self.world.journal.partitions):
            for record in self.world.journal.since(partition, engine.offset(partition), now):
                await engine.observe(record)
        await engine.beat(now)
        self._check_ledger()

    async def _beat_zombie(self, index: int, now: int) -> None:
        """The engine that was thought dead wakes once more, after its successor has written."""
        if self.zombie is not None and index in self.plan.zombies and self.engine and is_written(self.store, now):
            before = rows_of(self.store)
            await self.zombie.beat(now)
            assert rows_of(self.store) == before, "a worker that had lost its partitions wrote"
            self.zombie = None

    def _order(self, engine: Engine, index: int, now: int) -> None:
        """Somebody acknowledges the alert at the top of the wall."""
        alerts = sorted(key[2:] for key in self.walls[0].held if key.startswith("a:"))
        if alerts:
            command = Command(f"lenh-{index}", now, "truc-ban", "acknowledge", alerts[index % len(alerts)])
            try:
                self.store.record_command(command)
            except Unavailable:
                return  # that person is told; nothing was ordered
            engine.order(command)

    def _check_ledger(self) -> None:
        state = self.live._state
        for key, value in state.items("l:"):
            told = json.loads(value)
            settled = sum(told[name] for name in ("accepted", "duplicate", "too_late", "rejected"))
            assert told["received"] == settled + told["in_flight"], f"{key}: {told}"
            assert told["in_flight"] >= told["unwritten"] >= 0

    async def _look_on(self, index: int, now: int) -> None:
        if index in self.plan.gateway_crashes:
            self.gateways[index % 2] = self._gateway()
        draw = self._draw
        for gateway in self.gateways:
            if not gateway.state.epoch or draw.random() < 0.8:
                await gateway.look(self.live)
        for wall in self.walls:
            feed = self.gateways[draw.random() < 0.3].feed
            if draw.random() < 0.7:
                wall.read(feed, now, is_proof_due=draw.random() < 0.2)

    def _crash(self, index: int) -> None:
        assert self._due is not None
        self._back_at = index + 1 + self._due[1]
        self.zombie, self.engine, self._due = self.engine, None, None
        self.crashed += 1


def play(world: World, plan: Plan) -> Told:
    """The whole story of a world under a plan, from nothing to the last beat."""
    return asyncio.run(_play(world, plan))


async def _play(world: World, plan: Plan) -> Told:
    asyncio.get_running_loop().set_default_executor(AtOnce(1))
    store = emptied_store()
    centre = Centre(world, plan, store)
    await centre.start()
    for index, now in enumerate(beats_of(world)):
        await centre.beat(index, now)
    for gateway in centre.gateways:
        await gateway.look(centre.live)
    for wall in centre.walls:
        wall.read(centre.gateways[0].feed, centre.now, is_proof_due=True)
    return Told([wall.digest.hexdigest() for wall in centre.walls], rows_of(store), centre.crashed)


def column(told: Told, table: str, *names: str) -> Iterator[tuple[Any, ...]]:
    """Some columns of a table's rows."""
    columns = list(SQLModel.metadata.tables[table].c.keys())
    places = [columns.index(name) for name in names]
    for row in told.tables[table]:
        yield tuple(row[place] for place in places)
