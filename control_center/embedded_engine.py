"""The engine process of `ioc up`: agents, live store and gateway in one process, one port.

Beside it run the broker, the bridge and, if wanted, the simulated city, each a process of its own
(`process_supervisor`). If any task here ends, the process ends, and the supervisor starts it again.
"""

import asyncio
import contextlib
import ctypes
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn

from control_center.broker_log_tail import follow_refusals
from control_center.embedded_processor import process
from control_center.embedded_settings import PARTITIONS, EngineSettings
from control_center.http_access import wall_token
from control_center.http_gateway import GatewaySettings, build_gateway, gateway_config
from sensors.disk_room import DiskGauge, limits_of
from sensors.mqtt_bridge import MqttAddress
from sensors.mqtt_probe import MqttProbe
from sensors.system_clock import now_ms
from streams.disk_watch import FaultWatch, broker_source, disk_source
from streams.memory_live import MemoryLive
from streams.smtp_outbox import send_due_mails
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

TRIM_S = 30.0
log = structlog.get_logger("engine")


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the engine decides when to end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def give_memory_back() -> None:
    """glibc keeps what a backlog once needed until it is asked; on other platforms there is nothing to ask."""
    if sys.platform != "linux":
        await asyncio.Event().wait()
    while True:
        await asyncio.sleep(TRIM_S)
        with contextlib.suppress(OSError, AttributeError):
            await asyncio.to_thread(ctypes.CDLL(None).malloc_trim, 0)


def _probe(settings: EngineSettings) -> MqttProbe | None:
    if not settings.mqtt:
        return None
    is_ours = settings.broker_log is not None
    name = "ioc-probe" if is_ours else f"ioc-probe-{secrets.token_hex(6)}"
    return MqttProbe(MqttAddress.parse(settings.mqtt), now_ms, name, is_ours)


async def run_engine(settings: EngineSettings) -> None:
    """Run until SIGTERM or SIGINT; raises the first failure of any part."""
    data = settings.data
    definitions = load_all(data.definitions)
    store = SqlStore(data.database)  # `ioc up` has brought its tables up to date before it started us
    live = MemoryLive(secrets.token_hex(8))
    watch = FaultWatch(live, now_ms, disk_source(DiskGauge(data.path, limits_of())))
    probe = _probe(settings)
    if probe is not None:
        watch.sources.append(broker_source(probe))
        probe.start()
    gateway_settings = GatewaySettings(
        host=settings.host, port=settings.port, overlay=data.definitions, wall_token=wall_token(),
        partitions=PARTITIONS, journal=data.journal_url,
    )  # fmt: skip
    gateway = build_gateway(gateway_settings, live, store, definitions)
    server = _Server(gateway_config(gateway, gateway_settings, lifespan="off"))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parts = {
        "worker": process(data.journal, PARTITIONS, definitions, store, live, watch, now_ms, stop),
        "gateway": server.serve(),
        "faults": watch.run(),
        "outbox": send_due_mails(store, now_ms),
        "memory": give_memory_back(),
    }
    if settings.broker_log is not None:
        parts["broker log"] = follow_refusals(settings.broker_log, store, now_ms)
    tasks = {name: asyncio.create_task(part, name=name) for name, part in parts.items()}
    try:
        await asyncio.wait([*tasks.values(), asyncio.create_task(stop.wait())], return_when=asyncio.FIRST_COMPLETED)
        ended = [name for name, task in tasks.items() if task.done()]
        if ended and not stop.is_set():
            log.error("a part of the engine ended; so does the engine", part=ended[0])
            stop.set()
            tasks[ended[0]].result()
        stop.set()
        server.should_exit = True
        await asyncio.wait_for(tasks["worker"], timeout=3.0)
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        if probe is not None:
            await asyncio.to_thread(probe.stop)
