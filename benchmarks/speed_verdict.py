"""How right a contender is: its windows beside the truth of the trace."""

from typing import NamedTuple

from speed_trace import Cells, Message, cells, expected


class Verdict(NamedTuple):
    """`missing` windows it does not have, `wrong` it has with another count or sum, of `windows`.

    `late` and `duplicates` tell why, from the windows that such messages belong to; "" where there are none.
    """

    windows: int
    missing: int
    wrong: int
    late: str
    duplicates: str

    def row(self) -> tuple[str, str, str]:
        """For a table: missing/wrong of windows, late handled, duplicates counted."""
        return f"{self.missing} / {self.wrong} of {self.windows}", self.late, self.duplicates


def judge(trace: list[Message], found: Cells) -> Verdict:
    truth = expected(trace)
    window = {id(message): next(iter(cells([message]))) for message in trace if message.is_late or message.is_repeated}
    late = {window[id(message)] for message in trace if message.is_late}
    repeated = {window[id(message)] for message in trace if message.is_repeated}
    naive = cells(trace)
    return Verdict(
        len(truth),
        sum(key not in found for key in truth),
        sum(found[key] != value for key, value in truth.items() if key in found),
        _share(sum(found.get(key) == truth[key] for key in late), len(late)),
        _share(sum(found.get(key) == naive[key] for key in repeated), len(repeated)),
    )


def _share(holds: int, total: int) -> str:
    if not total:
        return "–"
    return {0: "no", total: "yes"}.get(holds, f"in {holds} of {total}")
