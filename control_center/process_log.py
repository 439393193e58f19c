"""The log of a child process: bounded, and never in the way of the one who writes it.

A process that writes to a file itself dies of a full disk by its own last words, and a log that nobody bounds fills
the disk in the end. So children write into a pipe, and this end of it keeps what there is room for.
"""

import asyncio
import os
from pathlib import Path

LOG_BYTES_MAX = 8 * 2**20
CHUNK_BYTES = 65_536


class ProcessLog:
    """A file that is moved to `<name>.1` when it has grown too long; what cannot be written is counted and said."""

    def __init__(self, path: Path, bytes_max: int = LOG_BYTES_MAX) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self.lost = 0

    def write(self, chunk: bytes) -> None:
        """Append as much as the disk takes; raises nothing."""
        said = f"… {self.lost} bytes of this log could not be written\n".encode() if self.lost else b""
        lost, self.lost = self.lost, 0
        try:
            left = self._append(said + chunk)
            self.lost = min(left, len(chunk)) + (lost if left > len(chunk) else 0)
        except OSError:
            self.lost = lost + len(chunk)

    def _append(self, text: bytes) -> int:
        """Returns how many bytes the disk did not take."""
        with self._path.open("ab", buffering=0) as file:
            written = file.write(text)
            size = file.tell()
        if size > self._bytes_max:
            os.replace(self._path, self._path.with_suffix(self._path.suffix + ".1"))
        return len(text) - written


async def keep_log(output: asyncio.StreamReader, log: ProcessLog) -> None:
    """Until the process closes its output."""
    while chunk := await output.read(CHUNK_BYTES):
        log.write(chunk)
