"""The embedded PostgreSQL and Valkey are real servers that ask for a password."""

import psycopg
import pytest
import redis

from servers.embedded import postgres, valkey


def test_each_test_has_a_database_of_its_own(database_url: str, empty_database_url: str) -> None:
    assert database_url != empty_database_url
    with psycopg.connect(empty_database_url) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables == (0,)


def test_postgres_refuses_a_wrong_password(empty_database_url: str) -> None:
    host = empty_database_url.rpartition("@")[2]
    assert postgres.accepts(empty_database_url)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://venue:wrong@{host}")


def test_postgres_commits_durably_and_keeps_time_in_utc(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        settings = [
            connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in ("synchronous_commit", "timezone", "server_encoding")
        ]
    assert settings == [("on",), ("UTC",), ("UTF8",)]


def test_valkey_refuses_a_wrong_password_and_starts_empty(redis_url: str) -> None:
    host = redis_url.rpartition("@")[2]
    assert valkey.answers(redis_url)
    assert not valkey.answers(f"redis://:wrong@{host}")
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("key", "value")


def test_valkey_is_emptied_between_tests(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
