"""Makes the leader's summary when it is due, and hands it with its mails to the roll-up's next checkpoint."""

import asyncio
import os
from collections.abc import Callable

import msgspec
import structlog

from sensors.errors import Unavailable
from streams.beat_engine import Engine
from streams.catalogue import Catalogue, compile_catalogue
from streams.checkpoint import Mail, SummaryRow
from streams.sql_store import SqlStore, digest_of
from streams.summary import Facts, Language, Schedule, State, due_moment, facts, headline, text, urgent_moment
from streams.summary import digest as digest_facts
from streams.toml_catalogue import Definitions

LOOK_S = 5.0
FIRST_WAIT_MS = 120_000
"""The first summary waits so long for figures, so that the phone's first page is not a list of gaps."""

FRESH_MS = 600_000
ALERTS_MAX = 1_000
log = structlog.get_logger("summary")


def recipients(schedule: Schedule) -> list[str]:
    """The city's own file's addresses and those of IOC_SUMMARY_TO (comma separated), each once."""
    given = [address.strip() for address in os.environ.get("IOC_SUMMARY_TO", "").split(",")]
    return list(dict.fromkeys(address for address in [*schedule.recipients, *given] if address))


async def keep_summaries(
    engine: Engine, store: SqlStore, definitions: Definitions, clock: Callable[[], int], look_s: float = LOOK_S
) -> None:
    """Look every few seconds, for ever; only the worker that owns the roll-up makes summaries."""
    keeper = SummaryKeeper(store, definitions, clock())
    while True:
        if engine.owns_roll_up:
            try:
                made = await asyncio.to_thread(keeper.look, clock())
            except Unavailable as reason:
                log.warning("summary waits", reason=str(reason))
                made = None
            if made is not None:
                engine.queue_summary(*made)
                log.info("summary made", id=made[0].id, mails=len(made[1]))
        await asyncio.sleep(look_s)


class SummaryKeeper:
    """Decides at each look whether a summary is due. `started_at`: since when figures may come in (ms UTC)."""

    def __init__(self, store: SqlStore, definitions: Definitions, started_at: int) -> None:
        self._store = store
        self._schedule = definitions.schedule
        self._catalogue = _compiled(definitions)
        self._started_at = started_at
        self._considered = -1

    def look(self, now: int) -> tuple[SummaryRow, list[Mail]] | None:
        """The summary that is due at `now`, with its mails; None when none is, or it would say nothing new."""
        last = self._store.newest_summary()
        previous = msgspec.json.decode(last.facts, type=Facts) if last is not None else None
        alerts = self._store.alerts(open_only=True, limit=ALERTS_MAX)
        due = due_moment(self._schedule, last.at if last is not None else None, now, self._catalogue.zone_ms)
        urgent = urgent_moment(self._schedule, alerts, previous) if last is not None else None
        moment = max((each for each in (due, urgent) if each is not None), default=None)
        if moment is None or moment <= self._considered:
            return None
        state = state_of(self._store, self._schedule, self._catalogue)
        told = facts(self._schedule, self._catalogue, state, previous, now)
        if last is None and not self._is_worth_a_first_page(told, now):
            return None
        # A moment is looked at once: what is queued now is in the database only after the next checkpoint.
        self._considered = now if last is None else moment
        name = digest_facts(told)
        if last is not None and last.digest == name:
            return None
        return self._written(told, name, "first" if last is None else str(moment))

    def _is_worth_a_first_page(self, told: Facts, now: int) -> bool:
        """Not in the middle of a backlog: half of the figures known, and the newest of them fresh."""
        times = [figure.as_of for figure in told.targets if figure.as_of is not None]
        is_current = len(times) * 2 >= len(told.targets) and now - max(times) < FRESH_MS
        return is_current or now - self._started_at >= FIRST_WAIT_MS

    def _written(self, told: Facts, name: str, moment: str) -> tuple[SummaryRow, list[Mail]]:
        texts: dict[Language, str] = {
            "vi": text(told, "vi", self._catalogue.zone_ms), "en": text(told, "en", self._catalogue.zone_ms),
        }  # fmt: skip
        row = SummaryRow(
            f"{self._schedule.id}-{moment}", told.at, name, msgspec.json.encode(told), texts["vi"], texts["en"]
        )
        subject = f"[IOC] {headline(told, 'vi')}"
        body = f"{texts['vi']}\n———\n\n{texts['en']}"
        mails = [
            Mail(digest_of(f"{row.id}\0{address}"), "email", address, subject, body, told.at)
            for address in recipients(self._schedule)
        ]
        return row, mails


def state_of(store: SqlStore, schedule: Schedule, catalogue: Catalogue) -> State:
    """What the database knows now; raises Unavailable."""
    place = catalogue.place.code
    values = {kpi: store.newest_value(kpi, place) for kpi in schedule.kpis}
    return State(
        {kpi: value for kpi, value in values.items() if value is not None},
        store.alerts(open_only=True, limit=ALERTS_MAX), store.sources(), store.ledger_totals(),
    )  # fmt: skip


def summary_text(store: SqlStore, definitions: Definitions, now: int, language: Language) -> str:
    """A summary as of now, against the last one that was made, as text."""
    catalogue = _compiled(definitions)
    last = store.newest_summary()
    previous = msgspec.json.decode(last.facts, type=Facts) if last is not None else None
    told = facts(definitions.schedule, catalogue, state_of(store, definitions.schedule, catalogue), previous, now)
    return text(told, language, catalogue.zone_ms)


def _compiled(definitions: Definitions) -> Catalogue:
    return compile_catalogue(definitions.place, definitions.kinds, definitions.kpis, definitions.rules)
