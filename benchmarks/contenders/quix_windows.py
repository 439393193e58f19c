"""Quix Streams as its documentation teaches it: a topic keyed by zone, tumbling windows in event time with a grace.

    python quix_windows.py ADDRESS TOPIC MESSAGES GRACE_MS STATE_FOLDER

Runs in a virtual environment of its own, reads MESSAGES records of flat JSON from the topic (state in RocksDB, with a
changelog topic, as it comes), and prints cells and, from the first record to the last commit, seconds and CPU as JSON.
"""

import json
import sys
import time
from datetime import timedelta
from typing import Any

from quixstreams import Application
from quixstreams.dataframe.windows import Count, Sum

address, name, count, grace_ms, folder = sys.argv[1:]
started = (0.0, 0.0)
seen = 0
cells: list[tuple[str, int, int, int]] = []


def stamp(value: dict[str, Any], headers: Any, timestamp: float, kind: Any) -> int:
    """The event time; called first for each record, so it also tells when the first came."""
    global started
    if not seen:
        started = (time.perf_counter(), time.process_time())
    return round(value["ts"] * 1000)


def keep(window: dict[str, Any], key: Any, timestamp: int, headers: Any) -> None:
    zone = key.decode() if isinstance(key, bytes) else key
    cells.append((zone, window["start"], window["n"], round(window["s"] * 10)))


def processed(topic: str, partition: int, offset: int) -> None:
    """Stop after the last record; `run` then commits, as it does every five seconds."""
    global seen
    seen += 1
    if seen == int(count):
        app.stop()


app = Application(
    broker_address=address, consumer_group=f"{name}-group", auto_offset_reset="earliest", state_dir=folder,
    loglevel="ERROR", on_message_processed=processed,
)  # fmt: skip
topic = app.topic(name, value_deserializer="json", timestamp_extractor=stamp)
windows = app.dataframe(topic).tumbling_window(timedelta(seconds=10), grace_ms=int(grace_ms))
windows.agg(n=Count(), s=Sum("value")).final().update(keep, metadata=True)
app.run()
seconds, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
print(json.dumps({"cells": cells, "seconds": seconds, "cpu": cpu, "seen": seen}))
