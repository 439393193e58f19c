"""From a number back to its messages: what counted, what did not, and the window worked out again."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from small_world import NOON, A, B, C, cloudevent, kinds, kpis, place, senml
from told import Message
from whole_processor import Anew, WholeProcessor

from sensors.batch import Batch
from streams.catalogue import compile_catalogue
from streams.explanation import Explanation
from streams.journal_lineage import Lineages, NothingToExplain, Question
from streams.kpi import Goal, Kpi
from streams.sql_store import SqlStore
from streams.toml_catalogue import Definitions, load_all

pytestmark = pytest.mark.anyio

SCHEDULE = load_all().schedule
MINUTE = 60_000
HOUR = 60 * MINUTE
SPEED, OTHER = f"ioc/{A}/traffic/cam-1", f"ioc/{A}/traffic/cam-2"
DESK = f"ioc/{A}/queue/desk-1"


def more_kpis() -> dict[str, Kpi]:
    made = kpis()

    def kpi(name: str, kind: str, quantity: str, measure: str, *seconds: int, **more: object) -> Kpi:
        words = (name, name, name, name, name)
        return Kpi(*words, kind, measure, *seconds, "1", "high", "so", 600, quantity, **more)  # type: ignore[arg-type]

    for extra in (
        kpi("speed_max", "traffic", "speed", "max", 900, 300, 60),
        kpi("fastest", "traffic", "speed", "max", 1_800, 300, 60),
        kpi("speed_min", "traffic", "speed", "min", 300, 300, 60, across="mean"),
        kpi("speed_last", "traffic", "speed", "last", 300, 60, 60, across="max"),
        kpi("speed_change", "traffic", "speed", "change", 600, 300, 60),
        kpi("speed_rate", "traffic", "speed", "rate", 600, 300, 60, across="max", per="hour"),
        kpi("slow", "traffic", "speed", "share", 300, 300, 60, at_most=40.0),
        kpi("passed", "traffic", "speed", "count", 300, 300, 60),
        kpi("flow", "traffic", "flow", "sum", 300, 300, 60, across="sum", factor=0.5),
        kpi("wait_mean", "queue", "wait", "mean", 86_400, 300, 300, factor=1 / 60),
        kpi("service", "queue", "service", "p50", 3_600, 300, 300),
        kpi("taken", "queue", "taken", "count", 3_600, 300, 300),
    ):
        made[extra.id] = extra
    made["speed"] = msgspec.structs.replace(made["speed"], goal=Goal(at_least=30.0, source="Nghị quyết 1"))
    return made


def definitions() -> Definitions:
    return Definitions(place(), kinds(), more_kpis(), {}, SCHEDULE)


class World:
    """A processor over files, and the questions asked of it."""

    def __init__(self, folder: Path, partitions: int = 2) -> None:
        self.folder = folder
        self.processor = WholeProcessor(definitions(), folder, NOON, partitions)
        self.catalogue = compile_catalogue(place(), kinds(), more_kpis(), {})
        self.lineages = Lineages(self.processor.store, self.catalogue, f"sqlite:///{folder / 'journal.sqlite'}")

    async def tell(self, now: int, *messages: tuple[str, bytes] | tuple[str, bytes, bool], anew: Anew = "not") -> None:
        """Messages received at `now`, and the beat that follows."""
        await self.processor.live([Message(one[0], one[1], now, len(one) > 2) for one in messages], now, anew)

    async def explain(self, kpi: str, scope: str = A, at: int | None = None, messages: int = 200) -> Explanation:
        return await self.lineages.explain(Question(kpi, scope, at, messages))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.processor.close()


def of(explanation: Explanation, topic: str) -> list[tuple[str, int]]:
    """Outcome and offset of the messages of a topic, the oldest first."""
    return [(line.outcome, line.offset) for line in reversed(explanation.messages) if line.topic == topic]


async def test_a_message_without_a_time_counts_once_however_its_batch_was_numbered(world: World) -> None:
    untimed = (SPEED, b'[{"n": "speed", "v": 40}]')
    await world.tell(NOON, untimed)
    await world.tell(NOON + 1_000, untimed, untimed, anew="at once")
    await world.tell(NOON + 2_000, untimed, untimed, anew="once journaled")
    await world.tell(NOON + 3_000, untimed)
    told = await world.explain("speed")
    assert (told.value.n, told.recomputed.n, told.recomputed.matches) == (6, 6, True)
    assert [outcome for outcome, _ in of(told, SPEED)] == ["counted"] * 5 + ["duplicate"] * 2 + ["counted"]


async def test_a_live_number_leads_back_to_its_messages_with_their_payloads(world: World) -> None:
    await world.tell(NOON, (SPEED, senml("speed", NOON, 40)))
    later = NOON + MINUTE
    await world.tell(later, (OTHER, senml("speed", later, 70)), (SPEED, senml("speed", later, 40)))
    told = await world.explain("speed")
    assert (told.value.value, told.value.n, told.value.state) == (50.0, 3, "provisional")
    assert (told.recomputed.value, told.recomputed.n, told.recomputed.matches) == (50.0, 3, True)
    assert told.recomputed.verdict.vi == "khớp"
    assert [(line.topic, line.payload) for line in told.messages] == [
        (SPEED, senml("speed", NOON + MINUTE, 40).decode()),
        (OTHER, senml("speed", NOON + MINUTE, 70).decode()),
        (SPEED, senml("speed", NOON, 40).decode()),
    ]
    assert [line.ordinal for line in told.messages] == [2, 1, 0]
    assert [(line.source, line.n, line.value) for line in told.sources] == [("cam-1", 2, 40.0), ("cam-2", 1, 70.0)]
    assert told.sources[1].share == pytest.approx(33.333, abs=0.001)
    assert [(pane.start, pane.n, pane.sum, pane.min, pane.max) for pane in told.panes] == [
        (NOON, 1, 40.0, 40.0, 40.0), (NOON + MINUTE, 2, 110.0, 40.0, 70.0)
    ]  # fmt: skip
    assert told.window.local_start.endswith("+07:00")
    assert (told.window.start, told.window.end) == (NOON, NOON + 5 * MINUTE)


async def test_late_repeated_and_set_aside_messages_are_shown_and_not_counted(world: World) -> None:
    await world.tell(NOON, (SPEED, senml("speed", NOON, 40)))
    aside = b'[{"n":"speed","t":%d,"v":5},{"n":"status","vs":"calibrating"}]' % ((NOON + 2 * MINUTE) // 1000)
    await world.tell(NOON + 2 * MINUTE, (SPEED, senml("speed", NOON, 40)), (OTHER, aside), (SPEED, b"{broken"))
    await world.tell(NOON + 3 * MINUTE, (OTHER, senml("speed", NOON + 3 * MINUTE, 60)))
    await world.tell(NOON + 20 * MINUTE, (SPEED, senml("speed", NOON + 20 * MINUTE, 50)))
    # Ten minutes are allowed: one that is 9 minutes behind amends its window, one 20 minutes behind does not.
    await world.tell(NOON + 20 * MINUTE, (OTHER, senml("speed", NOON + MINUTE, 99)))
    await world.tell(NOON + 20 * MINUTE, (OTHER, senml("speed", NOON + 12 * MINUTE, 80)))
    told = await world.explain("speed", at=NOON + 4 * MINUTE)
    assert (told.value.value, told.value.n, told.value.state) == (50.0, 2, "final")
    assert told.recomputed.matches
    assert of(told, SPEED) == [("counted", 0), ("duplicate", 1), ("rejected", 1)]
    assert of(told, OTHER) == [("set_aside", 1), ("counted", 2)]
    assert told.outcomes == {"counted": 2, "duplicate": 1, "rejected": 1, "set_aside": 1}
    broken = next(line for line in told.messages if line.outcome == "rejected")
    assert broken.reason == "bad_payload"
    amended = await world.explain("speed", at=NOON + 12 * MINUTE)
    assert (amended.value.n, amended.recomputed.matches) == (1, True)


async def test_a_message_too_late_that_lies_between_those_that_count_is_named_so(world: World) -> None:
    await world.tell(NOON, (SPEED, senml("speed", NOON, 40)), (SPEED, senml("speed", NOON + 11 * MINUTE, 40)))
    await world.tell(NOON + 11 * MINUTE, (SPEED, senml("speed", NOON + 11 * MINUTE + 1000, 40)))
    await world.tell(NOON + 11 * MINUTE, (OTHER, senml("speed", NOON + 30_000, 90)))
    await world.tell(NOON + 11 * MINUTE, (OTHER, senml("speed", NOON + 2 * MINUTE, 60)))
    told = await world.explain("speed", at=NOON + MINUTE)
    assert (told.value.value, told.value.n, told.value.state, told.value.revision) == (50.0, 2, "corrected", 1)
    assert told.recomputed.matches
    assert of(told, OTHER) == [("too_late", 2), ("counted", 3)]


async def test_too_late_is_known_also_where_an_old_bridge_wrote_the_last_record_under_lower_ordinals(
    tmp_path: Path,
) -> None:
    """Here its heartbeat, on Kafka also what it was overtaken with: the highest ordinal stands before it."""
    world = World(tmp_path, partitions=1)
    late, last = NOON + 11 * MINUTE, NOON + 16 * MINUTE
    first, other, neighbour = f"ioc/{B}/traffic/cam-1", f"ioc/{B}/traffic/cam-2", f"ioc/{A}/traffic/cam-1"
    await world.tell(NOON, (first, senml("speed", NOON, 40)))
    await world.tell(late, (first, senml("speed", late, 50)))
    await world.tell(late, (other, senml("speed", NOON + 30_000, 90)))
    await world.tell(last, (neighbour, senml("speed", last, 60)))
    await world.processor.journal.append([Batch(0, 1, last, "old bridge", 0, [], [], [])])
    await world.tell(last)
    # How far the unit's time had come stood in records that are gone: only what was kept as too late tells.
    assert await world.processor.journal.trim(NOON + 30 * 24 * HOUR, {0: 2}) == 2
    told = await world.explain("fastest", "193")
    # The district's window is one that this unit has not told itself yet: all is read, to the last record.
    assert (told.value.state, told.value.end) == ("provisional", NOON + 20 * MINUTE)
    assert of(told, neighbour) == [("counted", 3)]
    assert of(told, other) == [("too_late", 2)]
    await world.processor.close()


async def test_a_wait_leads_back_to_both_events_of_its_ticket(world: World) -> None:
    taken = cloudevent("queue", "taken", NOON, 1, ticket="A1", name="Nguyễn Văn A")
    called = cloudevent("queue", "called", NOON + 10 * MINUTE, 2, ticket="A1")
    await world.tell(NOON, (DESK, taken))
    for step in range(1, 10):
        await world.tell(NOON + step * MINUTE, (SPEED, senml("speed", NOON + step * MINUTE, 40)))
    await world.tell(NOON + 10 * MINUTE, (DESK, called), (DESK, called))
    told = await world.explain("wait_mean")
    assert (told.value.value, told.recomputed.value, told.recomputed.matches) == (10.0, 10.0, True)
    assert [line.outcome for line in told.messages] == ["duplicate", "counted"]
    counted = told.messages[1]
    assert (counted.step, counted.ticket, counted.payload) == ("called", "A1", called.decode())
    linked = counted.linked[0]
    assert (linked.step, linked.time, linked.offset) == ("taken", NOON, 0)
    assert "Nguyễn Văn A" not in linked.payload, "a citizen's name is nobody's figure"
    assert '"ticket":"A1"' in linked.payload
    assert "called − taken" in " ".join(line.en for line in told.formula.lines)


async def test_a_sliding_window_is_asked_for_by_a_moment_in_it_or_its_end(world: World) -> None:
    for step in range(12):
        await world.tell(NOON + step * MINUTE, (SPEED, senml("speed", NOON + step * MINUTE, 30 + step)))
    by_end = await world.explain("speed_p95", at=NOON + 6 * MINUTE)
    within = await world.explain("speed_p95", at=NOON + 5 * MINUTE + 1)
    assert by_end.value == within.value
    assert (by_end.value.start, by_end.value.end) == (NOON + MINUTE, NOON + 6 * MINUTE)
    assert (by_end.recomputed.n, by_end.recomputed.matches) == (5, True)
    assert [pane.min for pane in by_end.panes] == [31, 32, 33, 34, 35]


async def test_a_district_and_the_place_are_told_by_their_units(world: World) -> None:
    topics = [f"ioc/{unit}/traffic/cam" for unit in (A, B, C)]
    for step in range(3):
        now = NOON + step * MINUTE
        await world.tell(now, *((topic, senml("speed", now, 30 + 10 * at)) for at, topic in enumerate(topics)))
    later = NOON + 10 * MINUTE
    await world.tell(later, *((topic, senml("speed", later, 50)) for topic in topics))
    district = await world.explain("speed", "193", at=NOON + MINUTE)
    assert (district.scope, district.value.value, district.value.n) == ("district", 35.0, 6)
    assert district.recomputed.matches
    assert [(part.unit, part.n, part.share, part.value) for part in district.units] == [
        (A, 3, 50.0, 30.0), (B, 3, 50.0, 40.0)
    ]  # fmt: skip
    whole = await world.explain("speed", "22", at=NOON + MINUTE)
    assert (whole.scope, whole.value.value, whole.value.n, whole.recomputed.matches) == ("place", 40.0, 9, True)
    assert len({(line.partition, line.ordinal) for line in whole.messages}) == 9
    assert len({line.partition for line in whole.messages}) == 2, "the three units are in two partitions"
    live = await world.explain("speed", "22")
    assert (live.value.state, live.value.n, live.recomputed.matches) == ("provisional", 3, True)


async def test_an_air_index_leads_back_to_twelve_hourly_means_of_every_station(world: World) -> None:
    station = f"ioc/{A}/air/tram-1"
    for hour in range(4):
        at = NOON + hour * HOUR
        records = [{"n": name, "t": at / 1000, "v": 20.0 + hour} for name in ("pm25", "pm10", "o3", "no2")]
        await world.tell(at, (station, msgspec.json.encode(records)))
    await world.tell(NOON + 4 * HOUR + MINUTE, (station, senml("pm25", NOON + 4 * HOUR + MINUTE, 20)))
    told = await world.explain("vn_aqi", at=NOON + 4 * HOUR)
    assert told.recomputed.matches
    assert told.value.end == NOON + 4 * HOUR
    assert [line.quantity for line in told.air] == ["pm25", "pm10", "o3", "no2"]
    assert told.air[0].hours == [23.0, 22.0, 21.0, 20.0, *[None] * 8]
    assert told.air[2].concentration == 23.0
    assert told.value.n == 16


async def test_the_list_is_bounded_newest_first_and_says_so(world: World) -> None:
    for step in range(20):
        await world.tell(NOON + step * 1000, (SPEED, senml("speed", NOON + step * 1000, 40)))
    told = await world.explain("speed", messages=5)
    assert [line.ordinal for line in told.messages] == [19, 18, 17, 16, 15]
    assert (told.read.listed, told.read.listable, told.recomputed.matches) == (5, 20, True)
    assert "5 of 20" in told.notes[0].en


async def test_what_was_not_decoded_is_said(world: World) -> None:
    for step in range(20):
        await world.tell(NOON + step * 1000, (SPEED, senml("speed", NOON + step * 1000, 40)))
    told = await world.lineages.explain(Question("speed", A, most=12))
    assert (told.value.n, told.recomputed.n, told.recomputed.matches) == (20, 12, False)
    assert any("only the first 12 messages" in note.en for note in told.notes)
    assert (await world.lineages.explain(Question("speed", A, most=21))).recomputed.matches


async def test_what_retention_has_dropped_is_said(world: World) -> None:
    for step in range(4):
        await world.tell(NOON + step * MINUTE, (SPEED, senml("speed", NOON + step * MINUTE, 40)))
    dropping = WholeProcessor(definitions(), world.folder, NOON, 2)
    await dropping.journal.trim(NOON + 30 * 86_400_000, {0: 2, 1: 2})
    await dropping.close()
    told = await world.explain("speed")
    assert not told.recomputed.matches
    assert (told.value.n, told.recomputed.n) == (4, 2)
    assert any("no longer holds" in note.en for note in told.notes)


async def test_a_question_about_nothing_is_answered_in_words(world: World) -> None:
    await world.tell(NOON, (SPEED, senml("speed", NOON, 40)))
    for kpi, scope in (("nothing", A), ("speed", "99999"), ("speed", B)):
        with pytest.raises(NothingToExplain):
            await world.explain(kpi, scope)
    with pytest.raises(NothingToExplain):
        await world.explain("speed", A, NOON - HOUR)
    later = await world.explain("speed", at=NOON + HOUR)
    assert "window of that moment has no value" in later.notes[0].en


async def test_the_formula_says_what_the_number_is_held_against(world: World) -> None:
    await world.tell(NOON, (SPEED, senml("speed", NOON, 40)))
    told = await world.explain("speed")
    words = [line.vi for line in told.formula.lines]
    assert words[0] == "Trung bình của Tốc độ (km/h); nguồn loại Giao thông"
    assert words[1] == "Cửa sổ 5 phút, cứ 5 phút một cửa sổ, gộp từ các ô 1 phút"
    goal = told.formula.bounds[0]
    assert (goal.what, goal.condition.en, goal.source, goal.owner.vi) == ("goal", "≥ 30", "Nghị quyết 1", "Sở")


UNITS = st.sampled_from((A, B, C))


@st.composite
def messages(draw: st.DrawFn, now: int) -> tuple[str, bytes, bool]:
    unit, source = draw(UNITS), draw(st.sampled_from(("s-1", "s-2")))
    what = draw(st.sampled_from(("speed", "speed", "pack", "untimed", "air", "queue", "queue", "rating", "broken")))
    behind = draw(st.integers(-1, 14)) * MINUTE + draw(st.integers(0, 3)) * 7_000
    at, value = now - behind, float(draw(st.integers(0, 120)))
    if what == "speed":
        status = draw(st.sampled_from(("measuring", "measuring", "measuring", "calibrating")))
        records = [{"n": "speed", "t": at / 1000, "v": value}, {"n": "status", "vs": status}]
        return f"ioc/{unit}/traffic/{source}", msgspec.json.encode(records), False
    if what == "pack":
        times = [at + step * MINUTE * 4 for step in range(draw(st.integers(1, 4)))]
        records = [{"n": name, "t": time / 1000, "v": value} for time in times for name in ("speed", "flow")]
        return f"ioc/{unit}/traffic/{source}", msgspec.json.encode(records), False
    if what == "untimed":
        return f"ioc/{unit}/traffic/{source}", b'[{"n":"speed","v":%d}]' % (value % 3), draw(st.booleans())
    if what == "air":
        records = [{"n": name, "t": at / 1000, "v": value} for name in ("pm25", "pm10", "co")]
        return f"ioc/{unit}/air/{source}", msgspec.json.encode(records), False
    if what == "queue":
        step = draw(st.sampled_from(("taken", "called", "served", "left")))
        ticket = draw(st.integers(1, 4))
        number = draw(st.integers(0, 40))
        event = cloudevent("queue", step, at, number, ticket=ticket).replace(b"urn:desk", unit.encode())
        return f"ioc/{unit}/queue/{source}", event, False
    if what == "rating":
        event = cloudevent("rating", "given", at, draw(st.integers(0, 60)), score=draw(st.integers(1, 5)),
                           field=draw(st.sampled_from(("dat_dai", "khac"))))  # fmt: skip
        return f"ioc/{unit}/rating/{source}", event.replace(b"urn:desk", unit.encode()), False
    return f"ioc/{unit}/traffic/{source}", b"[{", False


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_every_closed_number_of_a_random_world_follows_from_its_messages(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world = World(tmp_path_factory.mktemp("world"), partitions=2)
    now = NOON
    for _ in range(data.draw(st.integers(4, 14))):
        now += data.draw(st.integers(1, 240)) * 1000
        heard = data.draw(st.lists(messages(now), min_size=1, max_size=6))
        await world.tell(now, *heard, anew=data.draw(st.sampled_from(get_args(Anew))))
    await world.tell(now + 3 * HOUR)
    closed = closed_of(world.processor.store)
    assert closed
    wrong = []
    for kpi, scope, end in data.draw(st.permutations(closed))[:80]:
        told = await world.explain(kpi, scope, at=end, messages=3)
        assert told.value.end == end
        if not told.recomputed.matches:
            wrong.append((kpi, scope, end - NOON, told.value, told.recomputed))
    await world.processor.close()
    assert not wrong, wrong


def closed_of(store: SqlStore) -> list[tuple[str, str, int]]:
    scopes = (A, B, C, "193", "195", "22")
    return [
        (kpi, scope, value.end)
        for kpi in more_kpis() for scope in scopes
        for value in store.history(kpi, scope, 0, 1 << 60, 10_000)
    ]  # fmt: skip
