"""`ioc verify`: the oracle's answers beside those of a centre that has received the same run of a simulated city."""

import time
from collections.abc import Iterator
from typing import Annotated
from zoneinfo import ZoneInfo

import msgspec
import typer
from rich.progress import Progress

from sensors.csv_place import shipped_place
from sensors.errors import SettingsError
from sensors.system_clock import now_ms
from sensors.toml_definitions import load_kinds
from simulators import csv_series, grade
from simulators.alarm import Key, Rule, Sequence
from simulators.city import City
from simulators.expectation import Definition
from simulators.grade import Section
from simulators.http_centre import HttpCentre
from simulators.oracle import Oracle
from simulators.payload import Message
from simulators.rich_grades import bar, print_opening, print_sections
from simulators.toml_scenarios import load_city

STATUSES_MAX = 5_000
PATIENCE_S = 30.0
LOOK_S = 1.0
MISSING_LIMIT = 10_000
LIVE_WITHIN_MS = 60_000
HOUR_MS = 3_600_000
NEWEST_MS = 4_102_444_800_000
"""2100: no run begins later."""

Span = tuple[int, int]
"""First and last moment, ms UTC."""

Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        help="Mean device messages a second of the city's time: multiplies the number of devices (about 5 a second "
        "without it; at least one device of each kind). Desks keep their visitors.",
    ),
]


def verify(
    start: Annotated[str, typer.Option("--from", help="First moment of the run, ISO 8601, as given to simulate.")],
    hours: Annotated[float, typer.Option("--hours", help="Hours of the city's time that were published.")] = 24.0,
    centre: Annotated[
        str, typer.Option("--centre", envvar="IOC_CENTRE", help="The centre's address.")
    ] = "http://127.0.0.1:8080",
    token: Annotated[
        str, typer.Option("--token", envvar="IOC_WALL_TOKEN", help="The wall's token, where reading needs one.")
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="As given to simulate.")] = 7,
    scenario: Annotated[str, typer.Option("--scenario", help="As given to simulate.")] = "ordinary",
    rate: Rate = None,
    round_the_clock: Annotated[
        bool, typer.Option("--round-the-clock", help="Desks serve day and night, as given to simulate.")
    ] = False,
    partitions: Annotated[
        int,
        typer.Option("--partitions", min=0, max=1024, help="Of the centre's journal; 0: as many as its ledger names."),
    ] = 0,
    patience_s: Annotated[
        float, typer.Option("--patience", min=0, help="Seconds to wait for what is still on its way.")
    ] = PATIENCE_S,
) -> None:
    """Đối chiếu với lời tiên tri / compare a finished `ioc simulate` run with what it must have come to.

    For a centre that has received this run and nothing else. Asks over the public HTTP API only; exit code 1 on any
    difference, and where a fault recipe hit fewer messages of the run than it asked for: that would prove nothing.
    """
    place, kinds = shipped_place(), load_kinds()
    begin = moment(start, ZoneInfo(place.zone))
    if not 0 < hours <= 24 * 366:
        raise SettingsError(f"--hours {hours:g}: hơn 0 đến / more than 0, up to {24 * 366}")
    end = begin + round(hours * HOUR_MS)
    told, city = load_city(scenario, seed, begin, rate, round_the_clock)
    asked = HttpCentre(centre, token)
    if asked.get("place") is None:
        raise SettingsError(f"--centre {centre}: không phải một trung tâm / this is no centre")
    injected = city.injected(begin, end)
    print_opening(told, seed, begin, end, ZoneInfo(place.zone), injected)
    with bar() as progress:
        oracle = Oracle(place, kinds, partitions or _partitions(asked), begin)
        ran = _ran(asked)
        _hear(oracle, city, begin, end, ran, progress)
        sections = [grade.of_faults(told.faults, injected)] if injected else []
        sections += _graded(oracle, asked, (begin, end), ran, set(place.units), patience_s, progress)
    if print_sections(sections):
        raise typer.Exit(1)


def moment(text: str, zone: ZoneInfo) -> int:
    """A moment of `--from` in ms UTC; raises SettingsError."""
    found = csv_series.parse_time(text, zone)
    if found is None:
        raise SettingsError(f"--from {text}: cần / expected ISO 8601, such as 2026-09-01T07:00 or 2026-09-01T00:00Z")
    if not csv_series.OLDEST_MS <= found <= NEWEST_MS:
        raise SettingsError(f"--from {text}: từ năm 2000 đến 2100 / from 2000 to 2100: a centre rejects what is older")
    return found


def _partitions(asked: HttpCentre) -> int:
    """As many as the ledger names: units are many more than partitions, so the last one has some."""
    return 1 + max((row["partition"] for row in asked.ledger_rows() or []), default=0)


def _ran(asked: HttpCentre) -> Span:
    """When the centre received the run: from the first word of a source to the last."""
    sources = asked.get("sources") or []
    now = now_ms()
    heard = [(row["first_seen"], row["last_seen"]) for row in sources if row["first_seen"]]
    return min((first for first, _ in heard), default=now), max((last for _, last in heard), default=now)


