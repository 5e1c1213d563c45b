"""New markets and assets, fee rates and trading hours: what is proposed of them, and what an approved one comes to (ADM-3).

Decimals of a proposal are written as the engine writes them, so that what was proposed is told from what is by its text.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession

from db.audit import Action
from db.models.pending_actions import PendingActionRow
from servers.admin.errors import NothingToChange
from servers.admin.executors import Deed, Json, Kind, submit
from servers.admin.hours import hours_text
from servers.admin.markets import market_of
from servers.admin.pending_actions import Wish, fingerprint
from servers.domain import commands as c
from servers.domain.definitions import check_covered, check_rates, check_scales, market_from
from servers.domain.errors import DefinitionExists, DefinitionInvalid, MarketClosed, MarketNotFound
from servers.domain.hours import Schedule
from servers.domain.model import Asset, Fees
from servers.domain.money import ATTO_SCALE, RATE_SCALE, format_units, parse
from servers.domain.terms import Environment, MarketKind
from servers.domain.transfer_errors import AssetUnknown
from servers.engine.catalogue import MAX_PRICE
from servers.engine.client import Engine, Engines
from servers.engine.codec import decode
from servers.engine.messages import price_text, quantity_text
from venue.admin.v1 import admin_pb2 as pb
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2

CREATE_MARKET: Final = "CREATE_MARKET"
CREATE_ASSET: Final = "CREATE_ASSET"
SET_TRADING_HOURS: Final = "SET_TRADING_HOURS"
SET_FEES: Final = "SET_FEES"
# What a market is, and stays.
LASTING: Final = ("base_asset", "quote_asset", "tick_size", "lot_size", "min_quantity", "max_quantity", "max_price")
# What is said of a market that is to be, under the names that the market itself has for it.
SAID: Final = (*LASTING, "symbol", "state", "maker_fee_rate", "taker_fee_rate")

Proposing = pb.CreateMarketRequest | pb.CreateAssetRequest | pb.SetTradingHoursRequest | pb.SetFeesRequest


class Listing:
    """What is traded and what that costs. `partitions` has the environment of each, `default` is that of requests without."""

    def __init__(self, engines: Engines[Engine], partitions: Mapping[int, str], default: Environment) -> None:
        self._engines = engines
        self._partitions = partitions
        self._default = default

    # What is proposed

    async def wish_for_market(self, request: pb.CreateMarketRequest) -> Wish:
        """Raises DefinitionExists, DefinitionInvalid, AssetUnknown, MarketNotFound: no such environment here."""
        symbol, environment = request.market.symbol, request.market.environment
        for engine in self._everywhere(environment):
            markets = (await engine.query(engine_pb2.QueryRequest(markets=engine_pb2.MarketsQuery()))).markets
            if any(found.symbol == symbol for found in markets):
                raise DefinitionExists(symbol)
        definitions = await definitions_of(self._engines.for_market(environment, symbol))
        return _wish(CREATE_MARKET, request, environment, symbol, whole_market(request.market, definitions.assets))

    async def wish_for_asset(self, request: pb.CreateAssetRequest) -> Wish:
        """Raises DefinitionExists, DefinitionInvalid, MarketNotFound: no such environment here."""
        asset = request.asset
        check_scales(asset.scale, asset.display_scale)
        if not await self._lacking(asset):
            raise DefinitionExists(asset.symbol)
        return _wish(CREATE_ASSET, request, asset.environment, asset.symbol, asset)

    async def wish_for_hours(self, request: pb.SetTradingHoursRequest) -> Wish:
        """Raises MarketNotFound, MarketClosed, DefinitionInvalid, NothingToChange."""
        environment = request.environment or int(self._default)
        market = await market_of(self._engines.for_market(environment, request.symbol), request.symbol)
        if market.state == marketdata_pb2.MARKET_STATE_CLOSED:
            raise MarketClosed(request.symbol)
        change = pb.TradingHoursChange(
            environment=environment,  # type: ignore[arg-type]  # a number of the request, or the domain's
            symbol=request.symbol,
            previous_hours=market.trading_hours,
            hours=sorted(request.hours, key=lambda hours: (hours.weekday, hours.open_second)),
        )
        wanted = decode(_hours(change))
        assert isinstance(wanted, c.SetTradingHours)
        Schedule(wanted.hours)
        if change.hours == change.previous_hours:
            raise NothingToChange("hours")
        return _wish(SET_TRADING_HOURS, request, environment, request.symbol, change)

    async def wish_for_fees(self, request: pb.SetFeesRequest) -> Wish:
        """Raises MarketNotFound, DefinitionInvalid, NothingToChange."""
        rule = pb.FeesRule()
        rule.CopyFrom(request.rule)
        engine = self._engines.for_market(rule.environment, rule.symbol)
        await market_of(engine, rule.symbol)
        wanted = decode(_fees(rule))
        assert isinstance(wanted, c.SetFees)
        check_rates(wanted.maker_rate, wanted.taker_rate)
        rule.maker_fee_rate = format_units(wanted.maker_rate, RATE_SCALE)
        rule.taker_fee_rate = format_units(wanted.taker_rate, RATE_SCALE)
        others = [each for each in (await definitions_of(engine)).fees if each.symbol == rule.symbol]
        check_covered(wanted.maker_rate, wanted.taker_rate, (_known(each) for each in others if each.tier != rule.tier))
        maker, taker = await rates_of(engine, rule.symbol, rule.tier)
        if (maker, taker) == (rule.maker_fee_rate, rule.taker_fee_rate):
            raise NothingToChange("rule")
        change = pb.FeesChange(rule=rule, previous_maker_fee_rate=maker, previous_taker_fee_rate=taker)
        return _wish(SET_FEES, request, rule.environment, rule.symbol, change)

    async def fees(self, request: pb.GetFeesRequest) -> pb.GetFeesResponse:
        """Raises MarketNotFound: no such environment here; PartUnavailable."""
        environment = request.environment or int(self._default)
        rules = [
            pb.FeesRule(
                environment=environment,  # type: ignore[arg-type]  # a number of the request, or the domain's
                symbol=each.symbol,
                tier=each.tier,
                maker_fee_rate=each.maker_fee_rate,
                taker_fee_rate=each.taker_fee_rate,
            )
            for engine in self._everywhere(environment)
            for each in (await definitions_of(engine)).fees
            if self._engines.for_market(environment, each.symbol) is engine
        ]
        return pb.GetFeesResponse(rules=sorted(rules, key=lambda rule: (rule.symbol, rule.tier)))

    # What an approved one comes to. It may have been done by an earlier try, which the engine does not remember of these.

    async def create_market(self, session: AsyncSession, row: PendingActionRow) -> Deed:
        """Raises DefinitionExists, DefinitionInvalid, AssetUnknown, PartUnavailable."""
        del session
        market = ParseDict(row.payload["what"], pb.MarketDefinition())
        engine = self._engines.for_market(market.environment, market.symbol)
        after = MessageToDict(market, preserving_proto_field_name=True)
        try:
            found = await market_of(engine, market.symbol)
        except MarketNotFound:
            await submit(engine, row, _definition(market))
        else:
            if any(getattr(found, name) != getattr(market, name) for name in LASTING):
                raise DefinitionExists(market.symbol)
        return Deed(None, after)

    async def create_asset(self, session: AsyncSession, row: PendingActionRow) -> Deed:
        """Raises DefinitionExists, PartUnavailable."""
        del session
        asset = ParseDict(row.payload["what"], pb.AssetDefinition())
        for engine in await self._lacking(asset):
            body = engine_pb2.DefineAsset(symbol=asset.symbol, scale=asset.scale, display_scale=asset.display_scale)
            await submit(engine, row, engine_pb2.Command(define_asset=body))
        return Deed(None, {"scale": asset.scale, "display_scale": asset.display_scale})

    async def set_trading_hours(self, session: AsyncSession, row: PendingActionRow) -> Deed:
        """Raises MarketNotFound, MarketClosed, DefinitionInvalid, PartUnavailable."""
        del session
        change = ParseDict(row.payload["what"], pb.TradingHoursChange())
        engine = self._engines.for_market(change.environment, change.symbol)
        now = (await market_of(engine, change.symbol)).trading_hours
        after = {"hours": list(map(hours_text, change.hours))}
        if now == change.hours:
            return Deed(None, after)
        if now != change.previous_hours:
            raise DefinitionInvalid("hours", "were changed meanwhile")
        await submit(engine, row, _hours(change))
        return Deed({"hours": list(map(hours_text, now))}, after)

    async def set_fees(self, session: AsyncSession, row: PendingActionRow) -> Deed:
        """Raises MarketNotFound, DefinitionInvalid, PartUnavailable."""
        del session
        change = ParseDict(row.payload["what"], pb.FeesChange())
        rule = change.rule
        engine = self._engines.for_market(rule.environment, rule.symbol)
        maker, taker = await rates_of(engine, rule.symbol, rule.tier)
        after = {"maker": rule.maker_fee_rate, "taker": rule.taker_fee_rate}
        if (maker, taker) == (rule.maker_fee_rate, rule.taker_fee_rate):
            return Deed(None, after)
        if (maker, taker) != (change.previous_maker_fee_rate, change.previous_taker_fee_rate):
            raise DefinitionInvalid("rule", "was changed meanwhile")
        await submit(engine, row, _fees(rule))
        return Deed({"maker": maker, "taker": taker}, after)

    def kinds(self) -> dict[str, Kind]:
        """The kinds of pending actions of this room."""

        def about(thing: str, payload: Json) -> str:
            return f"{thing}/{Environment(int(payload['environment'])).name}/{payload['name']}"

        return {
            CREATE_MARKET: Kind(self.create_market, Action.MARKET_CREATE, lambda payload: about("market", payload)),
            CREATE_ASSET: Kind(self.create_asset, Action.ASSET_CREATE, lambda payload: about("asset", payload)),
            SET_TRADING_HOURS: Kind(
                self.set_trading_hours, Action.MARKET_HOURS_SET, lambda payload: about("market", payload)
            ),
            SET_FEES: Kind(
                self.set_fees,
                Action.FEES_SET,
                lambda payload: f"{about('fees', payload)}/{payload['what']['rule']['tier']}",
            ),
        }

    def _everywhere(self, environment: int) -> list[Engine]:
        """The partitions of an environment. Raises MarketNotFound: there are none here."""
        name = Environment(environment).name
        found = [number for number, world in sorted(self._partitions.items()) if world == name]
        if not found:
            raise MarketNotFound("")
        return [self._engines.for_partition(number) for number in found]

    async def _lacking(self, asset: pb.AssetDefinition) -> list[Engine]:
        """The partitions that do not have an asset yet. Raises DefinitionExists: one has it with other scales."""
        lacking = []
        for engine in self._everywhere(asset.environment):
            known = [each for each in (await definitions_of(engine)).assets if each.symbol == asset.symbol]
            if any((each.scale, each.display_scale) != (asset.scale, asset.display_scale) for each in known):
                raise DefinitionExists(asset.symbol)
            if not known:
                lacking.append(engine)
        return lacking


async def definitions_of(engine: Engine) -> engine_pb2.QueryResponse:
    """A partition's assets and fee rates. Raises PartUnavailable."""
    return await engine.query(engine_pb2.QueryRequest(definitions=engine_pb2.DefinitionsQuery()))


