"""Connections to a migrated database, closed after the test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from db import journal
from db.session import Connection, connect

DEMO = 2
PARTITION = 2


@pytest_asyncio.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    opened = await connect(database_url, application_name="test")
    await journal.ensure_partition(opened, PARTITION, DEMO)
    yield opened
    await opened.close()


@pytest_asyncio.fixture
async def rival(database_url: str, connection: Connection) -> AsyncIterator[Connection]:
    """A second connection to the same database."""
    opened = await connect(database_url, application_name="rival")
    yield opened
    await opened.close()
