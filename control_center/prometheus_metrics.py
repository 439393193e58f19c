"""What Prometheus reads at `/metrics`: counted here as it happens, or taken from the live state when asked."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from control_center.answer import LedgerAnswer
from control_center.frame import Health
from control_center.view import decoded, standing_faults
from streams.sync import SyncState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_OUTCOMES = ("received", "accepted", "duplicate", "too_late", "rejected")
_BEAT_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_PAGE = {
    "up": "Seconds since the page was loaded, as the wall's page said last.",
    "heap": "Bytes of the page's heap.",
    "gap": "Longest gap between frames, in ms.",
    "long": "Longest task, in ms.",
    "nodes": "DOM nodes.",
}


class Metrics:
    """The gateway's own counters, in a registry of its own: several gateways may live in one process."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.sockets = Gauge("ioc_live_sockets", "Open live channels.", ["wall"], registry=self.registry)
        self.refused = Counter(
            "ioc_live_sockets_refused",
            "Live channels refused or closed by the gateway.",
            ["reason"],
            registry=self.registry,
        )
        self.frames = Counter("ioc_live_frames", "Frames sent to walls.", registry=self.registry)
        self.frame_bytes = Counter("ioc_live_frame_characters", "Characters of those frames.", registry=self.registry)
        self.commands = Counter("ioc_commands", "Commands of operators, as recorded.", ["op"], registry=self.registry)
        self.logins = Counter("ioc_logins", "Attempts to log in.", ["outcome"], registry=self.registry)
        self.beat = Histogram(
            "ioc_gateway_beat_seconds",
            "Taking one change of the live state over.",
            buckets=_BEAT_BUCKETS,
            registry=self.registry,
        )
        self._reports = Counter("ioc_wall_reports", "Health reports of pages.", ["wall"], registry=self.registry)
        self._pages = {
            name: Gauge(f"ioc_wall_page_{name}", words, ["wall"], registry=self.registry)
            for name, words in _PAGE.items()
        }
        Gauge("ioc_build_info", "Always 1.", ["version"], registry=self.registry).labels(version).set(1)

    def reported(self, wall: str, health: Health) -> None:
        """A page's report of its own health."""
        self._reports.labels(wall).inc()
        for name, gauge in self._pages.items():
            value = getattr(health, name)
            if value is not None:
                gauge.labels(wall).set(value)

    def render(self, state: SyncState, ledger: LedgerAnswer | None, place_code: str, now: int) -> bytes:
        """Everything as Prometheus text. `ledger` is None while the database does not answer."""
        snapshot = CollectorRegistry()
        snapshot.register(_Snapshot(_families(state, ledger, place_code, now)))
        return generate_latest(self.registry) + generate_latest(snapshot)


class _Snapshot(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def _families(state: SyncState, ledger: LedgerAnswer | None, place_code: str, now: int) -> Iterator[Metric]:
    if ledger is not None:
        yield from _of_ledger(ledger)
    yield from _of_kpis(state, place_code, now)
    yield from _of_partitions(decoded(state.items("p:")), now)
    bridges = decoded(state.items("b:"))
    yield _gauge("ioc_bridge_pending_messages", "Held by a bridge, not journaled yet.", "bridge",
                 {name: bridge["pending"] for name, bridge in bridges.items()})  # fmt: skip
    overtaken = CounterMetricFamily(
        "ioc_bridge_overtaken", "How often another bridge had written before, since it began.", labels=["bridge"]
    )
    for name, bridge in sorted(bridges.items()):
        overtaken.add_metric([name], bridge.get("overtaken", 0))
    yield overtaken
    faults: dict[str, float] = {fault.what: 1 for fault in standing_faults(state, now)}
    yield _gauge("ioc_fault", "1 for each fault of the centre itself that stands.", "what", faults)
    severities = {"critical": 0, "warning": 0, "notice": 0}
    for _, value in state.items("a:"):
        severity = msgspec.json.decode(value).get("severity", "notice")
        severities[severity] = severities.get(severity, 0) + 1
    yield _gauge("ioc_alerts_open", "Open alerts.", "severity", severities)
    silent = msgspec.json.decode(state.get("s:silent") or b"{}")
    yield GaugeMetricFamily("ioc_silent_sources", "Sources that have gone silent.", value=len(silent))


def _of_ledger(ledger: LedgerAnswer) -> Iterator[Metric]:
    messages = CounterMetricFamily("ioc_messages", "Messages by outcome, since the data began.", labels=["outcome"])
    figures: Mapping[str, Any] = ledger
    for outcome in _OUTCOMES:
        messages.add_metric([outcome], figures[outcome])
    yield messages
    yield GaugeMetricFamily("ioc_messages_in_flight", "Received, no outcome yet.", value=ledger["in_flight"])
    yield _gauge("ioc_messages_held", "Without an outcome yet, by where they are.", "stage", figures["held"])
    yield GaugeMetricFamily("ioc_ledger_difference", "Received minus all outcomes: 0.", value=ledger["difference"])
    yield CounterMetricFamily("ioc_messages_sent", "By the sources' own numbers.", value=ledger["sent"])
    yield GaugeMetricFamily("ioc_messages_missing", "Sent by their numbers, never received.", value=ledger["missing"])
    yield CounterMetricFamily("ioc_readings", "Readings in the messages.", value=ledger["readings"])
    yield CounterMetricFamily("ioc_broker_refusals", "Refused by the broker.", value=ledger["refused_by_broker"])
    rejections = CounterMetricFamily("ioc_rejections", "Rejected messages and readings.", labels=["reason"])
    for reason, count in sorted(ledger["by_reason"].items()):
        rejections.add_metric([reason], count)
    yield rejections


def _of_kpis(state: SyncState, place_code: str, now: int) -> Iterator[Metric]:
    ages = GaugeMetricFamily("ioc_kpi_age_seconds", "Since the newest time observed, whole place.", labels=["kpi"])
    values = GaugeMetricFamily("ioc_kpi_value", "Newest value, whole place.", labels=["kpi"])
    for name, value in decoded(state.items("k:")).items():
        kpi, _, scope = name.partition("@")
        if scope == place_code:
            ages.add_metric([kpi], max(0.0, (now - value["as"]) / 1000))
            if value["v"] is not None:
                values.add_metric([kpi], value["v"])
    yield ages
    yield values


def _of_partitions(partitions: dict[str, Any], now: int) -> Iterator[Metric]:
    lags = {name: progress["lag"] for name, progress in partitions.items()}
    offsets = {name: progress["offset"] for name, progress in partitions.items()}
    ages = {name: (now - progress["at"]) / 1000 for name, progress in partitions.items()}
    yield _gauge("ioc_partition_lag_messages", "Received, not in a checkpoint yet.", "partition", lags)
    yield _gauge("ioc_partition_offset", "Next offset of the journal to read.", "partition", offsets)
    yield _gauge("ioc_partition_report_age_seconds", "Since the worker's last word.", "partition", ages)


def _gauge(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
