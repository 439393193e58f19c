"""`ioc up`: the whole centre on one machine."""

import asyncio
import os
import secrets
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from control_center.argon2_accounts import hash_password
from control_center.broker_watch import BROKER, room_on, watch_broker
from control_center.embedded_settings import HOST, PARTITIONS, EngineSettings
from control_center.process_supervisor import Child, Supervisor, port_answers
from control_center.sql_accounts import SqlAccounts
from control_center.toml_walls import load_walls
from sensors import nats_broker
from sensors.disk_room import DiskGauge, limits_of, room_of
from sensors.errors import SettingsError, Unavailable
from sensors.sqlite_journal import SqliteJournal
from sensors.system_clock import now_ms
from streams.smtp_outbox import smtp_settings
from streams.sql_store import SqlStore
from streams.summary_schedule import recipients
from streams.toml_catalogue import load_all

app = typer.Typer()
console = Console()

FIRST_OPERATOR = "truc-ban"
FRUGAL = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "1048576"}
"""glibc gives every thread an arena of its own and keeps what a backlog once needed: a hundred MB for nothing."""


DataOption = Annotated[Path | None, typer.Option("--data", help="Data folder. Default: your user data directory.")]
PortOption = Annotated[int, typer.Option("--port", help="Port of pages, API and live channel.")]


def default_data() -> Path:
    """The user's data directory by the custom of the platform."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "ioc"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "ioc"
    return Path(os.environ.get("XDG_DATA_HOME", str(Path.home() / ".local" / "share"))) / "ioc"


def _check_port(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as reason:
            raise SettingsError(
                f"{option} {port}: cổng đang được dùng, hãy chọn cổng khác / the port is taken "
                f"({reason.strerror}); choose another with {option}"
            ) from reason


def _prepare(data: Path, mqtt_port: int | None, port: int) -> str | None:
    """Make folder, journal, database and first operator; returns that operator's password when it is new."""
    _check_port(port, "--port")
    if mqtt_port is not None:
        _check_port(mqtt_port, "--mqtt-port")
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as reason:
        raise SettingsError(f"--data {data}: {reason.strerror}") from reason
    # What the engine would stumble over again and again is said here, once, to the person who can mend it.
    overlay = data / "definitions"
    definitions = load_all(overlay if overlay.is_dir() else None)
    load_walls(definitions.kpis, overlay if overlay.is_dir() else None)
    smtp_settings()
    recipients(definitions.schedule)
    settings = EngineSettings(data, HOST, port)
    journal = SqliteJournal.open(settings.journal, PARTITIONS)
    asyncio.run(journal.close())
    store = SqlStore(settings.database)
    store.migrate()
    accounts = SqlAccounts(store.engine)
    if accounts.accounts():
        return None
    password = secrets.token_urlsafe(12)
    accounts.add_account(FIRST_OPERATOR, hash_password(password), "operator", now_ms())
    return password


def _children(
    data: Path, port: int, mqtt_port: int, mqtt: str | None, simulate: bool, first: bool, gauge: DiskGauge
) -> list[Child]:
    python = [sys.executable, "-m", "control_center.console"]
    url = mqtt or f"mqtt://{HOST}:{mqtt_port}"
    children = []

    async def broker_listens() -> None:
        await port_answers(HOST, mqtt_port)

    async def has_room() -> None:
        await room_on(gauge)

    async def gateway_listens() -> None:
        await port_answers(HOST, port)

    engine = [*python, "engine", "--data", str(data), "--port", str(port)]
    if mqtt is None:
        config = nats_broker.write_config(data / "broker", mqtt_port)
        broker_log = data / "broker.log"
        children.append(Child(BROKER, nats_broker.command(config), broker_log, has_room))
        engine += ["--broker-log", str(broker_log), "--mqtt-port", str(mqtt_port)]
    children.append(Child("engine", engine, data / "engine.log", environment=FRUGAL))
    journal = EngineSettings(data, HOST, port).journal
    bridge = [*python, "bridge", "--mqtt", url, "--journal", f"sqlite:///{journal}", "--partitions", str(PARTITIONS)]
    children.append(Child("bridge", bridge, data / "bridge.log", broker_listens if mqtt is None else None))
    if simulate:
        city = [*python, "simulate", "--mqtt", url, "--live", "--round-the-clock"]
        city += ["--backfill", "3h"] if first else ["--backfill", "0h"]
        children.append(Child("city", city, data / "city.log", gateway_listens))
    return children


