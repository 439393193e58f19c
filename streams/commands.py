"""`ioc worker`, `ioc check`, `ioc summary`, `ioc audit`: the processor's commands."""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from sensors.errors import SettingsError, Unavailable
from sensors.journal import JournalReader
from sensors.kafka_journal import KafkaJournalReader
from sensors.sqlite_journal import SqliteJournal
from sensors.system_clock import now_ms
from streams.catalogue import compile_catalogue
from streams.difference import AuditReport
from streams.disk_watch import FaultWatch, waits_source
from streams.duckdb_audit import DuckdbAudit
from streams.faust_worker import ClusterWorker
from streams.redis_live import RedisLive
from streams.rich_audit import bars, print_report
from streams.secret_file import secret_from
from streams.smtp_outbox import send_due_mails
from streams.span import Span, parse_span
from streams.sql_store import SqlStore
from streams.summary_schedule import keep_summaries, summary_text
from streams.toml_catalogue import Definitions, load_all
from streams.toml_catalogue import check as check_definitions

app = typer.Typer()
console = Console()

OverlayOption = Annotated[
    Path | None, typer.Option("--definitions", help="Folder of the city's own definitions, laid over the shipped ones.")
]


@app.command()
def worker(
    kafka: Annotated[str, typer.Option("--kafka", envvar="IOC_KAFKA", help="Kafka servers, host:port[,…].")],
    database: Annotated[str, typer.Option("--database", envvar="IOC_DATABASE", help="Database URL (PostgreSQL).")],
    redis: Annotated[str, typer.Option("--redis", envvar="IOC_REDIS", help="Redis URL of the live store.")],
    partitions: Annotated[int, typer.Option("--partitions", help="Partitions of the journal.")] = 8,
    definitions: OverlayOption = None,
) -> None:
    """Một tiến trình xử lý của cụm / one worker of the cluster: Faust agents on Kafka, checkpoints in SQL."""
    import uvloop

    url, live = secret_from(database, "IOC_DATABASE_PASSWORD"), secret_from(redis, "IOC_REDIS_PASSWORD")
    uvloop.run(_work(kafka, url, live, partitions, definitions))


async def _work(kafka: str, database: str, redis: str, partitions: int, overlay: Path | None) -> None:
    loaded = load_all(overlay)
    catalogue = compile_catalogue(loaded.place, loaded.kinds, loaded.kpis, loaded.rules)
    store = SqlStore(database)
    await asyncio.to_thread(store.migrate)
    live = RedisLive(redis)
    cluster = ClusterWorker(catalogue, store, live, kafka, partitions, now_ms)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    parts = [
        asyncio.create_task(cluster.run(stop)),
        asyncio.create_task(keep_summaries(cluster.engine, store, loaded, now_ms)),
        asyncio.create_task(send_due_mails(store, now_ms)),
        asyncio.create_task(FaultWatch(live, now_ms, waits_source(cluster.engine.waits)).run()),
    ]
    done, rest = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    for task in done:
        task.result()


@app.command()
def check(definitions: OverlayOption = None) -> None:
    """Kiểm tra mọi tệp định nghĩa / check every definition file; lists all faults at once, exit code 1 if any."""
    faults = check_definitions(definitions)
    for fault in faults:
        console.print(f"[red]✗[/] {fault}", highlight=False)
    if faults:
        console.print(f"{len(faults)} lỗi / faults")
        raise typer.Exit(1)
    loaded = load_all(definitions)
    console.print(
        f"[green]✓[/] {len(loaded.place.units)} đơn vị / units, {len(loaded.kinds)} loại nguồn / kinds, "
        f"{len(loaded.kpis)} chỉ tiêu / KPIs, {len(loaded.rules)} luật cảnh báo / alert rules: không lỗi / no faults"
    )


@app.command()
def summary(
    database: Annotated[str, typer.Option("--database", envvar="IOC_DATABASE", help="Database URL.")] = "",
    data: Annotated[Path | None, typer.Option("--data", help="Data folder of `ioc up`.")] = None,
    lang: Annotated[str, typer.Option("--lang", help="vi or en.")] = "vi",
    definitions: OverlayOption = None,
) -> None:
    """Bản tóm tắt cho lãnh đạo / the leader's summary, from the database, as text."""
    if lang not in ("vi", "en"):
        raise SettingsError(f"--lang {lang}: vi hoặc en / vi or en")
    url = secret_from(database, "IOC_DATABASE_PASSWORD") if database else _embedded_database(data)
    store = SqlStore(url)
    print(summary_text(store, load_all(definitions), now_ms(), "vi" if lang == "vi" else "en"))


@app.command()
def audit(
    begin: Annotated[str, typer.Argument(metavar="FROM", help="2026-11-24T07:00 (the place's own time), or ms UTC.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="The same; windows that end after FROM and by TO.")],
    data: Annotated[Path | None, typer.Option("--data", help="Data folder of `ioc up`: journal and history.")] = None,
    journal: Annotated[
        str, typer.Option("--journal", envvar="IOC_JOURNAL", help="sqlite:///PATH or kafka://host:port[,host:port]")
    ] = "",
    database: Annotated[str, typer.Option("--database", envvar="IOC_DATABASE", help="Database URL.")] = "",
    definitions: OverlayOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
) -> None:
    """Tính lại mọi chỉ tiêu từ nhật ký, so với lịch sử / work every closed KPI out again from the journal by a second,
    plain path (SQL), and compare with history; exit code 1 on any difference. Reads only: live is not disturbed."""
    if data is not None and definitions is None and (data / "definitions").is_dir():
        definitions = data / "definitions"  # what `ioc up` takes from there
    loaded = load_all(definitions)
    span = parse_span(begin, end, loaded.place.zone)
    if data is not None or not database:
        database, journal = _embedded_database(data), f"sqlite:///{(data or Path()) / 'journal.sqlite'}"
    try:
        report = asyncio.run(_audit(loaded, span, journal, SqlStore(secret_from(database, "IOC_DATABASE_PASSWORD"))))
    except Unavailable as reason:
        raise SettingsError(f"không đọc được / cannot be read: {reason}") from reason
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        print_report(console, report, loaded.place, loaded.kpis)
    if report.wrong or not report.compared:
        raise typer.Exit(1)


async def _audit(loaded: Definitions, span: Span, journal: str, store: SqlStore) -> AuditReport:
    with tempfile.TemporaryDirectory(prefix="ioc-audit-") as folder, bars() as tell:
        audit = DuckdbAudit(loaded, span, Path(folder))
        try:
            async with _reading(journal) as reader:
                return await audit.audit(reader, store, tell)
        finally:
            audit.close()
            store.close()


@asynccontextmanager
async def _reading(url: str) -> AsyncIterator[JournalReader]:
    scheme, _, rest = url.partition("://")
    reader: JournalReader
    if scheme == "sqlite" and rest.startswith("/"):
        reader = SqliteJournal.read_only(Path(rest[1:]))
    elif scheme == "kafka" and rest:
        reader = await KafkaJournalReader.open(rest, client_id="ioc-audit")
    else:
        raise SettingsError(f"--journal {url}: cần / expected sqlite:///PATH or kafka://host:port")
    try:
        yield reader
    finally:
        await reader.close()


def _embedded_database(data: Path | None) -> str:
    if data is None:
        raise SettingsError("--data DIR hoặc / or --database URL: nói số liệu ở đâu / say where the figures are")
    path = data / "history.sqlite"
    if not path.exists():
        raise SettingsError(f"--data {data}: không có / has no history.sqlite; run `ioc up --data {data}` first")
    return f"sqlite:///{path}"
