"""`ioc`: the commands of the four folders, put together; the only module that may reach them all.

A command's own module is imported when that command is asked for: the children of `ioc up` are commands too, and each
must be there within seconds.
"""

import logging
import os
import signal
import sys
from importlib import import_module
from typing import TextIO, cast

import structlog
import typer

from control_center.forgiving_stream import ForgivingStream
from control_center.process_supervisor import WARMING_UP
from sensors.errors import DefinitionError, SettingsError, Unavailable

INTERRUPTED = 128 + signal.SIGINT
HELP = """Bộ xử lý sự kiện của trung tâm điều hành / the event processor of a smart-city operations centre.

ioc up  →  mở màn hình / opens the wall at http://127.0.0.1:8080/wall"""

MODULES = {
    "control_center.embedded_commands": ["up"],
    "control_center.engine_commands": ["engine"],
    "control_center.replay_commands": ["replay"],
    "streams.audit_commands": ["audit"],
    "streams.lineage_commands": ["explain"],
    "sensors.commands": ["bridge"],
    "streams.commands": ["worker", "summary"],
    "control_center.commands": ["check", "gateway", "user", "wall"],
    "simulators.commands": ["simulate", "feed", "verify"],
}
"""Where each command is; `tests/test_console.py` holds it against what the modules have."""


def assembled(asked: str = "") -> typer.Typer:
    """The program with the command that is asked for; with all of them for any other word, or none."""
    app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    names = [module for module, commands in MODULES.items() if asked in commands] or list(MODULES)
    for name in names:
        part: typer.Typer = import_module(name).app
        app.registered_commands.extend(part.registered_commands)
        app.registered_groups.extend(part.registered_groups)
    # A program of one command would not want to hear its name.
    app.callback()(_of_several)
    return app


def _of_several() -> None:
    pass


def main() -> None:
    """Exit code 0 for success, 1 for a finding, 2 for wrong use, settings or definitions and for what cannot be read,
    130 where Ctrl-C came before it began."""
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
        program = assembled(sys.argv[1] if len(sys.argv) > 1 else "")
        if os.environ.pop(WARMING_UP, "") and not sys.stdin.readline():
            return  # whoever would tell us to go on has gone
        program()
    except DefinitionError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        sys.exit(2)
    except Unavailable as error:
        print(f"không đọc được / cannot be read: {error}", file=sys.stderr)
        sys.exit(2)
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
