"""One contract for both live stores: the embedded shape's memory, and a real Redis of the cluster."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import RedisServer

from sensors.errors import SettingsError, Unavailable
from streams.live import Delta, LiveStore
from streams.memory_live import MemoryLive
from streams.redis_live import RedisLive

pytestmark = pytest.mark.anyio

Open = Callable[[], LiveStore]
"""Opens a handle on the test's store: in memory always the same one, on Redis a new connection."""


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.long)])
async def open_store(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    opened: list[LiveStore] = []
    if request.param == "memory":
        memory = MemoryLive("epoch-1")
        opened.append(memory)
        yield lambda: memory
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        prefix = f"{{test:{request.node.name}}}"

        def connect() -> LiveStore:
            opened.append(RedisLive(server.url, prefix))
            return opened[-1]

        yield connect
    for store in opened:
        await store.close()


def folded(held: dict[str, bytes], delta: Delta) -> dict[str, bytes]:
    merged: dict[str, bytes | None] = {**({} if delta.is_full else held), **delta.changes}
    return {key: value for key, value in merged.items() if value is not None}


async def test_a_newcomer_gets_everything_and_then_what_changed(open_store: Open) -> None:
    store = open_store()
    sequence = await store.publish({"k:pm25@22": b'{"v":31.9}', "s:silent": b"{}"})
    first = await store.since("", 0)
    assert first.is_full
    assert first.changes == {"k:pm25@22": b'{"v":31.9}', "s:silent": b"{}"}
    assert first.sequence == sequence
    await store.publish({"k:pm25@22": b'{"v":32.4}', "s:silent": b"{}"})
    second = await store.since(first.epoch, first.sequence)
    assert second == Delta(first.epoch, sequence + 1, False, {"k:pm25@22": b'{"v":32.4}'})


async def test_unchanged_bytes_are_no_change(open_store: Open) -> None:
    store = open_store()
    sequence = await store.publish({"x": b"1"})
    assert await store.publish({"x": b"1"}) == sequence
    assert await store.publish({"never there": None}) == sequence
    assert await store.publish({}) == sequence


async def test_a_deletion_leaves_a_tombstone_until_the_key_comes_back(open_store: Open) -> None:
    store = open_store()
    await store.publish({"a:1": b"{}"})
    had = await store.since("", 0)
    await store.publish({"a:1": None})
    gone = await store.since(had.epoch, had.sequence)
    assert gone.changes == {"a:1": None}
    await store.publish({"a:1": b"{}"})
    assert (await store.since(gone.epoch, gone.sequence)).changes == {"a:1": b"{}"}
    assert (await store.since("", 0)).changes == {"a:1": b"{}"}


async def test_a_reader_older_than_two_hundred_tombstones_starts_again(open_store: Open) -> None:
    store = open_store()
    sequence = await store.publish({f"a:{number}": b"{}" for number in range(210)})
    had = await store.since("", 0)
    for number in range(205):
        sequence = await store.publish({f"a:{number}": None})
    old = await store.since(had.epoch, had.sequence)
    assert (old.is_full, old.sequence) == (True, sequence)
    assert sorted(old.changes) == [f"a:{number}" for number in range(205, 210)]
    recent = await store.since(had.epoch, sequence - 1)
    assert recent == Delta(had.epoch, sequence, False, {"a:204": None})


async def test_another_epoch_or_a_sequence_of_the_future_is_answered_in_full(open_store: Open) -> None:
    store = open_store()
    sequence = await store.publish({"x": b"1"})
    epoch = (await store.since("", 0)).epoch
    assert (await store.since("another", sequence)).is_full
    assert (await store.since(epoch, sequence + 1)).is_full
    assert not (await store.since(epoch, sequence)).is_full


async def test_two_readers_at_their_own_pace_hold_the_same(open_store: Open) -> None:
    writer, often, seldom = open_store(), open_store(), open_store()
    held: dict[str, bytes] = {}
    epoch, sequence = "", 0
    for number in range(20):
        await writer.publish({f"k:{number % 7}": str(number).encode(), f"k:{(number + 3) % 7}": None})
        delta = await often.since(epoch, sequence)
        held, epoch, sequence = folded(held, delta), delta.epoch, delta.sequence
    assert folded({}, await seldom.since("", 0)) == held


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    beats=st.lists(
        st.dictionaries(st.sampled_from("abcdef"), st.none() | st.sampled_from([b"1", b"2"]), max_size=4), max_size=12
    )
)
async def test_deltas_folded_from_any_point_equal_a_fresh_snapshot(
    open_store: Open, beats: list[dict[str, bytes | None]]
) -> None:
    store = open_store()
    points = []
    for beat in beats:
        before = await store.since("", 0)
        points.append((before.epoch, before.sequence, folded({}, before)))
        await store.publish(beat)
    fresh = folded({}, await store.since("", 0))
    for epoch, sequence, held in points:
        assert folded(held, await store.since(epoch, sequence)) == fresh


