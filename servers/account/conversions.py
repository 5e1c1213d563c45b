"""Conversions: a quote priced from our own books or the index, and its acceptance as one command of the machine."""

import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from servers.account.errors import QuoteNotFound, QuoteUnavailable, QuoteUsed
from servers.account.quotes import Promise, Quotes, conversion_id
from servers.account.views import accounts_of, ask
from servers.domain.conversion import Leg, Listing, Priced, after_spread, priced, way
from servers.domain.errors import FieldViolation, TransferIdReused, VenueError
from servers.domain.money import ATTO, ATTO_SCALE, format_units, parse, rescale
from servers.domain.transfer_errors import AssetUnknown
from servers.engine.client import Engine, Engines
from servers.engine.fence import Fence
from servers.engine.markets import Markets
from servers.engine.messages import timestamp
from servers.transport.call import Call
from servers.transport.refusals import InvalidField
from venue.account.v1 import conversion_pb2
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2

# Levels of a book that a quote may walk.
LEVELS_MAX: Final = 1000


@dataclass(frozen=True, slots=True)
class Terms:
    """The house's share of what is received, how long a quote holds, and the most that one comes to in a market's quote asset.

    `books` are markets whose book alone says a price where nobody tells an index price.
    """

    spread: Fraction
    quote_s: float
    amount_max: Fraction
    books: frozenset[str] = frozenset()


