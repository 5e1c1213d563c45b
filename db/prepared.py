"""One statement of a path where each wait is felt: prepared by name, sent by libpq's own calls, waited for by the loop itself.

The driver's cursor waits by a task of its own, twice a statement, and adapts each value: 50 us of a commit of 300 where the
machine is idle between two (docs/performance.md).
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final
from weakref import WeakSet

import psycopg
from psycopg import pq
from psycopg.errors import error_from_result

from db.session import Connection

# PostgreSQL's numbers of the types that are asked for.
OIDS: Final = {name: psycopg.adapters.types[name].oid for name in ("int4", "int8", "float8", "numeric", "bytea")}


class Prepared:
    """A statement that changes rows, with parameters `$1` and on of the types that `types` names, one each."""

    def __init__(self, name: str, statement: str, types: Sequence[str]) -> None:
        self._name = name.encode()
        self._statement = statement.encode()
        self._oids = [OIDS[kind] for kind in types]
        # Bytes go as they are, numbers as text.
        self._formats = [pq.Format.BINARY if kind == "bytea" else pq.Format.TEXT for kind in types]
        self._known: WeakSet[Connection] = WeakSet()

    async def execute(self, connection: Connection, values: Sequence[int | float | bytes]) -> int:
        """The number of rows that it changed.

        Raises psycopg.OperationalError with the outcome unknown, psycopg.Error otherwise. Who is cancelled in it leaves the
        connection closed, and the outcome unknown.
        """
        parameters = [value if isinstance(value, bytes) else str(value).encode() for value in values]
        link = connection.pgconn
        async with connection.lock:
            if connection not in self._known:
                link.send_prepare(self._name, self._statement, self._oids)
                await _result(link)
                self._known.add(connection)
            link.send_query_prepared(self._name, parameters, self._formats)
            return (await _result(link)).command_tuples or 0


async def _result(link: pq.abc.PGconn) -> pq.abc.PGresult:
    """What the server says to what was sent. Raises psycopg.Error."""
    loop = asyncio.get_running_loop()
    found = None
    try:
        while link.flush():
            await _ready(link.socket, loop.add_writer, loop.remove_writer)
        while True:
            while link.is_busy():
                await _ready(link.socket, loop.add_reader, loop.remove_reader)
                link.consume_input()
            # Nothing comes after the last result.
            if (result := link.get_result()) is None:
                break
            found = result
    except asyncio.CancelledError:
        # Half an answer is left in it.
        link.finish()
        raise
    if link.status != pq.ConnStatus.OK or found is None:
        raise psycopg.OperationalError(f"the connection is lost: {link.get_error_message()}")
    if found.status != pq.ExecStatus.COMMAND_OK:
        raise error_from_result(found)
    return found


async def _ready(socket: int, watch: Callable[[int, Callable[[], None]], None], leave: Callable[[int], bool]) -> None:
    """Until the socket can be read or written, as `watch` says."""
    ready = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not ready.done():
            ready.set_result(None)

    watch(socket, wake)
    try:
        await ready
    finally:
        leave(socket)
