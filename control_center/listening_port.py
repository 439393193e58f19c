"""The port that a command listens on: what may be asked for, and whether it can be had."""

import socket
from typing import Annotated

import typer

from sensors.errors import SettingsError

PORT_MAX = 65_535

PortOption = Annotated[int, typer.Option("--port", min=1, max=PORT_MAX, help="Port of pages, API and live channel.")]


def check_port(host: str, port: int, option: str = "--port") -> None:
    """Raises SettingsError that names the option where nobody can listen there now."""
    try:
        [(family, kind, number, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, kind, number) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as reason:
        raise SettingsError(
            f"{option} {port}: không mở được ở {host}, hãy chọn cổng khác / cannot be opened at {host} "
            f"({reason.strerror}); choose another with {option}"
        ) from reason
