"""Alerts: the rule as data, and the life of an alert as a transition table (ISA-18.2, first version).

An alert *requires a response* (ISA-18.2): a rule without owner, consequence, response and time allowed is refused.
"""

from typing import Literal

import msgspec

Severity = Literal["notice", "warning", "critical"]
AlertState = Literal["unack_active", "ack_active", "unack_returned", "ack_returned", "closed"]


class Example(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An input series `[[seconds, value], …]` and the seconds at which the rule must raise and return."""

    series: list[tuple[float, float | None]]
    raises_at_s: list[float] = []
    returns_at_s: list[float] = []


class Rule(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One alert rule, one TOML file in `streams/alerts/` (the stem is the id).

    Either a threshold on a KPI (`kpi`, `above` or `below`, and `clear`, the level at which it returns; `hold_s`
    and `clear_hold_s` are the on- and off-delays), or silence (`silent` names a kind; a source of it that says
    nothing for `silent_s`), or a `figure` of the processor's own above a level. `scope` is where the KPI is looked
    at: every unit, or the whole place.
    `respond_s` is the time allowed to acknowledge and act. `headline_*` may contain {value} and {unit}.
    """

    id: str
    name_vi: str
    name_en: str
    headline_vi: str
    headline_en: str
    severity: Severity
    owner: str
    cause_vi: str
    cause_en: str
    consequence_vi: str
    consequence_en: str
    response_vi: str
    response_en: str
    respond_s: int
    field_vi: str = ""
    field_en: str = ""
    kpi: str = ""
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    hold_s: float = 0
    clear_hold_s: float = 0
    n_min: int = 1
    figure: Literal["", "ledger_difference"] = ""
    silent: str = ""
    silent_s: int = 0
    scope: Literal["unit", "place"] = "unit"
    source: str = ""
    examples: list[Example] = []


class Alert(msgspec.Struct):
    """One occurrence. `id` is deterministic: rule, scope, source and occurrence number make it.

    `revision` grows with every step; times are ms UTC. `due` is `raised_at` + the time allowed.
    """

    id: str
    rule: str
    scope: str
    device: str
    severity: Severity
    state: AlertState
    raised_at: int
    due: int
    value: float | None
    returned_at: int | None = None
    acked_at: int | None = None
    acked_by: str = ""
    closed_at: int | None = None
    revision: int = 0
    comments: int = 0


class AlertStep(msgspec.Struct, frozen=True):
    """A line of an alert's log. `op`: raise, return, reraise, acknowledge, comment, close; `who` empty: the system."""

    alert: str
    revision: int
    at: int
    op: str
    who: str = ""
    text: str = ""


class Command(msgspec.Struct, frozen=True):
    """A person's command about an alert, recorded before it is carried out. `id` is unique."""

    id: str
    at: int
    who: str
    op: Literal["acknowledge", "comment"]
    alert: str
    text: str = ""
