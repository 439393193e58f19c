"""The database's contract, on SQLite and on a real PostgreSQL."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from small_world import kept_moments
from sqlmodel import SQLModel

from control_center.sql_accounts import SqlAccounts
from sensors.broker_refusal import Refusal
from sensors.errors import SettingsError, Unavailable
from streams.alert import Alert, AlertStep, Command
from streams.beat import Counts, Rejection, Value
from streams.checkpoint import (
    ROLL_UP,
    Checkpoint,
    LedgerRow,
    Mail,
    PaneRow,
    Partial,
    SeenRow,
    SourceBlock,
    SourceChange,
    SourceName,
    SummaryRow,
    TicketRow,
)
from streams.sql_snapshots import ROWS_A_PIECE
from streams.sql_store import SqlStore

HOUR = 3_600_000
DAY = 24 * HOUR
T0 = 1_790_000_000_000 // HOUR * HOUR


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        made: str = request.getfixturevalue("postgres_server").new_database()
        return made
    return f"sqlite:///{tmp_path / 'history.sqlite'}"


@pytest.fixture
def store(url: str) -> Iterator[SqlStore]:
    made = SqlStore(url)
    made.migrate()
    yield made
    made.close()


def checkpoint(expected: int = -1, offset: int = 1, partition: int = 0, **parts: Any) -> Checkpoint:
    totals = parts.pop("totals", Counts())
    return Checkpoint(partition, expected, offset, 10 * offset, T0 + offset, b"clock", totals, **parts)


def pane(number: int, n: int = 1, series: str = "air/pm25/60") -> PaneRow:
    return PaneRow(series, "06658/s1", "", number, n, 1.5, 1.0, 2.0, 1, 1.0, 2, 2.0, b"\x01", b"\x02", 0, 0)


def value(end: int, number: float | None = 1.0, scope: str = "06658", kpi: str = "pm25", revision: int = 0) -> Value:
    return Value(kpi, scope, end - HOUR, end, number, 4, 2, "corrected" if revision else "final", revision, end - 1)


def alert(name: str = "r-06658-2", state: Any = "unack_active") -> Alert:
    return Alert(name, "r", "06658", "", "critical", state, T0, T0 + HOUR, 1.5)


def test_a_partition_that_never_ran_has_nothing_to_recover(store: SqlStore) -> None:
    found = store.recover(0)
    assert (found.offset, found.ordinal, found.panes, found.alerts, found.occurrences) == (-1, 0, [], [], {})


def test_everything_that_a_checkpoint_carries_comes_back(store: SqlStore) -> None:
    ticket = TicketRow("06658/desk", "2026-09-24/A1", T0, None, None, None, "dat_dai", T0)
    name, block = SourceName(0, "06658", "air", "s1"), SourceBlock(0, b"packed")
    seen = SeenRow(T0 + HOUR, b"12345678")
    counts = Counts(5, 1, 1, 1, 2, 9, 1, 2, 3, 4)
    told = checkpoint(
        offset=3, panes=[pane(1), pane(2)], tickets=[ticket], source_names=[name], source_blocks=[block],
        source_changes=[SourceChange(3, b"three"), SourceChange(4, b"four")],
        seen=[seen, seen], values=[value(T0)],
        alerts=[alert()], pending_holds=b"holds", totals=counts,
    )  # fmt: skip
    assert store.commit(told)
    found = store.recover(0)
    assert (found.offset, found.ordinal, found.clock, found.totals) == (3, 30, b"clock", counts)
    assert sorted(found.panes, key=lambda row: row.pane) == [pane(1), pane(2)]
    assert (found.tickets, found.source_names, found.source_blocks) == ([ticket], [name], [block])
    assert found.source_changes == told.source_changes
    assert (found.seen, found.at) == ([seen, seen], told.at)
    assert (found.values, found.alerts, found.pending_holds) == ([value(T0)], [alert()], b"holds")
    assert found.occurrences == {("r", "06658", ""): 2}
    assert store.recover(1).offset == -1


def test_changes_of_sources_go_when_blocks_have_taken_their_place(store: SqlStore) -> None:
    changes = [SourceChange(number, b"%d" % number) for number in range(3)]
    assert store.commit(checkpoint(offset=1, source_changes=changes))
    assert store.commit(checkpoint(partition=1, offset=1, source_changes=changes))
    later, block = SourceChange(2, b"2"), SourceBlock(0, b"all of them")
    assert store.commit(checkpoint(expected=1, offset=2, source_blocks=[block], source_changes_until=2))
    found = store.recover(0)
    assert (found.source_blocks, found.source_changes) == ([block], [later])
    assert store.recover(1).source_changes == changes


def test_a_worker_that_lost_its_partition_writes_nothing(store: SqlStore) -> None:
    assert store.commit(checkpoint(-1, 1))
    assert not store.commit(checkpoint(-1, 5, panes=[pane(9)])), "another worker has run since"
    assert store.commit(checkpoint(1, 2))
    assert not store.commit(checkpoint(1, 7, panes=[pane(9)], values=[value(T0)]))
    assert (store.recover(0).offset, store.recover(0).panes, store.recover(0).values) == (2, [], [])


def test_a_worker_that_lost_its_partition_writes_nothing_also_where_no_record_has_come_since(store: SqlStore) -> None:
    first = checkpoint(-1, 1)
    assert store.commit(first)
    successor = checkpoint(1, 1, expected_at=first.at)
    assert store.commit(msgspec.structs.replace(successor, at=first.at + 1_000)), "with nothing new to read"
    assert not store.commit(checkpoint(1, 1, expected_at=first.at, values=[value(T0)]))
    assert store.recover(0).values == []


def test_of_two_workers_that_commit_at_once_exactly_one_wins(store: SqlStore, url: str) -> None:
    assert store.commit(checkpoint(-1, 0))
    stores = [SqlStore(url) for _ in range(4)]
    outcomes: list[bool] = []
    start = threading.Barrier(4)

    def run(own: SqlStore, number: int) -> None:
        start.wait()
        outcomes.append(own.commit(checkpoint(0, number, panes=[pane(number)])))

    threads = [threading.Thread(target=run, args=(own, number)) for number, own in enumerate(stores, start=1)]
    for thread in threads:
        thread.start()
    for thread, own in zip(threads, stores, strict=True):
        thread.join()
        own.close()
    assert sorted(outcomes) == [False, False, False, True]
    found = store.recover(0)
    assert [row.pane for row in found.panes] == [found.offset]


def test_rows_of_the_same_key_are_replaced_and_old_panes_and_identities_go(store: SqlStore) -> None:
    assert store.commit(checkpoint(-1, 1, panes=[pane(1), pane(2), pane(1, series="other")], seen=[SeenRow(100, b"a")]))
    ticket = TicketRow("d", "t", 1, None, None, None, "", 1)
    assert store.commit(checkpoint(1, 2, panes=[pane(2, n=9)], tickets=[ticket], seen=[SeenRow(300, b"b")]))
    assert store.commit(
        checkpoint(2, 3, dropped_panes=[("air/pm25/60", "06658/s1", "", 2)], tickets_done=[("d", "t")], seen_until=200)
    )
    found = store.recover(0)
    assert sorted((row.series, row.pane, row.n) for row in found.panes) == [("air/pm25/60", 2, 9), ("other", 1, 1)]
    assert (found.tickets, found.seen) == ([], [SeenRow(300, b"b")])


def test_recovery_looks_back_as_far_as_a_closed_window_may_be_amended(store: SqlStore) -> None:
    values = [value(T0 + hour * HOUR) for hour in range(10)] + [value(T0, scope="06661")]
    assert store.commit(checkpoint(values=values))
    found = store.recover(0, {"pm25": 2 * HOUR}).values
    assert sorted((row.scope, (row.end - T0) // HOUR) for row in found) == [
        ("06658", 7), ("06658", 8), ("06658", 9), ("06661", 0),
    ]  # fmt: skip


def test_the_roll_up_gets_every_partitions_shares_of_windows_it_may_not_have_merged(store: SqlStore) -> None:
    early, late = Partial("pm25", T0, b"early"), Partial("pm25", T0 + HOUR, b"late")
    assert store.commit(checkpoint(-1, 1, partition=0, partials=[early, late]))
    assert store.commit(checkpoint(-1, 300_000, partition=1, partials=[Partial("pm25", T0, b"of 1")]))
    assert store.commit(checkpoint(-1, 400_000, partition=ROLL_UP, values=[value(T0, scope="22")]))
    found = store.recover(ROLL_UP)
    assert sorted(row.cells for row in found.partials) == [b"early", b"of 1"], "written again, so all shares of it"
    assert {row.scope for row in found.values} == {"22"}
    shares, values = store.shares([("pm25", T0 + HOUR), ("pm25", T0)])
    assert len(shares) == 3
    assert [row.scope for row in values] == ["22"]


def test_a_state_is_kept_as_it_was_at_its_moment_while_commits_go_on(store: SqlStore) -> None:
    share, named = Partial("pm25", T0, b"share"), SourceName(0, "06658", "air", "s1")
    panes = [pane(number) for number in range(3 * ROWS_A_PIECE - 1)]
    seen = [SeenRow(T0 + number, b"12345678") for number in range(2 * ROWS_A_PIECE)]
    first = checkpoint(-1, 1, panes=panes, seen=seen, source_names=[named], values=[value(T0)], partials=[share])
    assert store.commit_all([first, checkpoint(-1, 1, partition=ROLL_UP)]) == {0, ROLL_UP}
    moment = store.open_moment([0, ROLL_UP], T0 + 1, {})
    assert moment is not None
    more = [SeenRow(T0 + HOUR, b"abcdefgh")]
    later = checkpoint(1, 2, panes=[pane(2, n=9), pane(5_000)], seen=more, seen_until=T0, values=[value(T0, 2.0)])
    assert store.commit_all([later, checkpoint(1, 2, partition=ROLL_UP)]) == {0, ROLL_UP}
    assert moment.keep()
    assert kept_moments(store, [0, ROLL_UP]) == [T0 + 1]
    kept = store.kept_states({0: T0 + 1, ROLL_UP: T0 + 1})
    assert sorted(kept[0].panes, key=lambda row: row.pane) == panes
    assert sorted(kept[0].seen, key=lambda row: row.until) == seen
    assert (kept[0].at, kept[0].offset, kept[0].values) == (T0 + 1, 1, [value(T0)])
    assert (kept[0].source_names, kept[0].partials, kept[ROLL_UP].partials) == ([named], [share], [])
    assert store.recover(0).offset == 2
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def kept_at(store: SqlStore, offset: int, *partitions: int) -> bool:
    """Bring partitions to `offset` and keep their states."""
    before = [store.recover(partition).offset for partition in partitions]
    told = [checkpoint(old, offset, number) for old, number in zip(before, partitions, strict=True)]
    assert store.commit_all(told) == set(partitions)
    moment = store.open_moment(partitions, T0 + offset, {})
    return moment is not None and moment.keep()


def test_a_moment_counts_only_with_the_states_of_all_partitions(store: SqlStore) -> None:
    assert kept_at(store, 1, 0, 1)
    assert kept_at(store, 2, 0)
    assert kept_at(store, 3, 0, 1)
    assert kept_moments(store, [0, 1]) == [T0 + 1, T0 + 3]
    assert kept_moments(store, [0]) == [T0 + 1, T0 + 2, T0 + 3]
    assert store.kept() == {0: [T0 + 1, T0 + 2, T0 + 3], 1: [T0 + 1, T0 + 3]}
    chosen = {0: T0 + 2, 1: T0 + 1}
    assert {number: state.at for number, state in store.kept_states(chosen).items()} == chosen


def test_there_is_no_moment_where_partitions_stand_at_different_times(store: SqlStore) -> None:
    assert store.commit_all([checkpoint(-1, 1, 0), checkpoint(-1, 2, 1)]) == {0, 1}
    assert store.open_moment([0, 1], T0 + 2, {}) is None
    assert store.open_moment([1, 2], T0 + 2, {}) is None, "one has never run"
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_state_that_cannot_be_written_leaves_the_one_kept_before(store: SqlStore) -> None:
    assert kept_at(store, 1, 0)
    assert store.commit(checkpoint(1, 2))
    moment = store.open_moment([0], T0 + 2, {})
    assert moment is not None
    with store.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE snapshot RENAME TO elsewhere"))
    with pytest.raises(Unavailable, match="table"):
        moment.keep()
    with store.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO snapshot"))
    assert kept_moments(store, [0]) == [T0 + 1]
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_moment_that_is_given_up_is_not_kept_and_closes_what_it_had_open(store: SqlStore) -> None:
    assert store.commit_all([checkpoint(-1, 1, 0), checkpoint(-1, 1, 1)]) == {0, 1}
    moment = store.open_moment([0, 1], T0 + 1, {})
    assert moment is not None
    moment.give_up()
    assert not moment.keep()
    assert kept_moments(store, [0]) == []
    assert store.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_the_write_ahead_log_begins_anew_once_a_state_has_been_kept(tmp_path: Path) -> None:
    store = SqlStore(f"sqlite:///{tmp_path / 'history.sqlite'}")
    store.migrate()
    assert kept_at(store, 1, 0)
    with store.engine.connect() as connection:
        busy, pages, written = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
    assert (busy, pages, written) == (0, 0, 0)
    store.close()


def test_of_a_database_in_memory_no_moment_can_be_held_fast() -> None:
    store = SqlStore("sqlite://")
    store.migrate()
    assert store.commit(checkpoint())
    assert store.open_moment([0], T0 + 1, {}) is None
    store.close()


def test_a_database_whose_tables_nobody_has_made_yet_does_not_answer(url: str) -> None:
    store = SqlStore(url)
    with pytest.raises(Unavailable, match="table"):
        store.ledger_totals()
    store.migrate()
    assert store.ledger_totals() == Counts()
    store.close()


def test_ledger_reasons_and_rejections_add_up(store: SqlStore) -> None:
    topic = "ioc/\0x\udce9"
    junk = [Rejection(0, number, 0, T0 + number, topic, "bad_topic", "why", b"\0\xff") for number in range(500)]
    row = LedgerRow("air", T0, Counts(received=5, accepted=3, rejected=2))
    given = {"bad_topic": 700, "bad_payload": 1}
    first, then = Counts(received=5, accepted=5), Counts(received=9, accepted=9)
    assert store.commit(checkpoint(-1, 1, rejections=junk, reasons=given, ledger=[row], totals=first))
    assert store.commit(checkpoint(1, 2, reasons={"bad_payload": 2}, ledger=[row], totals=then))
    assert store.commit(checkpoint(-1, 2, partition=1, totals=Counts(received=1, accepted=1)))
    assert store.ledger_totals() == Counts(received=10, accepted=10)
    assert store.rejection_reasons() == {"bad_topic": 700, "bad_payload": 3}
    newest = store.rejections(10_000)
    assert (len(newest), newest[0].ordinal, newest[0].payload) == (500, 499, b"\0\xff")
    assert store.rejections(1, T0 + 300)[0].ordinal == 300
    store.forget(T0)
    assert len(store.rejections(10_000)) == 500


def test_values_are_asked_by_window_and_the_newest(store: SqlStore) -> None:
    assert store.newest_value("pm25", "06658") is None
    assert store.commit(checkpoint(-1, 1, values=[value(T0 + hour * HOUR, float(hour)) for hour in range(5)]))
    assert store.commit(checkpoint(1, 2, values=[value(T0 + HOUR, 9.0, revision=1), value(T0 + 9 * HOUR, None)]))
    assert store.newest_value("pm25", "06658") == value(T0 + 9 * HOUR, None)
    rows = store.history("pm25", "06658", T0 + HOUR, T0 + 3 * HOUR, 2)
    assert rows == [value(T0 + HOUR, 9.0, revision=1), value(T0 + 2 * HOUR, 2.0)]


def test_alerts_keep_their_newest_state_and_their_whole_log(store: SqlStore) -> None:
    steps = [AlertStep("r-06658-2", 0, T0, "raise"), AlertStep("r-06658-2", 1, T0 + 1, "acknowledge", "binh", "đã gọi")]
    assert store.commit(checkpoint(-1, 1, alerts=[alert()], steps=steps[:1]))
    assert store.commit(checkpoint(1, 2, alerts=[alert(state="closed")], steps=steps[1:]))
    assert store.alerts(open_only=True, limit=9) == []
    assert [row.state for row in store.alerts(open_only=False, limit=9)] == ["closed"]
    assert store.alert("r-06658-2") == alert(state="closed")
    assert store.alert("other") is None
    assert store.alert_steps("r-06658-2") == steps
    assert store.recover(0).alerts == []
    assert store.recover(0).occurrences == {("r", "06658", ""): 2}


def test_a_command_waits_until_a_checkpoint_says_applied_or_it_is_refused(store: SqlStore) -> None:
    orders = [Command(str(number), T0 + number, "binh", "comment", "a-1", "ghi chú") for number in range(3)]
    for order in reversed(orders):
        store.record_command(order)
    assert store.waiting_commands() == orders
    assert store.commit(checkpoint(applied=[("0", T0)]))
    store.refuse_command("1", "đã đóng")
    assert store.waiting_commands() == orders[2:]
    assert [store.command_state(name) for name in ("0", "1", "x")] == [("applied", ""), ("refused", "đã đóng"), None]
    store.refuse_command("0", "đã đóng")
    assert store.command_state("0") == ("applied", ""), "another worker's refusal came too late"


def test_the_same_mail_is_written_once_and_tried_again_later_when_it_fails(store: SqlStore) -> None:
    mail = Mail("m1", "email", "a@b.vn", "Tóm tắt", "nội dung", T0)
    assert store.commit(checkpoint(-1, 1, partition=ROLL_UP, mails=[mail]))
    assert store.due_mails(T0, 5) == [mail]
    store.mail_failed("m1", T0, "refused")
    assert store.due_mails(T0 + 59_000, 5) == []
    assert store.due_mails(T0 + 60_000, 5) == [mail]
    store.mail_sent("m1", T0 + 60_000)
    assert store.commit(checkpoint(1, 2, partition=ROLL_UP, mails=[mail]))
    assert store.due_mails(T0 + 10 * HOUR, 5) == []


def test_the_newest_summary_is_the_latest_and_the_same_one_is_kept_once(store: SqlStore) -> None:
    first, second = (SummaryRow(f"s{n}", T0 + n, f"d{n}", b"{}", "vi", "en") for n in range(2))
    assert store.newest_summary() is None
    assert store.commit(checkpoint(-1, 1, partition=ROLL_UP, summaries=[first, second]))
    assert store.commit(checkpoint(1, 2, partition=ROLL_UP, summaries=[first]))
    assert store.newest_summary() == second
    assert store.newest_summary(T0) == first


def test_what_the_broker_refused_is_counted_once_with_where_the_log_was_read_to(store: SqlStore) -> None:
    refusal = Refusal("127.0.0.1:4000", "bad_topic", "a space")
    assert (store.refusals_read_to(), store.refusals_total()) == (0, 0)
    store.record_refusals(T0, [(5, refusal), (90, refusal)], 200)
    store.record_refusals(T0 + 1, [], 300)
    store.record_refusals(T0 + 2, [(310, refusal)], 400)
    assert (store.refusals_read_to(), store.refusals_total()) == (400, 3)
    assert store.refusals(2) == [(T0 + 2, refusal), (T0, refusal)]
    assert (store.refusals_noticed(T0 + 1), store.refusals(9, T0 + 1)) == (2, [(T0, refusal), (T0, refusal)])


def rows_of_refusals(store: SqlStore) -> int:
    with store.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM refusal").scalar_one())


def test_of_what_the_broker_refused_the_newest_hundred_thousand_are_kept_and_all_that_a_replay_asks_for(
    store: SqlStore,
) -> None:
    refusal = Refusal("127.0.0.1:4000", "bad_topic", "a space")
    for second in range(3):
        store.record_refusals(T0 + second * 1_000, [(0, refusal)] * 40_000, 0)
    store.forget(T0 + 7 * DAY)
    assert (store.refusals_noticed(T0), store.refusals_total()) == (40_000, 120_000)
    assert rows_of_refusals(store) == 120_000
    store.forget(T0 + 7 * DAY + 1)
    assert rows_of_refusals(store) == 100_000
    assert [store.refusals_noticed(T0 + second * 1_000) for second in range(3)] == [40_000, 80_000, 120_000]
    assert store.refusals_total() == 120_000


def test_sessions_end_with_time_with_logout_and_with_the_account(store: SqlStore) -> None:
    accounts = SqlAccounts(store.engine)
    accounts.add_account("binh", "hash", "operator", T0)
    token = accounts.open_session("binh", T0, T0 + HOUR)
    session = accounts.session(token, T0 + 1)
    assert session is not None
    assert (session.name, session.role) == ("binh", "operator")
    assert accounts.session(token, T0 + HOUR) is None
    assert accounts.session("made up", T0) is None
    accounts.close_session(token)
    assert accounts.session(token, T0 + 1) is None
    again = accounts.open_session("binh", T0, T0 + HOUR)
    accounts.disable_account("binh")
    assert accounts.session(again, T0 + 1) is None
    assert [row.disabled for row in accounts.accounts()] == [True]


def test_the_migrations_make_exactly_the_declared_tables_however_many_try_at_once(url: str) -> None:
    stores = [SqlStore(url) for _ in range(3)]
    threads = [threading.Thread(target=own.migrate) for own in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with stores[0].engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
    for own in stores:
        own.close()


@pytest.mark.parametrize("url", ["garbage", "nothing://ioc:secret@host", "postgresql+psycopg://ioc:secret@host:port/x"])
def test_what_is_no_url_of_a_database_is_refused_with_the_options_name(url: str) -> None:
    with pytest.raises(SettingsError, match="--database: ") as error:
        SqlStore(url)
    assert "secret" not in str(error.value)


def test_a_file_that_is_no_database_is_unavailable_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_text("not a database, and long enough to be read as one" * 40)
    with pytest.raises(Unavailable, match="is not a database"):
        SqlStore(f"sqlite:///{tmp_path}/x.sqlite").recover(0)


def test_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/none/x.sqlite", "postgresql+psycopg://ioc:secret@127.0.0.1:1/ioc"):
        with pytest.raises(Unavailable) as error:
            SqlStore(url).recover(0)
        assert "secret" not in str(error.value)
