"""What the processes of `ioc up` agree on; imports nothing heavy, so that each starts with what it needs itself."""

from dataclasses import dataclass
from pathlib import Path

from streams.data_folder import DataFolder

HOST = "127.0.0.1"
PARTITIONS = 4
FIRST_OPERATOR = "truc-ban"


@dataclass(frozen=True)
class EngineSettings:
    """`mqtt` is the broker's address; with a `broker_log`, its log's path, the broker is the embedded one."""

    data: DataFolder
    host: str
    port: int = 8080
    broker_log: Path | None = None
    mqtt: str = ""
