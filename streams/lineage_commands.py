"""`ioc explain`: from a number back to the messages behind it."""

import asyncio
import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from sensors.errors import SettingsError, Unavailable
from streams.catalogue import compile_catalogue
from streams.commands import DataOption, OverlayOption
from streams.data_folder import records_of
from streams.journal_lineage import MESSAGES_LISTED, Lineages, NothingToExplain, Question
from streams.lineage import DECODED_MAX
from streams.provenance import scope_of
from streams.rich_lineage import print_explanation
from streams.secret_file import secret_from
from streams.span import parse_moment
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

app = typer.Typer()
console = Console()


@app.command()
def explain(
    kpi: Annotated[str, typer.Argument(metavar="KPI", help="A KPI's id, such as traffic_speed.")],
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="A unit's, a former district's or the place's code.")],
    at: Annotated[
        str, typer.Argument(metavar="[AT]", help="2026-11-24T07:00 (the place's own time) or ms UTC; or the newest.")
    ] = "",
    data: DataOption = None,
    journal: Annotated[
        str, typer.Option("--journal", envvar="IOC_JOURNAL", help="sqlite:///PATH or kafka://host:port[,host:port]")
    ] = "",
    database: Annotated[str, typer.Option("--database", envvar="IOC_DATABASE", help="Database URL.")] = "",
    definitions: OverlayOption = None,
    messages: Annotated[
        int, typer.Option("--messages", min=0, max=10_000, help="How many messages to list.")
    ] = MESSAGES_LISTED,
    decode: Annotated[
        int, typer.Option("--decode", min=1, help="How many messages to decode at most: more of a day of a whole city.")
    ] = DECODED_MAX,
    as_json: Annotated[bool, typer.Option("--json", help="The explanation as one JSON object.")] = False,
) -> None:
    """Con số này từ đâu / where a number comes from: window, formula, sources, raw messages, and the value worked out
    again from them; exit code 1 when that differs or there is none. Reads only: live is not disturbed."""
    records = records_of(data, database, journal, definitions)
    loaded = load_all(records.definitions)
    catalogue = compile_catalogue(loaded.place, loaded.kinds, loaded.kpis, loaded.rules)
    question = Question(kpi, unit, parse_moment("AT", at, loaded.place.zone) if at else None, messages, decode)
    store = SqlStore(secret_from(records.database, "IOC_DATABASE_PASSWORD"))
    try:
        told = asyncio.run(Lineages(store, catalogue, records.journal).explain(question))
    except NothingToExplain as reason:
        print(reason, file=sys.stderr)
        raise typer.Exit(1 if kpi in catalogue.kpis and scope_of(catalogue, unit) else 2) from reason
    except Unavailable as reason:
        raise SettingsError(f"không đọc được / cannot be read: {reason}") from reason
    finally:
        store.close()
    if as_json:
        print(msgspec.json.encode(told).decode())
    else:
        print_explanation(console, told, catalogue.zone_ms)
    if not told.recomputed.matches:
        raise typer.Exit(1)
