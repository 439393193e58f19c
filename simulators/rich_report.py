"""What a person sees of `ioc simulate` and `ioc feed`: what begins, a bar, what was wrong, and the closing report."""

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sensors.system_clock import now_ms
from simulators.csv_feed import Series
from simulators.mqtt_fleet import FleetReport, MqttFleet, Pace
from simulators.payload import Message
from simulators.scenario import Scenario

console = Console()
FAULTS_SHOWN = 20


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def print_opening(scenario: Scenario, seed: int, sources: int, begin: int, end: int | None, zone: ZoneInfo) -> None:
    since, until = (f"{datetime.fromtimestamp(at / 1000, zone):%d/%m/%Y %H:%M}" if at else "…" for at in (begin, end))
    console.print(
        f"Thành phố mô phỏng, không phải số liệu thật / a simulated city, no real data\n"
        f"{scenario.name_vi} / {scenario.name_en} · seed {seed} · {sources} nguồn / sources · {since} → {until}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def print_faults(file: Path, series: Series) -> None:
    for fault in series.faults[:FAULTS_SHOWN]:
        say(f"{file}: {fault}")
    if len(series.faults) > FAULTS_SHOWN:
        say(f"{file}: và / and {len(series.faults) - FAULTS_SHOWN} lỗi nữa / more faults")
    if series.faults or not series.rows:
        say(f"{file}: {len(series.rows)} dòng đọc được / rows read, {len(series.faults)} dòng lỗi / faulty")


def publish(
    fleet: MqttFleet, messages: Iterator[Message], pace: Pace, begin: int, end: int | None,
    total: int | None = None,
) -> None:  # fmt: skip
    """Publish with a bar: of the city's time, of rows, or, live, of the backfill and then only a count."""
    caught_up = now_ms() if end is None else end
    length = total or max(1, caught_up - begin)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[sent]} tin / messages"), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("Phát / publishing", total=length, sent=0)
        shown = [0.0]
        told = [end is not None]

        def progress(now: int) -> None:
            if not told[0] and now >= caught_up:
                told[0] = True
                sent = fleet.report.acknowledged
                console.print(f"Đã theo kịp đồng hồ / caught up with the clock: {sent} tin / messages")
            if time.monotonic() - shown[0] >= 0.2:
                shown[0] = time.monotonic()
                done = fleet.report.acknowledged if total else min(now - begin, length)
                bar.update(task, completed=done, sent=f"{fleet.report.acknowledged:,}".replace(",", "."))

        fleet.run(messages, pace, progress)


def print_closing(report: FleetReport) -> None:
    console.print(
        f"Đã phát / published {report.published} · đã xác nhận / acknowledged {report.acknowledged} · "
        f"bị từ chối / refused {report.refused} · trong đó trạng thái / of which statuses {report.statuses} · "
        f"{report.seconds:.1f} s · {report.rate:.0f} tin/s / messages/s",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
