"""Orders and fills of the past, from the tables: only the caller's own, and as new as the caller needs."""

from db import accounts
from db.orders import OPEN, OrderRecord, find_by_label, find_order
from db.session import Pool
from servers.domain.errors import AccountNotFound, OrderClosed, OrderNotFound
from servers.domain.identifiers import find_order as parse_order_id
from servers.domain.identifiers import order_id as order_id_text
from servers.domain.identifiers import placing_sequence, positions
from servers.domain.model import Market
from servers.engine.client import Engine
from servers.engine.fence import Fence
from servers.engine.markets import Markets
from servers.engine.trading import TradingEngine
from servers.order.rows import order_of_row
from servers.transport.call import Call
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2, order_service_pb2


class History:
    """Reads the tables of every partition."""

    def __init__(self, pool: Pool, fence: Fence, markets: Markets) -> None:
        self.pool = pool
        self.fence = fence
        self._markets = markets

    async def market(self, partition: int, symbol: str) -> Market:
        """The definition that a row's numbers count in."""
        return await self._markets.get(partition, symbol)

    async def owned(self, engine: Engine, account_id: str, call: Call) -> None:
        """Raises AccountNotFound: there is none, or it is somebody else's."""
        query = pb.AccountsQuery(user_id=call.identity.user_id, account_id=account_id)
        await engine.query(pb.QueryRequest(accounts=query))

    async def find(
        self, engine: Engine, call: Call, *, order_id: str, account_id: str, label: str, min_position: str = ""
    ) -> OrderRecord | None:
        """The caller's order by id, or by account and label, as new as what was durable when it asked.

        A final order does not change, so it is enough to find it; that there is none must be true, so it takes tables that
        are new enough to say so. Raises PositionInvalid, PartUnavailable.
        """
        if not min_position:
            row = await self._look(engine, call, order_id, account_id, label)
            if row is not None and order_id and row.status not in OPEN:
                return row
            min_position = (await engine.query(pb.QueryRequest(sequence=pb.SequenceQuery()))).position
        await self.fence.pass_through(engine, min_position, call.timeout_s)
        return await self._look(engine, call, order_id, account_id, label)

    async def _look(self, engine: Engine, call: Call, order_id: str, account_id: str, label: str) -> OrderRecord | None:
        async with self.pool.connection() as connection:
            if order_id:
                parsed = parse_order_id(order_id)
                row = await find_order(connection, *parsed) if parsed else None
            else:
                row = await find_by_label(connection, engine.partition, account_id, label)
            if row is None or (account_id and row.account_id != account_id):
                return None
            owner = await accounts.find_account(connection, row.partition, row.account_id)
        return row if owner is not None and owner.user_id == call.identity.user_id else None

    async def check_closed(
        self, engine: TradingEngine, call: Call, *, order_id: str, account_id: str, label: str
    ) -> None:
        """Raises OrderClosed: what is not open any more is the caller's, and final.

        An order's number is the sequence of the command that made it, so the journal itself knows, however far the
        tables are behind; of the further orders of a list only the tables know.
        """
        named = parse_order_id(order_id)
        if named is not None and named[1] == placing_sequence(named[1]):
            author = await engine.author(named[1])
            if author is not None and author.user_id == call.identity.user_id and account_id in {"", author.account_id}:
                raise OrderClosed(order_id)
            return
        row = await self.find(engine, call, order_id=order_id, account_id=account_id, label=label)
        if row is not None:
            raise OrderClosed(order_id_text(row.partition, row.number))

    async def get(self, engine: Engine, request: order_service_pb2.GetOrderRequest, call: Call) -> order_pb2.Order:
        """An order: the machine's if it is open, else the tables'. Raises OrderNotFound, PositionInvalid."""
        # The machine is as new as any position, but nonsense is refused whether the order is open or not.
        positions(request.min_position)
        query = pb.OpenOrdersQuery(
            user_id=call.identity.user_id,
            account_id=request.account_id,
            order_id=request.order_id,
            client_order_id=request.client_order_id,
        )
        try:
            return (await engine.query(pb.QueryRequest(open_orders=query))).orders[0]
        except (OrderNotFound, AccountNotFound) as error:
            row = await self.find(
                engine,
                call,
                order_id=request.order_id,
                account_id=request.account_id,
                label=request.client_order_id,
                min_position=request.min_position,
            )
            if row is None:
                raise error from None
            return order_of_row(row, await self.market(row.partition, row.symbol))
