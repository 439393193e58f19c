"""Messages that differ in their digits only: read by hundreds as each is read alone, and nothing else is."""

import json
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sensors.decoders import senml
from sensors.decoders.packs import PackDecoder
from sensors.decoders.stencil import REST_MAX, ROWS_MAX, ROWS_MIN, STENCILS_MAX, Stencil, Stencils
from sensors.errors import MessageRejected
from sensors.payloads import Payloads
from sensors.reading import Pack
from sensors.toml_definitions import load_kinds

KINDS = load_kinds()
NOW = 1_790_000_000_000
NAMES = {"speed": 0, "flow": 1, "pm25": 2, "pm10": 3}
UNITS = {"": 0, "km/h": 1, "ug/m3": 2, "m/s": 3}


def stencils(bytes_max: int = 4_096) -> Stencils:
    return Stencils(NAMES, UNITS, bytes_max)


def one(seconds: float = NOW / 1000, value: float = 40.5, name: str = "speed", **more: object) -> bytes:
    return json.dumps([{"n": name, "u": "km/h", "t": seconds, "v": value, **more}]).encode()


def alone(payload: bytes, kind: str) -> Pack | None:
    try:
        return senml.decode(payload, NOW, KINDS[kind])
    except MessageRejected:
        return None


def assert_each_says_what_it_says_alone(
    payloads: list[bytes], kind: str = "traffic", decoder: PackDecoder | None = None
) -> int:
    """How many were plain."""
    packs = (decoder or PackDecoder(KINDS[kind])).decode(Payloads.of(payloads), np.full(len(payloads), NOW, np.int64))
    names = list(KINDS[kind].quantities)
    told: dict[int, list[tuple[str, int, float]]] = {}
    for message, quantity, time, value in zip(*(column.tolist() for column in packs[2:]), strict=True):
        told.setdefault(message, []).append((names[quantity], time, value))
    assert list(told) == np.flatnonzero(packs.is_plain).tolist()
    for index, readings in told.items():
        pack = alone(payloads[index], kind)
        assert pack is not None, payloads[index]
        assert [tuple(reading) for reading in pack.readings] == readings, payloads[index]
        assert (pack.bad, pack.status, pack.is_timed) == ([], "measuring", True)
        assert pack.sequence == (None if packs.number[index] < 0 else packs.number[index])
    return len(told)


SPELLINGS: dict[str, Callable[[int], bytes]] = {
    "as Python writes": lambda at: one(1.79e9 - at / 8, at % 97 / 4, seq=at),
    "without spaces": lambda at: b'[{"n":"speed","u":"km/h","t":1790000000.%03d,"v":%d.5}]' % (at, at % 90),
    "whole numbers": lambda at: b'[{"n":"speed","t":%d,"v":%d}]' % (1_790_000_000 - at, at % 200),
    "six decimals": lambda at: b'[{"t":%d.%06d,"v":7,"n":"flow"}]' % (1_789_999_999, at),
    "a name before it": lambda at: b'[{"bn":"urn:dev:mac:%06d:","n":"speed","t":1790000000,"v":%d}]' % (at, at % 50),
    "a name in Vietnamese": lambda at: f'[{{"bn":"trạm {at}:","n":"flow","t":1790000000,"v":{at % 9}}}]'.encode(),
    "a base time and several records": lambda at: json.dumps(
        [{"bt": 1.79e9 - at, "n": "speed", "v": at % 90 + 0.5, "seq": at}, {"n": "flow", "v": at % 70, "t": -1.5}]
    ).encode(),
}  # fmt: skip


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_messages_of_one_model_are_read_as_columns_and_say_what_each_says_alone(spell: Callable[[int], bytes]) -> None:
    payloads = [spell(at) for at in range(500)]
    parts, left = stencils().read(Payloads.of(payloads))
    assert [len(part.message) for part in parts] == [500]
    assert len(left) == 0
    assert assert_each_says_what_it_says_alone(payloads) == 500


def test_names_that_differ_in_their_digits_only_are_told_apart() -> None:
    payloads = [
        b'[{"n":"pm%s","u":"ug/m3","t":1790000000,"v":%d}]' % ((b"25", b"10")[at % 2], at % 90) for at in range(900)
    ]
    parts, left = stencils().read(Payloads.of(payloads))
    assert [set(part.told.quantity.tolist()) for part in parts] == [{NAMES["pm25"]}, {NAMES["pm10"]}]
    assert len(left) == 0
    assert assert_each_says_what_it_says_alone(payloads, "air") == 900


