"""Kafka's topics as the cluster shape wants them, and Kafka's errors in our words."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, NoError, TopicAlreadyExistsError, for_code

from sensors.errors import SettingsError, Unavailable

RETENTION_MS = 7 * 86_400_000
TIMEOUT_S = 10.0
BYTES_MAX = 8 * 2**20
"""The largest record batch, and so the largest batch of messages: eight of the largest payloads that NATS takes.

All partitions' together must stay below the broker's socket.request.max.bytes (100 MiB).
"""
RECORD_BATCH_MAX = BYTES_MAX + 65_536  # with what Kafka adds


async def create_topics(
    servers: str, topics: Mapping[str, int], replication: int = 1, retention_ms: int = RETENTION_MS
) -> None:
    """Make the topics that are not there yet: name → number of partitions.

    `servers` is "host:port", several separated by commas. A topic that is there keeps its settings, since an
    operator may have changed them. Raises SettingsError when one has another number of partitions, and Unavailable
    when the cluster does not answer, or cannot make one now.
    """
    settings = {"retention.ms": str(retention_ms), "max.message.bytes": str(RECORD_BATCH_MAX)}
    wanted = [NewTopic(name, partitions, replication, topic_configs=settings) for name, partitions in topics.items()]
    with translated(servers):
        admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=round(TIMEOUT_S * 1000))
        try:
            await admin.start()
            answer = await admin.create_topics(wanted)
            for name, code, *text in answer.topic_errors:
                if for_code(code) not in (NoError, TopicAlreadyExistsError):
                    raise Unavailable(
                        f"topic {name} cannot be made: {for_code(code).__name__} {text[0] if text else ''}"
                    )
            async with asyncio.timeout(TIMEOUT_S):
                for found in await _visible(admin, list(topics)):
                    _check_partitions(found["topic"], len(found["partitions"]), topics[found["topic"]])
        finally:
            await admin.close()


async def _visible(admin: AIOKafkaAdminClient, topics: list[str]) -> list[dict[str, Any]]:
    """The topics as brokers tell clients, some moments after the controller has made them."""
    found: list[dict[str, Any]] = await admin.describe_topics(topics)
    while any(topic["error_code"] for topic in found):
        await asyncio.sleep(0.05)
        found = await admin.describe_topics(topics)
    return found


def _check_partitions(topic: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise SettingsError(
            f"--partitions {wanted}: the topic {topic} has {found}, and units keep their partition; start with"
            f" --partitions {found}, or with another topic"
        )


@contextmanager
def translated(servers: str) -> Iterator[None]:
    """Whatever Kafka or the network says, the caller can only try again later: Unavailable."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(f"Kafka at {servers}: {str(error) or type(error).__name__}") from error
