"""Asks the MQTT broker again and again whether it still keeps and delivers what it is told.

A broker whose disk was full may go on answering connections and never acknowledge again (NATS 2.15 does: its stream
keeps the error of its last write), and one that hangs keeps its connections, while nothing else looks wrong. So one
small message, QoS 1, is published every few seconds to a topic that the probe itself has subscribed to. It is outside
of `ioc/`: no bridge takes it for a device's. `broker_answers` judges what comes of it.
"""

from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion

from sensors.broker_answers import Answers
from sensors.mqtt_bridge import MqttAddress

TOPIC = "ioc-probe"
EVERY_MS = 4_000
KEEPALIVE_S = 15
RECONNECT_S = (1, 2)
REFUSALS = ("Bad user name or password", "Not authorized", "Client identifier not valid", "Banned")
"""By which a broker refuses whom it knows; whatever else it says of a connection may be over at the next one."""

log = structlog.get_logger("probe")


class MqttProbe:
    """One connection of its own; `start` it, ask `is_deaf` every second or so, and `stop` it.

    `client_id` must be nobody else's, and `is_ours` says that the broker has no rules that we do not know of. The
    topic is `ioc-probe/<client id>`.
    """

    def __init__(self, address: MqttAddress, clock: Callable[[], int], client_id: str, is_ours: bool) -> None:
        self._clock = clock
        self._answers = Answers(clock(), is_ours)
        self._topic = f"{TOPIC}/{client_id}"
        self._asked_at = 0
        self._is_subscribed = self._has_said = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, clean_session=True)
        address.give(self._client)
        self._client.reconnect_delay_set(*RECONNECT_S)
        self._client.max_queued_messages_set(1)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_subscribe, self._client.on_message = self._on_subscribe, self._on_message
        self._client.on_publish = self._on_publish
        self._client.connect_async(address.host, address.port, KEEPALIVE_S)

    def start(self) -> None:
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def is_deaf(self, now: int) -> bool:
        """Whether the answer that the broker owes has not come; asks again when it is time. `now` in ms UTC."""
        self._say_once(now)
        is_time = not 0 <= now - self._asked_at < EVERY_MS  # also when the clock was set back
        if self._client.is_connected() and is_time:
            self._asked_at = now
            self._answers.asked()
            if not self._is_subscribed and self._answers.must_return:
                self._client.subscribe(self._topic, 1)
            self._client.publish(self._topic, str(now).encode(), 1)
        return self._answers.is_deaf(now)

    def _say_once(self, now: int) -> None:
        if self._has_said:
            return
        if self._answers.refusal:
            log.warning("the broker refuses the probe and is not probed any more", reason=self._answers.refusal)
        elif self._answers.is_unknown(now):
            log.warning("the broker has never answered the probe; until it does, it is not judged", topic=self._topic)
        self._has_said = bool(self._answers.refusal) or self._answers.is_unknown(now)

    # paho's thread

    def _on_connect(self, client: mqtt.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if not reason.is_failure:
            self._answers.accepted(self._clock())
            client.subscribe(self._topic, 1)
        elif str(reason) in REFUSALS:
            self._answers.refused(str(reason))
        self._give_up_if_refused()

    def _on_disconnect(self, *_: Any) -> None:
        self._is_subscribed = False
        self._answers.closed(self._clock())
        self._give_up_if_refused()

    def _give_up_if_refused(self) -> None:
        if self._answers.refusal:
            self._client.disconnect()

    def _on_subscribe(self, _: mqtt.Client, __: Any, ___: int, reasons: list[Any], ____: Any) -> None:
        self._is_subscribed = not any(reason.is_failure for reason in reasons)
        if not self._is_subscribed and not self._answers.must_return:
            log.warning("the broker refuses the probe's subscription; what it acknowledges counts", topic=self._topic)

    def _on_publish(self, *_: Any) -> None:
        self._answers.acknowledged(self._clock())

    def _on_message(self, *_: Any) -> None:
        self._answers.returned(self._clock())
