"""An explanation as a person reads it in a terminal: from the value to the messages, both languages."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streams.explanation import Explanation, Linked, MessageLine, Text
from streams.formula import plain
from streams.wording import local

PAYLOAD_SHOWN = 600
PANES_SHOWN = 60
OUTCOMES = {
    "counted": ("được tính / counted", "green"),
    "duplicate": ("trùng / told before", "yellow"),
    "too_late": ("quá muộn / too late", "yellow"),
    "set_aside": ("để riêng / set aside", "yellow"),
    "rejected": ("không dùng được / rejected", "red"),
    "other_window": ("cửa sổ khác / other window", "dim"),
}


def print_explanation(console: Console, told: Explanation, zone_ms: int) -> None:
    """Tell the whole story."""
    _value(console, told)
    _formula(console, told)
    _units(console, told)
    _sources(console, told, zone_ms)
    _air(console, told)
    _panes(console, told, zone_ms)
    _messages(console, told, zone_ms)
    _verdict(console, told)


def _both(text: Text) -> str:
    return escape(text.vi if text.vi == text.en else f"{text.vi} / {text.en}")


def _number(number: float | None, decimals: int) -> str:
    return "–" if number is None else f"{number:.{decimals}f}".replace(".", ",")


def _moment(time: int, zone_ms: int) -> str:
    return f"{local(time, zone_ms):%d/%m %H:%M:%S}"


def _heading(console: Console, vi: str, en: str) -> None:
    console.print()
    console.print(f"[bold]{vi}[/] / {en}")


def _value(console: Console, told: Explanation) -> None:
    value, window = told.value, told.window
    state = {"provisional": "tạm tính", "final": "đã chốt", "corrected": "đã sửa"}.get(value.state, value.state)
    console.print(f"[bold]{_both(told.name)}[/]  ({told.kpi})")
    console.print(f"{escape(told.scope_name)}  ({told.unit})")
    unit = told.unit_of_measure.vi or told.ucum
    console.print(
        f"[bold cyan]{_number(value.value, max(told.decimals, 2))} {escape(unit)}[/]   {state} / {value.state}, "
        f"lần sửa / revision {value.revision}, n = {value.n}, {value.sources} nguồn / sources"
    )
    console.print(f"Cửa sổ / window  {window.local_start} → {window.local_end}")
    console.print(f"           UTC   {window.utc_start} → {window.utc_end}", style="dim")
    if window.looks_back_to != window.start:
        hours = (window.end - window.looks_back_to) // 3_600_000
        console.print(f"Nhìn lại / looks back {hours} giờ / h")


def _formula(console: Console, told: Explanation) -> None:
    _heading(console, "Cách tính", "formula")
    for line in told.formula.lines:
        console.print(f"  · {_both(line)}")
    if told.formula.source:
        console.print(f"  Nguồn / source: {escape(told.formula.source)}")
    for bound in told.formula.bounds:
        what = "Mục tiêu / goal" if bound.what == "goal" else f"Luật cảnh báo / alert rule {bound.id}"
        console.print(f"  {what}: {_both(bound.name)}: {_both(bound.condition)}")
        console.print(f"    {_both(bound.owner)}; {escape(bound.source)}", style="dim")


def _units(console: Console, told: Explanation) -> None:
    if told.scope == "unit":
        return
    _heading(console, "Các đơn vị", "units")
    table = Table("đơn vị / unit", "n", "%", "giá trị riêng / own value", "phân vùng / partition", "bản ghi / records")
    for part in told.units:
        records = f"{part.first_offset}–{part.last_offset}" if part.last_offset >= 0 else "–"
        own = _number(part.value, max(told.decimals, 2))
        table.add_row(f"{part.name} ({part.unit})", str(part.n), f"{part.share:.1f}", own, str(part.partition), records)
    console.print(table)


def _sources(console: Console, told: Explanation, zone_ms: int) -> None:
    _heading(console, "Các nguồn đóng góp", "contributing sources")
    table = Table("nguồn / source", "n", "%", "giá trị riêng / own value", "mới nhất / newest", "đồng hồ / clock")
    for line in told.sources:
        name = line.source if told.scope == "unit" else f"{line.unit_name}/{line.source}"
        own = _number(line.value, max(told.decimals, 2))
        clock = "–" if line.ahead_ms is None else f"{line.ahead_ms / 1000:+.1f} s"
        table.add_row(name, str(line.n), f"{line.share:.1f}", own, _moment(line.newest, zone_ms), clock)
    console.print(table)


def _air(console: Console, told: Explanation) -> None:
    if not told.air:
        return
    _heading(console, "Trung bình giờ (µg/m³), giờ mới nhất trước", "hourly means, the newest hour first")
    table = Table("trạm / station", "chất / pollutant", "12 giờ / hours", "tính theo / taken", "VN_AQI")
    for line in told.air:
        hours = " ".join(_number(mean, 1) for mean in line.hours)
        taken, index = _number(line.concentration, 1), _number(line.index, 1)
        table.add_row(f"{line.unit}/{line.source}", line.quantity, hours, taken, index)
    console.print(table)


def _panes(console: Console, told: Explanation, zone_ms: int) -> None:
    _heading(console, "Các ô", "panes")
    table = Table("ô / pane", "đại lượng / quantity", "n", "tổng / sum", "nhỏ nhất / min", "lớn nhất / max")
    for pane in told.panes[-PANES_SHOWN:]:
        figures = [plain(figure, "vi") for figure in (pane.sum, pane.min, pane.max)]
        table.add_row(_moment(pane.start, zone_ms), pane.quantity, str(pane.n), *figures)
    console.print(table)
    if len(told.panes) > PANES_SHOWN:
        console.print(f"  {PANES_SHOWN} ô mới nhất trong / the newest of {len(told.panes)} (--json: tất cả / all)")


def _messages(console: Console, told: Explanation, zone_ms: int) -> None:
    _heading(console, "Các bản tin, mới nhất trước", "messages, the newest first")
    for line in told.messages:
        word, colour = OUTCOMES[line.outcome]
        console.print(
            f"[{colour}]{word}[/]  {escape(line.topic)}  phân vùng / partition {line.partition}, "
            f"bản ghi / offset {line.offset}, số thứ tự / ordinal {line.ordinal}, "
            f"nhận lúc / received {_moment(line.received_at, zone_ms)}",
            highlight=False,
        )
        _what_it_says(console, line, zone_ms)


def _what_it_says(console: Console, line: MessageLine, zone_ms: int) -> None:
    told = [
        f"{reading.quantity} = {plain(reading.value, 'vi')} lúc / at {_moment(reading.time, zone_ms)}"
        for reading in line.readings if reading.outcome != "other_window"
    ]  # fmt: skip
    why = [part for part in (line.reason, line.detail) if part]
    if told or why:
        console.print(f"    {escape('; '.join([*told, *why]))}", highlight=False)
    console.print(f"    {escape(_short(line.payload))}", style="dim", highlight=False)
    for mate in line.linked:
        _mate(console, mate, zone_ms)


def _mate(console: Console, mate: Linked, zone_ms: int) -> None:
    console.print(
        f"    ↳ {mate.step} lúc / at {_moment(mate.time, zone_ms)}: {escape(mate.topic)}, partition {mate.partition}, "
        f"offset {mate.offset}, ordinal {mate.ordinal}",
        highlight=False,
    )
    console.print(f"      {escape(_short(mate.payload))}", style="dim", highlight=False)


def _short(payload: str) -> str:
    return payload if len(payload) <= PAYLOAD_SHOWN else f"{payload[:PAYLOAD_SHOWN]}… ({len(payload)})"


def _verdict(console: Console, told: Explanation) -> None:
    _heading(console, "Tính lại từ bản tin", "worked out again from the messages")
    again = told.recomputed
    colour = "green" if again.matches else "red"
    counted = ", ".join(f"{OUTCOMES[name][0]} {count}" for name, count in told.outcomes.items())
    number = _number(again.value, max(told.decimals, 2))
    console.print(f"  {number}, n = {again.n}: [bold {colour}]{_both(again.verdict)}[/]")
    console.print(f"  {counted}", highlight=False)
    for note in told.notes:
        console.print(f"  [yellow]![/] {_both(note)}")
