"""New assets and markets, and the rates of a market's tiers, from the terminal (ADM-3).

What a definition must fulfil is the engine's to say: it refuses what does not add up, and then nothing is changed.
"""

import re
from typing import Annotated, Any, Final

import typer

from db.audit import Action
from servers.admin.listing import rates_of
from servers.admin.operating import (
    Environment,
    Place,
    Symbol,
    console,
    engines,
    markets_of,
    refusal,
    run,
    show,
    submit,
)
from servers.domain.errors import DefinitionExists, MarketNotFound
from servers.domain.terms import MarketKind
from servers.engine.catalogue import MAX_PRICE
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2

# As the contract has it of AdminService.CreateMarket and CreateAsset.
_MARKET: Final = re.compile(r"(?=.{1,32}$)[A-Z0-9]{1,16}(-[A-Z0-9]{1,16}){1,3}", re.ASCII)
_ASSET: Final = re.compile(r"[A-Z0-9]{1,16}", re.ASCII)
MARKET_NAME: Final = "a symbol has capital letters and digits, in two to four parts with - between them, 32 in all"
ASSET_NAME: Final = "an asset has up to 16 capital letters and digits"
STATES: Final = {
    name.lower().replace("_", "-"): name for name in ("PRE_OPEN", "OPEN", "POST_ONLY", "CANCEL_ONLY", "HALTED")
}

# As the contract names them (venue.marketdata.v1.Market).
FIELDS: Final = (
    "base_asset",
    "quote_asset",
    "tick_size",
    "lot_size",
    "min_quantity",
    "max_quantity",
    "max_price",
    "maker_fee_rate",
    "taker_fee_rate",
)
USUAL: Final = {"max_price": MAX_PRICE, "maker_fee_rate": "0.001", "taker_fee_rate": "0.002"}

Maker = Annotated[str, typer.Option(help="The maker's rate, negative for a rebate; 0.001 is 0.1 %.")]
Taker = Annotated[str, typer.Option(help="The taker's rate.")]


def create(
    context: typer.Context,
    symbol: Symbol,
    values: Annotated[list[str], typer.Argument(help=f"NAME=VALUE of {', '.join(FIELDS)}.")],
    state: Annotated[str, typer.Option(help=f"What it takes at first: {', '.join(STATES)}.")] = "pre-open",
    environment: Environment = None,
) -> None:
    """Make a market. It is listed at once, and collects orders until it is opened."""
    place = Place(context.obj, environment)
    market = market_of(symbol, values, state)

    async def created() -> None:
        async with engines(place) as partitions:
            for engine in partitions:
                if any(found.symbol == symbol for found in await markets_of(engine)):
                    raise DefinitionExists(symbol)
            home = next(each for each in partitions if place.settings.lists(each.partition, symbol))
            command = pb.Command(define_market=pb.DefineMarket(market=market))
            after = {name: getattr(market, name) for name in FIELDS} | {"state": STATES[state]}
            await submit(place, home, command, Action.MARKET_CREATE, f"market/{place.world}/{symbol}", after)
            show([found for found in await markets_of(home) if found.symbol == symbol])

    run(created())


def market_of(symbol: str, values: list[str], state: str) -> marketdata_pb2.Market:
    """A definition of NAME=VALUE; what is left out is as of the markets that a venue starts with. Raises Exit."""
    checked_name(symbol, _MARKET, MARKET_NAME)
    if state not in STATES:
        raise refusal(f"there is no state {state}: give {', '.join(STATES)}")
    base, _, quote = symbol.partition("-")
    given: dict[str, Any] = {"base_asset": base, "quote_asset": quote.partition("-")[0], **USUAL}
    for value in values:
        name, _, text = value.partition("=")
        if name not in FIELDS or not text:
            raise refusal(f"{value}: give {', '.join(FIELDS)}, as NAME=VALUE")
        given[name] = text
    for name in ("tick_size", "lot_size", "max_quantity"):
        if name not in given:
            raise refusal(f"{name} is missing: give it as {name}=VALUE")
    given.setdefault("min_quantity", given["lot_size"])
    return marketdata_pb2.Market(
        symbol=symbol,
        kind=int(MarketKind.SPOT),  # type: ignore[arg-type]  # the domain's numbers are the wire's
        state=marketdata_pb2.MarketState.Value(f"MARKET_STATE_{STATES[state]}"),
        **given,
    )


def asset(
    context: typer.Context,
    symbol: Annotated[str, typer.Argument(help="The asset, as BTC.")],
    scale: Annotated[int, typer.Option(min=0, max=18, help="Digits after the point that the ledger keeps.")],
    display_scale: Annotated[int, typer.Option(min=0, max=18, help="Digits after the point that people are shown.")],
    environment: Environment = None,
) -> None:
    """Make an asset, in every partition of an environment. Its scale stays for ever."""
    checked_name(symbol, _ASSET, ASSET_NAME)
    place = Place(context.obj, environment)

    async def defined() -> None:
        definition = pb.DefineAsset(symbol=symbol, scale=scale, display_scale=display_scale)
        after = {"scale": scale, "display_scale": display_scale}
        made = 0
        async with engines(place) as partitions:
            for engine in partitions:
                command = pb.Command(define_asset=definition)
                object_ = f"asset/{place.world}/{engine.partition}/{symbol}"
                try:
                    await submit(place, engine, command, Action.ASSET_CREATE, object_, after)
                except DefinitionExists:
                    # From an attempt that did not come to its end, perhaps.
                    continue
                made += 1
        if not made:
            raise DefinitionExists(symbol)

    run(defined())
    console.print(f"made {symbol}", highlight=False)


def fees(
    context: typer.Context,
    symbol: Symbol,
    tier: Annotated[str, typer.Argument(help="As default, market_maker.")],
    maker: Maker,
    taker: Taker,
    environment: Environment = None,
) -> None:
    """Set the rates of a tier in a market, for orders that are accepted from now on."""
    place = Place(context.obj, environment)

    async def changed() -> None:
        async with engines(place) as partitions:
            for engine in partitions:
                if any(found.symbol == symbol for found in await markets_of(engine)):
                    rates = pb.SetFees(symbol=symbol, tier=tier, maker_fee_rate=maker, taker_fee_rate=taker)
                    object_ = f"fees/{place.world}/{symbol}/{tier}"
                    earlier = await rates_of(engine, symbol, tier)
                    before = {"maker": earlier[0], "taker": earlier[1]}
                    after = {"maker": maker, "taker": taker}
                    await submit(place, engine, pb.Command(set_fees=rates), Action.FEES_SET, object_, after, before)
                    return
        raise MarketNotFound(symbol)

    run(changed())
    console.print("set", highlight=False)


def checked_name(symbol: str, known: re.Pattern[str], what: str) -> None:
    """Raises Exit: URLs, files and audit entries have it in them."""
    if not known.fullmatch(symbol):
        raise refusal(f"{symbol}: {what}")