def _lag(span: Span, ran: Span) -> int | None:
    """How long after its time each message came, if the run was as fast as the clock; None if it was not."""
    lag = ran[0] - span[0]
    keeps_pace = abs((ran[1] - ran[0]) - (span[1] - span[0])) < LIVE_WITHIN_MS
    return lag if keeps_pace and 0 <= lag < 24 * HOUR_MS else None


def _hear(oracle: Oracle, city: City, begin: int, end: int, ran: Span, progress: Progress) -> None:
    """All messages with the time at which each was received, as near as one can know."""
    lag = _lag((begin, end), ran)
    task = progress.add_task("Tính / working it out", total=end - begin)
    for message in _with_statuses(city, begin, end):
        oracle.hear(message.topic, message.payload, ran[1] if lag is None else message.time + lag)
        if message.time % 64 == 0:
            progress.update(task, completed=min(message.time, end) - begin)
    progress.update(task, completed=end - begin)


def _with_statuses(city: City, begin: int, end: int) -> Iterator[Message]:
    """What `ioc simulate` publishes: sources say that they are here, then all messages, then their good-byes."""
    sources = city.sources() if len(city.sources()) <= STATUSES_MAX else []
    yield from (Message(begin, f"{topic}/status", b"online") for topic in sources)
    yield from city.messages(begin, end)
    yield from (Message(end, f"{topic}/status", b"offline") for topic in sources)


def _graded(
    oracle: Oracle, asked: HttpCentre, span: Span, ran: Span, units: set[str], patience_s: float, progress: Progress
) -> list[Section]:
    total = oracle.total()
    ledger = asked.settled_ledger(total.received, patience_s)
    kpis = {row["id"]: msgspec.convert(row, Definition) for row in asked.get("kpis") or []}
    task = progress.add_task("Đối chiếu / comparing", total=len(kpis) + 2)
    sections = [grade.of_totals(total, oracle.sent().values(), ledger), grade.of_reasons(oracle.reasons, ledger)]
    sections.append(grade.of_rows(oracle.by_kind(), asked.ledger_rows()))
    sections.append(grade.of_sent(oracle.sent(), asked.get("missing", limit=MISSING_LIMIT)))
    progress.advance(task)
    for kpi in kpis.values():
        found = oracle.windows(kpi)
        rows = asked.windows(kpi.id, span[0] - 36 * HOUR_MS, span[1] + 36 * HOUR_MS, lambda: None)
        sections.append(grade.of_windows(kpi, found, oracle.closed(kpi, found), rows, units))
        progress.advance(task)
    until = time.monotonic() + patience_s
    while (alerts := _alerts(oracle, asked, kpis, span, ran)).is_finding and time.monotonic() < until:
        # Silence is looked for every few seconds: the last good-bye may not have been noticed yet.
        time.sleep(LOOK_S)
    progress.advance(task)
    return [*sections, alerts]


def _alerts(oracle: Oracle, asked: HttpCentre, kpis: dict[str, Definition], span: Span, ran: Span) -> Section:
    answer = asked.get("rules")
    heard = asked.alerts()
    if answer is None or heard is None:
        return Section("alerts", why_not=grade.NO_ANSWER)
    rules = {row["id"]: msgspec.convert(row, Rule) for row in answer}
    graded, why_not = _gradable(oracle, rules, kpis, span, ran)
    expected: dict[Key, Sequence] = oracle.silence_alerts(graded, ran[1])
    if _lag(span, ran) is not None:
        expected |= oracle.value_alerts(graded, kpis, now_ms())
    return grade.of_alerts(expected, {key: steps for key, steps in heard.items() if key[0] in graded}, why_not)


def _gradable(
    oracle: Oracle, rules: dict[str, Rule], kpis: dict[str, Definition], span: Span, ran: Span
) -> tuple[dict[str, Rule], str]:
    """The rules whose alerts one can know, and which ones are left out.

    While a run keeps pace with the clock, those of units, and the place's where it is not so far behind the clock that
    its messages could not count any more. Of a run of the past, those whose values were too old to be known when they
    came (they must raise nothing), and silence, if the run was over before it could begin.
    """
    lag = _lag(span, ran)
    graded = {}
    for rule in rules.values():
        if lag is not None:
            is_known = not rule.kpi or rule.scope == "unit" or lag < oracle.lateness_ms(kpis[rule.kpi].kind)
        elif rule.silent:
            is_known = ran[1] - ran[0] < rule.silent_s * 1000
        elif not rule.kpi:
            # A figure of the centre's own, such as the ledger's difference, which must be 0.
            is_known = True
        else:
            is_known = ran[0] - span[1] > kpis[rule.kpi].fresh_s * 1000
        if is_known:
            graded[rule.id] = rule
    left_out = sorted(rules.keys() - graded.keys())
    return graded, f"không chấm / not graded: {', '.join(left_out)}" if left_out else ""
