"""What the worker says, as keys and JSON values of the live store (streams.live lists them)."""

from collections.abc import Mapping
from typing import Any

import msgspec

from sensors.batch import JournaledBatch
from streams.alert import Alert
from streams.beat import Counts, Value
from streams.catalogue import Catalogue

_encode = msgspec.json.Encoder().encode


def value_key(value: Value) -> str:
    """`k:<kpi>@<scope>`."""
    return f"k:{value.kpi}@{value.scope}"


def value_entry(value: Value) -> tuple[str, bytes]:
    """`k:<kpi>@<scope>`: the value as it stands."""
    return value_key(value), _encode(
        {
            "v": value.value,
            "n": value.n,
            "src": value.sources,
            "from": value.start,
            "to": value.end,
            "as": value.as_of,
            "st": value.state,
            "rev": value.revision,
        }
    )


def alert_key(alert: Alert) -> str:
    """`a:<id>`."""
    return f"a:{alert.id}"


def alert_entry(alert: Alert, catalogue: Catalogue, partition: int) -> tuple[str, bytes | None]:
    """`a:<id>`: the alert with the texts of its rule, and whose it is; None (deleted) once it is closed."""
    key = alert_key(alert)
    if alert.state == "closed":
        return key, None
    return key, _encode(alert_texts(alert, catalogue) | {"partition": partition})


def alerts_of(partition: int, told: Mapping[str, bytes | None]) -> set[str]:
    """The keys of this partition's alerts among those of a live store."""
    alerts = {key: value for key, value in told.items() if key.startswith("a:") and value is not None}
    return {key for key, value in alerts.items() if _decode_owner(value).partition == partition}


class _Owned(msgspec.Struct):
    partition: int | None = None


_decode_owner = msgspec.json.Decoder(_Owned).decode


def alert_texts(alert: Alert, catalogue: Catalogue) -> dict[str, Any]:
    """An alert's fields with names, headline, owner and response in both languages."""
    described: dict[str, Any] = msgspec.to_builtins(alert)
    rule = catalogue.rules.get(alert.rule)
    if rule is None:
        return described | {"name_vi": alert.rule, "name_en": alert.rule}
    place = catalogue.place
    owner = place.departments.get(rule.owner)
    unit = place.units.get(alert.scope)
    # Silence is told in whole minutes, a KPI with its own decimals.
    decimals = catalogue.kpis[rule.kpi].decimals if rule.kpi in catalogue.kpis else 0
    number = "–" if alert.value is None else f"{alert.value:.{decimals}f}"
    for language in ("vi", "en"):
        headline = getattr(rule, f"headline_{language}")
        shown = number.replace(".", ",") if language == "vi" else number
        described[f"headline_{language}"] = headline.replace("{value}", shown).replace(
            "{unit}", unit.name if unit else ""
        )
        for name in ("name", "cause", "consequence", "response", "field"):
            described[f"{name}_{language}"] = getattr(rule, f"{name}_{language}")
        described[f"owner_{language}"] = getattr(owner, f"name_{language}") if owner else rule.owner
    described["unit_vi"] = f"{unit.kind_vi} {unit.name}" if unit else ""
    described["kpi"] = rule.kpi
    return described


def ledger_entry(
    partition: int, received: int, evaluated: int, ordinal: int, totals: Counts, numbered: tuple[int, int, int]
) -> tuple[str, bytes]:
    """`l:<partition>`: outcomes as of the last checkpoint; `in_flight` is numbered by the bridge, not settled yet.

    `received`, `evaluated` and `ordinal` are the next ordinals of the journal, of the last beat and of the last
    checkpoint: what is in flight is in the journal, or is `unwritten`, evaluated but in no checkpoint yet.
    `numbered` are messages of sources that number them: arrived with their number, unreadable, missing; `sent` is
    the sum (streams.numbering).
    """
    return f"l:{partition}", _encode(
        {
            "received": received,
            "accepted": totals.accepted,
            "duplicate": totals.duplicate,
            "too_late": totals.too_late,
            "rejected": totals.rejected,
            "in_flight": received - ordinal,
            "unwritten": evaluated - ordinal,
            "readings": totals.readings,
            "readings_duplicate": totals.readings_duplicate,
            "readings_too_late": totals.readings_too_late,
            "readings_rejected": totals.readings_rejected,
            "readings_set_aside": totals.readings_set_aside,
            "sent": sum(numbered),
            "numbered": numbered[0],
            "unreadable": numbered[1],
            "missing": numbered[2],
        }
    )


def bridge_entry(bridge: str, newest: JournaledBatch) -> tuple[str, bytes]:
    """`b:<bridge>`: what its newest batch says of it."""
    names = ("pending", "arrived", "repeated", "overtaken", "overtaken_at")
    return entry(f"b:{bridge}", **{name: getattr(newest, name) for name in names}, at=newest.sealed_at)


def entry(key: str, **members: object) -> tuple[str, bytes]:
    """Any other key with a JSON object."""
    return key, _encode(members)
