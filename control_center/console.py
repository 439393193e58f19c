"""`ioc`: the commands of the four folders, put together; the only module that may import them all."""

import logging
import sys
from typing import TextIO, cast

import structlog
import typer

from control_center import commands as control_center_commands
from control_center import embedded_commands, replay_commands
from control_center.forgiving_stream import ForgivingStream
from sensors import commands as sensors_commands
from sensors.errors import DefinitionError, SettingsError
from simulators import commands as simulators_commands
from streams import audit_commands, lineage_commands
from streams import commands as streams_commands

app = typer.Typer(
    help="Bộ xử lý sự kiện của trung tâm điều hành / the event processor of a smart-city operations centre.\n\n"
    "ioc up  →  mở màn hình / opens the wall at http://127.0.0.1:8080/wall",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_PARTS = (
    embedded_commands, replay_commands, audit_commands, lineage_commands, sensors_commands, streams_commands,
    control_center_commands, simulators_commands,
)  # fmt: skip
for part in _PARTS:
    app.registered_commands.extend(part.app.registered_commands)
    app.registered_groups.extend(part.app.registered_groups)


def main() -> None:
    """Exit code 0 for success, 1 for a finding, 2 for wrong use or settings."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(file=cast(TextIO, ForgivingStream(sys.stderr))),
    )
    try:
        app()
    except DefinitionError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        sys.exit(1)
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
