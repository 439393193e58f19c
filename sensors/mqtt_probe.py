"""Asks the embedded broker again and again whether it still keeps what it is told.

A broker whose disk was full may go on answering connections and never acknowledge again (NATS 2.x does: its stream
keeps the error of its last write), while nothing else looks wrong. So one small message of its own, QoS 1, with a
subscriber so that it must be stored, is published every few seconds; what counts is the PUBACK.
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
        self._is_waiting = False
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "ioc-probe", clean_session=True)
        self._client.reconnect_delay_set(*RECONNECT_S)
        self._client.max_inflight_messages_set(1)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish
        self._client.connect_async(host, port, KEEPALIVE_S)

    def start(self) -> None:
        self._client.loop_start()

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def is_deaf(self, now: int) -> bool:
        """Whether nothing was acknowledged for DEAF_MS; asks again when it is time. `now` in ms UTC."""
        if not self._is_waiting and now - self._asked_at >= EVERY_MS and self._client.is_connected():
            self._is_waiting, self._asked_at = True, now
            self._client.publish(TOPIC, str(now).encode(), 1)
        return now - self._answered_at > DEAF_MS

    def _on_connect(self, client: mqtt.Client, _: Any, __: Any, reason: Any, ___: Any) -> None:
        if not reason.is_failure:
            client.subscribe(TOPIC, 1)

    def _on_publish(self, *_: Any) -> None:
        self._answered_at = self._clock()
        self._is_waiting = False
