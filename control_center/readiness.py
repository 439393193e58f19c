"""Readiness means progress: every partition either has no lag, or its offset moves."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

STILL_MS = 10_000


class Progress(msgspec.Struct):
    """The live store's `p:<partition>`."""

    offset: int
    lag: int
    at: int
    watermark: int | None = None


class _Watched(NamedTuple):
    seen: Progress
    spoke_at: int
    moved_at: int


class Readiness:
    """Watches the partitions' progress by this process's clock, whatever the workers' clocks say."""

    def __init__(self, partitions: int = 0) -> None:
        self._expected = partitions
        self._watched: dict[str, _Watched] = {}

    def observe(self, progress: Mapping[str, Progress], now: int) -> None:
        """Look at all partitions at `now` (ms UTC); those no longer listed are forgotten."""
        self._watched = {name: self._watch(self._watched.get(name), seen, now) for name, seen in progress.items()}

    def reasons(self, now: int) -> list[tuple[str, str]]:
        """Why it is not ready, in Vietnamese and English; empty when it is."""
        found = []
        if not self._watched:
            found.append(("chưa có tiến trình xử lý nào báo cáo", "no worker has reported yet"))
        elif len(self._watched) < self._expected:
            count = f"{len(self._watched)}/{self._expected}"
            found.append((f"mới có {count} phân vùng báo cáo", f"only {count} partitions have reported"))
        for name, (seen, spoke_at, moved_at) in sorted(self._watched.items()):
            silent_s, still_s = (now - spoke_at) // 1000, (now - moved_at) // 1000
            if now - spoke_at > STILL_MS:
                found.append(
                    (
                        f"phân vùng {name} không báo cáo từ {silent_s} giây trước",
                        f"partition {name} has not reported for {silent_s} s",
                    )
                )
            elif seen.lag > 0 and now - moved_at > STILL_MS:
                found.append(
                    (
                        f"phân vùng {name} đứng yên {still_s} giây, còn {seen.lag} bản tin chờ",
                        f"partition {name} has stood still for {still_s} s with {seen.lag} messages waiting",
                    )
                )
        return found

    def _watch(self, before: _Watched | None, seen: Progress, now: int) -> _Watched:
        if before is None:
            # What an earlier worker left behind in the live store is as old as it says, not new.
            return _Watched(seen, min(now, seen.at), now)
        spoke_at = now if seen.at != before.seen.at else before.spoke_at
        moved_at = now if seen.lag <= 0 or seen.offset != before.seen.offset else before.moved_at
        return _Watched(seen, spoke_at, moved_at)
