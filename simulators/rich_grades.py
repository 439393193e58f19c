"""The graded report of `ioc verify`, as a person sees it."""

from datetime import datetime
from zoneinfo import ZoneInfo

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from simulators.grade import Section
from simulators.injection import Injected
from simulators.rich_report import console
from simulators.scenario import Scenario

NAMES_VI = {
    "ledger": "sổ cái", "rejections": "tin bị loại", "ledger by partition and kind": "sổ cái theo phân vùng và loại",
    "missing by source": "tin thiếu theo nguồn", "alerts": "cảnh báo", "fault recipes": "lỗi cố ý",
}  # fmt: skip


def bar() -> Progress:
    """A bar for the oracle's work and one for the comparison."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip


def print_opening(
    scenario: Scenario, seed: int, begin: int, end: int, zone: ZoneInfo, injected: list[Injected]
) -> None:
    since, until = (f"{datetime.fromtimestamp(at / 1000, zone):%d/%m/%Y %H:%M}" for at in (begin, end))
    console.print(f"{scenario.name_vi} / {scenario.name_en} · seed {seed} · {since} → {until}", highlight=False)
    if injected:
        told = ", ".join(f"{one.recipe} {_number(one.messages)}" for one in injected)
        console.print(f"Lỗi cố ý / faults injected (tin / messages): {told}", highlight=False, soft_wrap=True)


def print_sections(sections: list[Section]) -> bool:
    """The table, and whether anything differs."""
    table = Table(box=None, pad_edge=False)
    table.add_column("Phần\nsection", overflow="fold")
    for name in ("so\ncompared", "khác\ndifferent", "thiếu\nmissing", "thừa\nextra"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in sections:
        vi = NAMES_VI.get(one.name)
        name = f"{vi}\n{one.name}" if vi else one.name
        numbers = (one.compared, one.different, one.missing, one.extra)
        table.add_row(name, *map(_number, numbers), _word(one), style="red" if one.is_finding else "")
    console.print(table)
    for one in sections:
        if one.first:
            console.print(f"{one.name}: {one.first}", highlight=False, markup=False, soft_wrap=True)
        if one.why_not:
            console.print(f"{one.name}: {one.why_not}", highlight=False, markup=False, soft_wrap=True)
    findings = [one for one in sections if one.is_finding]
    compared = sum(one.compared for one in sections)
    verdict = f"{len(findings)} phần khác / sections differ" if findings else "Tất cả bằng nhau / all of it is equal"
    console.print(f"{verdict} · {_number(compared)} con số / figures", highlight=False)
    return bool(findings)


def _number(number: int) -> str:
    return f"{number:,}".replace(",", ".")


def _word(section: Section) -> str:
    if section.is_finding:
        return "KHÁC\nDIFFERS"
    if section.why_not:
        return "chưa chấm\nnot graded" if not section.compared else "đúng, một phần\nequal, in part"
    return "đúng/equal"
