"""Whatever arrives: decoders and topic grammar answer or reject in words, the processor goes on and counts every one.

Quick: a few thousand inputs made to a message's grammar, and by spoiling real ones. Long: a million (FUZZ_SEED=… plays
another million; a failure prints the seed and the input).
"""

import gc
import heapq
import math
import os
import time
import tracemalloc
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spoiled_messages import KEYS, KINDS, NO_NUMBERS, NOW, NUMBERS, PIECES, TEXTS, Spoiler, corpus, decode, kind_of

from sensors.batch import Batch, encode
from sensors.decoders import senml
from sensors.decoders.packs import PackDecoder
from sensors.decoders.senml import CLOCK_NOT_SET_BEFORE_MS, FUTURE_ALLOWED_MS, NUMBER_MAX, RECORDS_MAX
from sensors.errors import DETAIL_MAX, MessageRejected, Reason
from sensors.journal import Record
from sensors.kind import Kind, Status
from sensors.payloads import Payloads
from sensors.reading import DeskEvent, Pack, Reading
from sensors.topic import Topic, parse, partition_of
from simulators.payload import Message
from streams.catalogue import compile_catalogue
from streams.checkpoint import Recovered
from streams.partition import Partition
from streams.sql_store import SqlStore
from streams.toml_catalogue import load_all

REASONS, STATUSES = set(get_args(Reason)), set(get_args(Status))
SEED = int(os.environ.get("FUZZ_SEED", "20261125"))
MILLION = 1_000_000
CPU_S_MAX = 0.25
"""CPU of one message of at most 64 KiB, at worst; a usual one takes 5 µs. Of several tries the best one counts: a
collection of the whole process's garbage may fall into any one of them."""


# --- what must hold of every answer ---


def judged(payload: bytes, received_at: int, kind: Kind) -> bool:
    """Decode, and check what came out; whether it was usable."""
    decoded = answer(payload, received_at, kind)
    if isinstance(decoded, MessageRejected):
        check_rejection(decoded)
        return False
    assert len(payload) <= kind.bytes_max
    assert decoded.sequence is None or 0 <= decoded.sequence <= NUMBER_MAX
    if isinstance(decoded, Pack):
        check_pack(decoded, received_at, kind)
    else:
        check_event(decoded, received_at, kind)
    return True


def answer(payload: bytes, received_at: int, kind: Kind) -> Pack | DeskEvent | MessageRejected:
    try:
        return decode(payload, received_at, kind)
    except MessageRejected as rejected:
        return rejected


def check_rejection(rejected: MessageRejected) -> None:
    assert rejected.reason in REASONS
    assert 0 < len(rejected.detail) <= DETAIL_MAX


def check_pack(pack: Pack, received_at: int, kind: Kind) -> None:
    assert pack.status in STATUSES
    assert len(pack.readings) + len(pack.bad) <= RECORDS_MAX
    for quantity, observed, value in pack.readings:
        known = kind.quantities[quantity]
        assert type(value) is float
        assert math.isfinite(value)
        assert known.low <= value <= known.high
        assert type(observed) is int
        assert CLOCK_NOT_SET_BEFORE_MS <= observed <= received_at + FUTURE_ALLOWED_MS
    for bad in pack.bad:
        assert bad.reason in REASONS
        assert len(bad.quantity) <= 64
        assert 0 < len(bad.detail) <= DETAIL_MAX


def check_event(event: DeskEvent, received_at: int, kind: Kind) -> None:
    assert event.event in kind.events
    assert CLOCK_NOT_SET_BEFORE_MS <= event.time <= received_at + FUTURE_ALLOWED_MS
    assert set(kind.events[event.event].requires) <= event.data.keys()
    for name, value in event.data.items():
        if name in kind.quantities:
            assert kind.quantities[name].low <= value <= kind.quantities[name].high
        elif isinstance(value, str):
            assert 0 < len(value) <= 64
            assert not any(mark < " " for mark in value)
        else:
            assert -(2**63) <= value < 2**63


# --- inputs made to the grammar, as text, so that also what no encoder writes is among them ---

numbers = st.sampled_from(NUMBERS + NO_NUMBERS) | st.floats().map(lambda v: repr(v).encode())
plain_texts = st.text(st.characters(codec="utf-8"), max_size=8).map(msgspec.json.encode)
texts = st.sampled_from(TEXTS) | plain_texts
scalars = numbers | numbers | texts | st.sampled_from((b"null", b"false", b"{}", b"[]"))
values = scalars | st.lists(scalars, max_size=3).map(lambda items: b"[" + b",".join(items) + b"]")


