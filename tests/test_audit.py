"""`ioc audit`: a second, plain path agrees with the worker, and finds whatever history says otherwise."""

import asyncio
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_world import NOON, A, B, C, cloudevent, kinds, kpis, place, senml
from told import Message
from typer.testing import CliRunner
from whole_processor import WholeProcessor

from control_center.console import assembled
from sensors.errors import SettingsError
from sensors.sqlite_journal import SqliteJournal
from streams.difference import AuditReport, Difference
from streams.duckdb_audit import DuckdbAudit
from streams.kpi import Kpi
from streams.schedule import Schedule
from streams.span import Span, local_text, parse_moment, parse_span
from streams.sql_store import SqlStore
from streams.toml_catalogue import Definitions

MINUTE, HOUR = 60_000, 3_600_000
AFTERNOON = Span(NOON, NOON + 4 * HOUR)
LATER = Span(NOON + 3 * HOUR, NOON + 3 * HOUR + 30 * MINUTE)
BEAT = 3 * MINUTE
QUIET = Schedule("leaders", "Tóm tắt", "Summary", ["07:00"], [], [])


def more_kpis() -> dict[str, Kpi]:
    """A KPI of every measure and of every way to combine sources."""
    base = kpis()["speed"]
    made = [
        msgspec.structs.replace(base, id=measure, measure=measure)
        for measure in ("count", "sum", "min", "max", "last", "change", "rate", "p50", "p90")
    ]
    made.append(msgspec.structs.replace(base, id="share", measure="share", at_most=50.0, every_s=60))
    made += [
        msgspec.structs.replace(base, id=f"{one}_{across}", measure=one, across=across, factor=0.5, per="minute")
        for one, across in (("mean", "mean"), ("rate", "max"), ("p50", "min"), ("sum", "sum"))
    ]
    tickets = msgspec.structs.replace(base, kind="queue", measure="mean", window_s=3_600)
    made += [msgspec.structs.replace(tickets, id=name, quantity=name) for name in ("taken", "service", "left")]
    return {kpi.id: kpi for kpi in made}


DEFINITIONS = Definitions(place(), kinds(), kpis() | more_kpis(), {}, QUIET)


def traffic(chance: np.random.Generator) -> Iterator[Message]:
    """Three units' sensors, with everything that can be wrong with a message."""
    for step in range(4 * 60):
        for unit, source in ((A, "one"), (A, "two"), (B, "one"), (C, "one")):
            time, topic = NOON + step * MINUTE, f"ioc/{unit}/traffic/{source}"
            said = senml("speed", time, round(float(chance.uniform(0, 120)), 2))
            fate = chance.random()
            if fate < 0.02:
                yield Message(topic, said, time + 5_000 + int(chance.integers(0, 590_000)))  # late, and in time
            elif fate < 0.03:
                yield Message(topic, said, time + 11 * MINUTE + int(chance.integers(0, HOUR)))  # too late
            elif fate < 0.05:
                yield Message(topic, said[:-3], time)  # cut short
            elif fate < 0.07:
                yield Message(topic, said[:-1] + b', {"n": "status", "vs": "calibrating"}]', time)
            elif fate < 0.09:
                again = time + int(chance.integers(1, 300_000))
                yield from (Message(topic, said, at) for at in (time, again))
            elif fate < 0.11:
                untimed = b'[{"n": "speed", "v": %d}]' % int(fate * 1_000)
                yield from (Message(topic, untimed, time + 1_000), Message(topic, untimed, time + 2_000, True))
            else:
                yield Message(topic, said, time + int(chance.integers(0, 900)))
        yield Message("ioc/00000/traffic/x", b"[]", NOON + step * MINUTE)
        # Without a clock, it says the same again and again, and in one millisecond too.
        yield from [Message(f"ioc/{B}/traffic/same", b'[{"n": "speed", "v": 50}]', NOON + step * MINUTE)] * 2


def air(chance: np.random.Generator) -> Iterator[Message]:
    """Six pollutants every twenty minutes; one station has an hour without dust."""
    for step in range(12):
        time = NOON + step * 20 * MINUTE
        for unit, source in ((A, "air-1"), (A, "air-2"), (C, "air-1")):
            for name in ("pm25", "pm10", "o3", "co", "so2", "no2"):
                if not (unit == C and name.startswith("pm") and 4 <= step < 7):
                    said = senml(name, time, round(float(chance.gamma(2, 60)), 1))
                    yield Message(f"ioc/{unit}/air/{source}", said, time)


