"""`ioc audit`: every closed window again, by a second path."""

import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from sensors.errors import SettingsError, Unavailable
from sensors.url_journal import open_reader
from streams.commands import DataOption, OverlayOption
from streams.data_folder import records_of
from streams.difference import AuditReport
from streams.duckdb_audit import DuckdbAudit
from streams.rich_audit import bars, print_report
from streams.secret_file import secret_from
from streams.span import Span, parse_span
from streams.sql_store import SqlStore
from streams.toml_catalogue import Definitions, load_all

app = typer.Typer()
console = Console()


@app.command()
def audit(
    begin: Annotated[str, typer.Argument(metavar="FROM", help="2026-11-24T07:00 (the place's own time), or ms UTC.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="The same; windows that end after FROM and by TO.")],
    data: DataOption = None,
    journal: Annotated[
        str, typer.Option("--journal", envvar="IOC_JOURNAL", help="sqlite:///PATH or kafka://host:port[,host:port]")
    ] = "",
    database: Annotated[str, typer.Option("--database", envvar="IOC_DATABASE", help="Database URL.")] = "",
    definitions: OverlayOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as one JSON object.")] = False,
) -> None:
    """Tính lại mọi chỉ tiêu từ nhật ký, so với lịch sử / work every closed KPI out again from the journal by a second,
    plain path (SQL), and compare with history; exit code 1 on any difference. Reads only: live is not disturbed."""
    records = records_of(data, database, journal, definitions)
    loaded = load_all(records.definitions)
    span = parse_span(begin, end, loaded.place.zone)
    store = SqlStore(secret_from(records.database, "IOC_DATABASE_PASSWORD"))
    # What is stopped leaves no temporary files either.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        report = asyncio.run(_audit(loaded, span, records.journal, store))
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
            async with open_reader(journal, "ioc-audit") as reader:
                return await audit.audit(reader, store, tell)
        finally:
            audit.close()
            store.close()