def _free_mb(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return room_of(there).free >> 20


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=1) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _wait_until_healthy(port: int, is_over: Callable[[], bool]) -> None:
    while not is_over() and not _healthy(port):
        time.sleep(0.1)


async def _supervise(children: list[Child], port: int, gauge: DiskGauge) -> None:
    supervisor = Supervisor(children)
    has_broker = children[0].name == BROKER
    watch = asyncio.create_task(watch_broker(supervisor, gauge, HOST, port)) if has_broker else None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, supervisor.stop)
    running = asyncio.create_task(supervisor.run())
    with console.status("Đang khởi động… / starting…"):
        answers = asyncio.create_task(asyncio.to_thread(_wait_until_healthy, port, running.done))
        await asyncio.wait([running, answers], return_when=asyncio.FIRST_COMPLETED)
    if not running.done():
        base = f"http://{HOST}:{port}"
        console.print(f"[bold]Màn hình / wall[/]     {base}/wall")
        console.print(f"[bold]Trực ban / desk[/]     {base}/desk")
        console.print(f"[bold]Lãnh đạo / leader[/]   {base}/leader")
        console.print(f"[bold]API[/]                 {base}/openapi.json   {base}/ready   {base}/metrics")
        console.print("Ctrl-C để dừng / to stop")
    await asyncio.wait([running] if watch is None else [running, watch], return_when=asyncio.FIRST_COMPLETED)
    if watch is not None and not watch.cancel():
        supervisor.stop()
        await running
        watch.result()
    await running


@app.command()
def up(
    data: DataOption = None,
    port: PortOption = 8080,
    mqtt_port: Annotated[int, typer.Option("--mqtt-port", help="Port of the embedded MQTT broker.")] = 1883,
    mqtt: Annotated[str | None, typer.Option("--mqtt", help="Use the city's own broker: mqtt://host:port.")] = None,
    simulate: Annotated[bool, typer.Option("--simulate/--no-simulate", help="Run a simulated city beside it.")] = True,
) -> None:
    """Cả trung tâm trên một máy / the whole centre on one machine: broker, bridge, engine, wall, simulated city."""
    folder = data or default_data()
    try:
        first = not (folder / "journal.sqlite").exists()
        gauge = DiskGauge(folder, limits_of())
        password = _prepare(folder, None if mqtt else mqtt_port, port)
        children = _children(folder, port, mqtt_port, mqtt, simulate, first, gauge)
    except SettingsError as reason:
        console.print(f"[red]{reason}[/]", highlight=False)
        raise typer.Exit(2) from reason
    except (Unavailable, OSError) as reason:
        free = _free_mb(folder)
        why = f"chưa mở được, đĩa còn {free} MB / cannot be opened now, {free} MB left on its disk"
        console.print(f"[red]--data {folder}: {why}: {reason}[/]", highlight=False)
        raise typer.Exit(1) from reason
    console.print(f"Dữ liệu / data: {folder}", highlight=False)
    if password is not None:
        console.print(
            f"Tài khoản trực ban đầu tiên / first operator: [bold]{FIRST_OPERATOR}[/]  "
            f"mật khẩu / password: [bold]{password}[/]  (chỉ hiện một lần / shown once)",
            highlight=False,
        )
    if simulate:
        console.print(
            "Thành phố mô phỏng chạy cả ngày đêm, không phải số liệu thật / a simulated city, round the clock: "
            "no real data (--no-simulate)"
        )
    asyncio.run(_supervise(children, port, gauge))
