"""The fast client takes the way in from paho, and nothing else; over a socket whose reads the test cuts."""

import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from scripted_broker import publish

from sensors.packet import Publish
from sensors.paho_client import KNOWN, FastClient, PlainClient, client_type

CONNACK, SUBACK = b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x01"


class Line:
    """A client at one end of a pair of sockets, as after `connect`; `taken` is what it handed over."""

    def __init__(
        self, client_type: Callable[..., PlainClient] = FastClient, kind: socket.SocketKind = socket.SOCK_STREAM
    ) -> None:
        self.near, far = socket.socketpair(type=kind)
        self.taken: list[Publish] = []
        self.events: list[str] = []
        self.client = client_type("c", False, self.taken.extend)
        far.setblocking(False)
        self.client._sock = far
        self.client.on_connect = lambda *_: self.events.append("connected")
        self.client.on_subscribe = lambda *_: self.events.append("subscribed")
        self.client.on_disconnect = lambda *_: self.events.append("disconnected")

    def hear(self, data: bytes) -> int:
        """Let the client read these bytes, and nothing more."""
        self.near.sendall(data)
        return int(self.client.loop_read())

    def close(self) -> None:
        self.near.close()
        self.client._sock_close()


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.close()


def test_the_pinned_paho_is_one_whose_inside_the_fast_client_knows() -> None:
    pins = (Path(__file__).parent.parent / "constraints.txt").read_text()
    found = re.search(r"^paho-mqtt==(.+)$", pins, re.MULTILINE)
    assert found
    assert found[1] in KNOWN
    assert client_type() is FastClient


def test_with_a_paho_that_is_not_known_the_plain_client_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paho.mqtt.__version__", "3.0.0")
    assert client_type() is PlainClient


@pytest.mark.parametrize("kind", [FastClient, PlainClient])
def test_messages_and_pahos_own_packets_arrive_with_reads_cut_at_every_byte(kind: type[PlainClient]) -> None:
    first, second = publish(b"ioc/06652/air/s\xc3\xb4", 1, b""), publish(b"ioc/06652/air/s2", 2, b"22", True)
    told = CONNACK + SUBACK + first + second
    for cut in range(len(told) + 1):
        line = Line(kind)
        for part in (told[:cut], told[cut:]):
            # paho's own way reads one packet a call, and a part may be empty.
            for step in range(len(part)):
                line.hear(part if step == 0 else b"")
        assert line.taken == [
            Publish("ioc/06652/air/sô".encode(), b"", b"\x00\x01"),
            Publish(b"ioc/06652/air/s2", b"22", b"\x00\x02", True),
        ], cut
        assert line.events == ["connected", "subscribed"]
        line.close()


def test_a_payload_of_1_mib_comes_by_many_reads(line: Line) -> None:
    sent = publish(b"t", 1, b"x" * 2**20) + publish(b"t", 2, b"")
    for start in range(0, len(sent), 50_000):
        line.hear(sent[start : start + 50_000])
    assert [len(one.payload) for one in line.taken] == [2**20, 0]


def test_acknowledgements_of_a_batch_are_one_send() -> None:
    line = Line(kind=socket.SOCK_SEQPACKET)  # where each send is a read of its own
    line.client.acknowledge([])
    line.client.acknowledge([bytes([7, low]) for low in range(200)])
    assert line.near.recv(1_000_000) == b"".join(b"\x40\x02\x07" + bytes([low]) for low in range(200))
    line.close()


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (b"\x32\xff\xff\xff\xff\x01", "a length of five bytes"),
        (b"\x32\x04\x00\x00\x00\x01", "no topic"),
        (b"\xf0\x00", "no such packet"),
        (b"\x20\x01\x00", "half a CONNACK"),
    ],
)
def test_what_is_no_mqtt_ends_the_connection(line: Line, told: bytes, why: str) -> None:
    line.hear(publish(b"t", 1, b"x"))
    assert line.hear(told), why
    assert (len(line.taken), line.events) == (1, ["disconnected"]), why
    assert line.client.socket() is None


def test_the_end_of_the_connection_is_noticed_and_the_next_one_begins_anew(line: Line) -> None:
    line.hear(publish(b"t", 1, b"x")[:-1])
    line.near.close()
    assert line.client.loop_read() == mqtt.MQTT_ERR_CONN_LOST
    assert line.events == ["disconnected"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        line.client.connect_async(*server.getsockname())
        line.client.reconnect()
        line.near, _ = server.accept()
        line.hear(publish(b"t", 2, b"whole"))
    assert [one.payload for one in line.taken] == [b"whole"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing: `apt-get install openssl`")
def test_all_records_of_tls_are_one_read(tmp_path: Path) -> None:
    line, server = over_tls(tmp_path)
    for mid in range(1, 101):
        server.sendall(publish(b"ioc/06652/air/s1", mid, b"x" * 100))
    line.client.loop_read()
    assert [one.mid for one in line.taken] == [mid.to_bytes(2) for mid in range(1, 101)]
    line.client.acknowledge([one.mid for one in line.taken])
    assert len(server.recv(10_000)) == 4 * 100
    server.close()
    assert line.client.loop_read() == mqtt.MQTT_ERR_CONN_LOST


def over_tls(folder: Path) -> tuple[Line, ssl.SSLSocket]:
    """A line whose sockets speak TLS, and the broker's end of it."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    theirs, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    theirs.load_cert_chain(certificate, key)
    ours.load_verify_locations(certificate)
    line = Line()
    sock = line.client._sock
    assert isinstance(sock, socket.socket)
    sock.setblocking(True)
    ends: list[ssl.SSLSocket] = []
    accepting = threading.Thread(target=lambda: ends.append(theirs.wrap_socket(line.near, server_side=True)))
    accepting.start()
    line.client._sock = ours.wrap_socket(sock, server_hostname="localhost")
    accepting.join(10)
    line.client._sock.setblocking(False)
    return line, ends[0]


def test_reading_counts_for_keepalive(line: Line) -> None:
    line.client._last_bytes_received = 0.0
    line.hear(CONNACK)
    assert line.client._last_bytes_received > 0.0
