"""Asks the embedded broker again and again whether it still keeps and delivers what it is told.

A broker whose disk was full may go on answering connections and never acknowledge again (NATS 2.15 does: its stream
keeps the error of its last write), while nothing else looks wrong. So one small message, QoS 1, is published every
few seconds to a topic that the probe itself has subscribed to; what counts is that it comes back. A PUBACK alone is
no proof: what nobody has subscribed to is acknowledged and thrown away, and a wounded broker refuses subscriptions.
"""

from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

TOPIC = "ioc-probe/echo"
EVERY_MS = 4_000
DEAF_MS = 12_000
KEEPALIVE_S = 15
RECONNECT_S = (1, 2)


class MqttProbe:
    """One connection of its own; `start` it, ask `is_deaf` every second or so, and `stop` it."""

    def __init__(self, host: str, port: int, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._answered_at = clock()
        self._asked_at = 0
        self._is_subscribed = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "ioc-probe", clean_session=True)
        self._client.reconnect_delay_set(*RECONNECT_S)
        self._client.max_queued_messages_set(1)
        self._client.on_connect, self._client.on_disconnect = self._on_connect, self._on_disconnect
        self._client.on_subscribe, self._client.on_message = self._on_subscribe, self._on_message
        self._client.connect_async(host, port, KEEPALIVE_S)

    def start(self) -> None:
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def is_deaf(self, now: int) -> bool:
        """Whether nothing came back for DEAF_MS; asks again when it is time. `now` in ms UTC."""
        if self._client.is_connected() and now - self._asked_at >= EVERY_MS:
            self._asked_at = now
            if self._is_subscribed:
                self._client.publish(TOPIC, str(now).encode(), 1)
            else:
                self._client.subscribe(TOPIC, 1)
        return now - self._answered_at > DEAF_MS

    def _on_connect(self, client: mqtt.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if not reason.is_failure:
            client.subscribe(TOPIC, 1)

    def _on_disconnect(self, *_: Any) -> None:
        self._is_subscribed = False

    def _on_subscribe(self, _: mqtt.Client, __: Any, ___: int, reasons: list[Any], ____: Any) -> None:
        self._is_subscribed = not any(reason.is_failure for reason in reasons)

    def _on_message(self, *_: Any) -> None:
        self._answered_at = self._clock()
