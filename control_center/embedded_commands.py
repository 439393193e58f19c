"""`ioc up`: the whole centre on one machine.

Nothing heavy is imported before the children are started: they read their modules while the data folder is prepared.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from control_center.broker_watch import BROKER, room_on, watch_broker
from control_center.embedded_settings import FIRST_OPERATOR, HOST, PARTITIONS
from control_center.listening_port import PORT_MAX, PortOption, check_port
from control_center.process_supervisor import Child, Supervisor, port_answers
from sensors import nats_broker
from sensors.disk_room import DiskGauge, limits_of, room_of
from sensors.errors import SettingsError, Unavailable
from streams.data_folder import DataFolder, default_data

app = typer.Typer()
console = Console()

FRUGAL = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "1048576"}
"""glibc gives every thread an arena of its own and keeps what a backlog once needed: a hundred MB for nothing."""


DataOption = Annotated[Path | None, typer.Option("--data", help="Data folder. Default: your user data directory.")]


def _check(port: int, mqtt_port: int, mqtt: str | None) -> None:
    """Raises SettingsError for what would make a child end again and again."""
    if mqtt is not None:
        from sensors.mqtt_bridge import MqttAddress

        MqttAddress.parse(mqtt)
    elif port == mqtt_port:
        raise SettingsError(f"--port {port} --mqtt-port {mqtt_port}: cần hai cổng / two ports are needed")


def _make(data: Path) -> None:
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (FileExistsError, NotADirectoryError) as reason:
        raise SettingsError(
            f"--data {data}: có tệp ở chỗ cần thư mục / there is a file where a folder is expected"
        ) from reason
    except OSError as reason:
        raise SettingsError(f"--data {data}: {reason.strerror}") from reason


@contextmanager
def _alone_in(data: Path) -> Iterator[None]:
    """Nobody else's `ioc up` in this folder, which would number the same messages a second time.

    The kernel lets go of the lock when the process ends, however it does; children do not inherit it. Raises
    SettingsError while another has it, and OSError.
    """
    with os.fdopen(os.open(DataFolder(data).lock, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as reason:
            holder = lock.read().decode(errors="replace").strip() or "?"
            raise SettingsError(
                f"--data {data}: đang được một `ioc up` khác dùng / another `ioc up` (pid {holder}) uses this folder: "
                "stop it, or choose another --data"
            ) from reason
        # As long as the last one's, so that a full disk has room for it; without it, only the words are poorer.
        with contextlib.suppress(OSError):
            lock.write(b"%10d\n" % os.getpid())
        yield


def _children(
    data: Path, port: int, mqtt_port: int, mqtt: str | None, simulate: bool, first: bool, gauge: DiskGauge,
    prepared: Callable[[], Awaitable[object]],
) -> list[Child]:  # fmt: skip
    python = [sys.executable, "-m", "control_center.console"]
    url = mqtt or f"mqtt://{HOST}:{mqtt_port}"
    children = []

    async def broker_may_start() -> None:
        await prepared()
        await room_on(gauge)

    async def broker_listens() -> None:
        await prepared()
        if mqtt is None:
            await port_answers(HOST, mqtt_port)

    async def gateway_listens() -> None:
        await prepared()
        await port_answers(HOST, port)

    engine = [*python, "engine", "--data", str(data), "--port", str(port), "--mqtt", url]
    if mqtt is None:
        config = nats_broker.write_config(data / "broker", mqtt_port)
        broker_log = data / "broker.log"
        children.append(Child(BROKER, nats_broker.command(config), broker_log, broker_may_start))
        engine += ["--broker-log", str(broker_log)]
    children.append(Child("engine", engine, data / "engine.log", prepared, FRUGAL, warms_up=True))
    journal = DataFolder(data).journal_url
    bridge = [*python, "bridge", "--mqtt", url, "--journal", journal, "--partitions", str(PARTITIONS)]
    children.append(Child("bridge", bridge, data / "bridge.log", broker_listens, warms_up=True))
    if simulate:
        city = [*python, "simulate", "--mqtt", url, "--live", "--round-the-clock"]
        city += ["--backfill", "3h"] if first else ["--backfill", "0h"]
        children.append(Child("city", city, data / "city.log", gateway_listens))
    return children


def _free_mb(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return room_of(there).free >> 20


def _prepare(data: Path) -> str | None:
    """The first operator's password where it is new; on a thread, and imported there: it takes a while."""
    from control_center.embedded_data import prepare

    return prepare(DataFolder(data))


