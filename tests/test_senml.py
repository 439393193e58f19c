"""SenML packs: the RFC's own examples, and everything that devices get wrong."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.decoders import senml
from sensors.errors import MessageRejected
from sensors.kind import Kind, Quantity
from sensors.reading import Pack, Reading

NOW = 1_790_000_000_000


def kind(**quantities: str) -> Kind:
    made = {name: Quantity(name, name, unit, -1e6, 1e6) for name, unit in quantities.items()}
    return Kind("k", "K", "K", "senml", 60, 600, 5, "so", made)


AIR = Kind(
    "air", "Không khí", "Air", "senml", 300, 7200, 5, "so",
    {"pm25": Quantity("", "", "ug/m3", 0, 2000), "co": Quantity("", "", "ug/m3", 0, 200_000, {"mg/m3": 1000.0})},
)  # fmt: skip


def air(*records: dict[str, object]) -> Pack:
    return senml.decode(json.dumps(records).encode(), NOW, AIR)


def reason(payload: bytes | list[dict[str, object]], of: Kind = AIR) -> str:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    with pytest.raises(MessageRejected) as caught:
        senml.decode(data, NOW, of)
    return caught.value.reason


def test_rfc_5_1_1_a_single_datapoint_without_time_was_measured_at_reception() -> None:
    pack = senml.decode(b'[{"n":"urn:dev:ow:10e2073a01080063:temp","u":"Cel","v":23.1}]', NOW, kind(temp="Cel"))
    assert pack.readings == [Reading("temp", NOW, 23.1)]
    assert not pack.is_timed


def test_rfc_5_1_2_base_name_and_two_quantities() -> None:
    payload = b'[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]'
    pack = senml.decode(payload, NOW, kind(voltage="V", current="A"))
    assert pack.readings == [Reading("voltage", NOW, 120.1), Reading("current", NOW, 1.2)]


def test_rfc_5_1_2_base_time_unit_and_relative_times() -> None:
    payload = (
        b'[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},'
        b'{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","v":1.7}]'
    )
    pack = senml.decode(payload, NOW, kind(voltage="V", current="A"))
    base = 1_276_020_076_001
    assert pack.readings == [
        Reading("voltage", base, 120.1),
        Reading("current", base - 5000, 1.2),
        Reading("current", base - 4000, 1.3),
        Reading("current", base, 1.7),
    ]


def test_rfc_5_1_3_sums_and_base_values() -> None:
    payload = b'[{"bn":"m:","bt":1.276020076e9,"bv":10,"n":"humidity","u":"%RH","v":20},{"n":"energy","u":"J","s":4.5}]'
    pack = senml.decode(payload, NOW, kind(humidity="%RH", energy="J"))
    assert [reading.value for reading in pack.readings] == [30.0, 14.5]


def test_rfc_4_5_3_times_below_two_to_the_28_are_relative_to_reception() -> None:
    assert air({"n": "pm25", "v": 1, "t": -60}).readings == [Reading("pm25", NOW - 60_000, 1.0)]


def test_rfc_4_4_a_field_that_must_be_understood_is_refused() -> None:
    assert reason([{"n": "pm25", "v": 1, "odd_": 2}]) == "bad_version"


def test_a_later_version_is_refused() -> None:
    assert reason([{"bver": 11, "n": "pm25", "v": 1}]) == "bad_version"


def test_units_that_the_kind_accepts_are_converted() -> None:
    assert air({"n": "co", "u": "mg/m3", "v": 1.5}).readings[0].value == 1500.0


def test_the_status_of_a_device_belongs_to_its_whole_pack_and_its_numbering_to_the_message() -> None:
    pack = air({"bn": "urn:x:", "n": "pm25", "v": 1, "seq": 12}, {"n": "status", "vs": "calibrating"})
    assert (pack.status, pack.sequence) == ("calibrating", 12)


def test_a_bad_record_leaves_the_good_ones_of_its_pack() -> None:
    pack = air({"n": "pm25", "v": 1}, {"n": "co", "v": -5}, {"n": "so2", "v": 5}, {"n": "co", "u": "ppm", "v": 1})
    assert [reading.quantity for reading in pack.readings] == ["pm25"]
    assert [bad.reason for bad in pack.bad] == ["implausible", "unknown_quantity", "wrong_unit"]


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"", "bad_payload"),
        (b"{broken", "bad_payload"),
        (b"[]", "bad_payload"),
        (b"{}", "bad_payload"),
        (b"[1]", "bad_payload"),
        (b"\xff\xfe", "bad_payload"),
        (b'[{"n":"pm25","v":NaN}]', "bad_payload"),
        (b'[{"n":"pm25","v":1e999}]', "bad_payload"),
        (b'[{"n":"pm25","v":"12"}]', "bad_payload"),
        (b'[{"n":"pm25"}]', "not_a_number"),
        (b'[{"n":"pm25","vb":true}]', "not_a_number"),
        (b'[{"n":"pm25","v":99999}]', "implausible"),
        (b'[{"n":"pm99","v":1}]', "unknown_quantity"),
        (b'[{"n":"pm25","u":"Cel","v":1}]', "wrong_unit"),
        (b'[{"n":"pm25","v":1,"t":1790000200}]', "in_the_future"),
        (b'[{"n":"pm25","v":1,"t":1e300}]', "in_the_future"),
        (b'[{"n":"pm25","v":1,"t":300000000}]', "clock_not_set"),
        (b'[{"n":"status","vs":"asleep"}]', "bad_payload"),
        (b"[" * 100_000, "too_large"),
        (b"[" * 60_000, "bad_payload"),
        (b'[{"n":' * 9_000, "bad_payload"),
        (b" " * 70_000, "too_large"),
    ],
)
def test_what_cannot_be_used_is_rejected_with_its_reason(payload: bytes, expected: str) -> None:
    assert reason(payload) == expected


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_rejection(payload: bytes) -> None:
    with contextlib.suppress(MessageRejected):
        senml.decode(payload, NOW, AIR)


FIELDS = ["n", "v", "t", "u", "bn", "bt", "vs", "s"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner),
    max_leaves=12,
)


@given(json_values)
def test_no_json_raises_anything_but_a_rejection(value: object) -> None:
    with contextlib.suppress(MessageRejected):
        pack = senml.decode(json.dumps(value).encode(), NOW, AIR)
        assert all(0 <= reading.value <= 200_000 for reading in pack.readings)
