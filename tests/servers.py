"""Real servers for the tests: Kafka, PostgreSQL and Redis, as children on free loopback ports.

Each `start_…` returns a server that is ready, and raises Absent with what to install where it cannot be had. A
server can be stopped, killed, and started again on its port with its data, as the tests of failures do. Nothing
polls: a server is ready when it says so in its log.
"""

import base64
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest

HOST = "127.0.0.1"
DEADLINE_S = 60.0

KAFKA = "a Kafka server is missing: install Java 17 and Maven, then `mvn -f tests/kafka/pom.xml ...` as .ci/run does"
POSTGRES = "PostgreSQL's initdb and postgres are missing: `apt-get install postgresql`"
REDIS = "redis-server is missing: `apt-get install redis-server`"

S = TypeVar("S", bound="Server")
F = TypeVar("F")


class Absent(Exception):
    """A server is not installed; the text says what to install."""


class Server:
    """A child process in a folder of its own; ready once a line of its output contains `ready`."""

    def __init__(
        self, command: Sequence[str], folder: Path, port: int, ready: str, stop_signal: int, user: str | None = None
    ) -> None:
        self.folder = folder
        self.port = port
        self.address = f"{HOST}:{port}"
        self.lines: deque[str] = deque(maxlen=300)
        self._said = threading.Condition()
        self._command = list(command)
        self._ready = ready
        self._stop_signal = stop_signal
        self._user = user
        try:
            self.start()
        except RuntimeError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def start(self) -> None:
        """Start it (again) and wait until it is ready; raises RuntimeError with the end of its log otherwise."""
        self.process = subprocess.Popen(
            self._command, cwd=self.folder, text=True, user=self._user, group=self._user,
            extra_groups=[] if self._user else None,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for pytest, which then stops its servers in order
        )  # fmt: skip
        settled = threading.Event()
        self._is_ready = False
        threading.Thread(target=self._listen, args=(self.process, settled), daemon=True).start()
        if not settled.wait(DEADLINE_S) or not self._is_ready:
            self.kill()
            raise RuntimeError(f"{self._command[0]} did not become ready:\n" + "".join(list(self.lines)[-30:]))

    def says(self, find: Callable[[str], F | None]) -> F:
        """The first that is found in a line of its output, once there is one."""

        def look() -> F | None:
            return next((found for line in self.lines if (found := find(line)) is not None), None)

        with self._said:
            found = self._said.wait_for(look, DEADLINE_S)
        assert found is not None, f"not said in {DEADLINE_S:.0f} s; last lines:\n" + "".join(list(self.lines)[-10:])
        return found

    def stop(self) -> None:
        """End it in order; killed when that takes over a minute."""
        self.process.send_signal(self._stop_signal)
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """kill -9, all of it: PostgreSQL has children."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def remove(self) -> None:
        """Stop it and remove its data."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listen(self, process: "subprocess.Popen[str]", settled: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                with self._said:
                    self.lines.append(line)
                    self._said.notify_all()
                if not settled.is_set() and self._ready in line:
                    self._is_ready = True
                    settled.set()
        settled.set()  # it ended


class PostgresServer(Server):
    """PostgreSQL; the tests' user is `ioc`, without a password on loopback."""

    def start(self) -> None:
        """As any, and again where its own children outlive a kill -9 for a moment: they hold the shared memory."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            self.lines.clear()
            try:
                return super().start()
            except RuntimeError as error:
                if "shared memory block" not in str(error) or time.monotonic() > deadline:
                    raise

    def new_database(self) -> str:
        """Make an empty database; returns its URL for SQLAlchemy."""
        name = f"ioc_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(f"postgresql://ioc@{self.address}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return f"postgresql+psycopg://ioc@{self.address}/{name}"


class RedisServer(Server):
    """Redis; `url` names its first database."""

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"


@contextmanager
def running(start: Callable[[], S]) -> Iterator[S]:
    """A server as long as it is needed; skips the test where it is Absent, in words that say what to install."""
    try:
        server = start()
    except Absent as absent:
        pytest.skip(str(absent))
    try:
        yield server
    finally:
        server.remove()


def free_port() -> int:
    """A loopback port that nobody has, below those that the kernel gives to outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port


