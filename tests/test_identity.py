"""Identities: nothing known twice, nothing new mistaken for known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensors.key import key_of
from streams.identity import SeenSet, reading_keys

keys = st.lists(st.integers(0, 2**64 - 1), max_size=50)


@given(st.lists(keys, max_size=12), keys)
def test_the_set_contains_exactly_what_was_added(parts: list[list[int]], asked: list[int]) -> None:
    seen = SeenSet()
    for part in parts:
        seen.add(np.array(part, dtype=np.uint64), until=10)
    known = {key for part in parts for key in part}
    wanted = [*asked, *list(known)[:5]]
    assert seen.contains(np.array(wanted, dtype=np.uint64)).tolist() == [key in known for key in wanted]


def test_identities_are_forgotten_when_their_time_has_passed() -> None:
    seen = SeenSet()
    seen.add(np.array([1], dtype=np.uint64), until=10)
    seen.drop(received_to=9)
    assert seen.contains(np.array([1], dtype=np.uint64))[0]
    seen.drop(received_to=10)
    assert not seen.contains(np.array([1], dtype=np.uint64))[0]


def test_readings_that_differ_in_one_respect_have_different_identities() -> None:
    a, b = np.uint64(key_of("06658/air/a")), np.uint64(key_of("06658/air/b"))
    q, r = np.uint64(key_of("air/pm25")), np.uint64(key_of("air/pm10"))
    made = reading_keys(
        np.array([a, b, a, a, a]), np.array([q, q, r, q, q]), np.array([1_000, 1_000, 1_000, 1_001, 1_000])
    )
    assert len(set(made.tolist())) == 4
    assert made[0] == made[4]
