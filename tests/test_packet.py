"""MQTT packets are put together from bytes that are cut anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.packet import Malformed, Packet, PacketReader, Publish, pubacks


def length(size: int) -> bytes:
    """MQTT's variable length, as its §2.2.3 gives it."""
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | (128 if size else 0))
        if not size:
            return bytes(encoded)


def encoded(packet: Publish | Packet, properties: bytes | None = None) -> bytes:
    """A packet as a broker writes it; MQTT 5 where there are properties."""
    if isinstance(packet, Packet):
        return bytes([packet.command]) + length(len(packet.body)) + packet.body
    more = b"" if properties is None else length(len(properties)) + properties
    body = len(packet.topic).to_bytes(2) + packet.topic + packet.mid + more + packet.payload
    head = 0x30 | (0x02 if packet.mid else 0) | (0x08 if packet.is_redelivered else 0)
    return bytes([head]) + length(len(body)) + body


MIDS = st.one_of(st.just(b""), st.binary(min_size=2, max_size=2))
PUBLISHES = st.builds(
    Publish, st.binary(min_size=1, max_size=200), st.binary(max_size=300), MIDS, st.booleans()
)  # fmt: skip
OTHERS = st.builds(Packet, st.sampled_from([0x20, 0x90, 0xD0, 0xE0, 0x34]), st.binary(max_size=200))
PACKETS = st.lists(st.one_of(PUBLISHES, OTHERS), max_size=8)


@given(PACKETS, st.lists(st.integers(0, 4_000), max_size=12), st.none() | st.binary(max_size=150))
def test_packets_come_out_as_they_were_sent_wherever_the_reads_cut_them(
    packets: list[Publish | Packet], cuts: list[int], properties: bytes | None
) -> None:
    sent = b"".join(encoded(packet, properties) for packet in packets)
    reader = PacketReader(is_five=properties is not None)
    publishes, others = [], []
    for start, end in pairwise(sorted({0, len(sent), *(min(cut, len(sent)) for cut in cuts)})):
        more = reader.feed(sent[start:end])
        publishes += more[0]
        others += more[1]
    assert publishes == [packet for packet in packets if isinstance(packet, Publish)]
    assert others == [packet for packet in packets if isinstance(packet, Packet)]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 2**20, 2_097_152 + 5])
@pytest.mark.parametrize("is_five", [False, True])
def test_a_payload_of_any_size_arrives_cut_at_every_byte_of_its_head_and_by_reads_of_64_kb(
    size: int, is_five: bool
) -> None:
    message = Publish(b"ioc/06652/air/s1", b"x" * size, b"\x01\x02")
    sent = encoded(message, b"" if is_five else None)
    for cut in range(min(len(sent), 40)):
        reader = PacketReader(is_five)
        assert reader.feed(sent[:cut]) == ([], [])
        parts = [sent[start : start + 65_536] for start in range(cut, len(sent), 65_536)]
        read = [reader.feed(part)[0] for part in parts]
        assert read == [[]] * (len(parts) - 1) + [[message]]


@pytest.mark.parametrize(
    ("body", "is_five", "why"),
    [
        (b"", False, "nothing in it"),
        (b"\x00\x03io", False, "a topic longer than the packet"),
        (b"\x00\x03ioc\x00", False, "half a number"),
        (b"\x00\x00\x00\x01x", False, "no topic"),
        (b"\x00\x03ioc\x00\x01", True, "no properties"),
        (b"\x00\x03ioc\x00\x01\x09x", True, "properties longer than the packet"),
        (b"\x00\x03ioc\x00\x01\x80", True, "half a length"),
    ],
)
def test_a_message_that_is_not_sound_is_left_to_whoever_judges_it(body: bytes, is_five: bool, why: str) -> None:
    # More follows, so that nothing can be read beyond the packet's end unnoticed.
    good = encoded(Publish(b"t", b"after", b"\x00\x09"), b"" if is_five else None)
    bad = Packet(0x32, body)
    assert PacketReader(is_five).feed(encoded(bad) + good) == ([Publish(b"t", b"after", b"\x00\x09")], [bad]), why


def test_a_length_of_five_bytes_is_refused() -> None:
    with pytest.raises(Malformed):
        PacketReader(False).feed(b"\x32\xff\xff\xff\xff\x01")


def test_acknowledgements_are_written_one_after_the_other() -> None:
    assert pubacks([b"\x00\x01", b"\xff\xfe"]) == b"\x40\x02\x00\x01\x40\x02\xff\xfe"
