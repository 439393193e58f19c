"""Columns in few bytes: whatever the numbers and wherever the blocks end, they come back as they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import narrow
from streams.pane import EMPTY, NEVER

NOW = 1_790_000_000_000
numbers = (
    st.integers(-(2**63), 2**63 - 1) | st.sampled_from([EMPTY, NEVER, 0, -1, 1, -(2**63), 2**63 - 1])
    | st.integers(0, 300) | st.integers(NOW, NOW + 70_000) | st.integers(NOW, NOW + 2**33)
)  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=5))
    columns = draw(st.integers(1, 3))
    whole = [[draw(numbers) for _ in range(sum(sizes))] for _ in range(columns)]
    fresh = [draw(st.sampled_from([*column, 0, EMPTY, NEVER])) for column in whole]
    starts = np.cumsum([0, *sizes[:-1]])
    return np.array(whole, dtype=np.int64), np.array(fresh, dtype=np.int64), starts


def parts(table: np.ndarray, starts: np.ndarray) -> list[np.ndarray]:
    return np.split(table, starts[1:], axis=1)


@given(tables())
def test_blocks_come_back_as_they_were_packed(given_: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    table, fresh, starts = given_
    blocks = narrow.pack(table, fresh, starts)
    for block, part in zip(blocks, parts(table, starts), strict=True):
        assert narrow.rows(block) == part.shape[1]
        assert (narrow.unpack(block, fresh) == part).all()


@given(tables())
def test_a_block_is_the_same_bytes_whatever_is_packed_beside_it(
    given_: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    table, fresh, starts = given_
    alone = [narrow.pack(part, fresh, np.array([0]))[0] for part in parts(table, starts)]
    assert narrow.pack(table, fresh, starts) == alone


def test_times_of_one_minute_take_two_bytes_and_what_is_equal_none() -> None:
    table = np.array([NOW + np.arange(64) * 900, np.full(64, 7), np.full(64, NEVER)], dtype=np.int64)
    table[0, 5] = EMPTY
    (block,) = narrow.pack(table, np.array([EMPTY, 0, NEVER]), np.array([0]))
    assert len(block) == 4 + 3 * 9 + 64 * 2


def test_a_block_of_other_columns_is_refused() -> None:
    (block,) = narrow.pack(np.arange(8).reshape(2, 4), np.array([0, 0]), np.array([0]))
    for fresh in ([0], [0, 0, 0], [0] * 60):
        with pytest.raises(ValueError, match="columns"):
            narrow.unpack(block, np.array(fresh))
    with pytest.raises(ValueError, match="columns"):
        narrow.unpack(block[:-1], np.array([0, 0]))
