"""What changed a user's accounts besides trading, newest first, in signed pages."""

import asyncio
from typing import Final

from db.candles import FAR_US
from db.movements import MovementRecord, Place, list_movements
from db.session import Pool
from servers.account.views import accounts_of
from servers.domain.errors import AccountNotFound
from servers.domain.money import format_units
from servers.domain.terms import EntryKind
from servers.engine.client import Engine, Engines
from servers.engine.fence import Fence
from servers.engine.markets import Markets
from servers.engine.messages import micros, timestamp
from servers.transport.call import Call
from servers.transport.paging import PageTokens, page_size
from venue.account.v1 import account_pb2 as pb

_OF_TRADES: Final = {EntryKind.UNSPECIFIED, EntryKind.TRADE, EntryKind.FEE}
KINDS: Final = tuple(int(kind) for kind in EntryKind if kind not in _OF_TRADES)


class Wallet:
    """Reads what moved, of all partitions."""

    def __init__(
        self, engines: Engines[Engine], pool: Pool, fence: Fence, markets: Markets, tokens: PageTokens
    ) -> None:
        self._engines = engines
        self._pool = pool
        self._fence = fence
        self._markets = markets
        self._tokens = tokens

    async def list_transactions(self, request: pb.ListTransactionsRequest, call: Call) -> pb.ListTransactionsResponse:
        """Raises AccountNotFound, PageTokenInvalid, PositionInvalid, PartUnavailable."""
        start = micros(request.start_time) if request.HasField("start_time") else 0
        end = micros(request.end_time) if request.HasField("end_time") else FAR_US
        kinds = sorted(request.kinds) or KINDS
        scope = ("transactions", call.identity.user_id, request.account_id, *kinds, start, end)
        cursor = self._tokens.read(scope, request.page_token)
        mine = await self._accounts(request, call)
        accounts = [each for each in mine if request.account_id in {"", each[1]}]
        if not accounts and request.account_id:
            raise AccountNotFound(request.account_id)
        size = page_size(request.page_size)
        place = Place(*cursor) if cursor else None  # type: ignore[arg-type]  # it is signed: as it was issued
        async with self._pool.connection() as connection:
            rows = await list_movements(
                connection, accounts, kinds=kinds, start=start, end=end, before=place, limit=size + 1
            )
        page = rows[:size]
        token = self._tokens.issue(scope, [*page[-1][:5]]) if len(rows) > size else ""
        own = {account_id for _, account_id in mine}
        told = [await self._message(row, own) for row in page]
        return pb.ListTransactionsResponse(transactions=told, next_page_token=token)

    async def _accounts(self, request: pb.ListTransactionsRequest, call: Call) -> list[tuple[int, str]]:
        """Partition and id of the caller's accounts wherever the wanted one may be; of a bound key the one it is bound to."""
        bound = call.identity.account_id
        only = request.account_id or bound
        asked = [self._engines.for_account(only)] if only else self._engines.all
        found = await asyncio.gather(*(accounts_of(engine, bound, "", call) for engine in asked))
        await asyncio.gather(
            *(self._fence.pass_through(engine, request.min_position, call.timeout_s) for engine in asked)
        )
        return [
            (engine.partition, account.account_id)
            for engine, response in zip(asked, found, strict=True)
            for account in response.accounts
        ]

    async def _message(self, row: MovementRecord, own: set[str]) -> pb.Transaction:
        scale = await self._markets.scale(row.partition, row.asset)
        half = "d" if row.amount < 0 else "c"
        message = pb.Transaction(
            transaction_id=f"{row.partition}-{row.sequence}-{row.n}{half}",
            account_id=row.account_id,
            kind=row.kind,  # type: ignore[arg-type]  # the domain's numbers are the wire's
            asset=row.asset,
            amount=format_units(row.amount, scale),
            other_account_id=row.counterparty_id if row.counterparty_id in own else "",
            reference=row.reference,
            create_time=timestamp(row.time),
            sequence=row.sequence,
        )
        if row.received_asset:
            message.received_asset = row.received_asset
            received_scale = await self._markets.scale(row.partition, row.received_asset)
            message.received_amount = format_units(row.received_amount, received_scale)
        return message
