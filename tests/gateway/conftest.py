"""The gateway that these tests ask: served by a real uvicorn, over a live store in memory and a history of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from gateway_client import served
from gateway_world import DEFINITIONS, World

from control_center.http_gateway import GatewaySettings, build_gateway
from streams.memory_live import MemoryLive
from streams.sql_store import SqlStore


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    made = SqlStore(f"sqlite:///{tmp_path / 'history.sqlite'}")
    made.migrate()
    return made


@pytest.fixture
async def world(store: SqlStore) -> AsyncIterator[World]:
    live = MemoryLive("epoch-1")
    async with served(build_gateway(GatewaySettings(), live, store, DEFINITIONS)) as site:
        yield World(store, live, site)
