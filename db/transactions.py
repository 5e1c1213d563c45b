"""One transaction on the services' own tables, and the database's clock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

from psycopg import OperationalError
from sqlalchemy import ColumnElement, func
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from servers.domain.errors import PartUnavailable

# Times are the database's own, so servers need not agree on the time.
NOW: Final[ColumnElement[datetime]] = func.clock_timestamp()


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """Raises PartUnavailable where the database is away, or has no connection left for us."""
    try:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            yield session
    except NoConnectionFree as error:
        raise PartUnavailable("the database") from error
    except DBAPIError as error:
        if isinstance(error.orig, OperationalError):
            raise PartUnavailable("the database") from error
        raise
