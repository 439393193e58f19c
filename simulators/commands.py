"""`ioc simulate`, a seeded city over MQTT; `ioc verify`, what it must come to; `ioc feed`, a recorded series."""

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from sensors.csv_place import shipped_place
from sensors.errors import MessageRejected, SettingsError
from sensors.kind import Kind
from sensors.mqtt_bridge import MqttAddress
from sensors.system_clock import now_ms
from sensors.toml_definitions import SHIPPED_KINDS, load_kinds
from sensors.topic import Topic, parse
from simulators import csv_series
from simulators.csv_feed import read_series
from simulators.mqtt_fleet import FleetReport, MqttFleet, Pace, at_once, times, with_the_clock
from simulators.rich_report import console, print_closing, print_faults, print_opening, publish, say
from simulators.toml_scenarios import load_city, scenario_names
from simulators.verify_command import STATUSES_MAX, Rate, moment, verify

app = typer.Typer()
app.command()(verify)

PATIENCE_S = 10.0
FUTURE_ALLOWED_MS = 60_000
SPEED_MIN, SPEED_MAX = 0.001, 1_000_000
DURATION_MAX_D = 366
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h|d)")
_UNITS_MS = {"s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}

MqttOption = Annotated[
    str, typer.Option("--mqtt", envvar="IOC_MQTT", help="mqtt://host:port or mqtt://user:password@host:port; or mqtts.")
]


@app.command()
def simulate(
    mqtt: MqttOption = "mqtt://127.0.0.1:1883",
    seed: Annotated[int, typer.Option("--seed", help="The same seed, scenario and start give the same messages.")] = 7,
    scenario: Annotated[
        str, typer.Option("--scenario", help=f"{', '.join(scenario_names())}, or a file of your own: FILE.toml.")
    ] = "ordinary",
    live: Annotated[bool, typer.Option("--live", help="Follow the clock until Ctrl-C or SIGTERM.")] = False,
    backfill: Annotated[
        str | None, typer.Option("--backfill", help="With --live: first publish the last 3h (30m, 1d) at once.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="First moment, ISO 8601. Default: so that the last one is now.")
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", help="Hours of the city's time to publish. Default: 24.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option("--speed", help="Times as fast as the clock, 60 by default; 0: as acknowledged.")
    ] = None,
    rate: Rate = None,
    round_the_clock: Annotated[
        bool, typer.Option("--round-the-clock", help="Desks serve day and night, so that a demonstration is alive.")
    ] = False,
) -> None:
    """Thành phố mô phỏng / a simulated city: sensors and desks of all 54 units over MQTT; no real data."""
    address = MqttAddress.parse(mqtt)
    zone = ZoneInfo(shipped_place().zone)
    if live:
        begin, end, pace = _live_span(backfill, start, hours, speed)
    else:
        begin, end, pace = _past_span(backfill, start, hours, speed, zone)
    told, city = load_city(scenario, seed, begin, rate, round_the_clock)
    sources = city.sources()
    print_opening(told, seed, len(sources), begin, end, zone)
    with _stoppable() as stopped:
        fleet = MqttFleet(address, stopped, say, patience_s=None if live else PATIENCE_S)
        with_status = sources if len(sources) <= STATUSES_MAX else []
        fleet.tell_status(with_status, True)
        publish(fleet, city.messages(begin, end), pace, begin, end)
        fleet.close(with_status)
        was_stopped = live or stopped()
    _close(fleet.report, was_stopped)


@app.command()
def feed(
    file: Annotated[Path, typer.Argument(help="A .csv or .csv.gz file with a line of column names.")],
    kind: Annotated[str, typer.Option("--kind", help="The kind of source, such as traffic, air, rating.")],
    unit: Annotated[str, typer.Option("--unit", help="The five-digit code of the ward, commune or special zone.")],
    source: Annotated[str, typer.Option("--source", help="The source's name: 1-64 of A-Z a-z 0-9 _ -.")],
    column: Annotated[
        list[str] | None,
        typer.Option("--column", help="COLUMN=QUANTITY or COLUMN=QUANTITY@UNIT, again for each. Default: by name."),
    ] = None,
    time_column: Annotated[str, typer.Option("--time-column", help="The column of the time. Default: by name.")] = "",
    zone: Annotated[str, typer.Option("--zone", help="Time zone of times without an offset.")] = "Asia/Ho_Chi_Minh",
    speed: Annotated[float, typer.Option("--speed", help="Times as fast as recorded; 0: as acknowledged.")] = 0.0,
    shift: Annotated[bool, typer.Option("--shift", help="Move the series so that its last row is now.")] = False,
    event: Annotated[str, typer.Option("--event", help="For a desk's kind: the event, such as given or taken.")] = "",
    definitions: Annotated[
        Path | None, typer.Option("--definitions", help="Folder of the city's own definitions (kinds).")
    ] = None,
    mqtt: MqttOption = "mqtt://127.0.0.1:1883",
) -> None:
    """Phát lại chuỗi số liệu đã ghi / publish a recorded CSV series as a device would, with its own time steps."""
    address = MqttAddress.parse(mqtt)
    known, topic = _kind(kind, definitions), _topic(unit, kind, source)
    name = _event_name(known, event)
    _check_speed(speed)
    series = read_series(file, known, name, column or [], time_column, _zone(zone))
    print_faults(file, series)
    if not series.rows:
        raise typer.Exit(1)
    now = now_ms()
    moved = now - max(row.time for row in series.rows) if shift else 0
    messages = list(csv_series.messages(series.rows, topic, known, series.columns, name, moved))
    begin, end = series.rows[0].time + moved, series.rows[-1].time + moved
    _refuse_future(begin, max(row.time for row in series.rows) + moved, speed, "--shift")
    status = f"ioc/{topic.unit}/{topic.kind}/{topic.source}"
    with _stoppable() as stopped:
        fleet = MqttFleet(address, stopped, say, f"{status}/status", PATIENCE_S)
        fleet.tell_status([status], True)
        publish(fleet, iter(messages), times(speed, begin) if speed else at_once, begin, end, len(messages))
        fleet.close([status])
        was_stopped = stopped()
    if series.empty:
        console.print(f"{series.empty} dòng không có giá trị, bỏ qua / rows without a value, left out")
    _close(fleet.report, was_stopped)
    if series.faults:
        raise typer.Exit(1)


def duration_ms(text: str, option: str) -> int:
    """ "3h", "30m", "1d" in ms; raises SettingsError that names the option."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise SettingsError(f"{option} {text}: cần một khoảng thời gian / expected a duration such as 3h, 30m, 1d, 0h")
    length = float(found[1]) * _UNITS_MS[found[2]]
    if length > DURATION_MAX_D * _UNITS_MS["d"]:
        raise SettingsError(f"{option} {text}: nhiều nhất / at most {DURATION_MAX_D}d")
    return round(length)


def _live_span(
    backfill: str | None, start: str | None, hours: float | None, speed: float | None
) -> tuple[int, None, Pace]:
    for option, value in (("--from", start), ("--hours", hours), ("--speed", speed)):
        if value is not None and not (option == "--speed" and value == 1):
            raise SettingsError(f"{option}: không dùng cùng --live / cannot go with --live, which follows the clock")
    return now_ms() - duration_ms(backfill or "0h", "--backfill"), None, with_the_clock


def _past_span(
    backfill: str | None, start: str | None, hours: float | None, speed: float | None, zone: ZoneInfo
) -> tuple[int, int, Pace]:
    if backfill is not None:
        raise SettingsError("--backfill: chỉ dùng với --live / only goes with --live; use --from and --hours")
    length = 24.0 if hours is None else hours
    fast = 60.0 if speed is None else speed
    if not 0 < length <= 24 * 366:
        raise SettingsError(f"--hours {length:g}: hơn 0 đến / more than 0, up to {24 * 366}")
    _check_speed(fast)
    span = round(length * 3_600_000)
    took = 0 if fast == 0 else round(span / max(fast, 1.0))
    begin = moment(start, zone) if start is not None else now_ms() - span + took
    _refuse_future(begin, begin + span, fast, "--from")
    return begin, begin + span, times(fast, begin) if fast else at_once


def _check_speed(speed: float) -> None:
    if not (speed == 0 or SPEED_MIN <= speed <= SPEED_MAX):
        raise SettingsError(f"--speed {speed:g}: 0, hoặc / or {SPEED_MIN:g} đến / to {SPEED_MAX}")


def _refuse_future(begin: int, end: int, speed: float, option: str) -> None:
    """Messages from the future would be rejected one and all."""
    sent = now_ms() + ((end - begin) / speed if speed else 0)
    if end > sent + FUTURE_ALLOWED_MS:
        raise SettingsError(
            f"{option}: tin cuối sẽ đến từ tương lai / the last message would come from the future, and be rejected"
        )


def _kind(name: str, overlay: Path | None) -> Kind:
    if overlay is not None and not overlay.is_dir():
        raise SettingsError(f"--definitions {overlay}: không phải thư mục / no such folder")
    kinds = load_kinds([SHIPPED_KINDS] if overlay is None else [SHIPPED_KINDS, overlay / "kinds"])
    if name not in kinds:
        raise SettingsError(f"--kind {name}: có / there are {', '.join(sorted(kinds))}")
    return kinds[name]


def _topic(unit: str, kind: str, source: str) -> Topic:
    try:
        topic = parse(f"ioc/{unit}/{kind}/{source}")
    except MessageRejected as rejected:
        raise SettingsError(f"--unit {unit} --source {source}: {rejected.detail}") from rejected
    if unit not in shipped_place().units:
        raise SettingsError(f"--unit {unit}: không phải mã xã, phường, đặc khu / no unit of the place has this code")
    return topic


def _event_name(kind: Kind, asked: str) -> str:
    if kind.format != "cloudevents":
        if asked:
            raise SettingsError(f"--event {asked}: {kind.id} không có sự kiện / has no events")
        return ""
    name = asked or (next(iter(kind.events)) if len(kind.events) == 1 else "")
    if name not in kind.events:
        raise SettingsError(f"--event {asked}: {kind.id} có / has {', '.join(kind.events)}")
    return name


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise SettingsError(f"--zone {name}: cần / expected a zone such as Asia/Ho_Chi_Minh or UTC") from error


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """SIGTERM and Ctrl-C only set a flag, so that what was sent is waited for."""
    asked: list[int] = []
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, lambda got, _: asked.append(got)) for number in numbers}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _close(report: FleetReport, was_stopped: bool) -> None:
    """The closing report; exit code 1 when something was not acknowledged though nobody stopped it."""
    print_closing(report)
    if not report.is_complete and (report.refused or not was_stopped):
        raise typer.Exit(1)
