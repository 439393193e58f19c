"""paho as the bridge uses it: messages by the read, acknowledgements by the batch.

paho 2.2 spends some 60 µs on a message of QoS 1 that is acknowledged by hand: three `recv`, a dictionary for its
packet, a namedtuple, an MQTTMessage, six locks, and a `send` with a wake-up for its PUBACK. FastClient takes the way in
from it for whole reads of the socket, and writes the PUBACKs of a batch as one entry of its queue. Connecting, TLS, the
will, keepalive, reconnecting and every packet that is no message stay paho's.

FastClient leans on these names inside of paho: `_sock_recv`, `_in_packet` with `_packet_handle`, `_packet_queue`,
`_loop_rc_handle`, `_last_bytes_received` with its mutex. They were read in the versions of KNOWN; with another paho the
bridge runs on PlainClient, which uses what is public, and is slower.
"""

import contextlib
import ssl
from collections.abc import Callable
from time import monotonic, sleep

import paho.mqtt
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.exception import MalformedPacket

from sensors.packet import PUBACK, Malformed, Packet, PacketReader, Publish, pubacks

KNOWN = ("2.2.0",)
READ_BYTES = 65_536
"""Below what malloc takes from the kernel anew each time; a TLS record has 16 kB at most."""

PAUSE_S = 0.002
"""Between reads, so that the next one has more than a message or two: each costs some 40 µs, whatever it brings."""

Take = Callable[[list[Publish]], None]


class PlainClient(mqtt.Client):
    """A persistent session, acknowledged by hand; `take` gets messages on paho's thread, here one by one."""

    def __init__(self, client_id: str, is_five: bool, take: Take) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2, client_id, clean_session=None if is_five else False, manual_ack=True,
            protocol=mqtt.MQTTv5 if is_five else mqtt.MQTTv311, reconnect_on_failure=True,
        )  # fmt: skip
        self._is_five = is_five
        self._take = take
        self.on_message = self._on_one

    def acknowledge(self, mids: list[bytes]) -> None:
        """Acknowledge messages of QoS 1 by their `Publish.mid`."""
        for mid in mids:
            self.ack(int.from_bytes(mid), 1)

    def _on_one(self, _: mqtt.Client, __: object, message: mqtt.MQTTMessage) -> None:
        mid = message.mid.to_bytes(2) if message.qos else b""
        # Not `message.topic`, which raises for one that is no UTF-8.
        self._take([Publish(message._topic, bytes(message.payload), mid, message.dup)])


class FastClient(PlainClient):
    """The same, by whole reads of the socket and whole batches of acknowledgements."""

    def __init__(self, client_id: str, is_five: bool, take: Take) -> None:
        super().__init__(client_id, is_five, take)
        self._packets = PacketReader(is_five)

    def reconnect(self) -> MQTTErrorCode:
        """paho's own, for a connection whose bytes begin anew."""
        self._packets = PacketReader(self._is_five)
        return super().reconnect()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Take in what the socket has, up to 64 kB; paho calls it when there is something, and again for the rest."""
        try:
            data = self._receive()
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            data = b""
        if not data:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = monotonic()
        try:
            publishes, others = self._packets.feed(data)
        except Malformed:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_PROTOCOL)
        if publishes:
            self._take(publishes)
            if len(data) < READ_BYTES:
                sleep(PAUSE_S)
        return self._handle(others)

    def _receive(self) -> bytes:
        """One read of a plain socket; of TLS all its records, for one may be a single message."""
        data = self._sock_recv(READ_BYTES)
        if not isinstance(self._sock, ssl.SSLSocket):
            return data
        parts = [data]
        with contextlib.suppress(BlockingIOError):
            while data and sum(map(len, parts)) < READ_BYTES:
                data = self._sock_recv(READ_BYTES)
                parts.append(data)
        return b"".join(parts)

    def acknowledge(self, mids: list[bytes]) -> None:
        """One entry of paho's queue for all of them, and so one `send`."""
        if mids:
            self._packet_queue(PUBACK, pubacks(mids), 0, 0)

    def _handle(self, packets: list[Packet]) -> MQTTErrorCode:
        """Give paho its packets as if it had read them; the first that it does not like ends the connection."""
        for command, body in packets:
            self._in_packet = {
                "command": command, "have_remaining": 1, "remaining_count": [], "remaining_mult": 1,
                "remaining_length": len(body), "packet": bytearray(body), "to_process": 0, "pos": 0,
            }  # fmt: skip
            try:
                rc = self._packet_handle()
            except MalformedPacket:
                rc = MQTTErrorCode.MQTT_ERR_PROTOCOL
            if rc or self._sock is None:
                return self._loop_rc_handle(rc) if rc else MQTTErrorCode.MQTT_ERR_NO_CONN
        return MQTTErrorCode.MQTT_ERR_SUCCESS


def client_type() -> type[PlainClient]:
    """The fast one where paho's inside is known."""
    return FastClient if paho.mqtt.__version__ in KNOWN else PlainClient