async def rates_of(engine: Engine, symbol: str, tier: str) -> tuple[str, str]:
    """The maker's and the taker's rate of a tier in a market; empty: the tier has none of its own. Raises PartUnavailable."""
    for fees in (await definitions_of(engine)).fees:
        if (fees.symbol, fees.tier) == (symbol, tier):
            return fees.maker_fee_rate, fees.taker_fee_rate
    return "", ""


def whole_market(given: pb.MarketDefinition, assets: Sequence[engine_pb2.DefineAsset]) -> pb.MarketDefinition:
    """A definition with what it leaves to the venue, as the market will be. Raises DefinitionInvalid, AssetUnknown."""
    market = pb.MarketDefinition()
    market.CopyFrom(given)
    market.min_quantity = given.min_quantity or given.lot_size
    market.max_price = given.max_price or MAX_PRICE
    market.state = given.state or marketdata_pb2.MARKET_STATE_PRE_OPEN
    known = {each.symbol: Asset(each.symbol, each.scale, each.display_scale) for each in assets}
    for name in (given.base_asset, given.quote_asset):
        if name not in known:
            raise AssetUnknown(name)
    wanted = decode(_definition(market))
    assert isinstance(wanted, c.DefineMarket)
    Schedule(wanted.hours)
    drafted = market_from(wanted, known[given.base_asset], known[given.quote_asset])
    market.tick_size = format_units(drafted.tick_size, ATTO_SCALE)
    market.lot_size = format_units(drafted.lot_size, ATTO_SCALE)
    market.min_quantity = quantity_text(drafted, drafted.min_lots)
    market.max_quantity = quantity_text(drafted, drafted.max_lots)
    market.max_price = price_text(drafted, drafted.max_ticks)
    return market


