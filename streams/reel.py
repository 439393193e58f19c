"""The reel of a replay: with which kept states it begins, in what order it makes which beats, and what it lacks.

Pure: `journal_replay.load_reel` reads what it is made of from the database.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

from sensors.errors import SettingsError
from streams.alert import Command
from streams.checkpoint import ROLL_UP, BeatMark, Recovered

SETTLED_MS = 10_000
"""After a change of worker the place's figures are as they were by then: the new one has said again what is open, which
it does every five seconds at least, and the roll-up has heard it."""


class Step(NamedTuple):
    """A beat at `now` (ms UTC) of those partitions, and of the roll-up, of which it has marks."""

    now: int
    marks: dict[int, BeatMark]


class Unrecorded(NamedTuple):
    """A worker took `partitions` over, or had been started anew: what was shown of them after `since`, the last beat of
    before that is in a committed checkpoint, and before `until`, the first beat after it (ms UTC), is kept nowhere."""

    since: int
    until: int
    partitions: tuple[int, ...]

    def told(self, zone: tzinfo) -> tuple[str, str]:
        """In words, Vietnamese and English, at the place's time."""
        since, until = (f"{datetime.fromtimestamp(at / 1000, zone):%H:%M:%S}" for at in (self.since, self.until))
        names = [str(number) for number in self.partitions if number != ROLL_UP]
        vi = ", ".join([*names, "toàn địa phương"] if ROLL_UP in self.partitions else names)
        en = ", ".join([*names, "the whole place"] if ROLL_UP in self.partitions else names)
        return (
            f"{since}–{until}: đổi tiến trình xử lý (phân vùng {vi}); những gì đã hiện khi đó không được lưu, "
            f"số tạm tính toàn địa phương có thể khác đến {SETTLED_MS // 1000} giây sau",
            f"{since}–{until}: the worker changed (partition {en}); what was shown then was not kept, "
            f"the place's provisional values may differ until {SETTLED_MS // 1000} s later",
        )


class Reel(NamedTuple):
    """What a replay needs: the states that it begins with, up to which beat of each partition (ms UTC) the roll-up had
    heard when its own was kept, the beats in the order in which they were done and the one after these, the commands
    that were carried out on them, and what it lacks."""

    states: dict[int, Recovered]
    heard: dict[int, int]
    steps: list[Step]
    following: Step | None
    commands: dict[int, list[Command]]
    unrecorded: list[Unrecorded]


class Beginning(NamedTuple):
    """Of when the states are with which to begin, by partition, and up to which beat of each the roll-up had heard."""

    moments: dict[int, int]
    heard: dict[int, int]


def beginning(
    kept: Mapping[int, Sequence[int]],
    partitions: Sequence[int],
    begin: int,
    heard_at: Callable[[int], Mapping[int, int]],
) -> Beginning:
    """With which of the `kept` states to begin, by `begin` (ms UTC): the roll-up's newest, and of each partition the
    newest of whose making the roll-up had heard by then; one moment of all, where no state is older by that.

    What a partition that begins earlier says once more changes nothing (streams.roll_up); of one that began later the
    roll-up would know something that it had not heard yet. `heard_at` tells, of a moment of the roll-up's, up to which
    beat of each partition it had heard; of one that it had not heard it knew what the database had.
    """

    def of(last: int) -> Beginning | None:
        heard = dict.fromkeys(partitions, last) | dict(heard_at(last))
        moments = {
            number: max((at for at in kept.get(number, ()) if at <= min(last, heard[number])), default=-1)
            for number in partitions
        }
        return Beginning(moments | {ROLL_UP: last}, heard) if -1 not in moments.values() else None

    lasts = [at for at in reversed(kept.get(ROLL_UP, ())) if at <= begin]
    newest = next((found for at in lasts if (found := of(at)) is not None), None)
    if newest is None:
        raise SettingsError(_nothing_kept([at for at in kept.get(ROLL_UP, ()) if of(at) is not None]))
    shared = [at for at in lasts if min(newest.moments.values()) <= at <= newest.moments[ROLL_UP]]
    whole = (found for at in shared if (found := of(at)) is not None and set(found.moments.values()) == {at})
    return next(whole, newest)


def _nothing_kept(moments: Sequence[int]) -> str:
    # As FROM is written: the first whole second by which there is a state to begin with.
    vi = en = ""
    if moments:
        first = f"{datetime.fromtimestamp(-(-moments[0] // 1000), UTC):%Y-%m-%dT%H:%M:%SZ}"
        vi, en = f", sớm nhất là {first}", f"; the earliest is {first}"
    return (
        f"FROM: chưa giữ trạng thái nào trước lúc này{vi} / no state was kept before then{en}: "
        "states are kept at the first start, then every hour, for seven days"
    )


def in_order(beats: Mapping[int, Mapping[int, BeatMark]]) -> list[Step]:
    """Beats by their time (ms UTC) in the order in which they were done.

    While the roll-up's worker sends its reports, another may begin a later beat, and the roll-up may hear of that
    before it comes to its own part: then its worker's beat comes after that one.
    """
    steps: list[tuple[int, bool, int, Step]] = []
    last: dict[int, int] = {}
    for now, marks in sorted(beats.items()):
        done = max([now, *marks[ROLL_UP].heard_to().values()]) if ROLL_UP in marks else now
        # Of the same worker are those that had the beat before in common, too; others did not wait.
        others = {number: mark for number, mark in marks.items() if last.get(number) != last.get(ROLL_UP)}
        if done > now and others:
            steps.append((now, False, now, Step(now, others)))
            steps.append((done, True, now, Step(now, {number: marks[number] for number in marks.keys() - others})))
        else:
            steps.append((done, ROLL_UP in marks, now, Step(now, dict(marks))))
        last.update(dict.fromkeys(marks, now))
    return [step for *_, step in sorted(steps, key=lambda step: step[:3])]


def unrecorded(moments: Mapping[int, int], steps: Iterable[Step]) -> list[Unrecorded]:
    """Where another worker went on, given of when each partition's state is with which the steps begin."""
    last = dict(moments)
    found: list[Unrecorded] = []
    for now, marks in steps:
        begun = [number for number, mark in sorted(marks.items()) if mark.begins]
        if begun:
            since, before = min(last[number] for number in begun), found[-1] if found else None
            if before is not None and since <= before.until:
                # One rebalance, of which several workers have taken their parts.
                all_of_them = tuple(sorted({*before.partitions, *begun}))
                found[-1] = Unrecorded(min(since, before.since), max(now, before.until), all_of_them)
            else:
                found.append(Unrecorded(since, now, tuple(begun)))
        last.update(dict.fromkeys(marks, now))
    return found
