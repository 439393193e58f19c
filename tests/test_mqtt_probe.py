"""A broker that acknowledges nothing is told of, and one that does is not."""

import asyncio
import os
import signal

import pytest
from mqtt_brokers import start_nats
from servers import HOST

from sensors.mqtt_probe import DEAF_MS, EVERY_MS, MqttProbe

NOW = 1_790_000_000_000


@pytest.mark.long
def test_a_broker_that_does_not_acknowledge_is_deaf_and_one_that_does_is_not() -> None:
    async def story() -> None:
        broker = start_nats()
        now = NOW
        probe = MqttProbe(HOST, broker.port, lambda: now)
        probe.start()

        async def until_heard() -> None:
            nonlocal now
            async with asyncio.timeout(30):
                while probe.is_deaf(now):
                    await asyncio.sleep(0.05)
                    now += EVERY_MS

        try:
            now = NOW + DEAF_MS + 1
            await until_heard()
            os.kill(broker.process.pid, signal.SIGSTOP)
            now += DEAF_MS + 1
            assert probe.is_deaf(now)
            os.kill(broker.process.pid, signal.SIGCONT)
            await until_heard()
        finally:
            os.kill(broker.process.pid, signal.SIGCONT)
            await asyncio.to_thread(probe.stop)
            broker.remove()

    asyncio.run(story())
