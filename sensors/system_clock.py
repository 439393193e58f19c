"""The one place where a process reads the time; everything below takes `now` as an argument."""

import time


def now_ms() -> int:
    """Milliseconds UTC."""
    return time.time_ns() // 1_000_000