def kafka_jars() -> Path:
    """The folder of the server's jars: IOC_KAFKA_JARS, or where `.ci/run` puts them."""
    return Path(os.environ.get("IOC_KAFKA_JARS") or Path.home() / ".cache" / "ioc" / "kafka-4.1")


def start_kafka(settings: Mapping[str, str] | None = None) -> Server:
    """One KRaft node, broker and controller in one, with `settings` over the tests' own server.properties."""
    java, jars = shutil.which("java"), kafka_jars()
    if java is None or not any(jars.glob("kafka_2.13-*.jar")):
        raise Absent(f"{KAFKA} (looked for java, and for jars in {jars})")
    return _retried(lambda: _start_kafka(java, jars, settings or {}))


def start_postgres(config: Path | None = None, disk: Path | None = None) -> PostgresServer:
    """A fresh cluster of databases with PostgreSQL's own settings, fsync included, or those of a file.

    Its data lie in a folder of their own, or in one on `disk`.
    """
    binaries = _postgres_binaries()
    return _retried(lambda: _start_postgres(binaries, config, disk))


def start_redis(config: Path | None = None) -> RedisServer:
    """A Redis without persistence (the live store is rebuilt from the database), or with the settings of a file."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise Absent(REDIS)

    def start() -> RedisServer:
        folder, port = _folder("redis"), free_port()
        settings = ["--save", ""] if config is None else []
        file = [] if config is None else [str(config)]
        command = [binary, *file, "--port", str(port), "--bind", HOST, "--dir", str(folder), *settings]
        return RedisServer(command, folder, port, "Ready to accept connections", signal.SIGTERM)

    return _retried(start)


def _retried(start: Callable[[], S]) -> S:
    """Another process may have taken the port between the look and the start: try others."""
    for _ in range(2):
        try:
            return start()
        except RuntimeError as error:
            if "in use" not in str(error):
                raise
    return start()


def _folder(name: str, within: Path | None = None) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"ioc-{name}-", dir=within))


def _start_kafka(java: str, jars: Path, settings: Mapping[str, str]) -> Server:
    folder, port, controller = _folder("kafka"), free_port(), free_port()
    properties = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{HOST}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "log.dirs": str(folder / "data"),
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "offsets.topic.num.partitions": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
        **settings,
    }
    (folder / "server.properties").write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    # An id that begins with "-" would be taken for an option.
    cluster = "c" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
    run = [java, "-Xmx512m", "-Dlog4j2.level=INFO", "-cp", f"{jars}/*"]
    subprocess.run(
        [*run, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", "server.properties"],
        cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return Server([*run, "kafka.Kafka", "server.properties"], folder, port, "Kafka Server started", signal.SIGTERM)


def _postgres_binaries() -> Path:
    """Debian keeps initdb and postgres off the path, in a folder for each version."""
    found = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found is None and not versions:
        raise Absent(POSTGRES)
    return Path(found).parent if found else versions[-1].parent


def _start_postgres(binaries: Path, config: Path | None, disk: Path | None) -> PostgresServer:
    folder, port = _folder("postgres", disk), free_port()
    user = None
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            raise Absent(f"{POSTGRES} (root needs its user `postgres`)") from None
        os.chown(folder, owner.pw_uid, owner.pw_gid)
        user = "postgres"
    subprocess.run(
        [binaries / "initdb", "-D", folder / "data", "-U", "ioc", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
        cwd=folder, check=True, capture_output=True, stdin=subprocess.DEVNULL,
        user=user, group=user, extra_groups=[] if user else None,
    )  # fmt: skip
    if config is not None:
        # Where PostgreSQL looks for it, and where its own user may read it.
        shutil.copyfile(config, folder / "data" / "postgresql.conf")
    command = [str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-h", HOST, "-k", str(folder)]
    ready = "database system is ready to accept connections"
    return PostgresServer(command, folder, port, ready, signal.SIGINT, user)
