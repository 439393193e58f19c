"""What the tests of pages stand on: a gateway that has said every figure once, its history, and a Chromium a file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from browser import chromium
from pages_world import World, store_in, world_of
from playwright.async_api import Browser

from control_center.http_gateway import GatewaySettings
from streams.sql_store import SqlStore


@pytest.fixture
def store(tmp_path: Path) -> SqlStore:
    return store_in(tmp_path)


@pytest.fixture
async def world(store: SqlStore) -> AsyncIterator[World]:
    async with world_of(store, GatewaySettings()) as made:
        await made.say_all()
        yield made


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Each page that a test opens is in a context of its own."""
    async with chromium() as made:
        yield made
