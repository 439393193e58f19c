"""A small place with a few kinds and KPIs, and a hand to feed a partition: shared by tests of the core."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sensors.batch import Batch, encode
from sensors.journal import Record
from sensors.kind import Event, Kind, Quantity
from sensors.place import Department, District, Field, Place, Title, Unit
from streams.alert import Rule
from streams.beat import Counts
from streams.catalogue import Catalogue, compile_catalogue
from streams.checkpoint import Recovered
from streams.kpi import Kpi
from streams.partition import Partition
from streams.sql_store import SqlStore

NOON = 1_790_000_000_000 // 3_600_000 * 3_600_000
"""A whole hour in September 2026, ms UTC; also a whole hour in Vietnam (UTC+7)."""

A, B, C = "06658", "06661", "06673"


def place() -> Place:
    return Place(
        id="small",
        code="22",
        zone="Asia/Ho_Chi_Minh",
        titles=[Title(name_vi="Thành phố Nhỏ", name_en="Small City", centre_vi="Trung tâm", centre_en="Centre")],
        units={
            code: Unit(
                code=code, name=name, kind_vi="Phường", district=district, population=1, area_km2=1.0,
                lat=21.0, lon=107.0,
            )
            for code, name, district in ((A, "Cao Xanh", "193"), (B, "Việt Hưng", "193"), (C, "Bãi Cháy", "195"))
        },
        districts={code: District(code=code, name=code, kind_vi="Thành phố") for code in ("193", "195")},
        departments={"so": Department(id="so", name_vi="Sở", name_en="Department")},
        fields={"dat_dai": Field(id="dat_dai", name_vi="Đất đai", name_en="Land")},
        holidays=[],
        targets={},
        opening_hours=[("07:30", "11:30"), ("13:30", "17:00")],
    )  # fmt: skip


def kinds() -> dict[str, Kind]:
    quantity = Quantity("Tốc độ", "Speed", "km/h", 0, 200)
    gas = Quantity("Khí", "Gas", "ug/m3", 0, 2_000)
    seconds = Quantity("Giây", "Seconds", "s", 0, 86_400)
    return {
        "traffic": Kind(
            "traffic", "Giao thông", "Traffic", "senml", 60, 600, 5, "so", {"speed": quantity, "flow": quantity}
        ),
        "air": Kind(
            "air", "Không khí", "Air", "senml", 300, 7_200, 5, "so",
            dict.fromkeys(("pm25", "pm10", "o3", "co", "so2", "no2"), gas),
        ),
        "queue": Kind(
            "queue", "Hàng đợi", "Queue", "cloudevents", 0, 3_600, 5, "so",
            {"taken": seconds, "wait": seconds, "service": seconds, "left": seconds},
            {
                step: Event(f"vn.ioc.queue.{step}", step, step, ["ticket"])
                for step in ("taken", "called", "served", "left")
            },
        ),
        "rating": Kind(
            "rating", "Đánh giá", "Rating", "cloudevents", 0, 3_600, 5, "so",
            {"score": Quantity("Điểm", "Score", "1", 1, 5)},
            {"given": Event("vn.ioc.rating.given", "given", "given", ["score"])},
        ),
    }  # fmt: skip


def _kpi(name: str, kind: str, quantity: str, measure: str, window: int, every: int, pane: int, **more: object) -> Kpi:
    return Kpi(  # type: ignore[arg-type]
        name, name, name, name, name, kind, measure, window, every, pane, "1", "high", "so", 600, quantity, **more
    )


def kpis() -> dict[str, Kpi]:
    made = [
        _kpi("speed", "traffic", "speed", "mean", 300, 300, 60),
        _kpi("speed_p95", "traffic", "speed", "p95", 300, 60, 60),
        _kpi("fastest", "traffic", "speed", "max", 300, 300, 60, across="max"),
        _kpi("vn_aqi", "air", "", "vn_aqi", 3_600, 3_600, 3_600, across="max"),
        _kpi("pm25", "air", "pm25", "mean", 3_600, 3_600, 3_600),
        _kpi("wait", "queue", "wait", "p90", 3_600, 60, 60),
        _kpi("satisfied", "rating", "score", "share", 3_600, 300, 300, at_least=4.0),
        _kpi("satisfied_land", "rating", "score", "share", 3_600, 300, 300, at_least=4.0, field="dat_dai"),
    ]
    return {kpi.id: kpi for kpi in made}


def catalogue(rules: dict[str, Rule] | None = None, **more: Kpi) -> Catalogue:
    return compile_catalogue(place(), kinds(), kpis() | more, rules or {})


def nothing() -> Recovered:
    return Recovered(-1, 0, b"", Counts(), [], [], [], [], [], [], [], [], {}, b"")


def senml(quantity: str, time: int, value: float, **more: object) -> bytes:
    return json.dumps([{"n": quantity, "t": time / 1000, "v": value, **more}]).encode()


def cloudevent(kind: str, event: str, time: int, number: int, **data: object) -> bytes:
    stamp = datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds")
    return json.dumps(
        {
            "specversion": "1.0", "id": str(number), "source": "urn:desk", "type": f"vn.ioc.{kind}.{event}",
            "time": stamp, "data": data,
        }
    ).encode()  # fmt: skip


Message = tuple[str, bytes, int]
"""Topic, payload, received at."""


class Feed:
    """A partition and its journal: `tell` appends one batch and lets the partition observe it."""

    def __init__(self, made: Catalogue, recovered: Recovered | None = None, now: int = NOON, number: int = 0) -> None:
        self.partition = Partition(number, made, recovered or nothing(), now)
        self.number = number
        self.records: list[Record] = []
        self.ordinal = 0

    def tell(self, *messages: Message, redelivered: tuple[int, ...] = (), renumbered: bool = False) -> None:
        topics, payloads, received = (list(column) for column in zip(*messages, strict=True))
        batch = Batch(
            self.number, self.ordinal, received[-1], "bridge", 0, topics, payloads, received, list(redelivered),
            renumbered=renumbered,
        )  # fmt: skip
        record = Record(self.number, len(self.records), encode(batch))
        self.records.append(record)
        self.ordinal = batch.after
        self.partition.observe(record)


FOREIGN = (b"", b"garbage", b"\x90", b'{"speed": 40}', b"\xff" * 2_000, b"\x91" * 5_000)
"""Records that no bridge wrote."""


def write_foreign(journal: Path, partition: int, record: bytes, sealed_at: int = NOON) -> None:
    """Have somebody else write a record to a SQLite journal."""
    with closing(sqlite3.connect(journal, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        advance = "UPDATE tail SET next_offset = next_offset + 1 WHERE partition = ? RETURNING next_offset - 1"
        ((offset,),) = database.execute(advance, (partition,)).fetchall()
        database.execute("INSERT INTO record VALUES (?, 0, 0, ?, ?)", (partition << 40 | offset, sealed_at, record))
        database.execute("COMMIT")


def kept_moments(store: SqlStore, partitions: Sequence[int]) -> list[int]:
    """The moments (ms UTC) of which the state of every one of `partitions` was kept, the oldest first."""
    kept = store.kept()
    return sorted(set[int].intersection(*(set(kept.get(number, ())) for number in partitions)))


@contextmanager
def held_up(path: Path, *instead: str) -> Iterator[None]:
    """Inside, the SQLite database takes no commit; at the end that of whoever held it up, with what these wrote."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        for statement in instead:
            holder.execute(statement)
        holder.execute("COMMIT")
        holder.close()
