"""What devices, desks and lines can make of a message: a corpus of real ones, and seeded ways to spoil them."""

from functools import cache
from random import Random

from sensors.csv_place import shipped_place
from sensors.decoders import cloudevents, senml
from sensors.errors import MessageRejected
from sensors.kind import Kind
from sensors.reading import DeskEvent, Pack
from sensors.toml_definitions import load_kinds
from sensors.topic import parse
from simulators.city import City
from simulators.payload import Message
from simulators.toml_scenarios import load_equipment, load_scenario

NOW = 1_795_593_600_000
"""8 a.m. on 25 November 2026 in Vietnam, ms UTC."""

KINDS = load_kinds()
HALF_HOUR = 1_800_000

NUMBERS = (
    b"0", b"-0", b"-0.0", b"1", b"5", b"6", b"12.5", b"150.1", b"1e308", b"-1e308", b"5e-324", b"9" * 40, b"9" * 400,
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"1e15",
    b"268435455", b"268435456", b"-268435456", b"-60", b"946684800", b"946684799.9", b"946684805", b"1e12", b"1e300",
    b"-62135596800", b"253402300800", b"1795593600", b"1795593720", b"1795593721", b"1795590000.5", b"4102444800",
    b"1.7955936e9", b"3.6", b"true", b"null", b"1E-7",
)  # fmt: skip
NO_NUMBERS = (
    b"1e999", b"-1e999", b"1E400", b"NaN", b"Infinity", b"-Infinity", b"nan", b"inf", b"0x1F", b"1_000", b"1.", b".5",
    b"+1", b"01", b"1,5", b"9" * 5_000,
)  # fmt: skip
TEXTS = (
    b'""', b'"\\ud800"', b'"\\udfff\\ud800"', b'"\\u0000"', b'"\\u0007"', b'"pm25"', b'"status"', b'"calibrating"',
    b'"fault"', b'"mg/m3"', b'"m/s"', b'"Cel"', b'"ug/m3"', b'"urn:dev:x:"', b'":/:/"', b'"dat_dai"', b'"1.0"',
    b'"2000-01-01T00:00:05Z"', b'"2026-11-25T08:00:00+07:00"', b'"2026-11-25T08:00:00"', b'"2026-02-30T00:00:00Z"',
    b'"0001-01-01T00:00:00+23:59"', b'"9999-12-31T23:59:59-23:59"', b'"vn.ioc.queue.taken"', b'"vn.ioc.rating.given"',
    b'"\xff\xfe"', b'"\xc3\x28"', b'"' + b"\xf3\xa0\x80\x81" * 64 + b'"', b'"' + b"x" * 6_000 + b'"',
)  # fmt: skip
KEYS = (
    b'"n"', b'"u"', b'"v"', b'"t"', b'"s"', b'"vs"', b'"vb"', b'"vd"', b'"bn"', b'"bt"', b'"bu"', b'"bv"', b'"bs"',
    b'"bver"', b'"ut"', b'"seq"', b'"odd_"', b'"\\u0062t"', b'"\xff_"', b'"id"', b'"source"', b'"specversion"',
    b'"type"', b'"time"', b'"sequence"', b'"data"', b'"ticket"', b'"field"', b'"score"', b'"counter"', b'"dossier"',
)  # fmt: skip
PIECES = (
    b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"null", b"\n", b"\0", b"\xef\xbb\xbf", b"\xff", b"[[[[", b"]\n[",
    b'{"n":"pm25","v":1}', b'[{"n":', b"/*", b"'", b" " * 40,
)  # fmt: skip
TOKENS = NUMBERS + NO_NUMBERS + TEXTS + KEYS + PIECES
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
TOPIC_PIECES = (
    "/", "//", "ioc", "IOC", "+", "#", "$SYS", "status", "/status", "06658", "99999", "air", "rain", "queue", "-", "_",
    "\0", "é", "٣", "\ud800", "\U000e0001", " ", "\n", "x" * 65, "x" * 3_000,
)  # fmt: skip


@cache
def corpus() -> list[Message]:
    """Half an hour of the simulated province in a storm: every kind, with its honest troubles."""
    place = shipped_place()
    city = City(place, KINDS, load_scenario("storm"), load_equipment(place), 7, NOW, rate=1.0, round_the_clock=True)
    return list(city.messages(NOW, NOW + HALF_HOUR))


