"""The ordered state behind every live store: what a client is owed, tombstones, and the state hash."""

import json
import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.live import Delta
from streams.sync import SyncState, canonical, key_hash, state_hash

KEYS = st.sampled_from([f"k:{name}@22" for name in "abcdef"])
BEATS = st.lists(st.dictionaries(KEYS, st.none() | st.sampled_from([b"1", b"2", b"3"]), max_size=4), max_size=30)


def folded(held: dict[str, bytes], delta: Delta) -> dict[str, bytes]:
    """What a client holds after a delta: the whole of a client's duty."""
    merged: dict[str, bytes | None] = {**({} if delta.is_full else held), **delta.changes}
    return {key: value for key, value in merged.items() if value is not None}


@given(beats=BEATS, tombstones_max=st.integers(0, 4))
def test_deltas_folded_from_any_point_equal_a_fresh_snapshot(
    beats: list[dict[str, bytes | None]], tombstones_max: int
) -> None:
    state = SyncState("e", tombstones_max)
    clients: list[tuple[int, dict[str, bytes]]] = []
    for beat in beats:
        clients.append((state.sequence, dict(state.items())))
        state.publish(beat)
    fresh = dict(state.items())
    for sequence, held in clients:
        assert folded(held, state.since("e", sequence)) == fresh


@given(beats=BEATS, steps=st.lists(st.integers(0, 30), max_size=6))
def test_a_client_may_move_between_followers_that_fold_at_different_times(
    beats: list[dict[str, bytes | None]], steps: list[int]
) -> None:
    """Two gateways follow one store at their own pace; a client that changes over misses nothing."""
    store = SyncState("e", tombstones_max=2)
    often, seldom = SyncState(tombstones_max=2), SyncState(tombstones_max=2)
    held: dict[str, bytes] = {}
    sequence, epoch = 0, ""
    for number, beat in enumerate(beats):
        store.publish(beat)
        often.fold(store.since(often.epoch, often.sequence))
        if number in steps:
            seldom.fold(store.since(seldom.epoch, seldom.sequence))
        delta = (often if number % 2 else seldom).since(epoch, sequence)
        held, epoch, sequence = folded(held, delta), delta.epoch, delta.sequence
    delta = often.since(epoch, sequence)
    assert folded(held, delta) == dict(often.items())


def test_a_key_that_was_gone_and_is_back_as_it_was_reaches_a_client_that_saw_it_gone_elsewhere() -> None:
    store, often, seldom = SyncState("e"), SyncState(), SyncState()
    for beat in ({"x": b"1"}, {"x": None}, {"x": b"1"}):
        store.publish(beat)
        often.fold(store.since(often.epoch, often.sequence))
        if store.sequence != 2:
            seldom.fold(store.since(seldom.epoch, seldom.sequence))
    assert seldom.since("e", 2).changes == often.since("e", 2).changes == {"x": b"1"}


def test_bytes_a_key_already_has_are_no_change() -> None:
    state = SyncState("e")
    assert state.publish({"k": b"1"}) == 1
    assert state.publish({"k": b"1", "never": None}) == 1
    assert state.since("e", 1).changes == {}


def test_a_delta_has_only_what_changed_in_order_of_change() -> None:
    state = SyncState("e")
    for key in ("x", "y", "z", "x"):
        state.publish({key: str(state.sequence).encode()})
    assert state.since("e", 1) == Delta("e", 4, False, {"y": b"1", "z": b"2", "x": b"3"})


def test_a_deletion_reaches_a_client_that_had_the_key() -> None:
    state = SyncState("e")
    state.publish({"x": b"1"})
    state.publish({"x": None})
    assert state.since("e", 1).changes == {"x": None}


def test_a_client_older_than_the_tombstones_starts_again_in_full() -> None:
    state = SyncState("e", tombstones_max=2)
    state.publish(dict.fromkeys("abcd", b"1"))
    for key in "abc":
        state.publish({key: None})
    assert state.since("e", 1) == Delta("e", 4, True, {"d": b"1"})
    assert not state.since("e", 2).is_full


def test_a_client_of_another_numbering_or_of_the_future_starts_again_in_full() -> None:
    state = SyncState("e")
    state.publish({"x": b"1"})
    assert state.since("f", 1).is_full
    assert state.since("e", 2).is_full


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("0", "0"), ("-0.0", "0"), ("1.0", "1"), ("-12.50", "-12.5"), ("541", "541"), ("0.1", "0.1"),
        ("1732420000123", "1732420000123"), ("9007199254740993", "9007199254740992"), ("0.000001", "0.000001"),
        ("0.00000123", "0.00000123"), ("1e-7", "1e-7"), ("1.5e-9", "1.5e-9"), ("1e16", "10000000000000000"),
        ("1e20", "100000000000000000000"), ("1e21", "1e+21"), ("1.25e300", "1.25e+300"), ("31.9", "31.9"),
        ("0.30000000000000004", "0.30000000000000004"), ("123456789.123", "123456789.123"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_ecmascript_writes_them(number: str, text: str) -> None:
    """Expected texts are what JSON.stringify(JSON.parse(number)) gives (ECMA-262, Number::toString)."""
    assert canonical(msgspec.json.decode(number)) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    )
)
def test_everything_but_fractions_is_written_as_compact_json(value: object) -> None:
    assert canonical(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def test_the_state_hash_tells_swapped_values_and_ignores_order() -> None:
    one = [key_hash("a", b'{"v":1}'), key_hash("b", b'{"v":2}')]
    swapped = [key_hash("a", b'{"v":2}'), key_hash("b", b'{"v":1}')]
    assert state_hash(iter(one)) == state_hash(reversed(one))
    assert state_hash(iter(one)) != state_hash(iter(swapped))
    assert state_hash(iter([key_hash("x", b"1.0")])) == f"{zlib.crc32(b'x' + bytes(1) + b'1'):08x}"
