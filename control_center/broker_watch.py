"""The supervisor's hand on the embedded broker: stopped while the disk is full, started afresh when it went deaf.

A broker that is stopped cannot acknowledge; devices find a closed door, keep what they have, and come again. One
that meets the end of the disk itself keeps the error and stays broken when there is room again; and it would eat
what is kept back for checkpoints.
"""

import asyncio
import http.client
import json

import structlog

from control_center.process_supervisor import Supervisor
from sensors.disk_room import DiskGauge
from sensors.errors import Unavailable
from sensors.room import Level

LOOK_S = 1.0
FIRST_ASK_S = 20.0
"""What has been started (afresh) gets this long before it is judged."""

ASK_S = 5.0
TOLD_DEAF = 4
"""Asked so often in a row: with the probe's own patience some 27 s, more than one that is only busy needs."""

BROKER = "broker"
log = structlog.get_logger("supervisor")


async def room_on(gauge: DiskGauge) -> None:
    """Return once the disk is not full."""
    while True:
        if _level(gauge) != "full":
            return
        await asyncio.sleep(LOOK_S)


async def watch_broker(supervisor: Supervisor, gauge: DiskGauge, host: str, port: int) -> None:
    """For ever: end the broker when it must not go on; the supervisor starts it again as soon as it may."""
    told_deaf = 0
    loop = asyncio.get_running_loop()
    ask_at = loop.time() + FIRST_ASK_S
    while True:
        await asyncio.sleep(LOOK_S)
        if _level(gauge) == "full":
            if supervisor.pid(BROKER) is not None:
                log.warning("disk full: the broker is stopped until there is room", free_mb=gauge.room.free >> 20)
                await supervisor.end(BROKER)
            ask_at, told_deaf = loop.time() + FIRST_ASK_S, 0
        elif loop.time() >= ask_at:
            ask_at = loop.time() + ASK_S
            told_deaf = told_deaf + 1 if await asyncio.to_thread(_is_deaf, host, port) else 0
            if told_deaf >= TOLD_DEAF:
                log.warning("the broker does not answer its probe; it is started afresh")
                await supervisor.end(BROKER)
                ask_at, told_deaf = loop.time() + FIRST_ASK_S, 0


def _level(gauge: DiskGauge) -> Level:
    try:
        return gauge.look()
    except Unavailable:
        return gauge.level


def _is_deaf(host: str, port: int) -> bool:
    """Whether the engine's `/ready` says so; False while it does not answer."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/ready")
        answer = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return any(reason.get("what") == "broker_deaf" for reason in answer["reasons"])
