"""What a person sees of `ioc audit`: bars while it works, a table of outcomes by KPI, and what differs."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from sensors.place import Place
from streams.difference import AuditReport, Difference, Outcome
from streams.duckdb_audit import Progress as Tell
from streams.kpi import Kpi
from streams.span import local_text

SHOWN = 10
STAGES = {"journal": "Đọc nhật ký / reading the journal", "windows": "Tính lại các cửa sổ / working windows out"}
OUTCOMES: dict[Outcome, tuple[str, str]] = {
    "equal": ("khớp", "equal"),
    "different": ("khác", "different"),
    "missing": ("thiếu", "missing"),
    "extra": ("thừa", "extra"),
    "open": ("chưa đóng", "open"),
    "moving": ("đang sửa", "moving"),
    "unknown": ("ngoài nhật ký", "not in journal"),
}


@contextmanager
def bars() -> Iterator[Tell]:
    """Bars on standard error: standard output belongs to the report."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal,
    ) as progress:  # fmt: skip
        tasks = {stage: progress.add_task(text, total=None) for stage, text in STAGES.items()}
        yield lambda stage, done, total: progress.update(tasks[stage], completed=done, total=total)


def print_report(console: Console, report: AuditReport, place: Place, kpis: dict[str, Kpi]) -> None:
    """The table, what was read, and the first differences with everything needed to look at them."""
    table = Table(title=_title(report, place), title_justify="left")
    table.add_column("Chỉ tiêu / KPI", overflow="fold")
    shown: list[Outcome] = [name for name in OUTCOMES if report.total(name) or name in ("equal", "different")]
    for name in shown:
        table.add_column("\n".join(OUTCOMES[name]), justify="right")
    for kpi, counts in report.windows.items():
        table.add_row(kpi, *(_cell(name, counts.get(name, 0)) for name in shown))
    table.add_section()
    table.add_row("Tổng / total", *(_cell(name, report.total(name)) for name in shown))
    console.print(table)
    console.print(
        f"{report.messages} tin đã đọc / messages read, {report.unusable} không dùng được / unusable; "
        f"{report.readings} số đo / readings, {report.counted} được tính / counted",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    for number, difference in enumerate(report.differences[:SHOWN]):
        _print_difference(console, difference, place, kpis[difference.kpi], number == 0)
    if report.wrong > SHOWN:
        console.print(f"… {report.wrong - SHOWN} nữa / more")
    console.print(verdict(report), soft_wrap=True)


def verdict(report: AuditReport) -> str:
    """One line: what was found."""
    skipped = report.total("unknown") + report.total("open") + report.total("moving")
    beside = f"; {skipped} không so được / not compared" if skipped else ""
    if report.wrong:
        return f"[red]✗[/] {report.wrong} / {report.compared} cửa sổ sai lệch / windows differ{beside}"
    if not report.compared:
        return f"[red]✗[/] không có cửa sổ nào để so / there is no window to compare{beside}"
    return f"[green]✓[/] {report.compared} cửa sổ khớp / windows equal{beside}"


def _title(report: AuditReport, place: Place) -> str:
    return f"{local_text(report.after, place.zone)} → {local_text(report.upto, place.zone)}"


def _cell(name: Outcome, count: int) -> str:
    if not count:
        return "·"
    return f"[red]{count}[/]" if name in ("different", "missing", "extra") else str(count)


def _print_difference(console: Console, found: Difference, place: Place, kpi: Kpi, is_first: bool) -> None:
    scope = place.scope_name(found.scope, date.fromisoformat(local_text(found.end, place.zone)[:10]))
    vi, en = OUTCOMES[found.outcome]
    lines = [
        f"[red]{vi} / {en}[/]  {found.kpi} @ {found.scope}  ({escape(kpi.name_vi)} · {escape(scope)})",
        f"    cửa sổ / window    {local_text(found.start, place.zone)} → {local_text(found.end, place.zone)}"
        f"  ({found.start} → {found.end})",
        f"    lịch sử / history  {_figure(found.told, found.told_n, kpi)}",
        f"    tính lại / audit   {_figure(found.computed, found.computed_n, kpi)}",
    ]
    if is_first:
        lines += [
            f"    nhật ký / journal  phân vùng / partition {at.partition}, bản ghi / records {at.first}-{at.last}: "
            f"{at.readings} số đo / readings"
            for at in found.records
        ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _figure(value: float | None, n: int | None, kpi: Kpi) -> str:
    if n is None:
        return "không có / none"
    return f"{'–' if value is None else repr(value)} {kpi.ucum}, n = {n}"
