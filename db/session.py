"""Connections: one direct connection for a hot path, a pool for reads, an engine for the services' own tables.

Connections of `connect` and `open_pool` speak the rules' numbers: amounts and times are ints (adaptation.py).
"""

import asyncio
import select
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from db.adaptation import adapt

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncEngine

Connection = AsyncConnection[TupleRow]
Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]

ENGINE: Final = "venue_engine"
PROJECTOR: Final = "venue_projector"
SERVICES: Final = "venue_services"
POOL_MAX: Final = 20
IDLE_S: Final = 5.0
# A leader must learn within its lease that the other end is gone; the kernel's own patience is a quarter of an hour.
LIVENESS: Final[Mapping[str, str | int]] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 2000,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}


# What says that the database cannot be written at present: it is away, or it stands by for another one.
AWAY: Final = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)


class _Direct(AsyncConnection[TupleRow]):
    """Leaving it closes it. The driver commits first, which takes a turn of a busy loop, and who is cancelled in it would leave
    the connection open.
    """

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await super().__aexit__(kind, error, traceback)
        finally:
            await self.close()


class _Lender(AsyncConnectionPool[AsyncConnection[TupleRow]]):
    """Who is cancelled while it waits for a connection is cancelled.

    The pool waits by asyncio's wait_for, and Python 3.11's forgets a cancellation that comes together with what was waited for: a
    loop that is told to end in that moment would go on for ever.
    """

    async def getconn(self, timeout: float | None = None) -> Connection:  # noqa: ASYNC109  the pool's own signature
        task = asyncio.current_task()
        before = 0 if task is None else task.cancelling()
        connection = await super().getconn(timeout)
        if task is not None and task.cancelling() > before:
            await self.putconn(connection)
            raise asyncio.CancelledError
        return connection


def sqlalchemy_url(url: str) -> "URL":
    """The address with the driver that this project uses."""
    from sqlalchemy import make_url  # only who migrates or owns tables needs it; it costs every start 0.4 s

    return make_url(url).set(drivername="postgresql+psycopg")


def conninfo(url: str, *, application_name: str, role: str | None = None, writes: bool = False) -> str:
    """The address with liveness settings, and with the role that statements run as, None for the login's own.

    For `writes` a server that takes none is as good as away.
    """
    given = conninfo_to_dict(url.replace("postgresql+psycopg://", "postgresql://", 1))
    options = f"{given.pop('options', None) or ''} -c TimeZone=UTC -c synchronous_commit=on"
    if role is not None:
        options += f" -c role={role}"
    wanted = {"target_session_attrs": "read-write"} if writes else {}
    return make_conninfo(
        "", **{**LIVENESS, **wanted, **given, "application_name": application_name, "options": options.strip()}
    )


async def connect(url: str, *, application_name: str, role: str | None = None) -> Connection:
    """A direct connection in autocommit: each statement is a durable transaction unless one is opened.

    Raises psycopg.OperationalError, also where the server takes no writes.
    """
    address = conninfo(url, application_name=application_name, role=role, writes=True)
    async with AsyncExitStack() as unless_ready:
        connection = await unless_ready.enter_async_context(await _Direct.connect(address, autocommit=True))
        await adapt(connection)
        unless_ready.pop_all()
        return connection


def is_silent(connection: "psycopg.AsyncConnection[Any]") -> bool:
    """Whether an idle connection has nothing to read. One that the server has closed has, be it but the end.

    Raises psycopg.OperationalError: it is closed on this side.
    """
    heard = select.poll()
    heard.register(connection.fileno(), select.POLLIN)
    return not heard.poll(0)


async def check(connection: Connection) -> None:
    """Before a loan: only a connection that says something of its own accord is asked whether it still works.

    Asking every time would be a second way to the server and back for each read. Raises psycopg.OperationalError.
    """
    if not is_silent(connection):
        await AsyncConnectionPool.check_connection(connection)


async def open_pool(
    url: str,
    *,
    application_name: str,
    role: str | None = None,
    size_min: int = 1,
    size_max: int = POOL_MAX,
    wait_s: float = 10.0,
) -> Pool:
    """A pool of such connections. Broken ones are replaced on loan; reconnecting backs off with jitter.

    Raises psycopg_pool.PoolTimeout when no connection comes up in `wait_s`.
    """
    pool: Pool = _Lender(
        conninfo(url, application_name=application_name, role=role),
        kwargs={"autocommit": True},
        min_size=size_min,
        max_size=size_max,
        max_idle=IDLE_S,
        timeout=5,
        configure=adapt,
        check=check,
        name=application_name,
        open=False,
    )
    await pool.open(wait=True, timeout=wait_s)
    return pool


def engine(url: str, *, application_name: str, role: str | None = None, size_max: int = POOL_MAX) -> "AsyncEngine":
    """SQLAlchemy for the services' own tables."""
    address = sqlalchemy_url(url)
    arguments: dict[str, Any] = {**LIVENESS, "application_name": application_name, "options": "-c TimeZone=UTC"}
    if role is not None:
        arguments["options"] += f" -c role={role}"
    from sqlalchemy import event
    from sqlalchemy.exc import InvalidatePoolError
    from sqlalchemy.ext.asyncio import create_async_engine

    made = create_async_engine(
        address,
        connect_args=arguments,
        pool_size=5,
        max_overflow=size_max - 5,
        pool_recycle=1800,
        # What a person typed does not belong into a log, nor does a hash.
        hide_parameters=True,
    )

    @event.listens_for(made.sync_engine, "checkout")
    def check_too(connection: "DBAPIConnection", *_: object) -> None:
        try:
            if not is_silent(connection.driver_connection):
                made.dialect.do_ping(connection)
        except psycopg.Error as error:
            raise InvalidatePoolError from error

    return made
