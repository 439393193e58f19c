"""What has arrived is counted exactly, and acknowledged in the connection that it came by."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from sensors.mqtt_inbox import Inbox
from sensors.packet import Publish

MESSAGES = st.lists(
    st.builds(
        Publish, st.just(b"t"), st.binary(max_size=3), st.sampled_from([b"", b"\x00\x01", b"\x00\x02"]), st.booleans()
    ),
    max_size=6,
)
STEPS = st.lists(st.one_of(MESSAGES, st.sampled_from(["take", "acknowledge", "reconnect"])), max_size=40)


def message(mid: int, is_redelivered: bool = False) -> Publish:
    return Publish(b"t", b"x", mid.to_bytes(2), is_redelivered)


@given(STEPS)
def test_arrived_is_taken_and_held_and_repeated_at_every_moment(steps: list[list[Publish] | str]) -> None:
    inbox = Inbox()
    given_in = taken_out = 0
    taken = []
    for step in steps:
        if isinstance(step, list):
            inbox.put(step, 0)
            given_in += len(step)
        elif step == "take":
            more = inbox.take()
            taken += more
            taken_out += sum(len(read.publishes) for read in more)
        elif step == "acknowledge":
            inbox.acknowledge(taken, lambda _: None)
            taken = []
        else:
            inbox.reconnected()
        counts = inbox.counts()
        assert counts.arrived == given_in == taken_out + counts.held + counts.repeated


def test_a_message_that_comes_again_is_dropped_until_it_is_acknowledged() -> None:
    inbox = Inbox()
    inbox.put([message(1), message(1, True)], 0)
    taken = inbox.take()
    inbox.put([message(1, True)], 0)
    assert inbox.counts()[:3] == (3, 2, 0)
    inbox.acknowledge(taken, lambda _: None)
    inbox.put([message(1, True)], 0)
    assert inbox.counts()[:3] == (4, 2, 1)


def test_a_number_used_anew_is_another_message() -> None:
    inbox = Inbox()
    inbox.put([message(1), message(1)], 0)
    assert inbox.counts()[:3] == (2, 0, 2)


def test_what_came_by_an_earlier_connection_is_not_acknowledged_and_may_come_again() -> None:
    inbox = Inbox()
    inbox.put([message(1)], 0)
    inbox.reconnected()
    inbox.put([message(1, True), message(2)], 0)
    sent: list[bytes] = []
    inbox.acknowledge(inbox.take(), sent.extend)
    assert sent == [b"\x00\x01", b"\x00\x02"]
    assert inbox.counts()[:3] == (3, 0, 0)


def test_a_full_inbox_makes_the_client_wait_until_it_is_emptied_or_opened() -> None:
    for relieve in (Inbox.take, Inbox.open):
        for full in (Inbox(messages_max=3), Inbox(bytes_max=3)):
            full.put([message(1), message(2)], 0)
            full.wait_for_room()
            full.put([message(3)], 0)
            waiting = threading.Thread(target=full.wait_for_room)
            waiting.start()
            assert waiting.is_alive()
            relieve(full)
            waiting.join(10)
            assert not waiting.is_alive()