def test_what_is_unknown_stays_unknown() -> None:
    parts, _ = stencils().read(Payloads.of([one(name="noise", u="furlong")] * ROWS_MIN))
    assert set(parts[0].told.quantity.tolist()) == set(parts[0].told.unit.tolist()) == {-1}


def test_models_among_each_other_and_broken_messages_between_stay_in_order_of_arrival() -> None:
    decoder, spellings = PackDecoder(KINDS["traffic"]), list(SPELLINGS.values())
    payloads = [spellings[at % len(spellings)](at) for at in range(3_000)]
    payloads[7::100] = [b"{broken"] * 30
    payloads[8::100] = [one(seq=-1)] * 30
    for _ in range(3):
        assert assert_each_says_what_it_says_alone(payloads, decoder=decoder) == 2_940


@pytest.mark.parametrize("count", [1, ROWS_MIN - 1, ROWS_MIN, ROWS_MAX, ROWS_MAX + 1, 2 * ROWS_MAX + ROWS_MIN])
def test_any_number_of_messages_is_decoded(count: int) -> None:
    assert assert_each_says_what_it_says_alone([one(1.79e9 - at, seq=at) for at in range(count)]) == count


NOT_READ = {
    "a zero before a number": b'[{"n":"speed","t":1790000000,"v":07}]',
    "a zero before a number, behind a minus": b'[{"n":"speed","t":1790000000,"v":-07}]',
    "no digit where a number is": b'[{"n":"speed","t":1790000000,"v":}]',
    "more digits than are exact": b'[{"n":"speed","t":1790000000,"v":0.12345678901234567}]',
    "a number of its own beyond its bound": b'[{"n":"speed","t":1790000000,"v":7,"seq":99999999999999999999}]',
    "a field twice": b'[{"n":"speed","n":"flow","t":1790000000,"v":7}]',
    "a field that is not plain": b'[{"n":"speed","t":1790000000,"v":7,"bs":1}]',
    "text that is no UTF-8": b'[{"bn":"\xff","n":"speed","t":1790000000,"v":7}]',
    "an escape": b'[{"bn":"\\u0041","n":"speed","t":1790000000,"v":7}]',
    "a control in a text": b'[{"bn":"\x01","n":"speed","t":1790000000,"v":7}]',
    "a comma too many": b'[{"n":"speed","t":1790000000,"v":7},]',
    "half a message": b'[{"n":"speed","t":1790000000,',
    "an exponent": b'[{"n":"speed","t":1.79e9,"v":7}]',
    "no digits at all": b'[{"n":"speed"}]',
    "nothing": b"",
    "no record": b"[]",
}  # fmt: skip


@pytest.mark.parametrize("payload", NOT_READ.values(), ids=NOT_READ)
def test_what_is_not_plain_json_of_a_common_spelling_is_left_to_others(payload: bytes) -> None:
    sound = [b'[{"n":"speed","t":1790000000,"v":%d}]' % (at % 90) for at in range(ROWS_MIN)]
    for payloads in ([payload] * ROWS_MIN, [*sound, *[payload] * ROWS_MIN], [*sound, payload], [payload, *sound]):
        parts, _ = stencils().read(Payloads.of(payloads))
        assert all(payloads[message] != payload for part in parts for message in part.message.tolist())
        assert_each_says_what_it_says_alone(payloads)


def test_no_message_lends_its_neighbour_a_half_or_passes_as_two() -> None:
    whole = b'[{"n":"speed","t":1790000000,"v":7}]'
    halves = [whole[:20], whole[20:]]
    for strange in ([whole + b"\n" + whole, b""], [whole + b"\n" + whole], halves, [whole[:20] + b"\n" + whole[20:]]):
        payloads = [*[whole] * ROWS_MIN, *strange]
        parts, _ = stencils().read(Payloads.of(payloads))
        assert all(payloads[message] == whole for part in parts for message in part.message.tolist())
        assert_each_says_what_it_says_alone(payloads)


