"""Errors, arranged by what the catcher does next (architecture §7).

IocError
 ├── DefinitionError    list all faults, refuse to start
 ├── SettingsError      say which setting, refuse to start
 ├── MessageRejected    keep the message with its reason, count it, go on
 ├── CommandRefused     answer that person
 ├── Unavailable        the shell backs off and retries; the core never sees it
 └── Overtaken          the bridge asks where the numbering stands, numbers anew and appends again
"""

from typing import Literal, NamedTuple

Reason = Literal[
    "bad_topic",  # not ioc/<unit>/<kind>/<source>
    "unknown_unit",  # the unit code is not in the place's tree
    "unknown_kind",  # no kind file of that name
    "bad_payload",  # not the format of the kind: broken JSON, wrong types, too deep
    "too_large",  # larger than the kind's format allows
    "bad_version",  # a version of the format we do not read
    "unknown_quantity",  # a name that the kind does not have
    "wrong_unit",  # a unit of measure that cannot be converted
    "not_a_number",  # NaN, an infinity, or no value at all
    "implausible",  # outside the plausible range of the quantity
    "in_the_future",  # observed later than it was received, beyond the allowance
    "clock_not_set",  # observed before 2000: a device that does not know the time
    "unknown_event",  # an event type that the kind does not have
    "missing_data",  # an event without the data its type needs
    "bad_record",  # a whole record of the journal that no bridge wrote: no message of the ledger
    "too_many_sources",  # a partition keeps up to 100,000 sources
    "too_late",  # its time is past the kind's lateness: kept and counted as such, not among the rejected
]


DETAIL_MAX = 500
"""Characters of a rejection's text: what a broken device sends may be quoted in it, and is as long as it likes."""


class Fault(NamedTuple):
    """One fault of one definition: `file` as given, `place` as a dotted path in it, `expected` in words."""

    file: str
    place: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {self.expected}" if self.place else f"{self.file}: {self.expected}"


class IocError(Exception):
    """The root: nothing raises it as it is."""


class DefinitionError(IocError):
    """One or more definition files are wrong; `faults` has every one of them."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = faults


class SettingsError(IocError):
    """A setting (option, environment variable, port, folder) cannot be used; the text says which and what to do."""


class MessageRejected(IocError):
    """A message that cannot be used: `reason` from the closed list, `detail` for a person (cut at `DETAIL_MAX`).

    `sequence` is the source's own number of it, where that could be read.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        detail = detail[:DETAIL_MAX]
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: Reason = reason
        self.detail = detail
        self.sequence: int | None = None


class CommandRefused(IocError):
    """A person's command that is not allowed or no longer possible; the text is the answer to that person."""


class Unavailable(IocError):
    """A broker, journal, store or database does not answer now; the same call may succeed later."""


class Overtaken(IocError):
    """Another writer has appended to this partition: what is to be appended must be numbered anew first."""
