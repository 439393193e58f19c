"""The cluster shape on this machine: the compose file's servers, started natively with its configuration files."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from polled_process import Polled
from servers import HOST, PostgresServer, RedisServer, Server, _folder, _retried, free_port, running, start_kafka
from servers import start_postgres as start_postgres_server
from servers import start_redis as start_redis_server

from sensors import nats_broker

ROOT = Path(__file__).parent.parent
CONFIGURATION = ROOT / "control_center" / "cluster"


def start_cluster_broker() -> Server:
    """The cluster's NATS by its own nats.conf; only addresses and the data folder are this machine's."""

    def start() -> Server:
        folder, port = _folder("cluster-nats"), free_port()
        text = (CONFIGURATION / "nats.conf").read_text()
        for pattern, ours in (
            (r"(?m)^port: 4222", f"host: {HOST}\nport: -1"), (r"(?m)^http: 8222", ""), (r"/data", str(folder)),
            (r"port: 1883", f"host: {HOST}\n  port: {port}"),
        ):  # fmt: skip
            text, count = re.subn(pattern, ours, text)
            assert count == 1, f"nats.conf has no {pattern}"
        config = folder / "nats.conf"
        config.write_text(text)
        return Server(nats_broker.command(config), folder, port, "Server is ready", signal.SIGTERM)

    return _retried(start)


def start_cluster_kafka(logs: Path | None = None) -> Server:
    """Kafka by the cluster's own kafka.properties, but for its addresses and folders; `logs` is its log folder."""
    lines = (CONFIGURATION / "kafka.properties").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    ours = ("listeners", "advertised.listeners", "controller.quorum.voters", "log.dirs")
    theirs = {name: value for name, value in pairs if name not in ours}
    return start_kafka(theirs if logs is None else {**theirs, "log.dirs": str(logs)})


def start_cluster_redis() -> RedisServer:
    return start_redis_server(CONFIGURATION / "redis.conf")


def start_cluster_postgres(disk: Path | None = None) -> PostgresServer:
    return start_postgres_server(CONFIGURATION / "postgresql.conf", disk)


class Servers(NamedTuple):
    """The servers of a cluster, by the names that compose has for them."""

    broker: Server
    kafka: Server
    postgres: PostgresServer
    redis: RedisServer


@contextmanager
def cluster_servers() -> Iterator[Servers]:
    """All four, as long as they are needed."""
    with (
        running(start_cluster_broker) as broker,
        running(start_cluster_kafka) as kafka,
        running(start_cluster_postgres) as postgres,
        running(start_cluster_redis) as redis,
    ):
        yield Servers(broker, kafka, postgres, redis)


class Cluster(Polled):
    """Bridge, workers and gateway over real servers, each a process as compose would start it."""

    deadline_s = 120.0
    look_s = 0.2

    def __init__(
        self,
        folder: Path,
        broker: Server,
        kafka: Server,
        postgres: PostgresServer,
        redis: RedisServer,
        definitions: Path | None = None,
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.broker = broker
        self.redis = redis
        self.postgres = postgres
        self.database = postgres.new_database()
        self.journal = f"kafka://{kafka.address}"
        addresses = {"IOC_KAFKA": kafka.address, "IOC_DATABASE": self.database, "IOC_REDIS": redis.url}
        self._environment = {**os.environ, **addresses}
        self.definitions = definitions
        self._definitions = ["--definitions", str(definitions)] if definitions is not None else []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.arguments: dict[str, tuple[str, ...]] = {}
        self.fallen: list[str] = []
        self._is_over = threading.Event()
        self._changing = threading.RLock()
        self._keeper: threading.Thread | None = None

    def keep(self) -> None:
        """From now on, start what ends by itself again, as compose's `restart: unless-stopped` does."""
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _keep(self) -> None:
        while not self._is_over.wait(0.1):
            with self._changing:
                for name in [name for name, process in self.processes.items() if process.poll() is not None]:
                    self.fallen.append(name)
                    self.start(name, *self.arguments[name])

    def start(self, name: str, *arguments: str) -> None:
        with self._changing, (self.folder / f"{name}.log").open("ab") as output:
            self.arguments[name] = arguments
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "control_center.console", *arguments], env=self._environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def begin(self, partitions: int) -> None:
        """Start a bridge, two workers and a gateway; returns when all is ready and both workers have their partitions.

        One of them may be ready, with all of them, seconds before the other joins and takes over its part.
        """
        self.start_bridge(partitions)
        self.start_worker("worker-1", partitions)
        self.start_worker("worker-2", partitions)
        self.start_gateway(partitions)
        self.ready()

        def are_shared() -> bool:
            first, second = self.partitions_of("worker-1"), self.partitions_of("worker-2")
            return bool(first and second) and sorted([*first, *second]) == list(range(partitions))

        self.until(are_shared, "the workers have shared the partitions")

    def partitions_of(self, name: str) -> list[int]:
        """Those that a worker has, by its log; it has not been killed."""
        told = re.findall(r"partition (recovered|dropped)' partition=(\d+)", self._log_of(name))
        return [int(number) for number, what in {number: what for what, number in told}.items() if what == "recovered"]

    def partitions_taken(self, name: str) -> int:
        """How often a worker of this name has taken a partition over."""
        return self._log_of(name).count("partition recovered")

    def _log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def start_bridge(self, partitions: int) -> None:
        mqtt = f"mqtt://{self.broker.address}"
        self.start("bridge", "bridge", "--mqtt", mqtt, "--journal", self.journal, "--partitions", str(partitions))

    def start_worker(self, name: str, partitions: int, *options: str) -> None:
        self.start(name, "worker", "--partitions", str(partitions), *options, *self._definitions)

    def start_gateway(self, partitions: int) -> None:
        gateway = ["gateway", "--port", str(self.port), "--partitions", str(partitions), *self._definitions]
        self.start("gateway", *gateway)

    def kill(self, name: str) -> None:
        """kill -9; it does not come back by itself."""
        process = self._taken(name)
        process.kill()
        process.wait()

    def leave(self, name: str) -> int:
        """SIGTERM, as an orchestrator ends one; returns its exit code."""
        process = self._taken(name)
        process.terminate()
        return process.wait(self.deadline_s)

    def again(self, name: str) -> None:
        """Start one that was killed or has left, as it was."""
        self.start(name, *self.arguments[name])

    def signal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def _taken(self, name: str) -> "subprocess.Popen[bytes]":
        with self._changing:
            return self.processes.pop(name)

    def stop(self) -> None:
        self._is_over.set()
        if self._keeper is not None:
            self._keeper.join()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ended(self) -> str:
        if self._keeper is not None:
            return ""
        return ", ".join(name for name, process in self.processes.items() if process.poll() is not None)

    def logs(self) -> str:
        figures = "\n".join(f"{name} {value:g}" for name, value in self.metrics().items() if "partition" in name)
        return f"--- partitions\n{figures}\n" + "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in sorted(self.folder.glob("*.log"))
        )