async def test_a_change_wakes_who_waits_for_it(open_store: Open) -> None:
    reader, writer = open_store(), open_store()
    sequence = await writer.publish({"x": b"1"})
    assert not await reader.changed(sequence, 0.01)
    waiting = asyncio.create_task(reader.changed(sequence, 30))
    await asyncio.sleep(0)
    await writer.publish({"x": b"2"})
    assert await waiting
    assert await reader.changed(sequence, 30)


async def test_a_call_is_heard_by_who_waits_and_by_who_comes_later_once(open_store: Open) -> None:
    worker, gateway = open_store(), open_store()
    await worker.called(0.01)
    await gateway.call()
    assert await worker.called(30)
    assert not await worker.called(0.01)
    waiting = asyncio.create_task(worker.called(30))
    await asyncio.gather(waiting, gateway.call())
    assert waiting.result()


async def test_a_closed_store_in_memory_is_unavailable() -> None:
    store = MemoryLive("epoch-1")
    waiting = asyncio.create_task(store.changed(0, 30))
    await asyncio.sleep(0)
    await store.close()
    with pytest.raises(Unavailable):
        await waiting
    with pytest.raises(Unavailable):
        await store.publish({"x": b"1"})


@pytest.mark.long
async def test_redis_down_is_unavailable_and_redis_back_numbers_anew(redis_server: RedisServer) -> None:
    """A server that comes back has another run id; readers of the old epoch start again in full."""
    store = RedisLive(redis_server.url, "{test:down}")
    try:
        await store.publish({"x": b"1"})
        before = await store.since("", 0)
        waiting = asyncio.create_task(store.changed(before.sequence, 30))
        await asyncio.to_thread(redis_server.stop)
        with pytest.raises(Unavailable):
            await store.publish({"x": b"2"})
        with pytest.raises(Unavailable):
            await waiting
        with pytest.raises(Unavailable):
            await store.called(0.01)
        await asyncio.to_thread(redis_server.start)
        await store.publish({"x": b"3"})
        after = await store.since(before.epoch, before.sequence)
        assert after.is_full
        assert after.epoch != before.epoch
        assert after.changes == {"x": b"3"}
        assert await store.changed(0, 30)
    finally:
        await store.close()


@pytest.mark.long
async def test_a_writer_learns_once_that_redis_has_lost_what_it_was_told(redis_server: RedisServer) -> None:
    store = RedisLive(redis_server.url, "{test:renewed}")
    await store.publish({"k:a@22": b"1"})
    await store.publish({"k:a@22": b"2"})
    assert not store.renewed()
    redis_server.kill()
    redis_server.start()
    with pytest.raises(Unavailable):
        await store.publish({"k:b@22": b"1"})
    await store.publish({"k:b@22": b"1"})
    assert store.renewed()
    assert not store.renewed()
    assert (await store.since("", 0)).changes == {"k:b@22": b"1"}
    await store.close()


@pytest.mark.parametrize("url", ["blah", "http://:secret@host", "redis://:secret@host:port"])
def test_what_is_no_url_of_redis_is_refused_with_the_options_name(url: str) -> None:
    with pytest.raises(SettingsError, match="--redis: ") as error:
        RedisLive(url)
    assert "secret" not in str(error.value)