def objects(keys: tuple[bytes, ...], most: int) -> st.SearchStrategy[bytes]:
    """JSON objects, keys possibly twice."""
    members = st.lists(st.tuples(st.sampled_from(keys), values).map(b":".join), max_size=most)
    return members.map(lambda listed: b"{" + b",".join(listed) + b"}")


SENML_KEYS = KEYS[: KEYS.index(b'"id"')]
senml_texts = st.lists(objects(SENML_KEYS, 6), max_size=6).map(lambda items: b"[" + b",".join(items) + b"]")
GOOD_EVENT = b'"specversion":"1.0","id":"7","source":"urn:desk:1"'
known_types = [event.type.encode() for kind in KINDS.values() for event in kind.events.values()]
types = st.sampled_from([b'"type":"%s"' % known for known in known_types])
data = objects((b'"ticket"', b'"score"', b'"field"', b'"counter"', b'"name"'), 4)
events = st.tuples(types, data, st.sampled_from(KEYS), values).map(
    lambda drawn: b'{%s,%s,"data":%s,%s:%s}' % (GOOD_EVENT, *drawn)
)
encoded = st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"))
deep = st.tuples(st.sampled_from((b"[", b'[{"n":', b'{"data":', b'[{"bn":[')), st.integers(1, 30_000)).map(
    lambda drawn: drawn[0] * drawn[1]
)
kinds = st.sampled_from(sorted(KINDS.values(), key=lambda kind: kind.id))


@settings(max_examples=1_500)
@given(kind=kinds, text=senml_texts | events | objects(KEYS, 8), encoding=encoded, cut=st.integers(0, 400))
def test_nothing_of_a_messages_grammar_raises_anything_but_a_rejection_in_words(
    kind: Kind, text: bytes, encoding: str, cut: int
) -> None:
    payload = text if encoding == "utf-8" else text.decode(errors="replace").encode(encoding)
    judged(payload, NOW, kind)
    judged(payload[:cut], NOW, kind)


@settings(max_examples=500)
@given(kind=kinds, payload=st.binary(max_size=200) | deep | st.lists(st.sampled_from(PIECES + TEXTS)).map(b"".join))
def test_no_bytes_raise_anything_but_a_rejection_in_words(kind: Kind, payload: bytes) -> None:
    judged(payload, NOW, kind)


def test_real_messages_spoiled_are_decoded_or_rejected_in_words() -> None:
    spoiler = Spoiler(SEED)
    usable = sum(judged(message.payload, message.time, kind_of(message.topic)) for message in take(spoiler, 5_000))
    assert 500 < usable < 4_500, "the fuzz must reach both what decodes and what does not"


def take(spoiler: Spoiler, count: int) -> list[Message]:
    return [spoiler.next() for _ in range(count)]


@given(kind=kinds, index=st.integers(0, 10**6))
def test_escaped_names_mean_the_same(kind: Kind, index: int) -> None:
    """A member's name may be written with escapes (RFC 8259 §7); what is read must not hang on how it is spelled."""
    own = [message for message in corpus() if parse(message.topic).kind == kind.id]
    message = own[index % len(own)]
    escaped = message.payload
    for name in (b'"bt"', b'"n"', b'"v"', b'"id"', b'"data"'):
        escaped = escaped.replace(name, b'"' + b"".join(b"\\u%04x" % letter for letter in name[1:-1]) + b'"')
    plain, spelled = (answer(payload, message.time, kind) for payload in (message.payload, escaped))
    if isinstance(plain, MessageRejected):
        assert isinstance(spelled, MessageRejected)
    else:
        assert spelled == plain


# --- many at once ---

FAST = {kind.id: PackDecoder(kind) for kind in KINDS.values() if kind.format == "senml"}


def agree(payloads: list[bytes], received: list[int], kind: Kind) -> int:
    """What the fast way says of messages is what the slow way says; returns how many were plain enough for it."""
    packs = FAST[kind.id].decode(Payloads.of(payloads), np.array(received, dtype=np.int64))
    names = list(kind.quantities)
    found: list[list[tuple[str, int, float]]] = [[] for _ in payloads]
    rows = zip(packs.message.tolist(), packs.quantity.tolist(), packs.time.tolist(), packs.value.tolist(), strict=True)
    for message, quantity, observed, value in rows:
        found[message].append((names[quantity], observed, value))
    for place in np.flatnonzero(packs.is_plain).tolist():
        number = int(packs.number[place])
        assert senml.decode(payloads[place], received[place], kind) == Pack(
            [Reading(*reading) for reading in found[place]], [], "measuring", None if number < 0 else number, True
        )
    return int(packs.is_plain.sum())


