"""`ioc` knows where each command is, and imports no more than that one needs."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from control_center.console import MODULES, assembled


def names_of(app: typer.Typer) -> set[str]:
    commands = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    return commands | {group.name for group in app.registered_groups if group.name}


@pytest.mark.parametrize("module", MODULES)
def test_every_command_is_where_the_console_looks_for_it(module: str) -> None:
    assert names_of(import_module(module).app) == set(MODULES[module])


def test_help_lists_every_command_that_is_not_hidden() -> None:
    text = CliRunner().invoke(assembled(), ["--help"]).output
    for commands in MODULES.values():
        for command in commands:
            assert (f" {command} " in text) == (command != "engine")


def test_an_unknown_command_is_refused_with_words() -> None:
    result = CliRunner().invoke(assembled("mystery"), ["mystery"])
    assert result.exit_code == 2
    assert "mystery" in result.output


WORKER = ["worker", "--kafka", "one:9092", "--database", "sqlite://", "--redis", "redis://one"]
GATEWAY = ["gateway", "--database", "sqlite://", "--redis", "redis://one"]


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        (["up"], "--port", "99999"),
        (["up"], "--port", "-1"),
        (["up"], "--mqtt-port", "99999"),
        (["replay", "2026-11-24", "2026-11-25"], "--port", "99999"),
        (GATEWAY, "--port", "99999"),
        (GATEWAY, "--partitions", "-1"),
        (WORKER, "--partitions", "-3"),
    ],
)
def test_a_number_that_no_option_can_have_is_refused_with_the_options_name(
    command: list[str], option: str, value: str
) -> None:
    result = CliRunner().invoke(assembled(command[0]), [*command, option, value])
    assert result.exit_code == 2, result.output
    assert f"'{option}'" in result.output


@pytest.mark.parametrize(("command", "unneeded"), [("bridge", ("fastapi", "faust", "sqlalchemy")), ("up", ("faust",))])
def test_a_command_starts_without_what_only_others_need(command: str, unneeded: tuple[str, ...]) -> None:
    told = f"import sys; from control_center.console import assembled; assembled({command!r}); print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.split()
    assert not set(unneeded) & set(found)


@pytest.mark.parametrize(("content", "told"), [(b"x = 1\n", "name_vi: is required"), (b'title = "\xff"\n', "UTF-8")])
@pytest.mark.parametrize("is_kpi_wrong", [False, True])
def test_check_finds_a_wall_that_cannot_be_shown(tmp_path: Path, content: bytes, told: str, is_kpi_wrong: bool) -> None:
    """Whether or not other definitions have faults."""
    (tmp_path / "walls").mkdir()
    (tmp_path / "walls" / "overview.toml").write_bytes(content)
    if is_kpi_wrong:
        (tmp_path / "kpis").mkdir()
        (tmp_path / "kpis" / "mine.toml").write_text("x = 1\n")
    result = CliRunner().invoke(assembled("check"), ["check", "--definitions", str(tmp_path)])
    assert result.exit_code == 1
    (first, *_) = [line for line in result.output.splitlines() if "walls/overview.toml" in line]
    assert told in first
    assert ("mine.toml" in result.output) == is_kpi_wrong


def test_ctrl_c_while_a_commands_modules_are_being_read_ends_it_in_order(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    told = (
        f"import sys; sys.path.append({str(tmp_path)!r}); sys.argv = ['ioc', 'interrupted']\n"
        "from control_center import console; console.MODULES = {'interrupted': ['interrupted']}; console.main()"
    )
    ended = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (130, "")
