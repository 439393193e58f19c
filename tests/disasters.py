"""Disasters at seeded moments under a steady load, and what must hold after each of them (issue 4, item 5).

After every disaster: each message that got its PUBACK is counted exactly once, every window of every unit and of
the whole place is what plain NumPy says of what was published, each alert has gone through exactly the steps that
the water level made, and the wall that hung there all the time holds what the gateway holds.

Each disaster strikes at a few moments by default, so that the suite stays short; IOC_MOMENTS=20 is the long form.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import series_truth
from polled_process import Polled
from steady_load import A_SECOND, SteadyLoad, level_truth, speed_truth
from wall_watcher import WallWatcher

from sensors.topic import partition_of

PLACE = "22"
RULE = "kill_story_level"
SHIPPED_RULE = Path(__file__).parent.parent / "streams" / "alerts" / "water_high.toml"
MARGIN_S = 3.0
"""The levels change within this time around the disaster."""

UNITS = ["06838", "06709", "06676", "06712", "06652", "06736", "06661", "06820", "06658", "06733", "06673", "06793"]


def moments(by_default: int = 1) -> int:
    """How many moments each disaster strikes at."""
    return int(os.environ.get("IOC_MOMENTS") or by_default)


def rounds(disasters: list[str], by_default: int = 1) -> list[tuple[str, int]]:
    """(disaster, seed of its moment) for pytest.mark.parametrize."""
    return [(name, seed) for seed in range(moments(by_default)) for name in disasters]


def covers(units: list[str], partitions: int) -> bool:
    """Whether every partition has some of the units."""
    return {partition_of(f"ioc/{unit}/", partitions) for unit in units} == set(range(partitions))


def write_rule(definitions: Path) -> Path:
    """A city's own rule on the water level, without delays: every change of side is a step. Returns the folder."""
    text = SHIPPED_RULE.read_text().partition("[[examples]]")[0]
    for before, after in (
        ("above = 4.0", "above = 0.5"), ("clear = 3.5", "clear = 0.4"), ("\nhold_s = 120", "\nhold_s = 0"),
        ("clear_hold_s = 600", "clear_hold_s = 0"),
    ):  # fmt: skip
        assert text.count(before) == 1, f"water_high.toml has no {before}"
        text = text.replace(before, after)
    (definitions / "alerts").mkdir(parents=True)
    text += "[[examples]]\nseries = [[0, 0.3], [60, 0.6], [120, 0.3]]\nraises_at_s = [60]\nreturns_at_s = [120]\n"
    (definitions / "alerts" / f"{RULE}.toml").write_text(text)
    return definitions


