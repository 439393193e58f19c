"""`ioc bridge`: from the MQTT broker into the journal."""

import asyncio
import signal
from typing import Annotated

import structlog
import typer

from sensors.csv_place import shipped_place
from sensors.errors import SettingsError, Unavailable
from sensors.journal import JournalWriter
from sensors.mqtt_bridge import MqttAddress, MqttBridge
from sensors.system_clock import now_ms
from sensors.url_journal import open_writer

app = typer.Typer()
WAIT_S = 2.0
log = structlog.get_logger("bridge")


@app.command()
def bridge(
    mqtt: Annotated[str, typer.Option("--mqtt", envvar="IOC_MQTT", help="mqtt://[user:password@]host:port")],
    journal: Annotated[
        str, typer.Option("--journal", envvar="IOC_JOURNAL", help="sqlite:///PATH or kafka://host:port[,host:port]")
    ],
    partitions: Annotated[int, typer.Option("--partitions", min=1, max=1024, help="Partitions of the journal.")] = 8,
    share: Annotated[str, typer.Option("--share", help="i/n: the i-th of n bridges, each with its own units.")] = "1/1",
    client_id: Annotated[
        str, typer.Option("--client-id", help="Names the session at the broker; keep it. Default: ioc-bridge-i-n.")
    ] = "",
    protocol: Annotated[int, typer.Option("--protocol", help="MQTT version: 3 (3.1.1) or 5.")] = 3,
) -> None:
    """Cầu nối MQTT → nhật ký / from the MQTT broker into the journal; acknowledged only when it is on disk."""
    import uvloop

    number, count = parse_share(share)
    if protocol not in (3, 5):
        raise SettingsError(f"--protocol {protocol}: 3 hoặc / or 5")
    name = client_id or f"ioc-bridge-{number}-{count}"
    if not name.isprintable() or set(name) & set("+#"):  # it becomes a level of a topic
        raise SettingsError(
            f"--client-id {name!r}: không có / without + # và ký tự điều khiển / and control characters"
        )
    uvloop.run(_run(MqttAddress.parse(mqtt), journal, partitions, number, count, name, protocol))


def parse_share(text: str) -> tuple[int, int]:
    """ "2/3" → (2, 3); raises SettingsError for what is no share."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise SettingsError(f"--share {text}: cần i/n với 1 ≤ i ≤ n / expected i/n with 1 ≤ i ≤ n, such as 2/3")
    return int(first), int(second)


async def open_journal(url: str, partitions: int) -> JournalWriter:
    """The journal by its URL, waiting for one that cannot be had yet; raises SettingsError for a wrong one."""
    while True:
        try:
            return await open_writer(url, partitions)
        except Unavailable as reason:
            log.warning("the journal cannot be opened now", reason=str(reason))
            await asyncio.sleep(WAIT_S)


async def _run(
    address: MqttAddress, url: str, partitions: int, share: int, shares: int, client_id: str, protocol: int
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    journal = await open_journal(url, partitions)
    units = shipped_place().units if shares > 1 else ()
    try:
        await MqttBridge(address, journal, now_ms, client_id, partitions, share, shares, units, protocol).run(stop)
    finally:
        await journal.close()
