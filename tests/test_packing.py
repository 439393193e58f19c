"""Messages are packed by partition, numbered without gaps, within bounds of number and size."""

from hypothesis import given
from hypothesis import strategies as st

from sensors.batch import MESSAGES_MAX
from sensors.packing import BATCH_BYTES_MAX, Message, Packer
from sensors.topic import partition_of

TOPICS = [f"ioc/{code:05d}/air/s{code}" for code in range(6652, 6700, 7)] + ["ioc", "a/b/c", ""]
MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(TOPICS), st.binary(max_size=9), st.integers(0, 10), st.booleans()), max_size=60
)


@given(st.lists(MESSAGES, max_size=5), st.integers(1, 5))
def test_every_message_is_in_one_batch_of_its_partition_in_order_and_ordinals_have_no_gap(
    rounds: list[list[Message]], partitions: int
) -> None:
    start = {number: 100 * number for number in range(partitions)}
    packer = Packer("b", partitions, start)
    sealed = []
    for messages in rounds:
        for message in messages:
            packer.add(message)
        assert packer.held == len(messages)
        sealed += packer.seal(1)
        assert packer.held == 0
    for number in range(partitions):
        told = [batch for batch in sealed if batch.partition == number]
        expected = [m for messages in rounds for m in messages if partition_of(m.topic, partitions) == number]
        got = [
            Message(topic, payload, at, index in batch.redelivered)
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
    for _ in range(1_200):
        packer.add(Message("t", b"x", 0))
    assert [len(batch.topics) for batch in packer.seal(0)] == [MESSAGES_MAX, MESSAGES_MAX, 200]
    for _ in range(10):
        packer.add(Message("t", b"x" * 900_000, 0))
    batches = packer.seal(0)
    assert [len(batch.topics) for batch in batches] == [2, 2, 2, 2, 2]
    assert all(sum(map(len, batch.payloads)) <= BATCH_BYTES_MAX for batch in batches)


def test_a_heartbeat_is_an_empty_batch_that_takes_no_number() -> None:
    packer = Packer("bridge-1", 2, {})
    beat = packer.heartbeat(1, 77, 5)
    assert (beat.partition, beat.first, beat.after, beat.sealed_at, beat.pending, beat.topics) == (1, 0, 0, 77, 5, [])
    assert packer.heartbeat(1, 78, 0).first == 0
