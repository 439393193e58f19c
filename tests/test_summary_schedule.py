"""The keeper of summaries over a real database: what is due is made once, told once and never lost."""

from dataclasses import replace

import msgspec
import pytest

from sensors.errors import SettingsError
from streams.alert import Alert, Severity
from streams.beat import Counts, Value
from streams.checkpoint import ROLL_UP, Checkpoint, Mail, SummaryRow
from streams.sql_store import SqlStore
from streams.summary_schedule import SummaryKeeper, summary_text
from streams.toml_catalogue import load_all

SHIPPED = load_all()
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
SEVEN = 1_790_035_200_000 // DAY * DAY
START = SEVEN - 2 * HOUR


class Centre:
    """A database, a keeper over it, and the checkpoint that writes what the keeper hands over."""

    def __init__(self, *recipients: str) -> None:
        self.store = SqlStore("sqlite://")
        self.store.migrate()
        schedule = msgspec.structs.replace(SHIPPED.schedule, recipients=list(recipients))
        self.definitions = replace(SHIPPED, schedule=schedule)
        self.offset = -1
        self.keeper = SummaryKeeper(self.store, self.definitions, START)

    def restart(self, now: int) -> None:
        self.keeper = SummaryKeeper(self.store, self.definitions, now)

    def commit(self, at: int, **members: object) -> None:
        checkpoint = Checkpoint(ROLL_UP, self.offset, self.offset + 1, 0, at, b"", Counts(), **members)  # type: ignore[arg-type]
        assert self.store.commit(checkpoint)
        self.offset += 1

    def know(self, at: int, number: float = 61.0) -> None:
        """Every figure of the summary has a value that was observed just now."""
        end = at // HOUR * HOUR + HOUR
        kpis = SHIPPED.schedule.kpis
        values = [Value(kpi, "22", end - HOUR, end, number, 90, 3, "provisional", 0, at) for kpi in kpis]
        self.commit(at, values=values)

    def rise(self, at: int, number: int = 1, severity: Severity = "critical", **more: object) -> None:
        made = Alert(
            f"slope_alarm-06673-{number}", "slope_alarm", "06673", "", severity, "unack_active", at, at + HOUR, 61.0
        )
        self.commit(at, alerts=[msgspec.structs.replace(made, **more)])

    def look(self, now: int) -> tuple[SummaryRow, list[Mail]] | None:
        """One look, and the checkpoint after it."""
        made = self.keeper.look(now)
        if made is not None:
            self.commit(now, summaries=[made[0]], mails=made[1])
        return made

    def outbox(self) -> list[Mail]:
        return self.store.due_mails(SEVEN + 30 * DAY, 100)


def names(made: tuple[SummaryRow, list[Mail]] | None) -> str:
    return made[0].id if made is not None else ""


def test_the_first_summary_is_made_as_soon_as_there_are_figures_and_is_for_the_page_alone() -> None:
    centre = Centre("leader@example.vn")
    assert centre.look(START + MINUTE) is None
    centre.know(START + MINUTE)
    assert names(centre.look(START + MINUTE + 1)) == "leaders-first"
    assert centre.look(START + 2 * MINUTE) is None
    assert centre.outbox() == []
    newest = centre.store.newest_summary()
    assert newest is not None
    assert "61,0 %" in newest.text_vi


def test_without_any_figure_the_first_summary_comes_after_two_minutes_and_says_what_is_not_known() -> None:
    centre = Centre()
    made = centre.look(START + 2 * MINUTE)
    assert made is not None
    assert "17 unknown" in made[0].text_en


def test_at_the_hour_everybody_gets_one_mail() -> None:
    centre = Centre("one@example.vn", "two@example.vn")
    centre.know(START)
    centre.look(START)
    centre.know(SEVEN - MINUTE, 70.0)
    assert centre.look(SEVEN - 1) is None
    assert names(centre.look(SEVEN + 1)) == f"leaders-{SEVEN}"
    assert centre.look(SEVEN + 5_000) is None
    assert sorted(mail.recipient for mail in centre.outbox()) == ["one@example.vn", "two@example.vn"]
    assert all("THAY ĐỔI" in mail.body and "NEEDS A DECISION" in mail.body for mail in centre.outbox())


def test_the_same_content_is_not_sent_twice() -> None:
    centre = Centre("one@example.vn")
    centre.know(START)
    centre.look(START)
    centre.know(SEVEN)
    assert centre.look(SEVEN) is not None, "what only the page has shown is mailed at the hour"
    for day in (1, 2):
        centre.know(SEVEN + day * DAY)
        assert centre.look(SEVEN + day * DAY) is None
    centre.know(SEVEN + 2 * DAY + HOUR, 62.0)
    assert centre.look(SEVEN + 2 * DAY + HOUR) is None, "the hour has passed"
    assert centre.look(SEVEN + 3 * DAY) is not None
    assert len(centre.outbox()) == 2