def agree_on(spoiler: Spoiler, rounds: int) -> int:
    """Small batches, for one broken message sends its neighbours the slow way too; some of them as they really are."""
    plain = 0
    by_kind = {kind: [one for one in corpus() if f"/{kind}/" in one.topic] for kind in FAST}
    for number in range(rounds):
        kind = KINDS[sorted(FAST)[number % len(FAST)]]
        own = by_kind[kind.id]
        batch = [own[(number * 7 + place) % len(own)] for place in range(number % 3)]
        batch += [spoiler.of_kind(kind.id) for _ in range(1 + number % 2)]
        plain += agree([message.payload for message in batch], [message.time for message in batch], kind)
    return plain


def test_packs_decoded_by_hundreds_say_what_each_says_alone() -> None:
    for kind in FAST:
        own = [message for message in corpus() if f"/{kind}/" in message.topic]
        payloads, received = [message.payload for message in own], [message.time for message in own]
        alone = [index for index in range(len(own)) if agree([payloads[index]], [received[index]], KINDS[kind])]
        assert len(alone) > 0.8 * len(own)
        together = [payloads[index] for index in alone], [received[index] for index in alone]
        assert agree(*together, KINDS[kind]) == len(alone)
    assert agree_on(Spoiler(SEED + 3), 2_000) > 300


@settings(max_examples=500)
@given(kind=st.sampled_from([KINDS[kind] for kind in FAST]), texts=st.lists(senml_texts, min_size=1, max_size=3))
def test_packs_of_the_grammar_decoded_together_say_what_each_says_alone(kind: Kind, texts: list[bytes]) -> None:
    agree(texts, [NOW] * len(texts), kind)


@pytest.mark.long
def test_the_fast_way_and_the_slow_way_agree_on_half_a_million_packs() -> None:
    assert agree_on(Spoiler(SEED + 4), 200_000) > 30_000


# --- topics ---

LEVELS = ("ioc", "06658", "air", "tram-1", "status", "", "/", "/", "/", "٣", "\ud800", "+", "#", "\0", "x" * 65)
topics = st.text(max_size=120) | st.lists(st.sampled_from(LEVELS), max_size=12).map("".join)


@settings(max_examples=1_500)
@given(topics)
def test_a_topic_is_read_as_it_was_written_or_rejected_and_always_has_a_partition(topic: str) -> None:
    assert 0 <= partition_of(topic, 4) < 4
    try:
        read: Topic | MessageRejected = parse(topic)
    except MessageRejected as rejected:
        read = rejected
    if isinstance(read, MessageRejected):
        check_rejection(read)
    else:
        assert "/".join(("ioc", *read[:3])) + ("/status" if read.is_status else "") == topic


# --- the processor over junk ---


class Processor:
    """One partition over the shipped definitions, fed batches, with its database."""

    def __init__(self) -> None:
        made = load_all()
        catalogue = compile_catalogue(made.place, made.kinds, made.kpis, made.rules)
        self.store = SqlStore("sqlite://")
        self.store.migrate()
        self.partition = Partition(0, catalogue, self.store.recover(0), NOW)
        self.offset = self.ordinal = 0

    def tell(self, messages: list[Message], now: int) -> None:
        """One batch, one beat, one checkpoint that is really written; every message must have one outcome."""
        columns = [message.topic.encode(errors="replace").decode() for message in messages]
        batch = Batch(
            0, self.ordinal, now, "bridge", 0, columns, [message.payload for message in messages],
            [message.time for message in messages], list(range(0, len(messages), 7)),
        )  # fmt: skip
        self.partition.observe(Record(0, self.offset, encode(batch)))
        self.offset, self.ordinal = self.offset + 1, self.ordinal + len(messages)
        beat = self.partition.evaluate(now)
        assert beat.totals.received == beat.totals.settled == self.ordinal
        assert all(value.value is None or math.isfinite(value.value) for value in (*beat.current, *beat.closed))
        checkpoint = self.partition.checkpoint(now)
        assert {rejection.reason for rejection in checkpoint.rejections} <= REASONS
        assert self.store.commit(checkpoint)
        assert self.store.ledger_totals() == beat.totals


def test_a_processor_fed_junk_goes_on_and_every_message_has_one_outcome() -> None:
    processor, spoiler = Processor(), Spoiler(SEED + 1)
    for beat in range(8):
        processor.tell(take(spoiler, 400), NOW + beat * 250_000)
    counts = processor.partition.evaluate(NOW + 8 * 250_000).totals
    assert min(counts.accepted, counts.duplicate, counts.rejected) > 50
    assert isinstance(processor.store.recover(0), Recovered)


# --- what the fuzz has found: each of these stopped the processor, most of them for ever: the journal told it again ---