class Scene:
    """A centre under load with a wall hanging in it. Made when the centre is ready; every level is told once."""

    def __init__(self, centre: Polled, mqtt_port: int, partitions: int) -> None:
        assert covers(UNITS, partitions)
        self.centre = centre
        self.partitions = partitions
        self.recoveries: dict[str, list[float]] = {}
        self.load = SteadyLoad(mqtt_port, UNITS, seed=20261124)
        self.wall = WallWatcher(centre.port)
        for unit in UNITS:
            self.load.set_level(unit, 0.3)

    def close(self) -> None:
        self.wall.close()
        self.load.close()
        for name, taken in sorted(self.recoveries.items()):
            each = ", ".join(f"{seconds:.1f}" for seconds in sorted(taken))
            print(f"back after {name}: {each} s")

    @contextmanager
    def disaster(self, name: str, chance: random.Random) -> Iterator[None]:
        """The body strikes and brings back what only a person or an orchestrator would; levels change around it.

        Returns when all is well again. How long that took, from the end of the body, is kept under `name`.
        """
        self.load.go()
        flips = [threading.Timer(chance.uniform(0, MARGIN_S), self.load.flip_level, [unit]) for unit in UNITS]
        for flip in flips:
            flip.start()
        self.load.goes_on(round(A_SECOND * chance.uniform(0.3, MARGIN_S)))  # the moment
        sent, struck_at = self.load.published, time.time()
        yield
        ended_at = time.monotonic()
        self.centre.until(lambda: self.is_back(sent, struck_at), f"all goes on after: {name}")
        self.recoveries.setdefault(name, []).append(time.monotonic() - ended_at)
        for flip in flips:
            flip.join()
        self.until_alerts_stand()

    def is_back(self, sent: int, struck_at: float) -> bool:
        """Ready, every partition has spoken since (s UTC), and everything sent by then is accepted."""
        if not (self.centre.tries("/ready") or {}).get("ready"):
            return False
        name = "ioc_partition_report_age_seconds{"
        metrics = self.centre.metrics()
        ages = [age for key, age in metrics.items() if key.startswith(name)]
        has_spoken = len(ages) == self.partitions and max(ages) < time.time() - struck_at
        return has_spoken and metrics.get('ioc_messages_total{outcome="accepted"}', 0) >= sent

    def until_alerts_stand(self) -> None:
        """The open alerts are those of the levels as they are now."""
        wanted = {
            f"{RULE}-{unit}-1": "unack_active" if self.load.is_high(unit) else "unack_returned"
            for unit in UNITS if self.load.turns(unit)
        }  # fmt: skip

        def stand() -> bool:
            told = self.centre.tries("/api/alerts?open=1")
            return told is not None and {alert["id"]: alert["state"] for alert in told} == wanted

        self.centre.until(stand, f"the alerts stand as the water does: {wanted}")

    def check(self) -> None:
        """Pause the load; everything published is counted once, and every figure is what it must be."""
        sent = self.load.pause(self.centre.deadline_s)
        self.load.repeat_levels()
        sent = self.load.pause(self.centre.deadline_s)
        ledger = self.centre.settled(sent)
        print(f"ledger: {ledger}")
        assert (ledger["accepted"], ledger["readings"]) == (sent, sent)
        assert (ledger["difference"], ledger["rejected"], ledger["too_late"], ledger["in_flight"]) == (0, 0, 0, 0)
        assert ledger["received"] == sent + ledger["duplicate"]
        for scopes in ([unit] for unit in UNITS):
            self._until_windows_equal(scopes[0], scopes)
        self._until_windows_equal(PLACE, UNITS)
        self._check_alerts()
        self._check_wall()

    def _until_windows_equal(self, scope: str, units: list[str]) -> None:
        for kpi, truth in (
            ("traffic_speed", speed_truth(self.load, units)), ("water_level", level_truth(self.load, units))
        ):  # fmt: skip
            found: list[str] = []
            if not truth:
                continue

            def equal(kpi: str = kpi, truth: series_truth.Truth = truth, found: list[str] = found) -> bool:
                history = self.centre.tries(f"/api/kpis/{kpi}/history?unit={scope}")
                found[:] = ["no answer"] if history is None else series_truth.differences(history, truth)
                return not found

            try:
                self.centre.until(equal, f"windows of {kpi} of {scope}", 45)
            except AssertionError as late:
                raise AssertionError(f"{kpi} of {scope}, {len(truth)} windows: {found[:5]}\n{late}") from None

    def _check_alerts(self) -> None:
        told = self.centre.ask("/api/alerts?open=0&limit=1000")
        turned = [unit for unit in UNITS if self.load.turns(unit)]
        assert {alert["id"] for alert in told} == {f"{RULE}-{unit}-1" for unit in turned}
        for unit in turned:
            steps = self.centre.ask(f"/api/alerts/{RULE}-{unit}-1")["steps"]
            assert [step["op"] for step in steps] == expected_steps(self.load.turns(unit)), f"alert of {unit}"
            assert [step["revision"] for step in steps] == list(range(len(steps)))
            assert [step["at"] for step in steps] == sorted(step["at"] for step in steps)

    def _check_wall(self) -> None:
        now = time.monotonic()
        self.centre.until(lambda: self.wall.proved_at > now, "the wall has proved its state again")
        assert not self.wall.mismatches, self.wall.mismatches[:3]


def expected_steps(turns: int) -> list[str]:
    """What a level that has changed sides so often, from low, does to its alert when nobody acknowledges."""
    return ["raise", *(("return", "reraise")[turn % 2] for turn in range(turns - 1))] if turns else []


def suspended(stop: Callable[[], None], go_on: Callable[[], None], seconds: float) -> None:
    """SIGSTOP for so long, and SIGCONT. The time itself is what is tested: others must have given this one up."""
    stop()
    try:
        time.sleep(seconds)
    finally:
        go_on()