def test_a_critical_alert_makes_one_at_once_by_night_too() -> None:
    centre = Centre("one@example.vn")
    night = START - 3 * HOUR
    centre.restart(night)
    centre.know(night)
    centre.look(night)
    centre.rise(night + MINUTE)
    assert names(centre.look(night + MINUTE)) == "leaders-at-once-slope_alarm-06673-1"
    assert centre.look(night + 2 * MINUTE) is None
    assert [mail.subject.startswith("[IOC] 1 việc cần quyết định") for mail in centre.outbox()] == [True]


def test_a_warning_waits_for_the_hour() -> None:
    centre = Centre("one@example.vn")
    centre.know(START)
    centre.look(START)
    centre.rise(START + MINUTE, severity="warning")
    assert centre.look(START + MINUTE) is None
    assert names(centre.look(SEVEN)) == f"leaders-{SEVEN}"


def test_a_storm_of_critical_alerts_is_a_mail_every_five_minutes() -> None:
    centre = Centre("one@example.vn")
    centre.know(START)
    centre.look(START)
    made = []
    for number in range(60):
        centre.rise(START + number * 10_000, number)
        made.append(centre.look(START + number * 10_000))
    assert len([each for each in made if each is not None]) == 2
    assert centre.look(START + 11 * MINUTE) is not None, "the last ones are told too"
    assert centre.look(START + 20 * MINUTE) is None


def test_a_critical_alert_that_is_open_at_the_first_start_is_mailed() -> None:
    centre = Centre("one@example.vn")
    centre.rise(START)
    assert names(centre.look(START + 1)) == "leaders-at-once-slope_alarm-06673-1"
    assert len(centre.outbox()) == 1


def test_what_waits_for_its_checkpoint_is_not_made_again() -> None:
    centre = Centre("one@example.vn")
    centre.rise(START)
    assert centre.keeper.look(START) is not None
    assert centre.keeper.look(START + 5_000) is None


def test_what_was_lost_with_its_checkpoint_is_made_again_under_the_same_ids() -> None:
    centre = Centre("one@example.vn")
    centre.rise(START)
    lost = centre.keeper.look(START)
    again = centre.keeper.look(START + 61_000)
    assert lost is not None
    assert again is not None
    assert lost[0].id == again[0].id
    assert [mail.id for mail in lost[1]] == [mail.id for mail in again[1]]
    centre.commit(START + 62_000, summaries=[again[0]], mails=again[1])
    centre.commit(START + 63_000, summaries=[lost[0]], mails=lost[1])
    assert len(centre.outbox()) == 1


def test_after_a_restart_the_same_hour_is_not_made_again() -> None:
    centre = Centre("one@example.vn")
    centre.know(START)
    centre.look(START)
    centre.know(SEVEN, 70.0)
    centre.look(SEVEN)
    centre.restart(SEVEN + MINUTE)
    centre.know(SEVEN + MINUTE, 80.0)
    assert centre.look(SEVEN + MINUTE) is None
    assert len(centre.outbox()) == 1


def test_after_a_night_without_power_the_summary_waits_for_the_backlog() -> None:
    centre = Centre("one@example.vn")
    centre.know(START)
    centre.look(START)
    centre.restart(SEVEN + 2 * HOUR)
    assert centre.look(SEVEN + 2 * HOUR + 1) is None, "all it knows is four hours old"
    centre.know(SEVEN + 2 * HOUR + 20_000, 70.0)
    assert names(centre.look(SEVEN + 2 * HOUR + 25_000)) == f"leaders-{SEVEN}"


def test_a_summary_of_another_version_is_not_compared_with_and_stops_nothing() -> None:
    centre = Centre("one@example.vn")
    centre.rise(START - HOUR)
    centre.commit(START, summaries=[SummaryRow("leaders-1", START, "d", b'{"at": 1}', "", "")])
    centre.know(START)
    assert centre.look(START + MINUTE) is None
    assert names(centre.look(SEVEN)) == f"leaders-{SEVEN}"


def test_the_terminal_gets_it_as_of_now_in_both_languages() -> None:
    centre = Centre()
    centre.know(SEVEN, 99.5)
    assert "lúc 07:05" in summary_text(centre.store, centre.definitions, SEVEN + 5 * MINUTE, "vi")
    assert "99.5 % (n = 90, 5 min ago, provisional) – met, target > 99 %" in summary_text(
        centre.store, centre.definitions, SEVEN + 5 * MINUTE, "en"
    )
    assert centre.store.newest_summary() is None


def test_addresses_come_from_the_environment_too_and_wrong_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOC_SUMMARY_TO", "two@example.vn, one@example.vn,")
    centre = Centre("one@example.vn")
    centre.rise(START)
    made = centre.look(START)
    assert made is not None
    assert [mail.recipient for mail in made[1]] == ["one@example.vn", "two@example.vn"]
    monkeypatch.setenv("IOC_SUMMARY_TO", "two")
    with pytest.raises(SettingsError, match="IOC_SUMMARY_TO"):
        Centre()
