"""Recorded series: which column is what, what a time looks like, and a message for each row that can be read."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sensors.decoders import cloudevents, senml
from sensors.errors import IocError, SettingsError
from sensors.toml_definitions import load_kinds
from sensors.topic import Topic
from simulators.commands import app, duration_ms
from simulators.csv_feed import Series, read_series
from simulators.csv_series import Column, messages, parse_time
from simulators.grade import Section
from simulators.payload import Message
from simulators.rich_grades import print_sections

KINDS = load_kinds()
HANOI = ZoneInfo("Asia/Ho_Chi_Minh")
NOON = round(datetime(2015, 9, 1, 5, tzinfo=UTC).timestamp() * 1000)
"""12:00 on 1 September 2015 in Vietnam."""


def write(folder: Path, text: str, name: str = "series.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def read(path: Path, kind: str = "traffic", asked: tuple[str, ...] = (), event: str = "", time: str = "") -> Series:
    return read_series(path, KINDS[kind], event, list(asked), time, HANOI)


def sent(series: Series, kind: str = "traffic", event: str = "", shift: int = 0) -> list[Message]:
    topic = Topic("06658", kind, "device-1")
    return list(messages(series.rows, topic, KINDS[kind], series.columns, event, shift))


@pytest.mark.parametrize(
    "text",
    [
        "2015-09-01 12:00:00", "2015-09-01T12:00", "2015-09-01T05:00:00Z", "2015-09-01T12:00:00+07:00",
        "01/09/2015 12:00", "01/09/2015 12:00:00", "01-09-2015 12:00", "2015/09/01 12:00", "1441083600",
        "1441083600.0", "1441083600000",
    ],
)  # fmt: skip
def test_times_are_read_as_files_have_them(text: str) -> None:
    assert parse_time(text, HANOI) == NOON


def test_a_day_alone_is_its_midnight_in_the_zone() -> None:
    assert parse_time("2015-09-01", HANOI) == parse_time("01/09/2015", HANOI) == NOON - 12 * 3_600_000


@pytest.mark.parametrize("text", ["", "noon", "2015-13-01", "31/02/2015", "12"])
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_time(text, HANOI) is None


@given(st.integers(978_307_200, 4_000_000_000))
def test_every_time_without_an_offset_is_of_the_zone(seconds: int) -> None:
    moment = datetime.fromtimestamp(seconds, HANOI).replace(tzinfo=None)
    assert parse_time(moment.isoformat(" "), HANOI) == seconds * 1000
    assert parse_time(f"{moment:%d/%m/%Y %H:%M:%S}", HANOI) == seconds * 1000


def test_columns_named_like_quantities_share_one_pack_and_empty_cells_are_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "Thời gian,PM2.5,PM10,Note\n2015-09-01 12:00,35,60,a\n2015-09-01 13:00,NA,61,b\n")
    packs = [senml.decode(one.payload, one.time, KINDS["air"]) for one in sent(read(path, "air"), "air")]
    assert [[(one.quantity, one.time, one.value) for one in pack.readings] for pack in packs] == [
        [("pm25", NOON, 35.0), ("pm10", NOON, 60.0)],
        [("pm10", NOON + 3_600_000, 61.0)],
    ]
    assert [pack.sequence for pack in packs] == [0, 1]


def test_a_single_value_column_is_the_quantity_that_the_file_is_named_after(tmp_path: Path) -> None:
    path = write(tmp_path, "timestamp,value\n2015-09-01 12:00:00,90\n", "speed_6005.csv")
    assert read(path).columns == [Column("value", "speed")]


def test_a_single_value_column_is_the_only_quantity_of_the_kind(tmp_path: Path) -> None:
    path = write(tmp_path, "timestamp,value\n2015-09-01 12:00:00,60\n")
    assert read(path, "noise").columns == [Column("value", "laeq")]


def test_a_column_that_could_be_two_quantities_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "timestamp,value\n2015-09-01 12:00:00,90\n")
    with pytest.raises(SettingsError, match=r"--column .*timestamp, value.*flow, speed"):
        read(path)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("value", "COLUMN=QUANTITY"),
        ("value=", "COLUMN=QUANTITY"),
        ("missing=speed", "timestamp, value"),
        ("value=velocity", "flow, speed"),
        ("value=speed@mph", "km/h, m/s"),
    ],
)
def test_a_column_that_does_not_fit_says_what_was_expected(tmp_path: Path, asked: str, expected: str) -> None:
    path = write(tmp_path, "timestamp,value\n2015-09-01 12:00:00,90\n")
    with pytest.raises(SettingsError, match=expected):
        read(path, asked=(asked,))


def test_a_column_in_another_unit_is_sent_in_that_unit_and_converted_by_the_decoder(tmp_path: Path) -> None:
    path = write(tmp_path, "timestamp,value\n2015-09-01 12:00:00,10\n")
    one = sent(read(path, asked=("value=speed@m/s",)))[0]
    assert senml.decode(one.payload, one.time, KINDS["traffic"]).readings[0].value == 36.0


def test_date_and_time_may_be_columns_of_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "No,year,month,day,hour,pm2.5\n1,2015,9,1,12,35\n2,2015,9,1,13,NA\n")
    series = read(path, "air")
    assert [row.time for row in series.rows] == [NOON, NOON + 3_600_000]
    assert (series.empty, len(sent(series, "air"))) == (1, 1)


def test_a_file_with_semicolons_may_have_decimal_commas(tmp_path: Path) -> None:
    path = write(tmp_path, "ngày;pm25\n01/09/2015 12:00;1.012,5\n")
    assert read(path, "air").rows[0].cells == {"pm25": 1012.5}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time;flow\n2015-09-01;1.234\n2015-09-01;1,5\n2015-09-01;12\n", [1234.0, 1.5, 12.0]),
        ("time;flow\n2015-09-01;12.5\n2015-09-01;1,5\n", ["with a decimal comma", 1.5]),
        ("time;flow;note\n2015-09-01;1.234;1,5\n", [1.234]),
        ("time,flow\n2015-09-01,1.234\n0001-01-01,2\n", [1.234, "before 2000"]),
        ("time,flow,flow\n2015-09-01,1,2\n", r"series\.csv.*columns named alike: flow"),
        ("time,flow,Flow\n2015-09-01,1,2\n", r"series\.csv.*columns for one quantity: flow, Flow"),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_read_in_the_files_own_or_refused(
    tmp_path: Path, text: str, told: list[float | str] | str
) -> None:
    path = write(tmp_path, text)
    if isinstance(told, str):
        with pytest.raises(SettingsError, match=told):
            read(path)
        return
    series = read(path)
    assert [row.cells["flow"] for row in series.rows] == [one for one in told if isinstance(one, float)]
    assert all(said in str(fault) for said, fault in zip([one for one in told if isinstance(one, str)],
                                                        series.faults, strict=True))  # fmt: skip


def test_a_compressed_file_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "speed.csv.gz"
    path.write_bytes(gzip.compress(b"timestamp,value\n2015-09-01 12:00:00,90\n"))
    assert read(path).rows[0].cells == {"speed": 90.0}


def test_faulty_rows_are_told_with_line_and_column_and_the_others_are_sent(tmp_path: Path) -> None:
    text = "timestamp,speed\n2015-09-01 12:00,fast\nnever,3\n2015-09-01 12:05\n\n2015-09-01 12:10,50\n1970-01-02,1\n"
    series = read(write(tmp_path, text))
    assert [(fault.line, fault.column) for fault in series.faults] == [
        (2, "speed"), (3, "timestamp"), (4, "speed"), (7, "timestamp"),
    ]  # fmt: skip
    assert "'fast'" in str(series.faults[0])
    assert len(sent(series)) == 1


def test_the_time_steps_stay_when_the_series_is_shifted(tmp_path: Path) -> None:
    series = read(write(tmp_path, "timestamp,speed\n2015-09-01 12:00,1\n2015-09-01 12:05,2\n2015-09-01 12:25,3\n"))
    recorded, moved = sent(series), sent(series, shift=1_000_000_000)
    assert [one.time - NOON for one in recorded] == [0, 300_000, 1_500_000]
    assert [one.time - 1_000_000_000 for one in moved] == [one.time for one in recorded]
    assert json.loads(moved[0].payload)[0]["bt"] == (NOON + 1_000_000_000) / 1000


def test_ratings_may_be_fed_as_events(tmp_path: Path) -> None:
    path = write(tmp_path, "date,score,field\n2015-09-01 12:00,5,dat_dai\n2015-09-01 12:01,,thue\n")
    told = sent(read(path, "rating", event="given"), "rating", "given")
    event = cloudevents.decode(told[0].payload, told[0].time, KINDS["rating"])
    assert (event.event, event.time, event.data) == ("given", NOON, {"score": 5, "field": "dat_dai"})
    assert len(told) == 1, "a rating without its score says nothing"


def test_events_need_what_their_kind_requires(tmp_path: Path) -> None:
    path = write(tmp_path, "date,field\n2015-09-01 12:00,dat_dai\n")
    with pytest.raises(SettingsError, match="score"):
        read(path, "rating", event="given")


def test_a_persons_name_cannot_be_fed(tmp_path: Path) -> None:
    path = write(tmp_path, "date,score,name\n2015-09-01 12:00,5,Lan\n")
    with pytest.raises(SettingsError, match="ticket, counter, field"):
        read(path, "rating", ("score=score", "name=name"), "given")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00a", b"\x1f\x8b broken"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("x.csv.gz" if content.startswith(b"\x1f") else "x.csv")
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=path.name):
        read(path)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--kind", "traffik", "--unit", "06658", "--source", "a"], "--kind traffik"),
        (["--kind", "traffic", "--unit", "6658", "--source", "a"], "--unit 6658"),
        (["--kind", "traffic", "--unit", "99999", "--source", "a"], "--unit 99999"),
        (["--kind", "traffic", "--unit", "06658", "--source", "a/b"], "--source a/b"),
        (["--kind", "traffic", "--unit", "06658", "--source", "a", "--zone", "Mars"], "--zone Mars"),
        (["--kind", "traffic", "--unit", "06658", "--source", "a", "--speed", "-1"], "--speed -1"),
        (["--kind", "traffic", "--unit", "06658", "--source", "a", "--speed", "nan"], "--speed nan"),
        (["--kind", "traffic", "--unit", "06658", "--source", "a", "--event", "given"], "--event given"),
        (["--kind", "queue", "--unit", "06658", "--source", "a"], "--event"),
        (["--kind", "traffic", "--unit", "06658", "--source", "a", "--mqtt", "http://x"], "--mqtt http://x"),
    ],
)
def test_wrong_use_of_feed_names_the_option(tmp_path: Path, arguments: list[str], named: str) -> None:
    path = write(tmp_path, "timestamp,speed\n2015-09-01 12:00,1\n")
    error = CliRunner().invoke(app, ["feed", str(path), *arguments]).exception
    assert isinstance(error, SettingsError)
    assert named in str(error)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--live", "--speed", "5"], "--speed"),
        (["--live", "--hours", "5"], "--hours"),
        (["--live", "--from", "2026-01-01"], "--from"),
        (["--live", "--backfill", "long"], "--backfill long"),
        (["--backfill", "3h"], "--backfill"),
        (["--hours", "0"], "--hours 0"),
        (["--speed", "-1"], "--speed -1"),
        (["--from", "2099-01-01"], "--from"),
        (["--from", "soon"], "--from soon"),
        (["--from", "0001-01-01"], "--from 0001-01-01"),
        (["--from", "1999-01-01"], "--from 1999-01-01: từ năm 2000"),
        (["--speed", "nan"], "--speed nan"),
        (["--speed", "inf"], "--speed inf"),
        (["--hours", "nan"], "--hours nan"),
        (["--live", "--backfill", "99999999999d"], "--backfill 99999999999d"),
        (["--live", "--backfill", "9" * 400 + "d"], "--backfill 999"),
        (["--rate", "0"], "--rate 0"),
        (["--scenario", "nope"], "--scenario nope"),
        (["--mqtt", "nowhere"], "--mqtt nowhere"),
    ],
)
def test_wrong_use_of_simulate_names_the_option(arguments: list[str], named: str) -> None:
    error = CliRunner().invoke(app, ["simulate", *arguments]).exception
    assert isinstance(error, IocError)
    assert named in str(error)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--from", "0001-01-01"], "--from 0001-01-01"),
        (["--from", "9999-12-31"], "--from 9999-12-31"),
        (["--rate", "nan"], "--rate nan"),
        (["--rate", "1e9"], "--rate 1e+09"),
        (["--rate", "0"], "--rate 0"),
        (["--rate", "-5"], "--rate -5"),
        (["--token", "đường"], "--token"),
    ],
)
def test_wrong_use_of_verify_names_the_option(arguments: list[str], named: str) -> None:
    error = CliRunner().invoke(app, ["verify", "--from", "2026-11-23T07:00", *arguments]).exception
    assert isinstance(error, SettingsError)
    assert named in str(error)


def test_verify_writes_thousands_in_one_way(capsys: pytest.CaptureFixture[str]) -> None:
    print_sections([Section("ledger", compared=1202)])
    assert capsys.readouterr().out.count("1.202") == 2


@pytest.mark.parametrize(
    ("text", "ms"), [("3h", 10_800_000), ("30m", 1_800_000), ("0h", 0), ("1.5d", 129_600_000), ("45s", 45_000)]
)
def test_durations_are_read(text: str, ms: int) -> None:
    assert duration_ms(text, "--backfill") == ms
