"""Keys find the places they were given, however they collide."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.lookup import SLOTS_LEAST, Lookup

# Few low bits and many high ones: most keys begin at the same slots, at the table's end too.
CROWDED = st.builds(lambda low, high: high << 32 | low, st.sampled_from([0, 1, 2, 255, 1023]), st.integers(0, 400))
ANY = st.integers(0, 2**64 - 1)


@given(st.lists(CROWDED | ANY, unique=True, max_size=300), st.lists(CROWDED | ANY, max_size=50))
def test_a_key_has_the_place_in_which_it_was_added_and_others_have_none(keys: list[int], others: list[int]) -> None:
    table = Lookup()
    for key in keys:
        table.add(key)
    asked = [*keys, *others, *reversed(keys)]
    expected = {key: place for place, key in enumerate(keys)}
    found = table.find(np.array(asked, dtype=np.uint64)).tolist()
    assert found == [expected.get(key, -1) for key in asked]
    assert len(table) == len(keys)


def test_a_table_grows_while_places_stay() -> None:
    table, keys = Lookup(), [number * SLOTS_LEAST for number in range(5_000)]
    for key in keys:
        table.add(key)
    assert table.find(np.array(keys, dtype=np.uint64)).tolist() == list(range(5_000))


def test_an_empty_table_has_no_key_not_even_the_one_that_is_0() -> None:
    table = Lookup()
    assert table.find(np.array([0, 1], dtype=np.uint64)).tolist() == [-1, -1]
    table.add(0)
    assert table.find(np.array([0, 1], dtype=np.uint64)).tolist() == [0, -1]
