"""`ioc replay`: a past period on a wall of its own, made again from the journal by the same engine."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer
import uvicorn
from rich.console import Console
from rich.progress import Progress

from control_center.embedded_settings import HOST, PARTITIONS
from control_center.http_access import wall_token
from control_center.http_gateway import GatewaySettings, ReplaySpan, build_gateway, gateway_config
from control_center.listening_port import PORT_MAX, check_port
from sensors.errors import SettingsError, Unavailable
from sensors.url_journal import check_journal, open_reader
from streams.catalogue import compile_catalogue
from streams.commands import DataOption, OverlayOption
from streams.data_folder import records_of
from streams.journal_replay import Replay, load_reel
from streams.past_store import PastStore
from streams.reel import Reel
from streams.secret_file import secret_from
from streams.span import parse_span
from streams.sql_store import SqlStore
from streams.toml_catalogue import Definitions, load_all

GAPS_TOLD = 10

app = typer.Typer()
console = Console()


@app.command()
def replay(
    begin: Annotated[str, typer.Argument(metavar="FROM", help="2026-11-24T07:00 (the place's time), RFC 3339, or ms.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="The same; at most as long ago as the journal keeps.")],
    speed: Annotated[float, typer.Option("--speed", min=0.1, max=1000, help="Times as fast as it was.")] = 30.0,
    data: DataOption = None,
    port: Annotated[int, typer.Option("--port", min=1, max=PORT_MAX, help="Port of the replay's own wall.")] = 8081,
    journal: Annotated[
        str, typer.Option("--journal", envvar="IOC_JOURNAL", help="A cluster's: kafka://host:port[,host:port]")
    ] = "",
    database: Annotated[
        str, typer.Option("--database", envvar="IOC_DATABASE", help="A cluster's: database URL (PostgreSQL).")
    ] = "",
    partitions: Annotated[
        int, typer.Option("--partitions", min=1, max=1024, help="Partitions of a cluster's journal.")
    ] = 8,
    definitions: OverlayOption = None,
) -> None:
    """Phát lại một khoảng đã qua trên màn hình riêng / show a past period on a wall of its own; live is untouched.

    Of a data folder byte for byte as it was. Of a cluster every value on the beat on which it was shown, but around a
    change of worker, which is told: what a worker showed and never wrote was not kept.
    """
    import uvloop

    check_port(HOST, port)
    records = records_of(data, database, journal, definitions)
    if records.are_embedded:
        partitions = PARTITIONS
    check_journal(records.journal)
    loaded = load_all(records.definitions)
    span = ReplaySpan(*parse_span(begin, end, loaded.place.zone), speed)
    settings = GatewaySettings(
        host=HOST, port=port, overlay=records.definitions, wall_token=wall_token(), partitions=partitions, replay=span
    )
    store = SqlStore(secret_from(records.database, "IOC_DATABASE_PASSWORD"))
    try:
        reel = load_reel(store, partitions, span.begin, span.end)
        shown = [gap for gap in reel.unrecorded if gap.until >= span.begin]
        span = msgspec.structs.replace(span, unrecorded=shown)
        settings = msgspec.structs.replace(settings, replay=span)
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(_show(settings, span, store, records.journal, loaded, reel))
    except Unavailable as reason:
        raise SettingsError(f"không đọc được / cannot be read: {reason}") from reason
    finally:
        store.close()


async def _show(
    settings: GatewaySettings, span: ReplaySpan, store: SqlStore, journal: str, definitions: Definitions, reel: Reel
) -> None:
    catalogue = compile_catalogue(definitions.place, definitions.kinds, definitions.kpis, definitions.rules)
    zone = ZoneInfo(definitions.place.zone)
    async with open_reader(journal, "ioc-replay") as reader:
        shown = Replay(catalogue, reel, reader, span.begin)
        try:
            with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
                task = bar.add_task("Dựng lại trạng thái / rebuilding the state", total=len(shown.warm_up) or 1)
                await shown.open(lambda made: bar.update(task, completed=made))
            past = PastStore(store, shown.store, lambda: shown.now)
            gateway = build_gateway(settings, shown.live, past, definitions, lambda: shown.now)
            server = uvicorn.Server(gateway_config(gateway, settings, lifespan="off"))
            serving = asyncio.create_task(server.serve())
            moments = (datetime.fromtimestamp(at / 1000, zone) for at in (span.begin, span.end))
            first, last = (f"{moment:%d/%m/%Y %H:%M:%S}" for moment in moments)
            console.print(f"[bold]PHÁT LẠI / REPLAY[/] {first} → {last} · ×{span.speed:g}", highlight=False)
            for gap in span.unrecorded[:GAPS_TOLD]:
                console.print(" / ".join(gap.told(zone)), highlight=False)
            if len(span.unrecorded) > GAPS_TOLD:
                console.print(f"… {len(span.unrecorded) - GAPS_TOLD} lần nữa / more", highlight=False)
            console.print(f"http://{settings.host}:{settings.port}/wall    Ctrl-C để dừng / to stop", highlight=False)
            running = asyncio.create_task(shown.run(_pace(span)))
            await _ended(serving, running)
        finally:
            shown.close()


async def _ended(serving: "asyncio.Task[None]", running: "asyncio.Task[None]") -> None:
    """Return when the wall is served no more, and the replay neither reads the journal nor writes its store."""
    try:
        await asyncio.wait([serving, running], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
            console.print("Hết khoảng phát lại; màn hình đứng ở lúc cuối / the span is over; the wall stays there")
        await serving
    finally:
        running.cancel()
        await asyncio.wait({running})


def _pace(span: ReplaySpan) -> Callable[[int], Awaitable[None]]:
    """Waits until a beat's time has come, `speed` times as fast as it came then."""
    loop = asyncio.get_running_loop()
    begun = loop.time()

    async def wait(now: int) -> None:
        await asyncio.sleep(max(0.0, begun + (now - span.begin) / 1000 / span.speed - loop.time()))

    return wait
