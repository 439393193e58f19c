"""Makes the leader's summary when it is due, and hands it with its mails to the roll-up's next checkpoint."""

import asyncio
import hashlib
import os
from collections.abc import Callable

import msgspec
import structlog

from sensors.errors import SettingsError, Unavailable
from streams.alert import Alert
from streams.beat_engine import Engine
from streams.catalogue import Catalogue, compile_catalogue
from streams.checkpoint import Mail, SummaryRow
from streams.letter import headline, text
from streams.schedule import Schedule, due_moment, is_address, urgent
from streams.sql_store import SqlStore
from streams.summary import Facts, State, digest, facts
from streams.toml_catalogue import Definitions
from streams.wording import LANGUAGES, Language

LOOK_S = 5.0
FIRST_WAIT_MS = 120_000
"""After a start a summary waits so long for figures, so that the phone's first page is not a list of gaps."""

FIRST, AT_ONCE = "first", "at-once-"
"""Why a summary was made, in its id; at an hour, the id has the moment."""

FRESH_MS = 600_000
QUEUED_MS = 60_000
"""What was handed over so long ago and is still not in the database was lost with its checkpoint: made again."""

ALERTS_MAX = 2_000
log = structlog.get_logger("summary")


def recipients(schedule: Schedule) -> list[str]:
    """The city's own file's addresses and those of IOC_SUMMARY_TO (comma separated), each once."""
    given = [address.strip() for address in os.environ.get("IOC_SUMMARY_TO", "").split(",") if address.strip()]
    wrong = [address for address in given if not is_address(address)]
    if wrong:
        raise SettingsError(f"IOC_SUMMARY_TO: không phải địa chỉ / no e-mail address: {', '.join(wrong)}")
    return list(dict.fromkeys([*schedule.recipients, *given]))


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
        self._recipients = recipients(definitions.schedule)
        self._catalogue = _compiled(definitions)
        self._started_at = started_at
        self._considered = -1
        self._queued: SummaryRow | None = None

    def look(self, now: int) -> tuple[SummaryRow, list[Mail]] | None:
        """The summary that is due at `now`, with its mails; None when none is, or it would say nothing new.

        The first one is for the page alone, unless something urgent is open: mails come at the hours.
        """
        last = self._newest(now)
        previous = facts_of(last)
        alerts = self._store.alerts(open_only=True, limit=ALERTS_MAX)
        calling = self._calling(alerts, last, previous, now)
        due = due_moment(self._schedule, last.at if last is not None else None, now, self._catalogue.zone_ms)
        if not calling and (due is None or due <= self._considered):
            return None
        state = state_of(self._store, self._schedule, alerts, self._catalogue)
        told = facts(self._schedule, self._catalogue, state, previous, now)
        if calling:
            return self._handed(told, AT_ONCE + calling[0], self._recipients)
        if not self._is_worth_reading(told, now):
            return None
        if last is None:
            return self._handed(told, FIRST, [])
        self._considered = due if due is not None else self._considered
        if last.digest == digest(told) and not last.id.endswith(FIRST):
            return None
        return self._handed(told, str(due), self._recipients)

    def _newest(self, now: int) -> SummaryRow | None:
        """The last one made, be it in the database yet or still on its way there."""
        last, queued = self._store.newest_summary(), self._queued
        is_waiting = queued is not None and now - queued.at < QUEUED_MS and (last is None or last.at < queued.at)
        return queued if is_waiting else last

    def _calling(self, alerts: list[Alert], last: SummaryRow | None, previous: Facts | None, now: int) -> list[str]:
        if last is not None:
            if AT_ONCE in last.id and now - last.at < self._schedule.gap_min * 60_000:
                return []
            if previous is None:
                alerts = [alert for alert in alerts if alert.raised_at > last.at]
        told = {decision.alert for decision in previous.decide} if previous is not None else set()
        return [alert.id for alert in urgent(self._schedule, alerts, told, now, self._catalogue.zone_ms)]

    def _is_worth_reading(self, told: Facts, now: int) -> bool:
        """Not in the middle of the backlog after a start: half of the figures known, and the newest of them fresh."""
        times = [figure.as_of for figure in told.targets if figure.as_of is not None]
        is_current = len(times) * 2 >= len(told.targets) and now - max(times, default=0) < FRESH_MS
        return is_current or now - self._started_at >= FIRST_WAIT_MS

    def _handed(self, told: Facts, reason: str, to: list[str]) -> tuple[SummaryRow, list[Mail]]:
        """`reason` makes the ids, so that what is made twice is written and sent once."""
        in_words: dict[Language, str] = {each: text(told, each, self._catalogue.zone_ms) for each in LANGUAGES}
        name = f"{self._schedule.id}-{reason}"
        row = SummaryRow(name, told.at, digest(told), msgspec.json.encode(told), in_words["vi"], in_words["en"])
        subject = f"[IOC] {headline(told, 'vi')}"
        body = f"{row.text_vi}\n———\n\n{row.text_en}"
        self._queued = row
        return row, [Mail(_mail_id(row.id, address), "email", address, subject, body, told.at) for address in to]


def facts_of(row: SummaryRow | None) -> Facts | None:
    """What a summary said; None for one that another version wrote and this one cannot read."""
    if row is None:
        return None
    try:
        return msgspec.json.decode(row.facts, type=Facts)
    except msgspec.ValidationError as reason:
        log.warning("the last summary cannot be compared with", id=row.id, reason=str(reason))
        return None


def state_of(store: SqlStore, schedule: Schedule, alerts: list[Alert], catalogue: Catalogue) -> State:
    """What the database knows now, beside the open `alerts`; raises Unavailable."""
    values = {kpi: store.newest_value(kpi, catalogue.place.code) for kpi in schedule.kpis}
    return State(
        {kpi: value for kpi, value in values.items() if value is not None},
        alerts,
        [alert for alert in store.alerts(open_only=False, limit=ALERTS_MAX) if alert.state == "closed"],
        store.sources(),
        store.ledger_totals(),
    )


def summary_text(store: SqlStore, definitions: Definitions, now: int, language: Language) -> str:
    """A summary as of now, against the last one that was made, as text."""
    catalogue, schedule = _compiled(definitions), definitions.schedule
    state = state_of(store, schedule, store.alerts(open_only=True, limit=ALERTS_MAX), catalogue)
    return text(facts(schedule, catalogue, state, facts_of(store.newest_summary()), now), language, catalogue.zone_ms)


def _mail_id(summary: str, address: str) -> str:
    return hashlib.sha256(f"{summary}\0{address}".encode()).hexdigest()[:16]


def _compiled(definitions: Definitions) -> Catalogue:
    return compile_catalogue(definitions.place, definitions.kinds, definitions.kpis, definitions.rules)
