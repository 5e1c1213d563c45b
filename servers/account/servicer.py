"""AccountService: what each RPC is done by."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from servers.account.bus_feed import BusFeed
from servers.account.change_account import close_account, update_account
from servers.account.conversions import Converting, Terms
from servers.account.create_account import Opening
from servers.account.explain_balance import Explaining
from servers.account.list_accounts import list_accounts
from servers.account.list_entries import Statement
from servers.account.list_transactions import Wallet
from servers.account.portfolio import Portfolios
from servers.account.quotes import Quotes
from servers.account.stream_account import AccountStream
from servers.account.stream_statement import Statements
from servers.account.transfers import Moving
from servers.account.views import accounts_of, balances_of, positions_of
from servers.engine.client import Engine, Engines
from servers.engine.markets import Markets
from servers.engine.missed import Past
from servers.transport.call import Call
from servers.transport.paging import PageTokens
from venue.account.v1 import account_pb2 as pb
from venue.account.v1 import conversion_pb2, portfolio_pb2


class AccountServicer:
    """Serves the accounts of every partition, whoever leads it. `feeds` are the running feeds by partition."""

    def __init__(
        self,
        engines: Engines[Engine],
        feeds: Mapping[int, BusFeed],
        past: Past,
        markets: Markets,
        tokens: PageTokens,
        *,
        accounts_max: int,
        quotes: Quotes,
        terms: Terms,
        silence_s: float,
    ) -> None:
        self._engines = engines
        self._feeds = feeds
        self._past = past
        self._tokens = tokens
        self._silence_s = silence_s
        self._opening = Opening(engines, past.pool, past.fence, accounts_max)
        self._converting = Converting(engines, past.fence, markets, quotes, terms)
        self._moving = Moving(engines, past.pool, past.fence, markets)
        self._explaining = Explaining(past.pool, past.fence, markets, tokens)
        self._portfolios = Portfolios(past.pool, past.fence, markets)
        self._statement = Statement(past.pool, past.fence, markets, tokens)
        self._statements = Statements(past.pool, past.fence, markets)
        self._wallet = Wallet(engines, past.pool, past.fence, markets, tokens)

    async def CreateAccount(self, request: pb.CreateAccountRequest, call: Call) -> bytes:
        return await self._opening.create_account(request, call)

    async def ListAccounts(self, request: pb.ListAccountsRequest, call: Call) -> pb.ListAccountsResponse:
        return await list_accounts(self._engines, self._tokens, request, call)

    async def GetAccount(self, request: pb.GetAccountRequest, call: Call) -> pb.GetAccountResponse:
        engine = self._engines.for_account(request.account_id)
        response = await accounts_of(engine, request.account_id, request.min_position, call)
        return pb.GetAccountResponse(account=response.accounts[0])

    async def UpdateAccount(self, request: pb.UpdateAccountRequest, call: Call) -> bytes:
        return await update_account(self._engines, request, call)

    async def CloseAccount(self, request: pb.CloseAccountRequest, call: Call) -> bytes:
        return await close_account(self._engines, request, call)

    async def ListBalances(self, request: pb.ListBalancesRequest, call: Call) -> pb.ListBalancesResponse:
        engine = self._engines.for_account(request.account_id)
        response = await balances_of(engine, request.account_id, request.min_position, call)
        return pb.ListBalancesResponse(balances=response.balances, position=response.position)

    async def ListPositions(self, request: pb.ListPositionsRequest, call: Call) -> pb.ListPositionsResponse:
        engine = self._engines.for_account(request.account_id)
        response = await positions_of(engine, request.account_id, request.min_position, call)
        return pb.ListPositionsResponse(positions=response.positions, position=response.position)

    async def ListLedgerEntries(self, request: pb.ListLedgerEntriesRequest, call: Call) -> pb.ListLedgerEntriesResponse:
        engine = self._engines.for_account(request.account_id)
        return await self._statement.list_entries(engine, request, call)

    async def CreateTransfer(self, request: pb.CreateTransferRequest, call: Call) -> pb.CreateTransferResponse:
        return await self._moving.create_transfer(request, call)

    async def GetTransfer(self, request: pb.GetTransferRequest, call: Call) -> pb.GetTransferResponse:
        return await self._moving.get_transfer(request, call)

    async def QuoteConversion(
        self, request: conversion_pb2.QuoteConversionRequest, call: Call
    ) -> conversion_pb2.QuoteConversionResponse:
        return await self._converting.quote(request, call)

    async def CreateConversion(
        self, request: conversion_pb2.CreateConversionRequest, call: Call
    ) -> conversion_pb2.CreateConversionResponse:
        return await self._converting.convert(request, call)

    async def GetBalanceAt(self, request: pb.GetBalanceAtRequest, call: Call) -> pb.GetBalanceAtResponse:
        return await self._explaining.balance_at(self._engines.for_account(request.account_id), request, call)

    async def ExplainBalance(self, request: pb.ExplainBalanceRequest, call: Call) -> pb.ExplainBalanceResponse:
        return await self._explaining.explain(self._engines.for_account(request.account_id), request, call)

    async def GetPortfolio(
        self, request: portfolio_pb2.GetPortfolioRequest, call: Call
    ) -> portfolio_pb2.GetPortfolioResponse:
        engine = self._engines.for_account(request.account_id)
        return await self._portfolios.get(engine, request, call)

    async def ListTransactions(self, request: pb.ListTransactionsRequest, call: Call) -> pb.ListTransactionsResponse:
        return await self._wallet.list_transactions(request, call)

    async def StreamStatement(
        self, request: pb.StreamStatementRequest, call: Call
    ) -> AsyncIterator[pb.StreamStatementResponse]:
        engine = self._engines.for_account(request.account_id)
        async with aclosing(self._statements.pieces(engine, request, call)) as pieces:
            async for piece in pieces:
                yield piece

    async def StreamAccount(
        self, request: pb.StreamAccountRequest, call: Call
    ) -> AsyncIterator[pb.StreamAccountResponse]:
        engine = self._engines.for_account(request.account_id)
        feed = self._feeds[engine.partition]
        stream = AccountStream(engine, feed, self._past, request, self._silence_s)
        async with aclosing(stream.frames(call)) as frames:
            async for frame in frames:
                yield frame
