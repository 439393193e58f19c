"""Honest troubles of the simulated city: spoiled, late, doubled and silent, each in the share that was asked for."""

from collections import Counter, defaultdict
from functools import cache

import msgspec
import pytest
from city_messages import decode, of_kind
from small_city import DAY, NOTHING_WRONG, WEDNESDAY, small_city

from sensors.errors import MessageRejected
from sensors.reading import Pack
from simulators.payload import Message
from simulators.scenario import Trouble


def _troubled(**trouble: float) -> list[Message]:
    told = msgspec.structs.replace(NOTHING_WRONG, trouble=msgspec.convert(trouble, Trouble))
    return list(small_city(told).messages(WEDNESDAY, WEDNESDAY + DAY))


@cache
def calm_day() -> list[Message]:
    return _troubled()


def test_a_share_of_messages_is_spoiled_and_rejected_with_different_reasons() -> None:
    reasons: Counter[str] = Counter()
    for message in _troubled(malformed_share=0.1):
        try:
            decoded = decode(message)
        except MessageRejected as rejected:
            reasons[rejected.reason] += 1
        else:
            reasons.update(bad.reason for bad in (decoded.bad[:1] if isinstance(decoded, Pack) else []))
    assert sum(reasons.values()) == pytest.approx(0.1 * len(calm_day()), rel=0.1)
    assert reasons.keys() == {"bad_payload", "wrong_unit", "implausible", "clock_not_set", "missing_data"}


def test_a_share_of_messages_comes_late_and_none_is_lost() -> None:
    messages = _troubled(late_share=0.1, late_up_to_s=900)
    assert len(messages) == pytest.approx(len(calm_day()), abs=50), "only what is still on its way at the end"
    delays = []
    for message in messages:
        decoded = decode(message)
        observed = decoded.readings[0].time if isinstance(decoded, Pack) else decoded.time
        delays.append(message.time - observed)
    late = [delay for delay in delays if delay > 0]
    assert len(late) == pytest.approx(0.1 * len(messages), rel=0.1)
    assert min(delays) == 0
    assert min(late) >= 5_000
    assert max(late) <= 900_000


def test_a_doubled_message_comes_twice_to_the_byte_within_seconds() -> None:
    messages = _troubled(duplicate_share=0.1)
    times: dict[tuple[str, bytes], list[int]] = defaultdict(list)
    for message in messages:
        times[message.topic, message.payload].append(message.time)
    twice = [both for both in times.values() if len(both) == 2]
    assert len(twice) == pytest.approx(0.1 * len(calm_day()), rel=0.1)
    assert len(times) + len(twice) == len(messages)
    assert all(0 < second - first <= 5_001 for first, second in twice)


def test_an_air_station_says_that_it_calibrates() -> None:
    packs = [decode(message) for message in of_kind(_troubled(calibrations_per_day=1, calibration_min=60), "air")]
    aside = [pack for pack in packs if isinstance(pack, Pack) and pack.status == "calibrating"]
    assert len(aside) == 4 * 12, "four stations, an hour of five minutes each"
    assert all(pack.readings for pack in aside)


def test_a_silent_device_leaves_a_gap_that_its_count_shows() -> None:
    heard = _troubled(silent_sources=1, silent_h=6)
    missing = Counter(message.topic for message in calm_day()) - Counter(message.topic for message in heard)
    assert len(missing) == 1
    topic = next(iter(missing))
    counted = [decode(message).sequence for message in heard if message.topic == topic]
    assert missing[topic] > 0
    assert max(number for number in counted if number is not None) + 1 == len(counted) + missing[topic]
