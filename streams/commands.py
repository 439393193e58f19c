"""`ioc worker` and `ioc summary`: the processor's commands."""

import asyncio
import os
import signal
import socket
import uuid
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sensors.errors import SettingsError
from sensors.mqtt_bridge import MqttAddress
from sensors.mqtt_probe import MqttProbe
from sensors.system_clock import now_ms
from streams.catalogue import compile_catalogue
from streams.data_folder import records_of
from streams.disk_watch import FaultWatch, broker_source, ends_source, overtaken_source, waits_source
from streams.faust_worker import ClusterWorker
from streams.redis_live import RedisLive
from streams.secret_file import secret_from
from streams.smtp_outbox import send_due_mails
from streams.sql_store import SqlStore
from streams.summary_schedule import keep_summaries, summary_text
from streams.toml_catalogue import load_all

app = typer.Typer()
console = Console()

DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data folder of `ioc up`; the default one where no database is named.")
]
OverlayOption = Annotated[
    Path | None, typer.Option("--definitions", help="Folder of the city's own definitions, laid over the shipped ones.")
]


@app.command()
def worker(
    kafka: Annotated[str, typer.Option("--kafka", envvar="IOC_KAFKA", help="Kafka servers, host:port[,…].")],
    database: Annotated[str, typer.Option("--database", envvar="IOC_DATABASE", help="Database URL (PostgreSQL).")],
    redis: Annotated[str, typer.Option("--redis", envvar="IOC_REDIS", help="Redis URL of the live store.")],
    partitions: Annotated[int, typer.Option("--partitions", min=1, max=1024, help="Partitions of the journal.")] = 8,
    mqtt: Annotated[
        str, typer.Option("--mqtt", envvar="IOC_MQTT", help="The bridge's MQTT broker, to be probed; nothing is read.")
    ] = "",
    definitions: OverlayOption = None,
) -> None:
    """Một tiến trình xử lý của cụm / one worker of the cluster: Faust agents on Kafka, checkpoints in SQL."""
    import uvloop

    url, live = secret_from(database, "IOC_DATABASE_PASSWORD"), secret_from(redis, "IOC_REDIS_PASSWORD")
    broker = MqttAddress.parse(mqtt) if mqtt else None
    uvloop.run(_work(kafka, url, live, partitions, broker, definitions))


async def _work(
    kafka: str, database: str, redis: str, partitions: int, broker: MqttAddress | None, overlay: Path | None
) -> None:
    loaded = load_all(overlay)
    catalogue = compile_catalogue(loaded.place, loaded.kinds, loaded.kpis, loaded.rules)
    store = SqlStore(database)
    await asyncio.to_thread(store.migrate)
    live = RedisLive(redis)
    cluster = ClusterWorker(catalogue, store, live, kafka, partitions, now_ms)
    engine = cluster.engine
    watch = FaultWatch(
        live, now_ms, waits_source(engine.waits), ends_source(cluster.ends), overtaken_source(engine.overtaken),
        waits_source(engine.keeper.unkept), teller=f"{socket.gethostname()}-{os.getpid()}",
    )  # fmt: skip
    if broker is not None:
        probe = MqttProbe(broker, now_ms, f"ioc-probe-{uuid.uuid4().hex[:12]}", is_ours=False)
        watch.sources.append(broker_source(probe, lambda: engine.owns_roll_up))
        probe.start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    parts = [
        asyncio.create_task(cluster.run(stop)),
        asyncio.create_task(keep_summaries(engine, store, loaded, now_ms)),
        asyncio.create_task(send_due_mails(store, now_ms)),
        asyncio.create_task(watch.run()),
    ]
    done, rest = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    for task in done:
        task.result()


@app.command()
def summary(
    database: Annotated[str, typer.Option("--database", envvar="IOC_DATABASE", help="Database URL.")] = "",
    data: DataOption = None,
    lang: Annotated[str, typer.Option("--lang", help="vi or en.")] = "vi",
    definitions: OverlayOption = None,
) -> None:
    """Bản tóm tắt cho lãnh đạo / the leader's summary, from the database, as text."""
    if lang not in ("vi", "en"):
        raise SettingsError(f"--lang {lang}: vi hoặc en / vi or en")
    records = records_of(data, database, definitions=definitions)
    store = SqlStore(secret_from(records.database, "IOC_DATABASE_PASSWORD"))
    print(summary_text(store, load_all(records.definitions), now_ms(), "vi" if lang == "vi" else "en"))