def desks(chance: np.random.Generator) -> Iterator[Message]:
    """Tickets whose steps arrive in any order, some told twice or never; ratings with and without a field."""
    for number in range(160):
        unit = (A, B, C)[number % 3]
        taken = NOON + number * 80_000
        called = taken + int(chance.integers(10_000, 1_500_000))
        steps = [("taken", taken), ("called", called), ("served", called + int(chance.integers(20_000, 900_000)))]
        if number % 9 == 0:
            steps = [("taken", taken), ("left", called)]
        for place_in_line, (step, time) in enumerate(steps):
            said = cloudevent("queue", step, time, number * 10 + place_in_line, ticket=number // 3, field="dat_dai")
            arrives = time + int(chance.integers(0, 600_000)) * (number % 5 == 0)
            if number % 17:
                yield Message(f"ioc/{unit}/queue/q", said, arrives)
            if number % 7 == 0:
                yield Message(f"ioc/{unit}/queue/q", said, arrives + 4_000)
        field = {"field": "dat_dai"} if number % 2 else {"field": "none such"}
        rated = cloudevent("rating", "given", called, 100_000 + number, score=1 + number % 5, **field)
        yield Message(f"ioc/{unit}/rating/r", rated, called)
        if number % 11 == 0:
            yield Message(f"ioc/{unit}/rating/r", rated, called + MINUTE)


async def live_through(folder: Path) -> None:
    chance = np.random.default_rng(3)
    told = sorted([*traffic(chance), *air(chance), *desks(chance)], key=lambda message: message.received_at)
    processor = WholeProcessor(DEFINITIONS, folder, NOON, 2)
    await processor.start()
    now, held = NOON, list[Message]()
    for message in told:
        while message.received_at >= now + BEAT:
            now += BEAT
            await processor.live(held, now, ("not", "not", "at once", "once journaled")[now // BEAT % 4])
            held = []
            if now == NOON + 2 * HOUR:
                await processor.start()  # as after a kill
        held.append(message)
    await processor.live(held, now)
    await processor.close()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lived")
    asyncio.run(live_through(folder))
    return folder


@pytest.fixture
def data(lived: Path, tmp_path: Path) -> Path:
    """A copy of the afternoon, to be tampered with."""
    shutil.copytree(lived, tmp_path / "data")
    return tmp_path / "data"


def nothing(stage: str, done: int, total: int) -> None:
    """Nobody watches the progress."""


def audited(
    data: Path, *only: str, span: Span = AFTERNOON, progress: Callable[[str, int, int], None] = nothing
) -> AuditReport:
    """The audit of all KPIs, or of these only."""
    chosen = {name: kpi for name, kpi in DEFINITIONS.kpis.items() if name in only or not only}

    async def run(folder: Path) -> AuditReport:
        journal = SqliteJournal.read_only(data / "journal.sqlite")
        audit = DuckdbAudit(replace(DEFINITIONS, kpis=chosen), span, folder)
        try:
            return await audit.audit(journal, SqlStore(f"sqlite:///{data / 'history.sqlite'}"), progress, 0.0)
        finally:
            audit.close()
            await journal.close()

    folder = data / "audit"
    folder.mkdir()
    try:
        return asyncio.run(run(folder))
    finally:
        shutil.rmtree(folder)


def tamper(data: Path, statement: str, *values: object) -> None:
    database = sqlite3.connect(data / "history.sqlite")
    with database:
        assert database.execute(statement, values).rowcount == 1
    database.close()


def only(report: AuditReport) -> Difference:
    assert report.wrong == 1
    assert len(report.differences) == 1
    return report.differences[0]


END = NOON + 2 * HOUR
AT = "kpi = ? AND scope = ? AND end = ?"


def test_every_closed_window_of_a_troubled_afternoon_is_equal(lived: Path) -> None:
    report = audited(lived)
    assert report.differences == []
    assert report.total("unknown") == report.total("moving") == 0
    assert [kpi for kpi, counts in report.windows.items() if counts.get("equal", 0) < 5] == []
    database = sqlite3.connect(lived / "history.sqlite")
    (told,) = database.execute("SELECT count(*) FROM value WHERE end > ? AND end <= ?", AFTERNOON).fetchone()
    database.close()
    assert told - 60 <= report.total("equal") <= told
    assert report.unusable > 240
    assert report.counted < report.readings


def test_a_value_that_was_changed_is_named_with_both_values(data: Path) -> None:
    tamper(data, f"UPDATE value SET value = value * 1.00001 WHERE {AT}", "mean_mean", "193", END)
    found = only(audited(data, "mean_mean", "speed"))
    assert (found.outcome, found.kpi, found.scope, found.end) == ("different", "mean_mean", "193", END)
    assert found.told == pytest.approx(found.computed * 1.00001 if found.computed else None)
    assert found.told_n == found.computed_n
    assert sum(records.readings for records in found.records) == found.computed_n


def test_a_number_of_readings_that_was_changed_is_named(data: Path) -> None:
    tamper(data, f"UPDATE value SET n = n + 1 WHERE {AT}", "speed", A, END)
    found = only(audited(data, "speed", "mean_mean"))
    assert (found.outcome, found.kpi, found.scope, found.end) == ("different", "speed", A, END)
    assert found.computed_n is not None
    assert found.told_n == found.computed_n + 1


def test_a_window_that_was_taken_out_is_missing(data: Path) -> None:
    tamper(data, f"DELETE FROM value WHERE {AT}", "satisfied", "22", END)
    found = only(audited(data, "satisfied", "speed"))
    assert (found.outcome, found.kpi, found.scope, found.end) == ("missing", "satisfied", "22", END)
    assert (found.told, found.told_n) == (None, None)


def test_a_window_that_the_journal_knows_nothing_of_is_extra(data: Path) -> None:
    columns = "FROM value WHERE"
    database = sqlite3.connect(data / "history.sqlite")
    names = [name for _, name, *_ in database.execute("PRAGMA table_info(value)")]
    database.close()
    chosen = ", ".join("end + 1000" if name == "end" else f'"{name}"' for name in names)
    tamper(data, f"INSERT INTO value SELECT {chosen} {columns} {AT}", "fastest", B, END)
    found = only(audited(data, "fastest", "speed"))
    assert (found.outcome, found.kpi, found.scope, found.end) == ("extra", "fastest", B, END + 1_000)
    assert found.computed_n is None


def test_quantiles_may_be_off_by_their_bins_and_by_no_more(data: Path) -> None:
    tamper(data, f"UPDATE value SET value = value * 1.03 WHERE {AT}", "speed_p95", "22", END)
    assert only(audited(data, "speed_p95", "speed")).kpi == "speed_p95"


def test_differences_come_in_order_of_time(data: Path) -> None:
    for back in (0, 2, 1):
        tamper(data, f"UPDATE value SET n = 0 WHERE {AT}", "speed", A, END - back * 10 * MINUTE)
    found = audited(data, "speed").differences
    assert [difference.end for difference in found] == [END - back * 10 * MINUTE for back in (2, 1, 0)]


def test_a_part_of_the_afternoon_needs_only_a_part_of_the_journal(lived: Path) -> None:
    whole, part = audited(lived, "speed"), audited(lived, "speed", span=LATER)
    assert part.wrong == part.total("unknown") == 0
    assert 0 < part.compared < whole.compared / 4


def test_windows_from_before_the_journals_first_record_are_counted_and_not_compared(data: Path) -> None:
    async def trim() -> None:
        journal = SqliteJournal.open(data / "journal.sqlite", 2, retain_s=3_600)
        while await journal.trim(NOON + 4 * HOUR, dict.fromkeys(range(2), 10_000)):
            pass
        await journal.close()

    tamper(data, f"UPDATE value SET n = n + 1 WHERE {AT}", "speed", A, END)  # nobody can know any more
    asyncio.run(trim())
    report = audited(data, "speed", "wait")
    assert report.differences == []
    assert report.windows["speed"]["unknown"] > 50
    assert report.windows["speed"]["equal"] > 20
    assert "equal" not in report.windows["wait"]  # tickets that were taken before may have been called since


def test_a_window_that_history_changes_meanwhile_is_not_compared(data: Path) -> None:
    tamper(data, f"UPDATE value SET n = n + 1 WHERE {AT}", "speed", A, END)
    done = []

    def meanwhile(stage: str, at: int, total: int) -> None:
        if stage == "windows" and not done:
            done.append(stage)
            tamper(data, f"UPDATE value SET n = n - 1, revision = revision + 1 WHERE {AT}", "speed", A, END)

    report = audited(data, "speed", progress=meanwhile)
    assert (report.wrong, report.total("moving")) == (0, 1)


def test_windows_that_close_by_the_thousand_meanwhile_are_not_missing(data: Path) -> None:
    """As at a turn of the hour in a place of many units and KPIs: the audit has read history just before."""
    history = sqlite3.connect(data / "history.sqlite")
    with history:
        history.execute("CREATE TABLE later AS SELECT * FROM value")
        history.execute("DELETE FROM value")
    done = []

    def meanwhile(stage: str, at: int, total: int) -> None:
        if stage == "windows" and not done:
            done.append(stage)
            with history:
                history.execute("INSERT INTO value SELECT * FROM later")

    report = audited(data, progress=meanwhile)
    history.close()
    assert (report.wrong, report.differences) == (0, [])
    assert report.total("moving") > 2_000


def test_an_audit_neither_waits_for_a_writer_nor_holds_one_up(data: Path) -> None:
    writer = sqlite3.connect(data / "journal.sqlite", isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    before = (data / "journal.sqlite").read_bytes()
    assert audited(data, "speed").compared > 100
    writer.execute("UPDATE tail SET bytes = bytes")
    writer.execute("ROLLBACK")
    writer.close()
    assert (data / "journal.sqlite").read_bytes() == before


def test_a_journal_opened_read_only_cannot_be_written_and_must_be_there(data: Path) -> None:
    with pytest.raises(SettingsError, match="there is no journal"):
        SqliteJournal.read_only(data / "none.sqlite")
    (data / "text.sqlite").write_text("not a database, and long enough to be read as one" * 40)
    with pytest.raises(SettingsError, match="is not a journal"):
        SqliteJournal.read_only(data / "text.sqlite")


def test_a_span_of_centuries_takes_no_longer_than_what_journal_and_history_have(lived: Path) -> None:
    days = []

    def told(stage: str, done: int, total: int) -> None:
        if stage == "windows":
            days.append(total)

    report = audited(lived, "mean_mean", span=Span(0, NOON + 10_000 * 24 * HOUR), progress=told)
    assert max(days) <= 3
    assert report.differences == []
    assert report.total("equal") >= audited(lived, "mean_mean").total("equal") > 0


def test_from_and_to_are_local_times_or_milliseconds() -> None:
    seven = parse_moment("FROM", "2026-11-24T07:00", "Asia/Ho_Chi_Minh")
    assert seven == 1_795_478_400_000
    assert parse_moment("FROM", "2026-11-24T00:00Z", "Asia/Ho_Chi_Minh") == seven
    assert parse_moment("FROM", "1795478400000", "Asia/Ho_Chi_Minh") == seven
    assert local_text(seven, "Asia/Ho_Chi_Minh") == "2026-11-24 07:00:00+07:00"
    assert parse_span("2026-11-24", "2026-11-25", "Asia/Ho_Chi_Minh").upto == seven + 17 * HOUR
    wrong_ones = ("yesterday", "2026-13-01T00:00", "24/11/2026", "-5", "", "0001-01-01", "9999-12-31T23:59:59")
    for wrong in (*wrong_ones, "1795478400", "253402300799999", "9" * 15, "9" * 5_000):
        with pytest.raises(SettingsError, match=r"TO .*ISO 8601"):
            parse_moment("TO", wrong, "Asia/Ho_Chi_Minh")
    with pytest.raises(SettingsError, match="FROM must be before TO"):
        parse_span("2026-11-24", "2026-11-24", "Asia/Ho_Chi_Minh")


def test_the_command_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    runner = CliRunner()
    span = ("audit", "2026-11-24T07:00", "2026-11-24T08:00")
    for more, words in (
        ((), f"--data {tmp_path / 'ioc'}: không có"),
        (("--data", str(tmp_path)), "has no history.sqlite"),
        (("--journal", "mqtt://x", "--database", "sqlite://"), "kafka://host:port"),
    ):
        result = runner.invoke(assembled("audit"), [*span, *more])
        assert isinstance(result.exception, SettingsError)
        assert words in str(result.exception)


def test_a_period_without_windows_is_no_proof(data: Path) -> None:
    result = CliRunner().invoke(assembled("audit"), ["audit", "2020-01-01", "2020-01-02", "--data", str(data)])
    assert result.exit_code == 1
    assert "no window to compare" in result.stdout


def test_an_audit_that_is_stopped_leaves_no_temporary_files(data: Path, tmp_path: Path) -> None:
    own = tmp_path / "temporary"
    own.mkdir()
    command = [sys.executable, "-m", "control_center.console", "audit", "2026-11-24", "2026-11-25", "--data", str(data)]
    with subprocess.Popen(command, env=os.environ | {"TMPDIR": str(own)}) as running:
        while running.poll() is None and not list(own.glob("ioc-audit-*/audit.duckdb")):
            pass
        running.send_signal(signal.SIGTERM)
    assert running.returncode == 128 + signal.SIGTERM
    assert list(own.iterdir()) == []
