"""An explanation put together: the value as it was said, its parts by unit, and what its messages add up to."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from streams.beat import Value
from streams.catalogue import Catalogue, reach_ms
from streams.explanation import (
    Explanation,
    MessageLine,
    Read,
    Recomputed,
    Scope,
    SourceLine,
    Text,
    ToldValue,
    UnitPart,
    Window,
)
from streams.formula import formula
from streams.kpi import Kpi
from streams.lineage import Lineage
from streams.tally import Result
from streams.wording import local

SOURCES_LISTED = 500
TOLERANCE = 1e-9
_MATCHES = Text("khớp", "matches")


class Part(NamedTuple):
    """One unit's own value of the window, and the partition whose journal records its offsets are."""

    partition: int
    value: Value


class Asked(NamedTuple):
    """What was asked and what was found: the value told for `scope` (whose units are `units`), and their `parts`;
    `open_units` (by partition) may have part in it and have not said or closed the window themselves."""

    kpi: Kpi
    scope: str
    units: frozenset[str]
    at: int | None
    value: Value
    parts: Mapping[str, Part]
    open_units: Mapping[int, frozenset[str]]

    @property
    def is_open(self) -> bool:
        """Whether the window may still change without anything being late."""
        return self.value.state == "provisional" or any(self.open_units.values())


def scope_of(catalogue: Catalogue, code: str) -> Scope | None:
    """What a code names; None for nothing of the place."""
    place = catalogue.place
    if code in place.units:
        return "unit"
    if code in place.districts:
        return "district"
    return "place" if code == place.code else None


def units_of(catalogue: Catalogue, code: str) -> frozenset[str]:
    """The units that a scope is made of."""
    units = catalogue.place.units
    if code in units:
        return frozenset((code,))
    return frozenset(unit for unit in units if code in (catalogue.place.code, units[unit].district))


def window_end(kpi: Kpi, at: int, zone_ms: int) -> int:
    """The end of the window that is the newest at a moment: the first to end then or after it (ms UTC)."""
    every_ms = kpi.every_s * 1000
    return -(-(at + zone_ms) // every_ms) * every_ms - zone_ms


def explained(asked: Asked, lineage: Lineage, catalogue: Catalogue, notes: list[Text], is_cut: bool) -> Explanation:
    """The whole way back, once the journal has been read into `lineage`."""
    kpi, value = asked.kpi, asked.value
    result = lineage.tally.result()
    scope = scope_of(catalogue, asked.scope)
    assert scope is not None
    messages = lineage.lines()
    listable = sum(lineage.outcomes.values())
    is_cut = is_cut or lineage.is_full
    if lineage.is_full:
        vi, en = f"chỉ giải mã {lineage.most} bản tin đầu", f"only the first {lineage.most} messages were decoded"
        notes = [*notes, Text(vi, en)]
    day = local(value.end - 1, catalogue.zone_ms).date()
    return Explanation(
        kpi=kpi.id,
        unit=asked.scope,
        scope=scope,
        scope_name=catalogue.place.scope_name(asked.scope, day),
        name=Text(kpi.name_vi, kpi.name_en),
        unit_of_measure=Text(kpi.unit_vi, kpi.unit_en),
        ucum=kpi.ucum,
        decimals=kpi.decimals,
        asked_at=asked.at,
        value=ToldValue(
            value.value, value.n, value.sources, value.state, value.revision, value.as_of, value.start, value.end
        ),
        window=_window(kpi, value, catalogue.zone_ms),
        formula=formula(kpi, catalogue),
        units=_units(asked, lineage, catalogue),
        panes=lineage.tally.panes(),
        sources=_sources(lineage, result, catalogue),
        air=lineage.tally.air(),
        messages=messages,
        outcomes=dict(sorted(lineage.outcomes.items())),
        recomputed=_recomputed(asked, result, is_cut),
        read=Read(lineage.records, lineage.messages, lineage.decoded, len(messages), listable, is_cut),
        notes=notes + _listing(messages, listable),
    )


def _window(kpi: Kpi, value: Value, zone_ms: int) -> Window:
    hours, minutes = divmod(zone_ms // 60_000, 60)
    offset = f"{'+' if zone_ms >= 0 else '-'}{abs(hours):02}:{minutes:02}"
    return Window(
        value.start, value.end, value.end - reach_ms(kpi),
        f"{local(value.start, zone_ms):%Y-%m-%dT%H:%M:%S}{offset}",
        f"{local(value.end, zone_ms):%Y-%m-%dT%H:%M:%S}{offset}",
        f"{local(value.start, 0):%Y-%m-%dT%H:%M:%SZ}", f"{local(value.end, 0):%Y-%m-%dT%H:%M:%SZ}",
        kpi.window_s, kpi.every_s, kpi.pane_s,
    )  # fmt: skip


def _units(asked: Asked, lineage: Lineage, catalogue: Catalogue) -> list[UnitPart]:
    total = max(1, sum(lineage.unit_n.values()))
    lines = []
    for unit in sorted(asked.parts.keys() | lineage.unit_n.keys()):
        place, n = catalogue.place.units[unit], lineage.unit_n.get(unit, 0)
        name, share = f"{place.kind_vi} {place.name}", 100.0 * n / total
        part = asked.parts.get(unit)
        if part is None:
            lines.append(UnitPart(unit, name, n, share, None, "unknown", 0, -1, -1, -1))
        else:
            own = part.value
            bounds = (part.partition, own.first_offset, own.last_offset)
            lines.append(UnitPart(unit, name, n, share, own.value, own.state, own.revision, *bounds))
    return sorted(lines, key=lambda line: (-line.n, line.unit))


def _sources(lineage: Lineage, result: Result, catalogue: Catalogue) -> list[SourceLine]:
    total = max(1, int(result.source_n.sum()))
    lines = []
    for (unit, source), at in lineage.tally.sources.items():
        n, own = int(result.source_n[at]), float(result.source_value[at])
        lines.append(
            SourceLine(
                unit, catalogue.place.units[unit].name, source, n, 100.0 * n / total, None if math.isnan(own) else own,
                int(result.source_newest[at]), lineage.ahead_ms.get((unit, source)),
            )
        )  # fmt: skip
    return sorted(lines, key=lambda line: (-line.n, line.unit, line.source))[:SOURCES_LISTED]


def _recomputed(asked: Asked, result: Result, is_cut: bool) -> Recomputed:
    told = asked.value
    same = result.value is None and told.value is None
    if result.value is not None and told.value is not None:
        same = math.isclose(result.value, told.value, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    matches = same and result.n == told.n
    return Recomputed(result.value, result.n, result.sources, matches, _verdict(asked, matches, result, is_cut))


def _verdict(asked: Asked, matches: bool, result: Result, is_cut: bool) -> Text:
    if matches:
        return _MATCHES
    if is_cut:
        return Text("chưa kết luận: không đọc được hết bản tin", "no verdict: not all messages could be read")
    found, told = result.n, asked.value.n
    if asked.is_open:
        return Text(
            f"cửa sổ còn mở: tính được {found} số đo, đã công bố {told}",
            f"the window is still open: {found} readings found, {told} told",
        )
    return Text(
        f"KHÔNG khớp: tính được {found} số đo, đã công bố {told}",
        f"does NOT match: {found} readings found, {told} told",
    )


def _listing(messages: list[MessageLine], listable: int) -> list[Text]:
    if len(messages) == listable:
        return []
    return [
        Text(
            f"liệt kê {len(messages)} trong {listable} bản tin, mới nhất trước",
            f"{len(messages)} of {listable} messages are listed, the newest first",
        )
    ]
