"""Many plain packs at once: what is decoded as columns is what `senml.decode` says, message by message."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.decoders import senml
from sensors.decoders.packs import CHUNK, PackDecoder
from sensors.errors import MessageRejected
from sensors.payloads import Payloads
from sensors.toml_definitions import load_kinds

KIND = load_kinds()["traffic"]
NOW = 1_790_000_000_000
DECODER = PackDecoder(KIND)
NAMES = list(KIND.quantities)


def decoded(payloads: list[bytes]) -> list[list[tuple[str, int, float]] | None]:
    """For each message its readings, or None where it is left to `senml.decode`."""
    packs = DECODER.decode(Payloads.of(payloads), np.full(len(payloads), NOW, np.int64))
    found: list[list[tuple[str, int, float]] | None] = [[] if plain else None for plain in packs.is_plain.tolist()]
    for message, quantity, time, value in zip(*(column.tolist() for column in packs[2:]), strict=True):
        told = found[message]
        assert told is not None
        told.append((NAMES[quantity], time, value))
    return found


def assert_equal_to_the_slow_way(payloads: list[bytes]) -> int:
    """How many were plain."""
    packs = DECODER.decode(Payloads.of(payloads), np.full(len(payloads), NOW, np.int64))
    for payload, told, number in zip(payloads, decoded(payloads), packs.number.tolist(), strict=True):
        if told is not None:
            pack = senml.decode(payload, NOW, KIND)
            assert [tuple(reading) for reading in pack.readings] == told
            assert (pack.bad, pack.status, pack.is_timed) == ([], "measuring", True)
            assert pack.sequence == (None if number < 0 else number)
    return sum(told is not None for told in decoded(payloads))


def pack(**more: object) -> bytes:
    return json.dumps([{"n": "speed", "u": "km/h", "t": NOW / 1000, "v": 40.5, **more}]).encode()


def test_ordinary_messages_are_plain() -> None:
    several = [{"bt": NOW / 1000, "seq": 9, "n": "flow", "v": 100}, {"n": "speed", "u": "m/s", "v": 10.1, "t": -5}]
    payloads = [pack(), pack(seq=7), json.dumps(several).encode(), pack(u=""), pack(bn="urn:dev:1:")]
    assert assert_equal_to_the_slow_way(payloads) == len(payloads)


def test_what_is_out_of_the_ordinary_is_left_to_the_slow_way() -> None:
    strange = [
        b"", b"[]", b"{}", b"[{}]", b"[", pack(n="status", vs="calibrating"), pack(t=0), pack(v=None), pack(v=9_999),
        pack(u="furlong"), pack(n="unknown"), pack(t=NOW / 1000 + 500), pack(t=3e8), pack(bu="m/s"), pack(seq=-1),
        pack(seq=2**70), pack(bver=11), pack(mystery_=1), pack() + b"\n", b" " + pack(), pack() + pack(),
    ]  # fmt: skip
    for payload in strange:
        assert decoded([payload]) == [None], payload


def test_no_message_lends_its_neighbour_a_half_or_passes_as_two() -> None:
    whole = pack()
    first, second = b'[{"n":"speed","t":1790000000,"v":1}', b',{"n":"speed","t":1790000000,"v":2}]'
    for payloads in (
        [first, second, whole + b" " + whole, whole], [whole + b"," + whole, first, second, whole],
        [whole, b'[{"n":"speed","vd":"]', b'["}]', whole], [whole + b"\n" + whole, first, second],
    ):  # fmt: skip
        for payload, told in zip(payloads, decoded(payloads), strict=True):
            assert told is None or payload == whole


def test_a_broken_message_sends_only_its_own_chunk_the_slow_way() -> None:
    # With an exponent, so that no stencil reads them.
    payloads = [pack(seq=number).replace(b"40.5", b"4e1") for number in range(3 * CHUNK)]
    payloads[CHUNK + 3] = b"{broken"
    plain = [told is not None for told in decoded(payloads)]
    assert plain == [True] * CHUNK + [False] * CHUNK + [True] * CHUNK


fields = st.fixed_dictionaries(
    {},
    optional={
        "n": st.sampled_from([*NAMES, "status", "", "noise"]),
        "u": st.sampled_from(["km/h", "m/s", "{veh}/min", "", "x"]),
        "v": st.one_of(st.floats(-10, 300), st.integers(-5, 30_000), st.none()),
        "t": st.one_of(st.just(NOW / 1000), st.floats(-1e6, 2e9), st.integers(0, 2_000_000_000)),
        "bt": st.one_of(st.just(NOW / 1000), st.integers(0, 2_000_000_000)), "bn": st.sampled_from(["", "a:", "speed"]),
        "seq": st.integers(-2, 2**65), "bu": st.sampled_from(["", "m/s"]), "vs": st.just("fault"), "bv": st.just(1.0),
    },
)  # fmt: skip


packs = st.lists(fields, max_size=4).map(lambda records: json.dumps(records).encode())


@given(st.lists(st.one_of(packs, st.binary(max_size=9))))
def test_whatever_is_plain_says_the_same_both_ways(payloads: list[bytes]) -> None:
    assert_equal_to_the_slow_way(payloads)


def test_a_rejected_message_keeps_its_own_number() -> None:
    with pytest.raises(MessageRejected) as rejected:
        senml.decode(pack(v=9_999, seq=12), NOW, KIND)
    assert rejected.value.sequence == 12
