"""What a gateway may ask of a past moment: answered as the running centre answered it then.

    known when the replay's first state was kept, and final by then ──▶ the centre's database
    everything since, and what could still change                   ──▶ the replay's own, as of its last checkpoint

It is no SqlStore, so that nothing is asked here by mistake which would be answered with the present.
"""

from collections.abc import Callable

from sensors.broker_refusal import Refusal
from sensors.errors import CommandRefused
from streams.alert import Alert, AlertStep, Command
from streams.beat import Counts, Rejection, Value
from streams.checkpoint import LedgerRow, SourceRow, SummaryRow
from streams.numbering import Gap
from streams.snapshot_store import SnapshotStore
from streams.span import MS_MAX
from streams.sql_snapshots import minutes_from
from streams.sql_store import SqlStore


class PastStore:
    """`centre` is only read; `own` is where the replay's engine writes; `moment` tells the time shown (ms UTC).

    `engine` is the centre's: people log in now, whatever they look at.
    """

    def __init__(self, centre: SqlStore, own: SnapshotStore, moment: Callable[[], int]) -> None:
        self.engine = centre.engine
        self._centre = centre
        self._own = own
        self._moment = moment
        self._kept_at = max(begun.at for begun in own.begun.values())

    def record_command(self, command: Command) -> None:
        raise CommandRefused("đang phát lại: không nhận lệnh / this is a replay: nothing can be ordered")

    # Figures

    def newest_value(self, kpi: str, scope: str, until: int = MS_MAX) -> Value | None:
        """As `SqlStore`; the newest window of every scope was in the state that was kept."""
        return self._own.newest_value(kpi, scope, until)

    def history(self, kpi: str, scope: str, start: int, end: int, limit: int) -> list[Value]:
        """As `SqlStore`."""
        first = self._own.first_ends(kpi).get(scope)
        if first is None:
            return []
        before = self._centre.history(kpi, scope, start, min(end, first - 1), limit)
        return (before + self._own.history(kpi, scope, start, end, limit))[:limit]

    def windows(self, kpi: str, start: int, end: int, limit: int) -> list[Value]:
        """As `SqlStore`; fewer than `limit` also where there are more, but none is passed over."""
        first = self._own.first_ends(kpi)
        before = self._centre.windows(kpi, start, min(end, max(first.values(), default=0)), limit)
        found = [value for value in before if value.end < first.get(value.scope, 0)]
        found += self._own.windows(kpi, start, end, limit)
        if len(before) == limit:
            last = (before[-1].end, before[-1].scope)
            found = [value for value in found if (value.end, value.scope) <= last]
        return sorted(found, key=lambda value: (value.end, value.scope))[:limit]

    def newest_summary(self) -> SummaryRow | None:
        return self._centre.newest_summary(self._moment())

    # The ledger, rejections and sources

    def ledger_totals(self) -> Counts:
        return self._own.ledger_totals()

    def numbered_totals(self) -> tuple[int, int, int]:
        return self._own.numbered_totals()

    def ledger_rows(self, start: int, end: int, limit: int) -> list[tuple[int, LedgerRow]]:
        """As `SqlStore`; of minutes before those that were kept with the state, what they came to in the end."""
        first = {number: minutes_from(begun.at) for number, begun in self._own.begun.items()}
        before = self._centre.ledger_rows(start, min(end, max(first.values())), limit)
        since = self._own.ledger_rows(start, end, limit)
        found = [(number, row) for number, row in before if row.minute < first[number]]
        found += [(number, row) for number, row in since if row.minute >= first[number]]
        return sorted(found, key=lambda one: (one[1].minute, one[0], one[1].kind))[:limit]

    def rejections(self, limit: int) -> list[Rejection]:
        """As `SqlStore`; those before the state was kept as far as they still are."""
        before = self._centre.rejections(limit, self._moment())
        found = [row for row in before if self._own.begun[row.partition].has(row)] + self._own.rejections(limit)
        return sorted(found, key=lambda row: (-row.at, row.partition, -row.ordinal))[:limit]

    def rejection_reasons(self) -> dict[str, int]:
        return self._own.rejection_reasons()

    def sources(self) -> list[SourceRow]:
        return self._own.sources()

    def missing(self, limit: int) -> list[tuple[SourceRow, list[Gap]]]:
        return self._own.missing(limit)

    def refusals_total(self) -> int:
        return self._centre.refusals_noticed(self._moment())

    def refusals(self, limit: int) -> list[tuple[int, Refusal]]:
        return self._centre.refusals(limit, self._moment())

    # Alerts

    def alerts(self, open_only: bool, limit: int, by: int = MS_MAX) -> list[Alert]:
        """As `SqlStore`; what was closed when the state was kept did not change any more."""
        found = self._own.alerts(open_only, limit, by)
        if not open_only:
            known = {alert.id for alert in found}
            before = self._centre.alerts_closed(limit, self._kept_at, by)
            found += [alert for alert in before if alert.id not in known]
        return sorted(found, key=lambda alert: (-alert.raised_at, alert.id))[:limit]

    def alert(self, alert: str) -> Alert | None:
        found = self._own.alert(alert)
        if found is None:
            before = self._centre.alert(alert)
            if before is not None and before.closed_at is not None and before.closed_at <= self._kept_at:
                found = before
        return found

    def alert_steps(self, alert: str) -> list[AlertStep]:
        """As `SqlStore`: the lines, which are the same in both, up to the state that the alert is in."""
        known = self.alert(alert)
        lines = self._centre.alert_steps(alert) if known is not None else []
        return [step for step in lines if known is not None and step.revision <= known.revision]
