"""A message as tests tell it to a packer, one at a time: what the bridge gets from its client by whole reads."""

from typing import NamedTuple

from sensors.packet import Publish
from sensors.packing import Packer


class Message(NamedTuple):
    """`received_at` in ms UTC; `redelivered`: the broker marked it DUP."""

    topic: str
    payload: bytes
    received_at: int
    redelivered: bool = False


def take_in(packer: Packer, message: Message) -> None:
    """Hand one message over."""
    topic = message.topic.encode("utf-8", "surrogatepass")
    packer.add([Publish(topic, message.payload, b"\0\1", message.redelivered)], message.received_at)
