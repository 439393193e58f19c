"""`ioc check`, `ioc gateway`, `ioc user` and `ioc wall`: the commands of the control centre."""

from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from control_center import argon2_accounts
from control_center.account import ROLES, name_fault, password_fault
from control_center.http_access import wall_token
from control_center.http_gateway import GatewaySettings, build_gateway, gateway_config
from control_center.listening_port import PortOption, check_port
from control_center.sql_accounts import SqlAccounts
from control_center.toml_walls import load_walls, read_walls
from control_center.wall import FONT_REM, arc_minutes, layout_of
from sensors.errors import SettingsError
from sensors.system_clock import now_ms
from streams.commands import DataOption, OverlayOption
from streams.data_folder import records_of
from streams.redis_live import RedisLive
from streams.secret_file import secret_from
from streams.sql_store import SqlStore
from streams.toml_catalogue import check as check_definitions
from streams.toml_catalogue import load_all

app = typer.Typer()
user = typer.Typer(help="Tài khoản / accounts.", no_args_is_help=True)
wall = typer.Typer(help="Màn hình / walls.", no_args_is_help=True)
app.add_typer(user, name="user")
app.add_typer(wall, name="wall")
console = Console()

DatabaseOption = Annotated[str, typer.Option("--database", envvar="IOC_DATABASE", help="Database URL.")]


@app.command()
def check(definitions: OverlayOption = None) -> None:
    """Kiểm tra mọi tệp định nghĩa / check every definition file; lists all faults at once, exit code 1 if any."""
    faults = check_definitions(definitions)
    loaded = None if faults else load_all(definitions)
    walls, wrong = read_walls(None if loaded is None else loaded.kpis, definitions)
    faults = [*faults, *wrong]
    for fault in faults:
        # One fault a line, however narrow: a path that is cut in two can neither be clicked nor searched for.
        console.print(f"[red]✗[/] {escape(str(fault))}", highlight=False, soft_wrap=True)
    if loaded is None or faults:
        console.print(f"{len(faults)} lỗi / faults")
        raise typer.Exit(1)
    console.print(
        f"[green]✓[/] {len(loaded.place.units)} đơn vị / units, {len(loaded.kinds)} loại nguồn / kinds, "
        f"{len(loaded.kpis)} chỉ tiêu / KPIs, {len(loaded.rules)} luật cảnh báo / alert rules, "
        f"{len(walls)} màn hình / walls: không lỗi / no faults"
    )


@app.command()
def gateway(
    database: Annotated[str, typer.Option("--database", envvar="IOC_DATABASE", help="Database URL.")],
    redis: Annotated[str, typer.Option("--redis", envvar="IOC_REDIS", help="Redis URL of the live store.")],
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: PortOption = 8080,
    partitions: Annotated[int, typer.Option("--partitions", min=0, help="Ready only when so many report.")] = 0,
    journal: Annotated[
        str, typer.Option("--journal", envvar="IOC_JOURNAL", help="kafka://host:port[,…], to explain numbers from.")
    ] = "",
    definitions: OverlayOption = None,
) -> None:
    """Cổng của cụm / one gateway of the cluster: pages, API and live channel. IOC_WALL_TOKEN(_FILE) is read."""
    check_port(host, port)
    settings = GatewaySettings(
        host=host, port=port, overlay=definitions, partitions=partitions, wall_token=wall_token(), journal=journal
    )
    store = SqlStore(secret_from(database, "IOC_DATABASE_PASSWORD"))
    live = RedisLive(secret_from(redis, "IOC_REDIS_PASSWORD"))
    gateway_app = build_gateway(settings, live, store, load_all(definitions))
    console.print(f"http://{host}:{port}/wall", highlight=False)
    uvicorn.Server(gateway_config(gateway_app, settings)).run()


@user.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="2–32 of a-z 0-9 . _ -")],
    role: Annotated[str, typer.Option("--role", help=", ".join(ROLES))] = "operator",
    generate: Annotated[bool, typer.Option("--generate", help="Let the machine choose; printed once.")] = False,
    database: DatabaseOption = "",
    data: DataOption = None,
) -> None:
    """Thêm tài khoản / add an account; asks for the password, or makes one."""
    if role not in ROLES:
        raise SettingsError(f"--role {role}: một trong / one of {', '.join(ROLES)}")
    if name_fault(name):
        raise SettingsError(f"{name}: {name_fault(name)}")
    accounts = _accounts(database, data)
    if accounts.account(name) is not None:
        raise SettingsError(f"{name}: tài khoản đã có / the account is there already (ioc user list)")
    password = argon2_accounts.make_password() if generate else _ask(name)
    accounts.add_account(name, argon2_accounts.hash_password(password), role, now_ms())
    console.print(f"[green]✓[/] {name} ({role})", highlight=False)
    if generate:
        console.print(f"mật khẩu / password: [bold]{password}[/]  (chỉ hiện một lần / shown once)", highlight=False)


@user.command("list")
def list_users(database: DatabaseOption = "", data: DataOption = None) -> None:
    """Danh sách tài khoản / list the accounts."""
    table = Table("tên / name", "vai trò / role", "trạng thái / state")
    for account in _accounts(database, data).accounts():
        table.add_row(account.name, account.role, "đã khoá / disabled" if account.disabled else "hoạt động / active")
    console.print(table)


@user.command("disable")
def disable_user(name: str, database: DatabaseOption = "", data: DataOption = None) -> None:
    """Khoá tài khoản và kết thúc mọi phiên / disable an account and end its sessions."""
    accounts = _accounts(database, data)
    if accounts.account(name) is None:
        raise SettingsError(f"{name}: không có tài khoản này / there is no such account (ioc user list)")
    accounts.disable_account(name)
    console.print(f"[green]✓[/] {name}: đã khoá / disabled", highlight=False)


@wall.command("list")
def list_walls(definitions: OverlayOption = None) -> None:
    """Các màn hình và cỡ chữ nhìn thấy / the walls, and how large their letters are from the farthest seat."""
    table = Table("id", "tên / name", "cao × xa / height × distance", "layout", "chữ / letters")
    for each in load_walls(load_all(definitions).kpis, definitions).values():
        layout = layout_of(each)
        assert layout is not None  # checked as the walls were loaded
        sizes = ", ".join(f"{text} {arc_minutes(each, layout, text):.1f}′" for text in FONT_REM[layout])
        table.add_row(each.id, each.name_vi, f"{each.height_mm:.0f} × {each.distance_mm:.0f} mm", layout, sizes)
    console.print(table)


def _ask(name: str) -> str:
    while True:
        password: str = typer.prompt("Mật khẩu / password", hide_input=True, confirmation_prompt=True)
        fault = password_fault(name, password)
        if not fault:
            return password
        console.print(f"[red]{fault}[/]", highlight=False)


def _accounts(database: str, data: Path | None) -> SqlAccounts:
    return SqlAccounts(SqlStore(secret_from(records_of(data, database).database, "IOC_DATABASE_PASSWORD")).engine)