class _Centre:
    """What `ioc up` runs and says, from the first child to the last."""

    def __init__(self, data: Path, port: int, mqtt_port: int, mqtt: str | None, simulate: bool) -> None:
        self._data, self._port = data, port
        self._is_simulated = simulate
        self._gauge = DiskGauge(data, limits_of())
        self._prepared = asyncio.Event()
        first = not DataFolder(data).journal.exists()
        children = _children(data, port, mqtt_port, mqtt, simulate, first, self._gauge, self._prepared.wait)
        self._has_broker = children[0].name == BROKER
        self._supervisor = Supervisor(children)

    async def run(self) -> None:
        """Until Ctrl-C, SIGTERM, or a failure that no new start mends."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._supervisor.stop)
        running = asyncio.create_task(self._supervisor.run())
        try:
            self._say_opening(await asyncio.to_thread(_prepare, self._data))
            self._prepared.set()
            await self._stand_by(running)
        finally:
            self._supervisor.stop()
            await running

    async def _stand_by(self, running: "asyncio.Task[None]") -> None:
        """Until the supervisor has ended; raises what the watch of the broker could not mend."""
        waits = [running]
        if self._has_broker:
            waits.append(asyncio.create_task(watch_broker(self._supervisor, self._gauge, HOST, self._port)))
        with console.status("Đang khởi động… / starting…"):
            answers = asyncio.create_task(port_answers(HOST, self._port))
            await asyncio.wait([running, answers], return_when=asyncio.FIRST_COMPLETED)
            answers.cancel()
        if not running.done():
            self._say_addresses()
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for watch in waits[1:]:
            if not watch.cancel():
                watch.result()

    def _say_opening(self, password: str | None) -> None:
        console.print(f"Dữ liệu / data: {escape(str(self._data))}", highlight=False)
        if password is not None:
            console.print(
                f"Tài khoản trực ban đầu tiên / first operator: [bold]{FIRST_OPERATOR}[/]  "
                f"mật khẩu / password: [bold]{password}[/]  (chỉ hiện một lần / shown once)",
                highlight=False,
            )
        if self._is_simulated:
            console.print(
                "Thành phố mô phỏng chạy cả ngày đêm, không phải số liệu thật / a simulated city, round the clock: "
                "no real data (--no-simulate)"
            )

    def _say_addresses(self) -> None:
        base = f"http://{HOST}:{self._port}"
        console.print(f"[bold]Màn hình / wall[/]     {base}/wall")
        console.print(f"[bold]Trực ban / desk[/]     {base}/desk")
        console.print(f"[bold]Lãnh đạo / leader[/]   {base}/leader")
        console.print(f"[bold]API[/]                 {base}/openapi.json   {base}/ready   {base}/metrics")
        console.print("Ctrl-C để dừng / to stop")


@app.command()
def up(
    data: DataOption = None,
    port: PortOption = 8080,
    mqtt_port: Annotated[
        int, typer.Option("--mqtt-port", min=1, max=PORT_MAX, help="Port of the embedded MQTT broker.")
    ] = 1883,
    mqtt: Annotated[str | None, typer.Option("--mqtt", help="Use the city's own broker: mqtt://host:port.")] = None,
    simulate: Annotated[bool, typer.Option("--simulate/--no-simulate", help="Run a simulated city beside it.")] = True,
) -> None:
    """Cả trung tâm trên một máy / the whole centre on one machine: broker, bridge, engine, wall, simulated city."""
    folder = data or default_data()
    try:
        _check(port, mqtt_port, mqtt)
        _make(folder)
        # Before the ports: who is told of those only would choose others, for the same folder.
        with _alone_in(folder):
            check_port(HOST, port)
            if mqtt is None:
                check_port(HOST, mqtt_port, "--mqtt-port")
            asyncio.run(_Centre(folder, port, mqtt_port, mqtt, simulate).run())
    except SettingsError as reason:
        console.print(f"[red]{escape(str(reason))}[/]", highlight=False)
        raise typer.Exit(2) from reason
    except (Unavailable, OSError) as reason:
        free = _free_mb(folder)
        why = f"chưa mở được, đĩa còn {free} MB / cannot be opened now, {free} MB left on its disk"
        console.print(f"[red]{escape(f'--data {folder}: {why}: {reason}')}[/]", highlight=False)
        raise typer.Exit(1) from reason
