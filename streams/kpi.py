"""A KPI: one TOML file in `streams/kpis/` (the stem is the id), read into one frozen record."""

from typing import Literal

import msgspec

Measure = Literal[
    "count",  # readings in the window
    "sum",
    "mean",
    "min",
    "max",
    "last",  # the newest observed
    "change",  # newest minus oldest
    "rate",  # change per `per`
    "share",  # percent of readings within `at_most` / `at_least`
    "p50",  # quantiles of relative-error log bins (1 %)
    "p90",
    "p95",
    "vn_aqi",  # hourly VN_AQI with Nowcast (Decision 1459/QĐ-TCMT), over the kind's six pollutants
]
Across = Literal["", "max", "min", "mean", "sum"]
Better = Literal["high", "low"]


class Goal(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A target: reached when the value is `at_least` or `at_most` the bound. `target` names the resolution's row."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    due: str = ""
    target: str = ""
    source: str = ""


class Kpi(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One KPI.

    `quantity` is a quantity of `kind`; `field` narrows it to one field of public services. The window of
    `window_s` seconds moves by `every_s` (equal: tumbling) and is a merge of panes of `pane_s`; windows start at
    whole multiples in the place's own time. With `across` the measure is taken for each source, then combined
    over the sources of a unit (and of districts and the whole place); without, over all readings of the unit.
    `fresh_s`: a value older than this is shown as stale. `short_vi` has at most 18 characters: the wall's room.
    """

    id: str
    name_vi: str
    name_en: str
    short_vi: str
    short_en: str
    kind: str
    measure: Measure
    window_s: int
    every_s: int
    pane_s: int
    ucum: str
    better: Better
    department: str
    fresh_s: int
    quantity: str = ""
    field: str = ""
    at_most: float | None = None
    at_least: float | None = None
    per: Literal["second", "minute", "hour", "day"] = "hour"
    across: Across = ""
    factor: float = 1.0
    decimals: int = 1
    unit_vi: str = ""
    unit_en: str = ""
    goal: Goal | None = None
    note_vi: str = ""
    note_en: str = ""
    source: str = ""
