"""Which records a command reads: a data folder's, the default one's, or a cluster's."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from control_center.console import assembled
from sensors.errors import SettingsError
from streams.data_folder import Records, records_of

CLUSTER = "postgresql+psycopg://ioc@db/ioc"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default data folder of `ioc up`, which has run there."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    made = tmp_path / "ioc"
    made.mkdir()
    (made / "history.sqlite").touch()
    return made


def of_folder(folder: Path, definitions: Path | None = None) -> Records:
    database, journal = f"sqlite:///{folder}/history.sqlite", f"sqlite:///{folder}/journal.sqlite"
    return Records(database, journal, definitions, are_embedded=True)


@pytest.mark.skipif("sys.platform != 'linux'", reason="other platforms have other customs")
def test_without_options_the_default_folder_is_read(home: Path) -> None:
    assert records_of(None, "") == of_folder(home)


def test_a_folder_s_own_definitions_are_those_its_figures_were_made_by_unless_others_are_named(
    home: Path, tmp_path: Path
) -> None:
    (home / "definitions").mkdir()
    assert records_of(home, "") == of_folder(home, home / "definitions")
    assert records_of(home, "", definitions=tmp_path) == of_folder(home, tmp_path)


def test_a_cluster_is_read_where_its_database_is_named_and_no_folder_is(home: Path, tmp_path: Path) -> None:
    named = records_of(None, CLUSTER, "kafka://kafka:9092", tmp_path)
    assert named == Records(CLUSTER, "kafka://kafka:9092", tmp_path, are_embedded=False)
    assert records_of(home, CLUSTER, "kafka://kafka:9092") == of_folder(home)


@pytest.mark.usefixtures("home")
def test_a_journal_alone_is_not_answered_from_another_one() -> None:
    with pytest.raises(SettingsError, match=r"--journal kafka://kafka:9092: .*--database is missing"):
        records_of(None, "", "kafka://kafka:9092")


READING = pytest.mark.parametrize(
    "command",
    [
        ["audit", "2026-11-24", "2026-11-25"], ["explain", "traffic_speed", "06673"],
        ["replay", "2026-11-24", "2026-11-25"], ["summary"], ["user", "list"],
    ],
    ids=lambda command: command[0],
)  # fmt: skip


@READING
def test_no_command_makes_a_database_of_a_mistyped_path(tmp_path: Path, command: list[str]) -> None:
    result = CliRunner().invoke(assembled(command[0]), [*command, "--database", f"sqlite:///{tmp_path / 'none'}"])
    assert isinstance(result.exception, SettingsError)
    assert str(result.exception).startswith(f"--database sqlite:///{tmp_path / 'none'}: ")
    assert list(tmp_path.iterdir()) == []


@READING
def test_every_command_says_which_folder_has_nothing_and_what_to_do(tmp_path: Path, command: list[str]) -> None:
    result = CliRunner().invoke(assembled(command[0]), [*command, "--data", str(tmp_path / "none")])
    assert isinstance(result.exception, SettingsError)
    told = str(result.exception)
    assert told.startswith(f"--data {tmp_path / 'none'}: ")
    assert "run `ioc up` there first" in told
