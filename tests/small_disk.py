"""A disk that fills up: a small tmpfs, and a filler that leaves as much room on it as wanted."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

MB = 2**20


class Disk:
    """What is mounted at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    @property
    def free(self) -> int:
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize

    def leave(self, room: int) -> None:
        """Fill it until so many bytes are left; 0 is to the last of them, whoever else writes meanwhile."""
        with suppress(OSError), self._filler.open("ab", buffering=0) as file:
            while self.free > room:
                file.write(bytes(min(self.free - room, MB) or 512))
            while room == 0:
                file.write(bytes(512))

    def make_room(self) -> None:
        self._filler.unlink()

    def grow(self, size_mb: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size_mb}m", str(self.folder)], check=True)


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Disk]:
    """Mounted at a new folder as long as it is needed; skips the test where this user may not mount."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no `mount` here: a disk that fills up needs a small tmpfs")
    if mounted.returncode:
        pytest.skip(f"a disk that fills up needs a small tmpfs, and this user may not mount one: {mounted.stderr}")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
