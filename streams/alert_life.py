"""The life of an alert (ISA-18.2 §6, first version), as a table, and the book that keeps the open ones.

                      raise
                        │
                        ▼        acknowledge
              ┌── unack_active ──────────────▶ ack_active ──┐
        return│    ▲ reraise                        ▲       │return
              ▼    │                         reraise│       ▼
            unack_returned ──acknowledge──▶ closed  └── (a new occurrence)

An alert that has returned before anyone acknowledged it stays open until someone does: the room must know that it
was there. *Unknown is not returned*: when the data stop, an alert keeps its state.

An alert whose rule or unit is defined no more returns when the processor starts, and says why: nothing would ever
look at its condition again.

Ids are made of rule, scope, device and occurrence, so that a beat told again after a crash makes the same alert.
"""

from collections.abc import Collection, Iterable

import msgspec

from sensors.errors import CommandRefused
from streams.alert import Alert, AlertState, AlertStep, Command, Rule

TRANSITIONS: dict[tuple[AlertState, str], AlertState] = {
    ("unack_active", "acknowledge"): "ack_active",
    ("unack_active", "return"): "unack_returned",
    ("ack_active", "return"): "closed",
    ("unack_returned", "acknowledge"): "closed",
    ("unack_returned", "reraise"): "unack_active",
}
COMMENT_MAX = 2_000
UNDEFINED = "Quy tắc hoặc đơn vị không còn được định nghĩa / its rule or unit is no longer defined"

Key = tuple[str, str, str]
"""Rule, scope, device."""


class Hold(msgspec.Struct, array_like=True):
    """Since when a condition has held (ms UTC): beyond the raise level, or back at the clear level."""

    beyond_since: int | None = None
    clear_since: int | None = None


class AlertBook:
    """The open alerts of one partition (or of the roll-up) and the conditions that are being held."""

    def __init__(
        self, rules: dict[str, Rule], occurrences: dict[Key, int], alerts: Iterable[Alert], holds: bytes = b""
    ) -> None:
        self._rules = rules
        self._occurrences = dict(occurrences)
        self._open: dict[Key, Alert] = {
            (alert.rule, alert.scope, alert.device): alert for alert in alerts if alert.state != "closed"
        }
        self._holds: dict[Key, Hold] = {}
        if holds:
            self._holds = dict(msgspec.msgpack.decode(holds, type=list[tuple[Key, Hold]]))
        self._changed: dict[str, Alert] = {}
        self._steps: list[AlertStep] = []

    def observe_value(self, rule_id: str, scope: str, value: float | None, n: int, now: int) -> None:
        """The newest value of the rule's KPI; call it on every beat, so that holds elapse without new data."""
        rule = self._rules[rule_id]
        if value is None:
            hold = self._holds.get((rule_id, scope, ""))
            if hold is not None:
                hold.beyond_since = hold.clear_since = None
            return
        beyond = n >= rule.n_min and _is_beyond(rule, value)
        self._observe((rule_id, scope, ""), rule, beyond, _is_clear(rule, value), value, now)

    def observe_figure(self, rule_id: str, scope: str, device: str, value: float, now: int) -> None:
        """One of the processor's own figures, on every beat."""
        rule = self._rules[rule_id]
        self._observe((rule_id, scope, device), rule, _is_beyond(rule, value), _is_clear(rule, value), value, now)

    def observe_silence(self, rule_id: str, scope: str, device: str, last_seen: int, now: int) -> None:
        """When a source was last heard (ms UTC; 0 when it said good-bye)."""
        rule = self._rules[rule_id]
        silent = now - last_seen > rule.silent_s * 1000
        minutes = None if not last_seen else round((now - last_seen) / 60_000, 1)
        self._observe((rule_id, scope, device), rule, silent, not silent, minutes, now)

    def withdraw_undefined(self, scopes: Collection[str], now: int) -> None:
        """Return what was open when a rule was taken out, or a unit: `scopes` are those that there are."""
        gone = {key for key in (*self._open, *self._holds) if key[0] not in self._rules or key[1] not in scopes}
        for key in sorted(gone):
            self._holds.pop(key, None)
            alert = self._open.get(key)
            if alert is not None and (alert.state, "return") in TRANSITIONS:
                self._step(key, alert, "return", now, text=UNDEFINED)

    def watched(self, rule_id: str) -> list[tuple[str, str]]:
        """Scope and device of what a rule holds or has open: what has to be looked at though nothing is wrong now."""
        keys = {key for key in (*self._open, *self._holds) if key[0] == rule_id}
        return sorted((scope, device) for _, scope, device in keys)

    def _observe(self, key: Key, rule: Rule, beyond: bool, clear: bool, value: float | None, now: int) -> None:
        alert = self._open.get(key)
        is_active = alert is not None and alert.state in ("unack_active", "ack_active")
        hold = self._holds.setdefault(key, Hold()) if beyond or is_active else self._holds.get(key)
        if hold is None:
            return
        if is_active:
            assert alert is not None
            hold.beyond_since = None
            hold.clear_since = _since(hold.clear_since, now) if clear else None
            if hold.clear_since is not None and now - hold.clear_since >= rule.clear_hold_s * 1000:
                self._holds.pop(key, None)
                self._step(key, alert, "return", now)
            return
        hold.clear_since = None
        hold.beyond_since = _since(hold.beyond_since, now) if beyond else None
        if hold.beyond_since is None:
            self._holds.pop(key, None)
        elif now - hold.beyond_since >= rule.hold_s * 1000:
            hold.beyond_since = None
            self._raise(key, rule, alert, value, now)

    def _raise(self, key: Key, rule: Rule, alert: Alert | None, value: float | None, now: int) -> None:
        if alert is not None:
            alert.value, alert.returned_at = value, None
            self._step(key, alert, "reraise", now)
            return
        number = self._occurrences.get(key, 0) + 1
        self._occurrences[key] = number
        identity = "-".join(part for part in (*key, str(number)) if part)
        alert = Alert(
            identity, rule.id, key[1], key[2], rule.severity, "unack_active", now, now + rule.respond_s * 1000, value
        )
        self._open[key] = alert
        self._note(alert, "raise", now)

    def _step(self, key: Key, alert: Alert, trigger: str, now: int, who: str = "", text: str = "") -> None:
        alert.state = TRANSITIONS[alert.state, trigger]
        alert.revision += 1
        if trigger == "return":
            alert.returned_at = now
        elif trigger == "acknowledge":
            alert.acked_at, alert.acked_by = now, who
        if alert.state == "closed":
            alert.closed_at = now
            self._open.pop(key, None)
        self._note(alert, trigger, now, who, text)

    def _note(self, alert: Alert, op: str, now: int, who: str = "", text: str = "") -> None:
        self._changed[alert.id] = msgspec.structs.replace(alert)
        self._steps.append(AlertStep(alert.id, alert.revision, now, op, who, text))

    def apply(self, command: Command, now: int) -> None:
        """Carry out a person's command; raises CommandRefused with the answer to that person."""
        found = next(((key, alert) for key, alert in self._open.items() if alert.id == command.alert), None)
        if found is None:
            raise CommandRefused("Cảnh báo này đã đóng hoặc không có / this alert is closed or does not exist")
        key, alert = found
        if command.op == "comment":
            text = command.text.strip()
            if not 0 < len(text) <= COMMENT_MAX:
                raise CommandRefused(f"Ghi chú có 1–{COMMENT_MAX} ký tự / a comment has 1–{COMMENT_MAX} characters")
            alert.revision += 1
            alert.comments += 1
            self._note(alert, "comment", now, command.who, text)
            return
        if (alert.state, "acknowledge") not in TRANSITIONS:
            raise CommandRefused(f"{alert.acked_by} đã nhận cảnh báo này / already acknowledged by {alert.acked_by}")
        self._step(key, alert, "acknowledge", now, command.who, command.text)

    def open(self) -> list[Alert]:
        """The open alerts."""
        return list(self._open.values())

    def take(self) -> tuple[list[Alert], list[AlertStep]]:
        """What has changed since the last call: alerts as they are now, and the steps that led there."""
        changed, steps = list(self._changed.values()), self._steps
        self._changed, self._steps = {}, []
        return changed, steps

    def packed_holds(self) -> bytes:
        """The conditions being held, for the checkpoint."""
        return msgspec.msgpack.encode(sorted(self._holds.items()))


