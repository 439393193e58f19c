"""`ioc engine`: the process of `ioc up` that has agents, live store and gateway."""

from pathlib import Path
from typing import Annotated

import typer

from control_center.embedded_engine import run_engine
from control_center.embedded_settings import HOST, EngineSettings
from control_center.listening_port import PortOption
from streams.data_folder import DataFolder

app = typer.Typer()


@app.command(hidden=True)
def engine(
    data: Annotated[Path, typer.Option("--data")],
    port: PortOption = 8080,
    broker_log: Annotated[Path | None, typer.Option("--broker-log")] = None,
    mqtt: Annotated[str, typer.Option("--mqtt")] = "",
) -> None:
    """The engine process of `ioc up`."""
    import uvloop

    uvloop.run(run_engine(EngineSettings(DataFolder(data), HOST, port, broker_log, mqtt)))
