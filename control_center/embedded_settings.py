"""What the processes of `ioc up` agree on; imports nothing heavy, so that each starts with what it needs itself."""

from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
PARTITIONS = 4
FIRST_OPERATOR = "truc-ban"


@dataclass(frozen=True)
class EngineSettings:
    """`data` is the data folder; `overlay` the city's own definitions; `broker_log` the embedded broker's log.

    `mqtt` is the broker's address; with a `broker_log`, the broker is the embedded one.
    """

    data: Path
    host: str
    port: int = 8080
    overlay: Path | None = None
    broker_log: Path | None = None
    mqtt: str = ""

    @property
    def journal(self) -> Path:
        return self.data / "journal.sqlite"

    @property
    def database(self) -> str:
        return f"sqlite:///{self.data / 'history.sqlite'}"