class Spoiler:
    """Spoils messages of the corpus by a seed: the same seed spoils the same."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._corpus = corpus()
        self._by_kind: dict[str, list[Message]] = {}
        for message in self._corpus:
            self._by_kind.setdefault(parse(message.topic).kind, []).append(message)
        self._kinds = sorted(self._by_kind)

    def next(self) -> Message:
        """A message of the corpus with one to four spoilings of its payload, now and then of its topic too."""
        draw = self._random
        message = self.of_kind(self._kinds[int(draw.random() * len(self._kinds))])
        if draw.random() < 0.1:
            return message._replace(topic=self._spoil_topic(message.topic))
        return message

    def of_kind(self, kind: str) -> Message:
        """A message of a kind with one to four spoilings of its payload."""
        draw = self._random
        own = self._by_kind[kind]
        time, topic, payload = own[int(draw.random() * len(own))]
        for _ in range(1 + int(draw.random() ** 4 * 4)):
            payload = self._spoil(payload)
        return Message(time, topic, payload)

    def _spoil(self, payload: bytes) -> bytes:
        draw = self._random
        size = len(payload)
        at = int(draw.random() * (size + 1))
        to = min(size, at + int(draw.random() ** 3 * 40))
        way = int(draw.random() * 100)
        if way < 60:
            return self._replace_value(payload, at)
        if way < 70:
            return payload[:at] + TOKENS[int(draw.random() * len(TOKENS))] + payload[to:]
        if way < 76:
            return payload[:at] + payload[to:]
        if way < 83:
            return payload[:at] + bytes((int(draw.random() * 256),)) + payload[at + 1 :]
        if way < 90:
            return payload[:to] + payload[at:to] * int(1 + draw.random() * 3) + payload[to:]
        if way < 94:
            other = self._corpus[int(draw.random() * len(self._corpus))].payload
            return payload[:at] + other[int(draw.random() * len(other)) :]
        if way < 97:
            return payload[:at]
        return self._wrap(payload, way)

    def _replace_value(self, payload: bytes, at: int) -> bytes:
        """Put another token where a member's value is, or another member's key: most often still JSON."""
        draw = self._random
        colon = payload.find(b":", at)
        if colon < 0:
            return payload
        if draw.random() < 0.3:
            begin = payload.rfind(b'"', 0, max(0, colon - 1))
            return payload[: max(0, begin)] + KEYS[int(draw.random() * len(KEYS))] + payload[colon:]
        ends = [end for end in (payload.find(b",", colon), payload.find(b"}", colon)) if end > 0]
        tokens = (NUMBERS, NUMBERS, NUMBERS, TEXTS, NO_NUMBERS)[int(draw.random() ** 1.5 * 5)]
        token = tokens[int(draw.random() * len(tokens))]
        return payload[: colon + 1] + token + payload[min(ends, default=len(payload)) :]

    def _wrap(self, payload: bytes, way: int) -> bytes:
        draw = self._random
        if way == 97:
            return payload.decode(errors="replace").encode(ENCODINGS[int(draw.random() * len(ENCODINGS))])
        if way == 98:
            depth = int(draw.random() ** 4 * 30_000)
            return b"[" * depth + payload + b"]" * int(draw.random() * 2) * depth
        return payload[:-1] + b"," + payload[1:-1] * int(draw.random() ** 3 * 400) + payload[-1:]

    def _spoil_topic(self, topic: str) -> str:
        draw = self._random
        at = int(draw.random() * (len(topic) + 1))
        to = at if draw.random() < 0.5 else min(len(topic), at + int(draw.random() * 8))
        return topic[:at] + TOPIC_PIECES[int(draw.random() * len(TOPIC_PIECES))] + topic[to:]


def kind_of(topic: str) -> Kind:
    """The kind that a topic names; any topic that names none is taken for an air station's."""
    try:
        return KINDS.get(parse(topic).kind, KINDS["air"])
    except MessageRejected:
        return KINDS["air"]


def decode(payload: bytes, received_at: int, kind: Kind) -> Pack | DeskEvent:
    """By the kind's own format; raises MessageRejected."""
    decoder = senml.decode if kind.format == "senml" else cloudevents.decode
    return decoder(payload, received_at, kind)
