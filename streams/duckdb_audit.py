"""The audit: closed windows worked out again from the journal by DuckDB, and laid beside history.

A second, deliberately plain path: no panes, no partitions, no state; every window straight from the readings that
fall into it, in SQL (`streams/audit/*.sql`). It shares with the worker the decoders and the definitions, nothing
else (`tests/test_architecture.py` holds that), so that one mistake cannot hide in both.

History is read first, then how far the worker had come, then the journal up to there. What history still changes
meanwhile is looked at a second time and not compared. Nothing is written but a temporary file.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np

from sensors.batch import decode
from sensors.decoders.senml import FUTURE_ALLOWED_MS
from sensors.errors import MessageRejected
from sensors.journal import JournalReader
from sensors.topic import partition_of
from streams.difference import LISTED_MAX, WRONG, AuditReport, Difference, Outcome, Records
from streams.journal_span import begin_at, runs
from streams.kpi import Kpi
from streams.span import Span
from streams.sql_store import SqlStore
from streams.testimony import DAY_MS, Columns, Testimony
from streams.toml_catalogue import Definitions

HOUR_MS = 3_600_000
MEMORY = "1GB"
ROWS_A_LOAD = 100_000
LOOKS = 3
PATIENCE_S = 2.0
"""Before each further look at what is wrong: a window of a district or the place may lag behind its partitions'
checkpoints for so long, thrice that on a machine with too much to do."""

NEVER = 1 << 60
RANKS = {"p50": 0.5, "p90": 0.9, "p95": 0.95}
PER_MS = {"second": 1_000, "minute": 60_000, "hour": HOUR_MS, "day": DAY_MS}
AQI_COLUMNS = {"pm25": "pm2_5", "pm10": "pm10", "o3": "o3_1h", "co": "co", "so2": "so2", "no2": "no2"}
_PARAMETER = re.compile(r"\$([a-z_]+)")

Progress = Callable[[str, int, int], None]
"""Told what is done: "journal" (records), "windows" (KPIs and days); how much, and of how much."""


class DuckdbAudit:
    """One audit over a database of its own in `folder`, which must be empty; `close` it before the folder goes."""

    def __init__(self, definitions: Definitions, span: Span, folder: Path) -> None:
        self._place, self._kinds, self._kpis = definitions.place, definitions.kinds, definitions.kpis
        self._span = span
        self._zone_ms = _zone_ms(definitions.place.zone, span)
        self._testimony = Testimony(definitions.place, definitions.kinds, self._zone_ms)
        self._database = duckdb.connect(
            str(folder / "audit.duckdb"),
            config={"memory_limit": MEMORY, "temp_directory": str(folder / "spill"), "threads": "2",
                    "autoinstall_known_extensions": "false", "preserve_insertion_order": "false"},
        )  # fmt: skip
        self._run("tables")

    def close(self) -> None:
        self._database.close()

    async def audit(
        self, journal: JournalReader, store: SqlStore, progress: Progress, patience_s: float = PATIENCE_S
    ) -> AuditReport:
        """Compare; raises Unavailable when the journal or the database does not answer."""
        self._load_told("told", store, self._span)
        await self._read_journal(journal, store.offsets(), progress)
        self._load_definitions()
        self._run("desk")
        self._run("verdict")
        steps = [(kpi, span) for kpi in self._kpis.values() for span in self._days()]
        for done, (kpi, span) in enumerate(steps):
            progress("windows", done, len(steps))
            self._compute(kpi, span)
        progress("windows", len(steps), len(steps))
        for _ in range(LOOKS):
            if not self._wrong():
                break
            await asyncio.sleep(patience_s)
            self._look_again(store)
        return self._report()

    # The journal

    async def _read_journal(self, journal: JournalReader, reached: dict[int, int], progress: Progress) -> None:
        """Hear every partition up to where the worker was."""
        ends = {part: min(end, reached.get(part, 0)) for part, end in (await journal.ends()).items()}
        begins = {part: await begin_at(journal, part, end, self._earliest()) for part, end in ends.items()}
        total, done = sum(ends[part] - begins[part] for part in ends), 0
        known: list[tuple[int, int]] = []
        for part, end in ends.items():
            known_from = NEVER if end else 0
            async for records, since in runs(journal, part, begins[part], end):
                known_from = since
                for record in records:
                    with suppress(MessageRejected):  # no bridge wrote it: nobody has counted anything of it
                        self._testimony.hear(record.offset, decode(record.batch))
                if len(self._testimony) >= ROWS_A_LOAD:
                    self._take()
                done += len(records)
                progress("journal", done, total)
            known.append((part, known_from))
        progress("journal", total, total)
        self._take()
        self._load_rows("known", known)
        units = [(unit.code, unit.district, _part(unit.code, ends)) for unit in self._place.units.values()]
        self._load_rows("unit", units)

    def _earliest(self) -> int:
        """When the first message was received that can be part of any of the windows: whole days, for tickets."""
        time = self._span.after - self._reach_ms() - FUTURE_ALLOWED_MS
        return (time + self._zone_ms) // DAY_MS * DAY_MS - self._zone_ms - FUTURE_ALLOWED_MS

    def _reach_ms(self) -> int:
        return max((_reach_ms(kpi) for kpi in self._kpis.values()), default=0)

    def _take(self) -> None:
        self._load("reading", self._testimony.take_readings())
        self._load("event", self._testimony.take_events())

    # Windows

    def _load_definitions(self) -> None:
        kinds = [(kind.id, kind.lateness_s * 1000, kind.settle_s * 1000) for kind in self._kinds.values()]
        self._load_rows("kind", kinds)
        self._load_rows("quantity", [(number, *name) for number, name in enumerate(self._testimony.quantities)])
        self._load_rows("source", [(number, *name) for number, name in enumerate(self._testimony.sources)])
        law = json.loads(resources.files("streams").joinpath("vn_aqi.json").read_text("utf-8"))
        points = [
            (pollutant, float(concentration), float(index))
            for pollutant, column in AQI_COLUMNS.items()
            for concentration, index in zip(law["breakpoints"][column], law["index"], strict=True)
            if concentration is not None
        ]
        self._load_rows("aqi_point", points)

    def _days(self) -> Iterator[Span]:
        """The span day by day, as far as history or the journal has anything to compare."""
        bounds = 'SELECT min(t), max(t) FROM (SELECT "end" AS t FROM told UNION ALL SELECT time FROM counted)'
        first, last = self._database.execute(bounds).fetchone() or (None, None)
        if first is None:
            return
        upto = min(self._span.upto, last + self._reach_ms())
        for after in range(max(self._span.after, first - 1), upto, DAY_MS):
            yield Span(after, min(after + DAY_MS, upto))

    def _compute(self, kpi: Kpi, span: Span) -> None:
        by_day = any("ticket" in event.requires for event in self._kinds[kpi.kind].events.values())
        values = {
            "kpi": kpi.id, "kind": kpi.kind, "quantity": kpi.quantity, "field": kpi.field, "measure": kpi.measure,
            "across": kpi.across, "factor": kpi.factor, "at_most": kpi.at_most, "at_least": kpi.at_least,
            "rank": RANKS.get(kpi.measure), "per_ms": PER_MS[kpi.per], "window": kpi.window_s * 1000,
            "ends": kpi.measure in ("last", "change", "rate"), "every": kpi.every_s * 1000, "reach": _reach_ms(kpi),
            "zone": self._zone_ms, "place": self._place.code, "after": span.after, "upto": span.upto,
            "by_day": by_day, "future_ms": FUTURE_ALLOWED_MS,
        }  # fmt: skip
        self._run("vn_aqi" if kpi.measure == "vn_aqi" else "across" if kpi.across else "windows", values)
        self._run("compare", values)

    # The result

    def _wrong(self) -> list[tuple[Any, ...]]:
        """The first of them, in order of time."""
        return self._database.execute(
            'SELECT outcome, kpi, scope, "end", told, told_n, computed, computed_n FROM compared'
            ' WHERE list_contains($wrong, outcome) ORDER BY "end", kpi, len(scope) DESC, scope LIMIT $limit',
            {"wrong": list(WRONG), "limit": LISTED_MAX},
        ).fetchall()

    def _look_again(self, store: SqlStore) -> None:
        """A turn of the hour closes thousands of windows between two looks: all that are wrong are looked at again."""
        bounds = 'SELECT min("end"), max("end") FROM compared WHERE list_contains($wrong, outcome)'
        ((first, last),) = self._database.execute(bounds, {"wrong": list(WRONG)}).fetchall()
        self._database.execute("DELETE FROM told_again")
        self._load_told("told_again", store, Span(first - 1, last))
        self._run("look_again", {"wrong": list(WRONG)})

    def _report(self) -> AuditReport:
        windows: dict[str, dict[Outcome, int]] = {kpi: {} for kpi in self._kpis}
        counts = "SELECT kpi, outcome, count(*) FROM compared GROUP BY kpi, outcome"
        for kpi, outcome, count in self._database.execute(counts).fetchall():
            windows[kpi][outcome] = count
        differences = [self._difference(row, number == 0) for number, row in enumerate(self._wrong())]
        readings, counted = (self._count(table) for table in ("reading", "counted"))
        heard = self._testimony
        readings += self._count("desk_reading")
        return AuditReport(*self._span, heard.messages, heard.unusable, readings, counted, windows, differences)

    def _difference(self, row: tuple[Any, ...], is_first: bool) -> Difference:
        outcome, kpi, scope, end, told, told_n, computed, computed_n = row
        start = end - self._kpis[kpi].window_s * 1000
        records = self._records(self._kpis[kpi], scope, end) if is_first else []
        return Difference(outcome, kpi, scope, start, end, told, told_n, computed, computed_n, records)

    def _records(self, kpi: Kpi, scope: str, end: int) -> list[Records]:
        rows = self._database.execute(
            "SELECT counted.part, min(record), max(record), count(*) FROM counted JOIN unit USING (unit)"
            " WHERE kind = $kind AND ($quantity = '' OR quantity = $quantity) AND ($field = '' OR field = $field)"
            " AND time >= $begin AND time < $upto AND $scope IN (unit, district, $place) GROUP BY ALL ORDER BY ALL",
            {"kind": kpi.kind, "quantity": kpi.quantity, "field": kpi.field, "begin": end - _reach_ms(kpi),
             "upto": end, "scope": scope, "place": self._place.code},
        ).fetchall()  # fmt: skip
        return [Records(*row) for row in rows]

    # DuckDB

    def _run(self, name: str, values: dict[str, Any] | None = None) -> None:
        text = resources.files("streams").joinpath("audit", f"{name}.sql").read_text("utf-8")
        if values is None:
            self._database.execute(text)
        else:  # DuckDB refuses parameters that a statement does not name
            self._database.execute(text, {name: values[name] for name in set(_PARAMETER.findall(text))})

    def _load(self, table: str, columns: Columns) -> None:
        self._database.register("part", columns)
        self._database.execute(f"INSERT INTO {table} BY NAME SELECT * FROM part")  # noqa: S608 (names of ours)
        self._database.unregister("part")

    def _load_told(self, table: str, store: SqlStore, span: Span) -> None:
        for values in store.closed_values(*span):
            self._load(table, _told(values))

    def _load_rows(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """A few rows: definitions."""
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608

    def _count(self, table: str) -> int:
        (count,) = self._database.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)  # noqa: S608
        return int(count)


def _told(values: list[tuple[str, str, int, float | None, int]]) -> Columns:
    kpi, scope, end, value, n = zip(*values, strict=True)
    return {
        "kpi": np.array(kpi, dtype=np.object_), "scope": np.array(scope, dtype=np.object_),
        "end": np.array(end, dtype=np.int64), "value": np.array(value, dtype=np.float64),
        "n": np.array(n, dtype=np.int64),
    }  # fmt: skip


def _reach_ms(kpi: Kpi) -> int:
    """How far before its end a window looks: VN_AQI's Nowcast takes twelve hours."""
    return 12 * HOUR_MS if kpi.measure == "vn_aqi" else kpi.window_s * 1000


def _part(unit: str, parts: dict[int, int]) -> int:
    return partition_of(f"ioc/{unit}/", len(parts))


def _zone_ms(zone: str, span: Span) -> int:
    """Local time minus UTC at the end of the span: the place's zone has no daylight saving (toml_catalogue checks)."""
    offset = datetime.fromtimestamp(span.upto / 1000, ZoneInfo(zone)).utcoffset()
    assert offset is not None
    return round(offset.total_seconds()) * 1000