TAKEN = b'{%s,"type":"vn.ioc.queue.taken","data":{"ticket":%%s}}' % GOOD_EVENT
RATED = b'{%s,"type":"vn.ioc.rating.given","data":{"score":5,"ticket":%%s}}' % GOOD_EVENT
FOUND = {
    "a member's name that is no text": ("traffic", b'[{"n":"flow","v":1,"_":"_","\xff_":1}]'),
    "a number of its own beyond 64 bits": ("traffic", b'[{"n":"flow","v":1,"seq":99999999999999999999999}]'),
    "a ticket beyond 64 bits": ("queue", TAKEN % (b"9" * 400)),
    "a ticket with NUL in it": ("queue", TAKEN % b'"a\\u0000"'),
    "a rating that names its ticket": ("rating", RATED % b'"A1"'),
    "a clock that began again": ("traffic", b'[{"n":"flow","t":946684805,"v":1}]'),
}


@pytest.mark.parametrize(("kind", "payload"), FOUND.values(), ids=FOUND)
def test_what_once_stopped_the_processor_is_one_message_among_others(kind: str, payload: bytes) -> None:
    processor = Processor()
    unit = "06658" if "06658" in load_all().place.units else sorted(load_all().place.units)[0]
    good = [Message(NOW, message.topic, message.payload) for message in corpus() if "/traffic/" in message.topic][:50]
    started = time.process_time()
    for minute in range(3):
        processor.tell([*good, Message(NOW, f"ioc/{unit}/{kind}/junk", payload)], NOW + minute * 600_000)
    assert time.process_time() - started < 20


# --- a million ---


def resident_bytes() -> int:
    """What this process holds in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def timed(message: Message) -> tuple[float, bool]:
    """The CPU of judging a message in seconds, and whether it was usable."""
    kind, started = kind_of(message.topic), time.thread_time_ns()
    is_usable = judged(message.payload, message.time, kind)
    return (time.thread_time_ns() - started) / 1e9, is_usable


@pytest.mark.long
def test_a_million_spoiled_messages_neither_raise_nor_linger_nor_stay_in_memory() -> None:
    spoiler = Spoiler(SEED)
    slow: list[tuple[float, int, Message]] = []
    usable = before = 0
    for number in range(MILLION):
        if number == MILLION // 10:
            gc.collect()
            before = resident_bytes()
        message = spoiler.next()
        try:
            took, is_usable = timed(message)
        except Exception as error:
            error.add_note(f"FUZZ_SEED={SEED}, input {number}, {message.topic}: {message.payload[:2_000]!r}")
            raise
        usable += is_usable
        if len(slow) < 20 or took > slow[0][0]:
            (heapq.heappush if len(slow) < 20 else heapq.heapreplace)(slow, (took, number, message))
    gc.collect()
    assert resident_bytes() - before < 30 * 2**20
    for _, number, message in slow:
        best, _ = min(timed(message) for _ in range(5))
        assert best < CPU_S_MAX, f"FUZZ_SEED={SEED}, input {number}: {message.payload[:200]!r}"
    assert MILLION // 10 < usable < MILLION * 9 // 10


@pytest.mark.long
def test_a_hundred_thousand_spoiled_messages_pass_through_the_processor() -> None:
    processor, spoiler = Processor(), Spoiler(SEED + 2)
    for beat in range(200):
        try:
            processor.tell(take(spoiler, 500), NOW + beat * 10_000)
        except Exception as error:
            error.add_note(f"FUZZ_SEED={SEED}, batch {beat} of 500")
            raise
    assert np.isfinite(processor.partition.evaluate(NOW + 4_000_000).watermark)


WORST = (
    b"[" * 60_000, b'[{"n":"' + b"x" * 65_000 + b'"}]', b"[" + b"{}," * 20_000 + b"{}]",
    b'{"data":{%s}}' % b",".join(b'"%d":[]' % number for number in range(5_000)),
    b'{"id":"' + b"\\u0000" * 10_000 + b'"}', b'[{"n":"pm25","v":' + b"9" * 65_000 + b"}]",
)  # fmt: skip


def test_decoding_takes_memory_by_the_length_of_a_message_and_gives_it_back() -> None:
    peak_max, after = 0, []
    tracemalloc.start()
    try:
        for _ in range(3):
            for payload in (*WORST, corpus()[0].payload):
                tracemalloc.reset_peak()
                held = tracemalloc.get_traced_memory()[0]
                for kind in KINDS.values():
                    judged(payload, NOW, kind)
                peak_max = max(peak_max, tracemalloc.get_traced_memory()[1] - held)
            after.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert peak_max < 32 * 2**20  # 20,000 empty records in 60 kB take 18 MB for a moment
    assert after[2] - after[1] < 10_000