def _known(fees: engine_pb2.SetFees) -> Fees:
    rates = (parse(text, RATE_SCALE) for text in (fees.maker_fee_rate, fees.taker_fee_rate))
    return Fees(fees.symbol, fees.tier, *rates)


def _definition(market: pb.MarketDefinition) -> engine_pb2.Command:
    defined = marketdata_pb2.Market(
        kind=int(MarketKind.SPOT),  # type: ignore[arg-type]  # the domain's numbers are the wire's
        trading_hours=market.trading_hours,
        **{name: getattr(market, name) for name in SAID},
    )
    return engine_pb2.Command(define_market=engine_pb2.DefineMarket(market=defined))


def _hours(change: pb.TradingHoursChange) -> engine_pb2.Command:
    body = engine_pb2.SetTradingHours(symbol=change.symbol, hours=change.hours)
    return engine_pb2.Command(set_trading_hours=body)


def _fees(rule: pb.FeesRule) -> engine_pb2.Command:
    body = engine_pb2.SetFees(
        symbol=rule.symbol,
        tier=rule.tier,
        maker_fee_rate=rule.maker_fee_rate,
        taker_fee_rate=rule.taker_fee_rate,
    )
    return engine_pb2.Command(set_fees=body)


def _wish(kind: str, request: Proposing, environment: int, name: str, what: Message) -> Wish:
    return Wish(
        kind=kind,
        payload={
            "environment": environment,
            "name": name,
            "what": MessageToDict(what, preserving_proto_field_name=True),
        },
        subject="",
        reason=request.reason,
        request_id=request.request_id,
        fingerprint=fingerprint(request),
    )