def _since(start: int | None, now: int) -> int:
    return now if start is None else start


def _is_beyond(rule: Rule, value: float) -> bool:
    if rule.above is not None:
        return value > rule.above
    return rule.below is not None and value < rule.below


def _is_clear(rule: Rule, value: float) -> bool:
    level = rule.clear if rule.clear is not None else (rule.above if rule.above is not None else rule.below)
    assert level is not None
    return value <= level if rule.above is not None else value >= level


BEAT_MS = 500


def run_example(rule: Rule) -> list[str]:
    """Play a rule's examples in beats of half a second; returns every mismatch in words."""
    faults = []
    for number, example in enumerate(rule.examples, start=1):
        steps = _play(rule, example.series)
        for op, wanted in (("raise", example.raises_at_s), ("return", example.returns_at_s)):
            got = [step.at / 1000 for step in steps if step.op in (op, f"re{op}")]
            if got != [float(second) for second in wanted]:
                faults.append(f"example {number}: {op}s at {got} s, expected {list(wanted)} s")
    return faults


def _play(rule: Rule, series: list[tuple[float, float | None]]) -> list[AlertStep]:
    book = AlertBook({rule.id: rule}, {}, [])
    told = sorted(series)
    value: float | None = None
    heard, steps, index = 0, [], 0
    for now in range(0, int(told[-1][0] * 1000) + 1, BEAT_MS):
        while index < len(told) and told[index][0] * 1000 <= now:
            value, index = told[index][1], index + 1
            heard = now
        if rule.silent:
            book.observe_silence(rule.id, "00000", "device", heard, now)
        elif rule.figure:
            book.observe_figure(rule.id, "00000", "", value or 0.0, now)
        else:
            book.observe_value(rule.id, "00000", value, rule.n_min, now)
        steps += book.take()[1]
    return steps
