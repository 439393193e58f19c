"""Messages are packed by partition, numbered without gaps, within bounds of number and size."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sensors.batch import MESSAGES_MAX, Batch, decode, encode, journaled
from sensors.packet import Publish
from sensors.packing import BATCH_BYTES_MAX, Counts, Packer
from sensors.topic import partition_of

TOPICS = [f"ioc/{code:05d}/air/s{code}" for code in range(6652, 6700, 7)] + ["ioc", "a/b/c", ""]
MESSAGES = st.lists(
    st.builds(Publish, st.sampled_from(TOPICS).map(str.encode), st.binary(max_size=9), st.just(b""), st.booleans()),
    max_size=60,
)


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 5))
def test_every_message_is_in_one_batch_of_its_partition_in_order_and_ordinals_have_no_gap(
    rounds: list[list[Publish]], partitions: int
) -> None:
    start = {number: 100 * number for number in range(partitions)}
    packer = Packer("b", partitions, start)
    sealed = []
    for at, messages in enumerate(rounds):
        for half in (messages[: len(messages) // 2], messages[len(messages) // 2 :]):
            packer.add(half, at)
        assert packer.held == len(messages)
        sealed += packer.seal(1)
        assert packer.held == 0
    for number in range(partitions):
        told = [batch for batch in sealed if batch.partition == number]
        expected = [
            (message, at)
            for at, messages in enumerate(rounds)
            for message in messages
            if partition_of(message.topic.decode(), partitions) == number
        ]
        got = [
            (Publish(topic.encode(), payload, b"", index in batch.redelivered), at)
            for batch in told
            for index, (topic, payload, at) in enumerate(
                zip(batch.topics, batch.payloads, batch.received_at, strict=True)
            )
        ]
        assert got == expected
        at = start[number]
        for batch in told:
            assert batch.first == at
            at = batch.after


def test_a_batch_has_at_most_500_messages_and_little_more_than_2_mib() -> None:
    packer = Packer("b", 1, {0: 0})
    packer.add([Publish(b"t", b"x", b"")] * 1_200, 0)
    assert [len(batch.topics) for batch in packer.seal(0)] == [MESSAGES_MAX, MESSAGES_MAX, 200]
    packer.add([Publish(b"t", b"x" * 900_000, b"")] * 10, 0)
    batches = packer.seal(0)
    assert [len(batch.topics) for batch in batches] == [2, 2, 2, 2, 2]
    assert all(sum(map(len, batch.payloads)) <= BATCH_BYTES_MAX for batch in batches)


def test_a_message_larger_than_a_batch_has_one_of_its_own() -> None:
    packer = Packer("b", 1, {0: 0})
    sizes = [10, BATCH_BYTES_MAX + 1, 10, 20]
    packer.add([Publish(b"t", b"x" * size, b"") for size in sizes], 0)
    batches = packer.seal(0)
    assert [[len(payload) for payload in batch.payloads] for batch in batches] == [[10], [sizes[1]], [10, 20]]


def test_redelivered_messages_are_marked_in_the_part_that_has_them() -> None:
    packer = Packer("b", 1, {0: 0})
    packer.add([Publish(b"t", b"x", b"", index in (3, 499, 500, 701)) for index in range(800)], 0)
    assert [batch.redelivered for batch in packer.seal(0)] == [[3, 499], [0, 201]]


def test_batches_are_numbered_anew_and_say_so_and_numbering_goes_on_from_there() -> None:
    packer = Packer("b", 2, {0: 5, 1: 6})
    packer.add([Publish(b"t", b"%d" % index, b"", index == 3) for index in range(800)], 7)
    sealed = packer.seal(9, Counts(800))
    [number] = {batch.partition for batch in sealed}
    by_now = Counts(900, overtaken=2, overtaken_at=8)
    again = packer.renumbered([*sealed, packer.heartbeat(0, 9, Counts())], {0: 100, 1: 200}, by_now)
    start = {0: 100, 1: 200}[number]
    assert [(batch.first, batch.after) for batch in again] == [(start, start + 500), (start + 500, start + 800)]
    assert [batch.renumbered for batch in [*sealed, *again]] == [False, False, True, True]
    for old, new in zip(sealed, again, strict=True):
        assert (new.overtaken, new.overtaken_at) == (2, 8), "said at once, the other counts are those of the sealing"
        renewed = {"first": old.first, "renumbered": False, "overtaken": 0, "overtaken_at": 0}
        assert msgspec.structs.replace(new, **renewed) == old
    assert packer.heartbeat(number, 9, Counts()).first == start + 800
    assert packer.heartbeat(1 - number, 9, Counts()).first == {0: 100, 1: 200}[1 - number]


def test_topics_that_are_no_utf_8_are_kept_readable() -> None:
    packer = Packer("b", 1, {0: 0})
    packer.add([Publish(b"ioc/06652/air/\xff", b"x", b"")], 0)
    assert packer.seal(0)[0].topics == ["ioc/06652/air/\ufffd"]


def test_a_heartbeat_is_an_empty_batch_that_takes_no_number_and_carries_the_counts() -> None:
    packer = Packer("bridge-1", 2, {})
    beat = packer.heartbeat(1, 77, Counts(12, 4, 5, 3, 70))
    assert (beat.partition, beat.first, beat.after, beat.sealed_at, beat.topics) == (1, 0, 0, 77, [])
    assert (beat.arrived, beat.repeated, beat.pending, beat.overtaken, beat.overtaken_at) == (12, 4, 5, 3, 70)
    assert packer.heartbeat(1, 78, Counts()).first == 0


def test_a_batch_of_an_older_bridge_reads_as_one_that_was_never_overtaken() -> None:
    kept = Batch(1, 7, 77, "b", 5, ["t"], [b"x"], [70], [0], 12, 4)
    older = msgspec.msgpack.encode(msgspec.structs.astuple(journaled(encode(kept)))[:-3])
    assert decode(older) == kept
    assert (kept.overtaken, kept.overtaken_at, kept.renumbered) == (0, 0, False)


def test_a_batch_that_an_older_bridge_numbered_anew_has_all_its_messages_marked_as_it_wrote_them() -> None:
    kept = Batch(1, 7, 77, "b", 5, ["t", "t"], [b"x", b"y"], [70, 71], [0, 1], 12, 4, 1, 76)
    older = msgspec.msgpack.encode(msgspec.structs.astuple(journaled(encode(kept)))[:-1])
    assert decode(older) == kept