def test_a_message_longer_than_its_kind_allows_is_left_to_others() -> None:
    payloads = [b'[{"bn":"%s","n":"speed","t":1790000000,"v":7}]' % (b"1" * (at % 200 + 1)) for at in range(999)]
    parts, _ = stencils(bytes_max=120).read(Payloads.of(payloads))
    read = {message for part in parts for message in part.message.tolist()}
    assert read == {index for index, payload in enumerate(payloads) if len(payload) <= 120}


def test_devices_that_each_write_in_a_way_of_their_own_are_soon_left_alone() -> None:
    known = stencils()
    payloads = [one(1.79e9, x=chr(ord("a") + at % 26) * (at // 26)) for at in range(ROWS_MIN)]
    sound = [one(1.79e9 - at) for at in range(ROWS_MIN)]
    for _ in range(20):
        assert known.read(Payloads.of(payloads))[0] == []
    tries = next(number for number in range(2 * REST_MAX) if known.read(Payloads.of(sound))[0])
    assert 0 < tries <= REST_MAX
    assert known.read(Payloads.of(sound))[0], "what is read again is tried every time"


def test_a_skeleton_has_few_stencils() -> None:
    known = stencils()
    for number in range(3 * STENCILS_MAX):
        named = [b'[{"n":"n%d","t":1790000000,"v":%d}]' % (number, at) for at in range(ROWS_MIN)]
        known.read(Payloads.of(named))
    assert sum(len(found) for found in known._known.values()) == STENCILS_MAX


def test_a_stencil_is_made_of_plain_packs_only() -> None:
    assert Stencil.of(one(seq=3), NAMES, UNITS) is not None
    for payload in NOT_READ.values():
        made = Stencil.of(payload, NAMES, UNITS)
        skeleton = payload.translate(None, b"0123456789")
        if made is not None:  # its digits, not its form, are at fault
            answer = made.read(payload, 1, len(skeleton), 4_096)
            assert answer is None or not answer[0].any(), payload


digits = st.text("0123456789", min_size=0, max_size=20)
numbers = st.one_of(
    digits, st.tuples(digits, digits).map(".".join), st.integers(0, 300).map(str),
    st.floats(0, 300).map(str), st.integers(1_789_999_000, 1_790_000_100).map(str),
    st.integers(1_789_999_000_000_000, 1_790_000_000_000_000).map(lambda us: f"{us // 10**6}.{us % 10**6:06d}"),
)  # fmt: skip
texts = st.sampled_from(["speed", "flow", "km/h", "m/s", "", "x1", "x2", "đo 3"])
field = st.one_of(
    st.tuples(st.sampled_from(["t", "v", "bt", "seq"]), st.sampled_from(["", "-"]), numbers).map(
        lambda drawn: f'"{drawn[0]}":{drawn[1]}{drawn[2]}'
    ),
    st.tuples(st.sampled_from(["n", "u", "bn"]), texts).map(lambda drawn: f'"{drawn[0]}":"{drawn[1]}"'),
)
known_fields = ['"n":"speed"', '"t":1790000000', '"v":12.5']
record = st.lists(field, max_size=3).map(lambda own: "{" + ",".join([*known_fields, *own]) + "}")
free = st.lists(st.one_of(field, st.sampled_from(known_fields)), max_size=5).map(lambda own: "{" + ",".join(own) + "}")
message = st.lists(st.one_of(record, free), min_size=1, max_size=2).map(lambda own: "[" + ",".join(own) + "]")


def redigited(text: str, chance: random.Random) -> bytes:
    """The same text with other digits, seldom more of them or none."""

    def other(digit: str) -> str:
        if chance.random() < 0.02:
            return chance.choice(["", digit + "0", "0" + digit])
        return chance.choice("0123456789") if chance.random() < 0.3 else digit

    return "".join(other(letter) if letter.isdecimal() else letter for letter in text).encode()


@settings(max_examples=150, deadline=None)
@example(base=['[{"n":"speed","t":1790000000.125,"v":12.5,"seq":7}]'], seed=1)
@given(base=st.lists(message, min_size=1, max_size=3), seed=st.integers(0, 1000))
def test_whatever_digits_stand_in_messages_of_one_form_each_says_what_it_says_alone(base: list[str], seed: int) -> None:
    chance = random.Random(seed)
    payloads = [redigited(base[at % len(base)], chance) for at in range(len(base) * ROWS_MIN)]
    assert_each_says_what_it_says_alone(payloads)
