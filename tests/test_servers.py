"""The servers that other tests rely on: they come up, keep their data through a kill, and say what is missing."""

import signal
import sys
from pathlib import Path

import psycopg
import pytest
import redis
from servers import Absent, PostgresServer, RedisServer, Server, free_port, start_postgres

ECHO = """
import signal, sys
print("noise\\nall is well", flush=True)
signal.pause()
"""


def test_a_server_is_ready_when_its_log_says_so_and_can_be_stopped_and_started_again(tmp_path: Path) -> None:
    server = Server([sys.executable, "-c", ECHO], tmp_path, free_port(), "all is well", signal.SIGTERM)
    first = server.process.pid
    server.stop()
    assert server.process.returncode == -signal.SIGTERM
    server.start()
    assert server.process.pid != first
    server.kill()
    assert server.process.returncode == -signal.SIGKILL


def test_a_server_that_ends_before_it_is_ready_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no such luck"):
        Server([sys.executable, "-c", "print('no such luck')"], tmp_path, free_port(), "ready", signal.SIGTERM)


@pytest.mark.long
def test_postgres_keeps_what_was_committed_when_it_is_killed() -> None:
    try:
        server = start_postgres()
    except Absent as absent:
        pytest.skip(str(absent))
    try:
        url = server.new_database().replace("+psycopg", "")
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE kept (n int)")
            connection.execute("INSERT INTO kept VALUES (7)")
        server.kill()
        server.start()
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT n FROM kept").fetchall() == [(7,)]
    finally:
        server.remove()


@pytest.mark.long
def test_each_test_may_have_a_database_of_its_own(postgres_server: PostgresServer) -> None:
    assert postgres_server.new_database() != postgres_server.new_database()


@pytest.mark.long
def test_redis_answers(redis_server: RedisServer) -> None:
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.ping()


@pytest.mark.long
def test_kafka_listens(kafka_server: Server) -> None:
    assert kafka_server.process.poll() is None
