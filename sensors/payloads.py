"""Payloads of many messages as one text, so that they can be looked at all at once."""

from collections.abc import Sequence
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Payloads:
    """`text` are the payloads, one behind another with a newline between (they may have newlines of their own);
    `size` is the length of each in bytes."""

    def __init__(self, text: bytes, size: Ints) -> None:
        self.text = text
        self.size = size

    @cached_property
    def _start(self) -> Ints:
        """Where each begins; many are only joined or looked at as a whole."""
        return np.cumsum(self.size) - self.size + np.arange(len(self.size))

    @classmethod
    def of(cls, payloads: Sequence[bytes]) -> Self:
        """The payloads, put together."""
        return cls(b"\n".join(payloads), np.array([len(payload) for payload in payloads], dtype=np.int64))

    @classmethod
    def joined(cls, parts: Sequence["Payloads"]) -> Self:
        """One behind another."""
        sizes = [part.size for part in parts if len(part)]
        size = np.concatenate(sizes) if sizes else np.zeros(0, dtype=np.int64)
        return cls(b"\n".join([part.text for part in parts if len(part)]), size)

    def __len__(self) -> int:
        return len(self.size)

    def __getitem__(self, index: int) -> bytes:
        start = int(self._start[index])
        return self.text[start : start + int(self.size[index])]

    def cut(self, first: int, last: int) -> Self:
        """Those from `first` to before `last`."""
        if (first, last) == (0, len(self)) or first >= last:
            return self if first < last else type(self)(b"", self.size[:0])
        start, end = int(self._start[first]), int(self._start[last - 1] + self.size[last - 1])
        return type(self)(self.text[start:end], self.size[first:last])

    def pick(self, chosen: Ints) -> Self:
        """Those at these indices."""
        size = self.size[chosen]
        start = self._start[chosen]
        parts = [self.text[begin:end] for begin, end in zip(start.tolist(), (start + size).tolist(), strict=True)]
        return type(self)(b"\n".join(parts), size)
