"""Bytewax as its documentation teaches it: an event clock, tumbling windows, a fold by zone; the input is in memory.

    python bytewax_windows.py FILE GRACE_MS

Runs in a virtual environment of its own, reads records of flat JSON, one a line, before the clock starts, and prints
cells, seconds and CPU seconds as JSON. Its input costs nothing, and it keeps no state on disk: Bytewax at its best.
"""

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from bytewax.testing import TestingSink, TestingSource, run_main

file, grace_ms = sys.argv[1:]
START = datetime(2026, 1, 1, tzinfo=UTC)
lines = Path(file).read_bytes().splitlines()
found: list[tuple[str, tuple[int, tuple[int, float]]]] = []

clock: EventClock[Any] = EventClock(
    ts_getter=lambda one: datetime.fromtimestamp(one["ts"], UTC),
    wait_for_system_duration=timedelta(milliseconds=int(grace_ms)),
)
flow = Dataflow("speed")
records = op.map("decode", op.input("in", flow, TestingSource(lines, batch_size=1_000)), json.loads)
by_zone = op.key_on("by_zone", records, lambda one: one["zone"])
windows = fold_window(
    "window", by_zone, clock, TumblingWindower(length=timedelta(seconds=10), align_to=START),
    builder=lambda: (0, 0.0), folder=lambda held, one: (held[0] + 1, held[1] + one["value"]),
    merger=lambda one, other: (one[0] + other[0], one[1] + other[1]), ordered=False,
)  # fmt: skip
op.output("out", windows.down, TestingSink(found))
wall, cpu = time.perf_counter(), time.process_time()
run_main(flow)
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
first_ms = round(START.timestamp() * 1000)
cells = [(zone, first_ms + window * 10_000, n, round(s * 10)) for zone, (window, (n, s)) in found]
print(json.dumps({"cells": cells, "seconds": wall, "cpu": cpu}))
