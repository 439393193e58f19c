"""Real MQTT brokers for the tests: NATS from its wheel, and Debian's Mosquitto; and a client that counts PUBACKs."""

import shutil
import signal
import socket
import threading
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from servers import HOST, Absent, Server, _folder, _retried, free_port

from sensors import nats_broker

SAVES_SELDOM = "autosave_interval 1800"
"""Mosquitto's own default, and much the faster: what came since is in memory only, which a kill -9 alone shows."""

MOSQUITTO = "mosquitto is missing: `apt-get install mosquitto`"


class Broker(Server):
    """A broker; `url` is what `--mqtt` takes."""

    @property
    def url(self) -> str:
        return f"mqtt://{self.address}"


def start_nats(ack_pending: int = nats_broker.ACK_PENDING_MAX, more: str = "") -> Broker:
    """The embedded broker, by the very configuration that `ioc up` writes, and `more` lines of it."""

    def start() -> Broker:
        folder, port = _folder("nats"), free_port()
        config = nats_broker.write_config(folder, port, ack_pending=ack_pending)
        config.write_text(f"{config.read_text()}\n{more}\n")
        return Broker(nats_broker.command(config), folder, port, "Server is ready", signal.SIGTERM)

    return _retried(start)


def start_mosquitto(
    autosave: str = "autosave_interval 1\nautosave_on_changes true", files: Mapping[str, str] = MappingProxyType({})
) -> Broker:
    """A city's own broker, with persistence and without its small default windows.

    By default it saves at every change; `autosave` has the lines of its configuration that say otherwise. `files` has
    texts by the settings that name a file: acl_file, password_file.
    """
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if binary is None:
        raise Absent(MOSQUITTO)

    def start() -> Broker:
        folder, port = _folder("mosquitto"), free_port()
        folder.chmod(0o777)
        for setting, text in files.items():
            (folder / setting).write_text(text)
        settings = "".join(f"{setting} {folder / setting}\n" for setting in files)
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} {HOST}\nallow_anonymous true\npersistence true\npersistence_location {folder}/\n"
            f"{autosave}\nmax_inflight_messages 1000\nmax_queued_messages 0\n{settings}"
        )
        return Broker([binary, "-c", str(config)], folder, port, "running", signal.SIGTERM)

    return _retried(start)


def publish_to_a_topic_with_a_space(port: int) -> str:
    """Raw MQTT by hand, for a well-kept client would not send it, or try for ever; returns the client's address.

    NATS closes the connection.
    """
    with socket.create_connection((HOST, port)) as client:
        client.settimeout(10)
        client.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a")
        assert client.recv(4) == b"\x20\x02\x00\x00"
        client.sendall(b"\x32\x0b\x00\x06ioc/ a\x00\x01x")
        assert client.recv(10) == b"", "the broker closes the connection"
        return f"{HOST}:{client.getsockname()[1]}"


class Publisher:
    """A device that counts what the broker acknowledged. `publish` returns at once; `settle` waits for PUBACKs."""

    def __init__(self, port: int, name: str = "device", inflight: int = 1_000) -> None:
        self.published = 0
        self.acknowledged = 0
        self._changed = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, name, clean_session=True)
        self._client.max_inflight_messages_set(inflight)
        self._client.on_publish = self._on_publish
        self._client.reconnect_delay_set(1, 1)
        self._client.connect(HOST, port, 30)
        self._client.loop_start()

    def _on_publish(self, *_: Any) -> None:
        with self._changed:
            self.acknowledged += 1
            self._changed.notify_all()

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        with self._changed:
            self.published += 1
            self._changed.notify_all()
        self._client.publish(topic, payload, 1, retain)

    def publish_all(self, messages: Iterable[tuple[str, bytes]]) -> None:
        for topic, payload in messages:
            self.publish(topic, payload)

    def wait_for_room(self, most: int, is_over: threading.Event) -> None:
        """Wait until fewer than `most` messages are unacknowledged, or it is over."""
        with self._changed:
            while self.published - self.acknowledged >= most and not is_over.is_set():
                self._changed.wait(0.5)

    def publish_paced(self, topic: str, payload: bytes, most: int, timeout_s: float = 60.0) -> None:
        """Publish once fewer than `most` messages are unacknowledged: as fast as the broker takes them, no faster."""
        with self._changed:
            is_room = self._changed.wait_for(lambda: self.published - self.acknowledged < most, timeout_s)
        assert is_room, f"{self.published - self.acknowledged} unacknowledged for {timeout_s:.0f} s"
        self.publish(topic, payload)

    def until_published(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until so many messages have been published in all."""
        with self._changed:
            is_done = self._changed.wait_for(lambda: self.published >= count, timeout_s)
        assert is_done, f"{self.published} published in {timeout_s:.0f} s, not {count}"

    def settle(self, timeout_s: float = 30.0) -> None:
        """Wait until everything published has been acknowledged."""
        with self._changed:
            is_done = self._changed.wait_for(lambda: self.acknowledged >= self.published, timeout_s)
        assert is_done, f"{self.published - self.acknowledged} unacknowledged"

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
