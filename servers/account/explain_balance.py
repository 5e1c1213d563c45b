"""Balances of the past, and what a balance is made of: its entries with the trade, deposit, withdrawal or transfer behind each.

Both are sums over the ledger, so they hold for ever and agree with what ListBalances says of now.
"""

from db import projections
from db.candles import FAR_US
from db.causes import Causes, find_causes, trade_number
from db.entries import EntryRecord, list_entries
from db.session import Connection, Pool
from db.statements import Stretch, sum_before
from servers.account.list_entries import entry_of_row
from servers.account.views import accounts_of
from servers.domain.errors import FieldViolation, PartUnavailable
from servers.domain.identifiers import order_id, position_text, positions, trade_id
from servers.domain.money import format_units
from servers.domain.terms import EntryKind
from servers.engine.client import Engine
from servers.engine.fence import Fence
from servers.engine.markets import Markets
from servers.engine.messages import micros, price_text, quantity_text
from servers.transport.call import Call
from servers.transport.paging import PageTokens, page_size
from servers.transport.refusals import InvalidField
from venue.account.v1 import account_pb2 as pb


class Explaining:
    """Tells of balances of every partition."""

    def __init__(self, pool: Pool, fence: Fence, markets: Markets, tokens: PageTokens) -> None:
        self._pool = pool
        self._fence = fence
        self._markets = markets
        self._tokens = tokens

    async def balance_at(self, engine: Engine, request: pb.GetBalanceAtRequest, call: Call) -> pb.GetBalanceAtResponse:
        """Raises AccountNotFound, PositionInvalid, InvalidField, PartUnavailable: the tables are not that new in time."""
        await accounts_of(engine, request.account_id, "", call)
        named = [each for each in positions(request.at_position, "at_position") if each.partition == engine.partition]
        if request.at_position and not named:
            what = "must be a position of the account's own partition"
            raise InvalidField([FieldViolation("at_position", what, "at_position.partition")])
        # What is asked for may not be in the tables yet.
        await self._fence.pass_through(engine, request.at_position, call.timeout_s)
        async with self._pool.connection() as connection:
            projected = await self._projected(connection, engine.partition)
            sequence = min(named[0].sequence, projected.sequence) if named else projected.sequence
            # A time counts up to its end: what was entered in its own microsecond too.
            end = micros(request.at_time) + 1 if request.HasField("at_time") else FAR_US
            stretch = Stretch(engine.partition, request.account_id, request.asset, end, end, sequence)
            rows = await sum_before(connection, stretch)
        answer = pb.GetBalanceAtResponse(position=position_text(engine.partition, projected.epoch, sequence))
        for row in rows:
            scale = await self._markets.scale(engine.partition, row.asset)
            answer.balances.add(asset=row.asset, total=format_units(row.amount, scale))
        return answer

    async def explain(self, engine: Engine, request: pb.ExplainBalanceRequest, call: Call) -> pb.ExplainBalanceResponse:
        """Raises AccountNotFound, PageTokenInvalid, PositionInvalid, PartUnavailable."""
        scope = ("explained", call.identity.user_id, request.account_id, request.asset)
        cursor = self._tokens.read(scope, request.page_token)
        await accounts_of(engine, request.account_id, "", call)
        await self._fence.pass_through(engine, request.min_position, call.timeout_s)
        size = page_size(request.page_size)
        async with self._pool.connection() as connection:
            if cursor:
                before, total = (int(cursor[0]), int(cursor[1])), int(cursor[2])
            else:
                sequence = (await self._projected(connection, engine.partition)).sequence
                stretch = Stretch(engine.partition, request.account_id, request.asset, FAR_US, FAR_US, sequence)
                before, total = (sequence + 1, 0), sum(row.amount for row in await sum_before(connection, stretch))
            rows = await list_entries(
                connection, engine.partition, request.account_id, asset=request.asset, before=before, limit=size + 1
            )
            page = rows[:size]
            causes = await find_causes(connection, engine.partition, request.account_id, page)
        answer = pb.ExplainBalanceResponse()
        for row in page:
            scale = await self._markets.scale(engine.partition, row.asset)
            answer.entries.add(
                entry=entry_of_row(engine.partition, row, scale),
                total=format_units(total, scale),
                cause=await self._cause(engine.partition, row, causes),
            )
            total -= row.amount
        if len(rows) > size:
            # Larger than JSON numbers are in some places; here both ends are ours.
            answer.next_page_token = self._tokens.issue(scope, [page[-1].sequence, page[-1].n, str(total)])
        return answer

    async def _projected(self, connection: Connection, partition: int) -> projections.ProjectionRecord:
        position = await projections.find_projection(connection, partition, projections.TABLES)
        if position is None:
            raise PartUnavailable("the tables")
        return position

    async def _cause(self, partition: int, row: EntryRecord, causes: Causes) -> pb.EntryCause:
        number = trade_number(row)
        if number:
            cause = pb.EntryCause(trade_id=trade_id(partition, number))
            trade = causes.trades.get(number)
            if trade is not None:
                market = await self._markets.get(partition, trade.symbol)
                cause.order_id, cause.symbol = order_id(partition, trade.order_number), trade.symbol
                cause.side = trade.side  # type: ignore[assignment]  # the domain's numbers are the wire's
                cause.price, cause.quantity = price_text(market, trade.ticks), quantity_text(market, trade.lots)
            return cause
        if row.kind == EntryKind.CONVERSION:
            return pb.EntryCause(conversion_id=row.reference)
        if row.kind == EntryKind.PAPER and row.reference == row.account_id:
            return pb.EntryCause(opened=True)
        cause = pb.EntryCause(transfer_id=row.reference)
        funding = causes.funding.get(row.reference)
        if funding is not None:
            cause.deposit_id, cause.withdrawal_id = funding.deposit_id, funding.withdrawal_id
        return cause
