"""A stream for logs that forgives a full disk: a process must not die because it could not say what is wrong."""

from contextlib import suppress
from typing import TextIO


class ForgivingStream:
    """Passes on to `stream`; what that cannot take is lost."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()
