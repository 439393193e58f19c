"""The whole centre in virtual time, by a seed: what holds whatever dies, and whenever.

A failing seed is in the test's name: `IOC_SEED=1017 pytest tests/test_whole_system.py` plays it alone (or several, with
commas), in every test.
"""

import os
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import zip_longest
from random import Random

import msgspec
import pytest
from small_world import NOON
from sqlmodel import SQLModel
from virtual_centre import Plan, Told, beats_of, column, play
from virtual_city import KINDS, STRAGGLERS_MS, World, world

from sensors.decoders import cloudevents, senml
from sensors.errors import MessageRejected
from sensors.reading import Pack
from sensors.topic import parse, partition_of

PARTITIONS = 2
GIVEN = [int(seed) for seed in os.environ.get("IOC_SEED", "").split(",") if seed]
FOUND = (5_011, 5_016, 5_022, 5_026, 5_110, 5_140, 5_155, 5_182)
"""Seeds that have found something once."""


def seeds(few: int, many: int) -> list[object]:
    """The quick suite plays a few, the long suite many more, and IOC_SEED those it names."""
    if GIVEN:
        return list(GIVEN)
    long = (*FOUND, *range(1_000, 1_000 + many))
    return [*range(few), *(pytest.param(seed, marks=pytest.mark.long) for seed in long)]


@cache
def known_world(seed: int, partitions: int = PARTITIONS) -> World:
    return world(seed, partitions)


@cache
def undisturbed(seed: int) -> Told:
    """What a run shows and keeps when nothing dies; people give their commands all the same."""
    return play(known_world(seed), Plan(commands=commands(seed)))


@pytest.fixture(scope="module", autouse=True)
def _forgotten() -> Iterator[None]:
    """A gigabyte of worlds and of what they came to: tests of other files in this process must not carry it along."""
    yield
    known_world.cache_clear()
    undisturbed.cache_clear()


