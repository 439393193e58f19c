"""What every test may ask for: asyncio tests (`pytest.mark.anyio`), a centre of its own, and real servers, started once
a session (with `-n 2`: once in each of the two processes).

A server that is not installed skips the tests that need it, in words that say what to install. Property tests run
from fixed seeds and without a deadline, so that a busy machine finds what a quiet one does; HYPOTHESIS_PROFILE=search
draws new examples each time.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# With --import-mode=importlib, pytest does not put this folder on the path; the helpers beside the tests are in it.
sys.path.insert(0, str(Path(__file__).parent))

from servers import PostgresServer, RedisServer, Server, running, start_kafka, start_postgres, start_redis
from up_process import Centre

settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The soak begins first, for it takes as long as it takes; then the files with the most long tests, as a file is
    one process's; quick ones fill the end."""
    long = Counter(item.path for item in items if item.get_closest_marker("long"))
    items.sort(key=lambda item: (item.path.name != "test_soak_story.py", -long[item.path]))


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio alone: nothing here uses trio."""
    return "asyncio"


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[Server]:
    """A real Apache Kafka at `.address`; tests keep apart by topics and groups of their own."""
    with running(start_kafka) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A real PostgreSQL; `.new_database()` gives the URL of an empty database."""
    with running(start_postgres) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real Redis at `.url`; a test that counts on an empty one flushes it first."""
    with running(start_redis) as server:
        yield server


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    """`ioc up` as a process, ready, with a broker of its own and without a city."""
    with Centre(tmp_path / "data", "--no-simulate") as made:
        made.ready()
        yield made
