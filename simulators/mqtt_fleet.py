"""Publishes a stream of messages over one MQTT connection, QoS 1, and counts every PUBACK.

paho is driven from this thread (`loop`), not by its own: publishing and reading acknowledgements then never wait for
each other, and a connection that is lost is opened again here, with patience that doubles. What was not acknowledged
is sent again by paho itself.
"""

import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from sensors.errors import SettingsError
from sensors.mqtt_bridge import MqttAddress
from simulators.payload import Message

WINDOW = 1_000
READ_EVERY = 25
KEEPALIVE_S = 30
LOOK_S = 0.1
RETRY_FIRST_S, RETRY_LAST_S = 0.5, 8.0
GIVE_UP_S = 60.0
STOP_S = 5.0
NOT_ALLOWED = ("Bad user name or password", "Not authorized")

Pace = Callable[[int], float]
"""Seconds until a message of that time (ms UTC) is due; 0 or less when it is."""


@dataclass
class FleetReport:
    """`published` and `acknowledged` count every PUBLISH, of which `statuses` tell that a source is on- or offline;
    `refused` are those that the broker answered with a failure. `seconds` is from the first PUBLISH to the last answer.
    """

    published: int = 0
    acknowledged: int = 0
    refused: int = 0
    statuses: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Acknowledged messages a second."""
        return self.acknowledged / self.seconds if self.seconds > 0 else 0.0

    @property
    def is_complete(self) -> bool:
        return self.published == self.acknowledged and not self.refused


class MqttFleet:
    """A connection that many sources share. `will` is the status topic that says offline if we die.

    `stop` is looked at several times a second; `say` gets a line for a person when the connection is lost or back.
    """

    def __init__(
        self, address: MqttAddress, stop: Callable[[], bool], say: Callable[[str], None], will: str | None = None,
        patience_s: float | None = None,
    ) -> None:  # fmt: skip
        self.report = FleetReport()
        self._address, self._stop, self._say, self._patience_s = address, stop, say, patience_s
        self._is_up, self._was_up, self._refusal = False, False, ""
        self._begun = self._progress_at = time.monotonic()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, f"ioc-city-{uuid.uuid4().hex[:12]}")
        self._client.max_inflight_messages_set(WINDOW)
        self._client.on_publish = self._on_publish
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        if address.user:
            self._client.username_pw_set(address.user, address.password or None)
        if address.is_tls:
            self._client.tls_set()
        if will is not None:
            self._client.will_set(will, b"offline", 1, True)

    def run(self, messages: Iterable[Message], pace: Pace, progress: Callable[[int], None]) -> FleetReport:
        """Publish all `messages`, each when it is due, until they end or `stop`; then wait for what is unanswered.

        Raises SettingsError when the broker never answered within the patience, or does not let us in.
        """
        self._connect()
        for number, message in enumerate(messages):
            if not self._wait_until_due(message.time, pace) or not self._wait_for_room():
                break
            self._publish(message.topic, message.payload, False)
            if number % READ_EVERY == 0:
                self._loop(0.0)
                progress(message.time)
        self.settle()
        return self.report

    def tell_status(self, topics: Iterable[str], is_online: bool) -> None:
        """Publish the retained status of sources."""
        self._connect()
        for topic in topics:
            if not self._wait_for_room():
                break
            self._publish(f"{topic}/status", b"online" if is_online else b"offline", True)
            self.report.statuses += 1

    def close(self, sources: Iterable[str] = ()) -> None:
        """Tell that `sources` are offline, wait for the broker's word, say goodbye (then the Will is not sent).

        After `stop` all this has a few seconds: an end must come to an end.
        """
        if self._stop():
            until = time.monotonic() + STOP_S
            self._stop = lambda: time.monotonic() > until
        if self._is_up:
            self.tell_status(sources, False)
            self.settle()
        with suppress(OSError, ValueError):
            self._client.disconnect()
            self._client.loop(LOOK_S)

    def settle(self) -> None:
        """Wait for the acknowledgements: until the broker says nothing for a minute, or a little longer than `stop`."""
        until: float | None = None
        while self._unanswered and not self._is_hopeless():
            if until is None and self._stop():
                until = time.monotonic() + STOP_S
            if until is not None and time.monotonic() > until:
                return
            self._loop(LOOK_S)

    @property
    def _unanswered(self) -> int:
        return self.report.published - self.report.acknowledged - self.report.refused

    def _publish(self, topic: str, payload: bytes, retain: bool) -> None:
        if not self._unanswered:
            self._progress_at = time.monotonic()
        if not self.report.published:
            self._begun = self._progress_at
        self._client.publish(topic, payload, 1, retain)
        self.report.published += 1

    def _wait_until_due(self, time_ms: int, pace: Pace) -> bool:
        """Whether to go on; acknowledgements are read and the connection kept alive in the meantime."""
        while not self._stop():
            wait = pace(time_ms)
            if wait <= 0:
                return True
            self._loop(min(wait, LOOK_S))
        return False

    def _wait_for_room(self) -> bool:
        """Whether another message may be sent: at most WINDOW are unanswered."""
        while self._unanswered >= WINDOW:
            if self._stop() or self._is_hopeless():
                return False
            self._loop(LOOK_S)
        return True

    def _is_hopeless(self) -> bool:
        """With a patience, an end is worth more than a try for ever."""
        return self._patience_s is not None and time.monotonic() - self._progress_at > max(self._patience_s, GIVE_UP_S)

    def _loop(self, seconds: float) -> None:
        if self._client.loop(seconds) != MQTTErrorCode.MQTT_ERR_SUCCESS or not self._is_up:
            self._is_up = False
            self._connect()

    def _connect(self) -> None:
        """Connect unless we are, again and again; on `stop` it gives up silently."""
        begun, pause = time.monotonic(), RETRY_FIRST_S
        while not self._is_up and not self._refusal:
            trouble = self._try_once()
            if self._is_up or self._stop():
                break
            late = self._patience_s is not None and time.monotonic() - begun > self._patience_s
            if late and (not self._was_up or self._is_hopeless()):
                if self._was_up:
                    return
                raise SettingsError(f"--mqtt {self._url}: không kết nối được / no broker answers there ({trouble})")
            self._say(f"{self._url}: {trouble}; thử lại sau / trying again in {pause:g} s")
            self._sleep(pause)
            pause = min(pause * 2, RETRY_LAST_S)
        if self._refusal in NOT_ALLOWED:
            raise SettingsError(f"--mqtt {self._url}: không được phép / not let in: {self._refusal}")

    def _try_once(self) -> str:
        """Open a connection and wait for its CONNACK; returns what went wrong."""
        self._refusal = ""
        try:
            if self._was_up:
                self._client.reconnect()
            else:
                self._client.connect(self._address.host, self._address.port, KEEPALIVE_S)
            until = time.monotonic() + KEEPALIVE_S / 3
            while not self._is_up and time.monotonic() < until and not self._stop():
                if self._client.loop(LOOK_S) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    return self._take_refusal() or "mất kết nối / connection lost"
        except (OSError, ValueError) as error:
            return str(error)
        return "không trả lời / no answer"

    def _take_refusal(self) -> str:
        """A refusal that may pass (the server is busy) is tried again."""
        refusal = self._refusal
        if refusal not in NOT_ALLOWED:
            self._refusal = ""
        return refusal

    def _sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stop():
            time.sleep(LOOK_S)

    @property
    def _url(self) -> str:
        scheme = "mqtts" if self._address.is_tls else "mqtt"
        return f"{scheme}://{self._address.host}:{self._address.port}"

    def _on_connect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            return
        if self._was_up:
            self._say(f"{self._url}: kết nối lại / connected again")
        self._is_up = self._was_up = True

    def _on_disconnect(self, _: Any, __: Any, ___: Any, ____: Any, _____: Any) -> None:
        self._is_up = False

    def _on_publish(self, _: Any, __: Any, ___: int, reason: Any, ____: Any) -> None:
        self._progress_at = time.monotonic()
        self.report.seconds = self._progress_at - self._begun
        if reason.is_failure:
            self.report.refused += 1
        else:
            self.report.acknowledged += 1


def at_once(_: int) -> float:
    """The pace of what only acknowledgements hold back."""
    return 0.0


def with_the_clock(time_ms: int) -> float:
    """The pace of live messages: each at its own time; what is past is due."""
    return time_ms / 1000 - time.time()


def times(speed: float, first_ms: int) -> Pace:
    """The pace of a recording, `speed` times as fast as it was; its clock starts with the first question."""
    begun: list[float] = []

    def wait(time_ms: int) -> float:
        if not begun:
            begun.append(time.monotonic())
        return (time_ms - first_ms) / 1000 / speed - (time.monotonic() - begun[0])

    return wait
