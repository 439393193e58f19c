"""Events from desks: CloudEvents 1.0 in structured JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.decoders import cloudevents
from sensors.errors import MessageRejected
from sensors.kind import Event, Kind, Quantity

NOW = 1_790_000_000_000
RATING = Kind(
    "rating", "Đánh giá", "Rating", "cloudevents", 0, 3600, 5, "so", {"score": Quantity("", "", "1", 1, 5)},
    {"given": Event("vn.ioc.rating.given", "", "", ["score"])},
)  # fmt: skip
GOOD: dict[str, object] = {
    "specversion": "1.0", "id": "7", "source": "urn:desk:1", "type": "vn.ioc.rating.given",
    "time": "2026-09-21T20:13:20+07:00", "sequence": "41",
    "data": {"score": 5, "field": "dat_dai", "name": "Nguyễn Văn A"},
}  # fmt: skip


def rejected(**changes: object) -> str:
    event = {name: value for name, value in (GOOD | changes).items() if value is not None}
    with pytest.raises(MessageRejected) as caught:
        cloudevents.decode(json.dumps(event).encode(), NOW, RATING)
    return caught.value.reason


def test_a_rating_is_read_and_no_personal_data_passes() -> None:
    event = cloudevents.decode(json.dumps(GOOD).encode(), NOW, RATING)
    assert (event.id, event.source, event.event, event.sequence) == ("7", "urn:desk:1", "given", 41)
    assert event.time == 1_789_996_400_000
    assert event.data == {"score": 5, "field": "dat_dai"}


def test_an_event_without_time_happened_at_reception() -> None:
    event = cloudevents.decode(json.dumps({k: v for k, v in GOOD.items() if k != "time"}).encode(), NOW, RATING)
    assert (event.time, event.is_timed) == (NOW, False)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"id": None}, "bad_payload"),
        ({"id": ""}, "bad_payload"),
        ({"source": None}, "bad_payload"),
        ({"specversion": "0.3"}, "bad_version"),
        ({"type": "vn.ioc.rating.withdrawn"}, "unknown_event"),
        ({"time": "yesterday"}, "bad_payload"),
        ({"time": "2026-09-21T20:13:20"}, "bad_payload"),
        ({"time": "2030-01-01T00:00:00Z"}, "in_the_future"),
        ({"time": "1970-01-01T00:00:00Z"}, "clock_not_set"),
        ({"data": {}}, "missing_data"),
        ({"data": None}, "missing_data"),
        ({"data": {"score": 6}}, "implausible"),
        ({"data": {"score": "5"}}, "not_a_number"),
        ({"data": {"score": True}}, "not_a_number"),
        ({"data": {"score": 5, "field": {}}}, "bad_payload"),
        ({"data": {"score": 5, "ticket": "x" * 65}}, "bad_payload"),
        ({"data": [5]}, "bad_payload"),
    ],
)
def test_what_cannot_be_used_is_rejected_with_its_reason(changes: dict[str, object], expected: str) -> None:
    assert rejected(**changes) == expected


junk = st.binary(max_size=200) | st.recursive(st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())


@given(junk)
def test_no_bytes_raise_anything_but_a_rejection(payload: bytes) -> None:
    with pytest.raises(MessageRejected):
        cloudevents.decode(payload, NOW, RATING)
