"""Contenders that live in a virtual environment of their own: made for the run, and gone with it.

They must not enter our constraints, and theirs must not bend ours. Where they cannot be installed they are skipped.
"""

import asyncio
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from aiokafka import AIOKafkaProducer
from servers import Absent, start_kafka
from speed_trace import GRACE_MS, UNITS, Cells, Message

from sensors.kafka_topics import create_topics

QUIX, BYTEWAX = "quixstreams==3.28.*", "bytewax==0.21.*"
SCRIPTS = Path(__file__).parent / "contenders"
FLUSH_MS = 600_000
INSTALL_S, RUN_S = 600, 900


class Ran(NamedTuple):
    """Windows, seconds by the clock and of CPU, from the first record to the last."""

    cells: Cells
    seconds: float
    cpu: float


def quix(trace: list[Message], folder: Path) -> Ran:
    """Quix Streams on a real Kafka, filled before; raises Absent where either cannot be had."""
    python = _installed(QUIX, folder / "quix")
    server = start_kafka()
    try:
        name = f"observations-{uuid.uuid4().hex[:8]}"
        # Windows close when a later record of their zone comes: one for each, far ahead, at the end.
        flush = _flush(trace)
        asyncio.run(_fill(server.address, name, trace, flush))
        count = str(len(trace) + len(flush))
        said = _run(python, "quix_windows.py", server.address, name, count, str(GRACE_MS), str(folder / "state"))
        assert said["seen"] == int(count), f"Quix Streams read {said['seen']:,} of {count}"
        return _ran(said)
    finally:
        server.remove()


def bytewax(trace: list[Message], folder: Path) -> Ran:
    """Bytewax with its input in memory; raises Absent where it cannot be had."""
    python = _installed(BYTEWAX, folder / "bytewax")
    file = folder / "trace.jsonl"
    file.write_bytes(b"\n".join(observation for _, observation in _observations(trace)))
    return _ran(_run(python, "bytewax_windows.py", str(file), str(GRACE_MS)))


def _installed(requirement: str, folder: Path) -> Path:
    """The interpreter of a new environment that has it; raises Absent with the end of pip's words."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    try:
        command = [str(python), "-m", "pip", "install", "--quiet", requirement]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.CalledProcessError as error:
        raise Absent(f"{requirement} cannot be installed: {error.stderr.strip()[-300:]}") from error
    except subprocess.TimeoutExpired as error:
        raise Absent(f"{requirement} was not installed in {INSTALL_S} s") from error
    return python


def _run(python: Path, script: str, *arguments: str) -> dict[str, Any]:
    command = [str(python), str(SCRIPTS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode == 0, f"{script} failed:\n{done.stderr[-2_000:]}"
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def _ran(said: dict[str, Any]) -> Ran:
    return Ran({(zone, start): (n, s) for zone, start, n, s in said["cells"]}, said["seconds"], said["cpu"])


def _observations(trace: list[Message]) -> list[tuple[bytes, bytes]]:
    """Key and flat JSON, as the textbooks would have a device send them."""
    return [
        (
            message.unit.encode(),
            msgspec.json.encode(
                {"sensor": message.topic, "zone": message.unit, "value": message.value, "ts": message.time / 1000}
            ),
        )
        for message in trace
    ]


def _flush(trace: list[Message]) -> list[tuple[bytes, bytes]]:
    ts = (trace[-1].at + FLUSH_MS) / 1000
    zones = sorted({message.unit for message in trace})
    assert len(zones) <= UNITS
    return [
        (zone.encode(), msgspec.json.encode({"sensor": "flush", "zone": zone, "value": 0.0, "ts": ts}))
        for zone in zones
    ]


async def _fill(servers: str, name: str, trace: list[Message], flush: list[tuple[bytes, bytes]]) -> None:
    await create_topics(servers, {name: 1})
    producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=20)
    await producer.start()
    for key, value in (*_observations(trace), *flush):
        await producer.send(name, value, key=key)
    await producer.stop()
