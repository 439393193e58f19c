"""What every test may ask for: asyncio tests (`pytest.mark.anyio`)."""

import pytest


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio alone: nothing here uses trio."""
    return "asyncio"