class Converting:
    """Quotes, and keeps what was quoted."""

    def __init__(self, engines: Engines[Engine], fence: Fence, markets: Markets, quotes: Quotes, terms: Terms) -> None:
        self._engines = engines
        self._fence = fence
        self._markets = markets
        self._quotes = quotes
        self._terms = terms

    async def quote(
        self, request: conversion_pb2.QuoteConversionRequest, call: Call
    ) -> conversion_pb2.QuoteConversionResponse:
        """Raises AccountNotFound, AssetUnknown, InvalidField, QuoteUnavailable, PartUnavailable."""
        engine = self._engines.for_account(request.account_id)
        await accounts_of(engine, request.account_id, "", call)
        scale = await self._scale(engine, request.to_asset, call)
        paid = parse(request.from_amount)
        if rescale(paid, await self._scale(engine, request.from_asset, call)) is None:
            what = "must be a whole number of the asset's smallest unit"
            raise InvalidField([FieldViolation("from_amount", what, "from_amount.scale")])
        legs, found = await self._priced(engine, request, Fraction(paid, ATTO), call)
        units = after_spread(found[-1].received, self._terms.spread, scale)
        if not units:
            what = "is worth less than the smallest unit of to_asset"
            raise InvalidField([FieldViolation("from_amount", what, "from_amount.worth")])
        now = time.time_ns() // 1000
        promise = Promise(
            user_id=call.identity.user_id,
            account_id=request.account_id,
            from_asset=request.from_asset,
            from_amount=format_units(paid, ATTO_SCALE),
            to_asset=request.to_asset,
            to_amount=format_units(units, scale),
            expire_time=now + int(self._terms.quote_s * 1e6),
            made=secrets.token_urlsafe(9),
        )
        quote = conversion_pb2.Quote(
            quote_id=self._quotes.issue(promise),
            account_id=promise.account_id,
            from_asset=promise.from_asset,
            from_amount=promise.from_amount,
            to_asset=promise.to_asset,
            to_amount=promise.to_amount,
            rate=format_units(units * 10 ** (2 * ATTO_SCALE - scale) // paid, ATTO_SCALE),
            symbols=[leg.listing.symbol for leg in legs],
            sources=[
                conversion_pb2.QUOTE_SOURCE_BOOK if each.by_book else conversion_pb2.QUOTE_SOURCE_INDEX
                for each in found
            ],
            create_time=timestamp(now),
            expire_time=timestamp(promise.expire_time),
        )
        return conversion_pb2.QuoteConversionResponse(quote=quote)

    async def convert(
        self, request: conversion_pb2.CreateConversionRequest, call: Call
    ) -> conversion_pb2.CreateConversionResponse:
        """Raises QuoteNotFound, QuoteUsed, and what the machine raises for a conversion."""
        promise = self._quotes.read(request.quote_id)
        bound = call.identity.account_id
        if promise.user_id != call.identity.user_id or bound not in {"", promise.account_id}:
            raise QuoteNotFound
        engine = self._engines.for_account(promise.account_id)
        body = engine_pb2.Convert(
            conversion_id=conversion_id(engine.partition, promise),
            account_id=promise.account_id,
            from_asset=promise.from_asset,
            from_amount=promise.from_amount,
            to_asset=promise.to_asset,
            to_amount=promise.to_amount,
            expire_time=timestamp(promise.expire_time),
            acceptance=request.request_id.lower(),
        )
        command = engine_pb2.Command(user_id=promise.user_id, convert=body)
        outcome = (await engine.submit((command,), call.timeout_s))[0]
        if isinstance(outcome, TransferIdReused):
            raise QuoteUsed
        if isinstance(outcome, VenueError):
            raise outcome
        done = engine_pb2.Done.FromString(outcome)
        conversion = conversion_pb2.Conversion(
            conversion_id=body.conversion_id,
            account_id=body.account_id,
            from_asset=body.from_asset,
            from_amount=body.from_amount,
            to_asset=body.to_asset,
            to_amount=body.to_amount,
        )
        return conversion_pb2.CreateConversionResponse(
            conversion=conversion, position=done.position, replayed=done.replayed
        )

    async def _scale(self, engine: Engine, asset: str, call: Call) -> int:
        with suppress(LookupError):
            return await self._markets.scale(engine.partition, asset)
        # It may be newer than the tables are.
        await self._fence.pass_through(engine, "", call.timeout_s)
        try:
            return await self._markets.scale(engine.partition, asset)
        except LookupError:
            raise AssetUnknown(asset) from None

    async def _priced(
        self, engine: Engine, request: conversion_pb2.QuoteConversionRequest, amount: Fraction, call: Call
    ) -> tuple[tuple[Leg, ...], list[Priced]]:
        """The markets on the way and what each of them gives. Raises QuoteUnavailable."""
        query = engine_pb2.QueryRequest(markets=engine_pb2.MarketsQuery())
        markets = {each.symbol: each for each in (await ask(engine, query, "", call)).markets}
        listings = [
            Listing(each.symbol, each.base_asset, each.quote_asset)
            for each in markets.values()
            if each.kind == marketdata_pb2.MARKET_KIND_SPOT and each.state == marketdata_pb2.MARKET_STATE_OPEN
        ]
        told = {
            each.symbol for each in listings if markets[each.symbol].index_price or each.symbol in self._terms.books
        }
        legs = way(listings, request.from_asset, request.to_asset, told)
        if not legs:
            raise QuoteUnavailable("no open market exchanges these assets")
        found: list[Priced] = []
        for leg in legs:
            symbol = leg.listing.symbol
            book = engine_pb2.QueryRequest(book=engine_pb2.BookQuery(symbol=symbol, depth=LEVELS_MAX))
            levels = (await ask(engine, book, "", call)).book
            side = [
                (decimal(each.price), decimal(each.quantity)) for each in (levels.bids if leg.sells else levels.asks)
            ]
            index = markets[symbol].index_price
            if not index and symbol not in self._terms.books:
                # A thin book is whoever's who has orders in it: the house would pay what he writes there, again and again.
                raise QuoteUnavailable("nobody tells the index price", symbol=symbol)
            one = priced(leg, side, decimal(index) if index else None, amount)
            if one is None:
                raise QuoteUnavailable("neither book nor index price is enough for this amount", symbol=symbol)
            if (one.received if leg.sells else amount) > self._terms.amount_max:
                raise QuoteUnavailable("more than the house converts at once", symbol=symbol)
            found.append(one)
            amount = one.received
        return legs, found


def decimal(text: str) -> Fraction:
    """Decimal text as it is."""
    return Fraction(parse(text), ATTO)