def commands(seed: int) -> frozenset[int]:
    beats = len(beats_of(known_world(seed)))
    return frozenset(Random(seed + 1).sample(range(beats), beats // 10))


def some_beats(draw: Random, seed: int, count: int) -> list[int]:
    return sorted(draw.sample(range(1, len(beats_of(known_world(seed))) - 6), count))


def dead_when_written(seed: int) -> Plan:
    """The engine dies a few times right after a checkpoint of everything, and is back for the next beat; once it does
    so after a long silence, before the stragglers come."""
    draw = Random(seed + 2)
    times = beats_of(known_world(seed))
    silent = max(index for index, at in enumerate(times) if at < NOON + STRAGGLERS_MS)
    dying = [*some_beats(draw, seed, 4), silent]
    return Plan(crashes=dict.fromkeys(dying, ("written", 0)), commands=commands(seed))


def everything_fails(seed: int) -> Plan:
    """Engine and gateways die at any moment and stay away for a while, the database is read-only or full, the live
    store dies with the engine or does not, and dead engines wake again."""
    draw = Random(seed + 3)
    beats = range(len(beats_of(known_world(seed))))
    crashes = {
        beat: (draw.choice(("now", "unwritten", "written")), draw.randrange(3)) for beat in some_beats(draw, seed, 5)
    }
    outages = {
        beat: how
        for begin in some_beats(draw, seed, 3)
        for how in [draw.choice(("read only", "full"))]
        for beat in range(begin, begin + draw.randrange(1, 5))
    }
    return Plan(
        crashes=crashes,
        outages=outages,
        zombies=frozenset(beats),
        gateway_crashes=frozenset(draw.sample(beats, 6)),
        live_survives=draw.random() < 0.5,
        commands=commands(seed),
    )


# --- what must hold ---


@pytest.mark.parametrize("seed", seeds(1, 92))
def test_the_same_seed_shows_the_same_frames_and_keeps_the_same_rows(seed: int) -> None:
    again = play(world(seed, PARTITIONS), Plan(commands=commands(seed)))
    assert again == undisturbed(seed)


@pytest.mark.parametrize("seed", seeds(4, 92))
def test_an_engine_that_died_goes_on_to_the_byte_from_its_last_checkpoint(seed: int) -> None:
    disturbed = play(known_world(seed), dead_when_written(seed))
    straight = undisturbed(seed)
    assert disturbed.crashed > 0
    for name, rows in straight.tables.items():
        found = disturbed.tables[name]
        assert_same_rows(name, *((without_begins(found), without_begins(rows)) if name == "beat" else (found, rows)))
    assert disturbed.frames == straight.frames


@pytest.mark.parametrize("seed", seeds(4, 192))
def test_whatever_dies_and_whenever_the_figures_and_the_ledger_come_out_the_same(seed: int) -> None:
    disturbed, straight = play(known_world(seed), everything_fails(seed)), undisturbed(seed)
    assert disturbed.crashed > 0
    assert figures(disturbed) == figures(straight)
    assert totals(disturbed) == totals(straight)
    for table in ("ledger", "rejection", "rejection_reason", "source", "source_block"):
        assert_same_rows(table, disturbed.tables[table], straight.tables[table])


@pytest.mark.parametrize("seed", seeds(1, 92))
def test_shares_of_partitions_merged_equal_the_whole(seed: int) -> None:
    alone, shared = play(world(seed, 1), Plan()), undisturbed(seed)
    assert figures(shared) == figures(alone)
    assert totals(shared) == totals(alone)


@pytest.mark.parametrize("seed", seeds(1, 12))
def test_shares_of_more_partitions_merged_equal_those_of_fewer(seed: int) -> None:
    shared, fewer = play(world(seed, 3), Plan()), undisturbed(seed)
    assert figures(shared) == figures(fewer)
    assert totals(shared) == totals(fewer)


@pytest.mark.parametrize("seed", seeds(4, 92))
def test_every_message_that_was_acknowledged_has_one_outcome_and_the_right_one(seed: int) -> None:
    told = undisturbed(seed)
    rejections = column(told, "rejection", "reason", "partition", "ordinal")
    late = {(partition, ordinal) for reason, partition, ordinal in rejections if reason == "too_late"}
    expected = Counter(outcomes(known_world(seed), late))
    assert totals(told) == {
        "received": len(known_world(seed).journal.journaled), "accepted": expected["accepted"],
        "duplicate": expected["duplicate"], "too_late": len(late), "rejected": expected["rejected"],
    }  # fmt: skip
    assert min(expected["accepted"], expected["duplicate"], expected["rejected"]) > 0


# --- what to compare ---


def without_begins(rows: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """Rows of beats, but for the mark of the first one after a start."""
    return [(*row[:-1], [mark[:5] for mark in msgspec.msgpack.decode(row[-1])]) for row in rows]  # type: ignore[arg-type]


def assert_same_rows(table: str, rows: list[tuple[object, ...]], expected: list[tuple[object, ...]]) -> None:
    """Names the first rows that differ: packed state is long, and the whole of it says nothing to a reader."""
    differing = [(one, other) for one, other in zip_longest(rows, expected) if one != other]
    said = [f"{one!r:.300}\n  instead of\n{other!r:.300}" for one, other in differing[:3]]
    assert not said, f"table {table}: {len(differing)} rows differ, first\n" + "\n".join(said)


def figures(told: Told) -> dict[tuple[str, str, int], tuple[object, ...]]:
    """Of every closed window: value, count, sources, age."""
    rows = column(told, "value", "kpi", "scope", "end", "value", "n", "sources", "as_of")
    return {row[:3]: row[3:] for row in rows}


def totals(told: Told) -> dict[str, int]:
    """The counts of all partitions."""
    names = ("received", "accepted", "duplicate", "too_late", "rejected")
    rows = [row[1:] for row in column(told, "checkpoint", "partition", *names) if row[0] >= 0]
    return dict(zip(names, (sum(counts) for counts in zip(*rows, strict=True)), strict=True))


def outcomes(of: World, late: set[tuple[int, int]]) -> Iterator[str]:
    """What must become of each journaled message, said the plain way; those that were too late are only checked for
    whether they may be."""
    known: set[object] = set()
    ordinals: Counter[int] = Counter()
    for sent, is_again in of.journal.journaled:
        partition = partition_of(sent.topic, of.journal.partitions)
        place = (partition, ordinals[partition])
        ordinals[partition] += 1
        if place in late:
            assert sent.topic.endswith("nam-2000"), f"{sent.topic} may not be too late"
            continue
        identity = identity_of(sent.topic, sent.payload, sent.number)
        if identity is None:
            yield "rejected"
        elif identity in known and (is_again or identity[0] != "untimed"):
            yield "duplicate"
        else:
            yield "accepted"
        known.add(identity)


def identity_of(topic: str, payload: bytes, number: int) -> tuple[object, ...] | None:
    """What makes a message the same one told again; None for one that cannot be used."""
    try:
        unit, kind, _, is_status = parse(topic)
        if unit == "99999":
            return None
        if is_status:
            return ("status", number, object()) if payload in (b"online", b"offline") else None
        decode = senml.decode if KINDS[kind].format == "senml" else cloudevents.decode
        decoded = decode(payload, 2_000_000_000_000, KINDS[kind])
    except MessageRejected:
        return None
    if not isinstance(decoded, Pack):
        return ("event", decoded.source, decoded.id)
    return ("timed", topic, payload) if decoded.is_timed else ("untimed", topic, payload)


def test_every_table_is_compared() -> None:
    assert set(undisturbed(0).tables) == set(SQLModel.metadata.tables)
