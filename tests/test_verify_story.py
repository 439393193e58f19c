"""`ioc verify` beside a real centre that has received a run of the simulated city over its real broker."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from servers import free_port
from up_process import Centre

pytestmark = pytest.mark.long

DEADLINE_S = 300.0


def ioc(command: str, *options: str) -> tuple[int, str]:
    """Exit code and what was printed."""
    run = subprocess.run(
        [sys.executable, "-m", "control_center.console", command, *options],
        capture_output=True, text=True, timeout=DEADLINE_S,
    )  # fmt: skip
    return run.returncode, run.stdout + run.stderr


def at(centre: Centre) -> tuple[str, str]:
    return "--centre", f"http://127.0.0.1:{centre.port}"


def test_a_run_with_every_fault_comes_to_what_the_oracle_says_and_another_seed_does_not(centre: Centre) -> None:
    run = ("--scenario", "faults", "--from", "2026-11-23T07:00", "--hours", "2", "--rate", "1")
    mqtt = f"mqtt://127.0.0.1:{centre.mqtt_port}"
    code, said = ioc("simulate", "--mqtt", mqtt, "--seed", "5", "--speed", "0", *run)
    assert code == 0, said
    code, said = ioc("verify", *at(centre), "--seed", "5", "--patience", "60", *run)
    assert code == 0, said
    assert "all of it is equal" in said
    assert "drop 7, drop 4, duplicate 10" in said
    code, said = ioc("verify", *at(centre), "--seed", "6", "--patience", "1", *run)
    assert code == 1, said
    assert "sections differ" in said
    assert "ledger: " in said, "the first difference is told"


def test_a_run_that_keeps_pace_with_the_clock_is_graded_with_its_alerts(centre: Centre) -> None:
    begin = datetime.fromtimestamp(int(datetime.now(UTC).timestamp()) // 600 * 600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    run = ("--from", begin, "--hours", "0.02", "--rate", "8", "--round-the-clock")
    code, said = ioc("simulate", "--mqtt", f"mqtt://127.0.0.1:{centre.mqtt_port}", "--speed", "1", *run)
    assert code == 0, said
    code, said = ioc("verify", *at(centre), "--patience", "60", *run)
    assert code == 0, said


def test_a_centre_that_cannot_be_asked_is_wrong_use() -> None:
    code, said = ioc("verify", "--centre", f"http://127.0.0.1:{free_port()}", "--from", "2026-11-23T07:00")
    assert code == 2
    assert "--centre" in said
    code, said = ioc("verify", "--centre", "localhost:8080", "--from", "2026-11-23T07:00")
    assert (code, "http://host:port" in said) == (2, True)
