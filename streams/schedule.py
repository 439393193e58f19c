"""When a summary is made: at the hours of the day, and at once when something urgent rises. Times are ms UTC."""

import re
from collections.abc import Collection, Iterable, Sequence

import msgspec

from streams.alert import Alert, Severity

DAY_MS = 86_400_000
MINUTE_MS = 60_000
RANK: dict[Severity, int] = {"critical": 0, "warning": 1, "notice": 2}
HOUR = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_ADDRESS = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")


class Schedule(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`streams/summaries/leaders.toml`. Hours are "HH:MM" in the place's own time.

    `decide`: severities of alerts that need a decision; `at_once`: those of them that make a summary when they rise.
    In the `quiet` hours, [from, to), only critical ones do so; the others wait for the end of them. Two such
    summaries are at least `gap_min` minutes apart: a storm is a few mails, not fifty.
    """

    id: str
    name_vi: str
    name_en: str
    hours: list[str]
    kpis: list[str]
    decide: list[Severity]
    at_once: list[Severity] = []
    quiet: list[str] = []
    gap_min: int = 5
    recipients: list[str] = []


def check_schedule(schedule: Schedule, kpis: Collection[str]) -> list[tuple[str, str]]:
    """Member and what was expected, for everything that is wrong."""
    faults = [("hours", f"HH:MM, not {hour!r}") for hour in schedule.hours if not HOUR.fullmatch(hour)]
    faults += [("quiet", f"HH:MM, not {hour!r}") for hour in schedule.quiet if not HOUR.fullmatch(hour)]
    if not 0 <= schedule.gap_min <= 60:
        faults.append(("gap_min", "0 to 60 minutes"))
    if len(schedule.quiet) not in (0, 2):
        faults.append(("quiet", "two hours, from and to, or nothing"))
    faults += [("kpis", f"ids of KPIs, not {kpi!r}") for kpi in schedule.kpis if kpi not in kpis]
    if len(set(schedule.kpis)) != len(schedule.kpis):
        faults.append(("kpis", "each KPI once"))
    faults += [("at_once", f"severities of decide, not {name!r}") for name in schedule.at_once
               if name not in schedule.decide]  # fmt: skip
    faults += [("recipients", f"e-mail addresses, not {name!r}") for name in schedule.recipients
               if not is_address(name)]  # fmt: skip
    return faults


def is_address(text: str) -> bool:
    """Whether it can be an e-mail address; whether anybody reads it only a mail can tell."""
    return _ADDRESS.fullmatch(text) is not None


def due_moment(schedule: Schedule, last_at: int | None, now: int, zone_ms: int) -> int | None:
    """The newest scheduled moment that has passed and for which no summary was made; `now` if there never was one."""
    if last_at is None:
        return now
    midnight = (now + zone_ms) // DAY_MS * DAY_MS - zone_ms
    moments = [day + _minutes(hour) * MINUTE_MS for day in (midnight - DAY_MS, midnight) for hour in schedule.hours]
    return max((moment for moment in moments if last_at < moment <= now), default=None)


def urgent(
    schedule: Schedule, alerts: Iterable[Alert], told: Collection[str], now: int, zone_ms: int
) -> Sequence[Alert]:
    """The open alerts that call for a summary now, the most urgent first; `told` are ids that the last one had."""
    calling = ["critical"] if is_quiet(schedule, now, zone_ms) else ["critical", "warning", "notice"]
    new = [alert for alert in alerts if alert.severity in schedule.at_once and alert.id not in told]
    return sorted((alert for alert in new if alert.severity in calling), key=urgency)


def is_quiet(schedule: Schedule, now: int, zone_ms: int) -> bool:
    """Whether `now` is in the quiet hours, which may run over midnight."""
    if not schedule.quiet:
        return False
    minute = (now + zone_ms) % DAY_MS // MINUTE_MS
    start, end = (_minutes(hour) for hour in schedule.quiet)
    return start <= minute < end if start <= end else minute >= start or minute < end


def urgency(alert: Alert) -> tuple[int, int, str]:
    """Sorts alerts: the worst first, then the oldest."""
    return RANK[alert.severity], alert.raised_at, alert.id


def _minutes(hour: str) -> int:
    return int(hour[:2]) * 60 + int(hour[3:])
