"""What a new venue starts with: assets, markets, fee tiers and limits of each environment, as commands.

A leader applies what its machine lacks; what is there already stays as it is.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from servers.domain.exchange import Exchange
from servers.domain.terms import Environment, MarketKind, MarketState
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2


class Listing(NamedTuple):
    """A market of the catalogue; sizes and prices in decimal text. The seed price is where the market maker begins."""

    symbol: str
    tick_size: str
    lot_size: str
    max_quantity: str
    seed_price: str
    state: MarketState = MarketState.OPEN
    kind: MarketKind = MarketKind.SPOT
    maker_fee_rate: str = "0.001"
    taker_fee_rate: str = "0.002"


# symbol, ledger scale, display scale
ASSETS: Final = (
    ("USD", 8, 2),
    ("USDT", 8, 2),
    ("EUR", 8, 2),
    ("BTC", 8, 8),
    ("ETH", 8, 6),
    ("SOL", 8, 4),
    ("AAPL", 8, 4),
)
# The flow that `venue replay` brings has quantities of 1e-8 and needs a quote asset that holds tick times lot.
REPLAY_ASSETS: Final = (("RBTC", 8, 8), ("RUSD", 10, 2))

LISTINGS: Final = (
    Listing("BTC-USD", "0.01", "0.00001", "1000", "65000"),
    Listing("ETH-USD", "0.01", "0.0001", "10000", "3200"),
    Listing("SOL-USD", "0.001", "0.01", "100000", "150"),
    Listing("BTC-USDT", "0.01", "0.00001", "1000", "65000"),
    Listing("AAPL-USD", "0.01", "0.01", "100000", "230"),
    Listing("EUR-USD", "0.0001", "1", "10000000", "1.08"),
    # Needs margin, which the rules do not have yet: listed, and halted until they do.
    Listing("BTC-USD-PERP", "0.1", "0.0001", "1000", "65000", state=MarketState.HALTED, kind=MarketKind.PERPETUAL),
)
REPLAY_LISTING: Final = Listing(
    "BTC-USD-REPLAY", "0.01", "0.00000001", "10000", "236", maker_fee_rate="0", taker_fee_rate="0"
)
MARKET_MAKER_TIER: Final = ("market_maker", "0", "0.001")
MAX_PRICE: Final = "100000000"

# By tier, empty: everybody. Amounts are in the market's quote asset; what is listed is quoted in dollars: another market
# would need limits of its own. "0": none, whatever everybody's limits say.
LIVE_LIMITS: Final = {
    "": order_pb2.Limits(position_max="50000", daily_loss_max="5000", price_band_percent="20", open_orders_max=1_000),
    "market_maker": order_pb2.Limits(
        position_max="5000000", daily_loss_max="500000", price_band_percent="50", open_orders_max=20_000
    ),
}
# Paper funds are limit enough: these only catch slips.
DEMO_LIMITS: Final = {
    "": order_pb2.Limits(position_max="1000000000", daily_loss_max="100000000", open_orders_max=1_000),
    "market_maker": order_pb2.Limits(position_max="0", daily_loss_max="0", open_orders_max=20_000),
    "replay": order_pb2.Limits(position_max="0", daily_loss_max="0", open_orders_max=200_000),
}


def missing(exchange: Exchange, lists: Callable[[str], bool] | None = None) -> list[pb.Command]:
    """The commands that bring a machine up to the catalogue of its environment, of the markets that its partition lists."""
    demo = exchange.environment == Environment.DEMO
    assets = ASSETS + REPLAY_ASSETS if demo else ASSETS
    listings = (*LISTINGS, REPLAY_LISTING) if demo else LISTINGS
    commands = [
        pb.Command(define_asset=pb.DefineAsset(symbol=symbol, scale=scale, display_scale=display_scale))
        for symbol, scale, display_scale in assets
        if symbol not in exchange.ledger.assets
    ]
    for listing in listings:
        if listing.symbol not in exchange.floor.markets and (lists is None or lists(listing.symbol)):
            commands.append(pb.Command(define_market=pb.DefineMarket(market=_market(listing))))
            tier, maker, taker = MARKET_MAKER_TIER
            if listing is not REPLAY_LISTING:
                fees = pb.SetFees(symbol=listing.symbol, tier=tier, maker_fee_rate=maker, taker_fee_rate=taker)
                commands.append(pb.Command(set_fees=fees))
    commands += [
        pb.Command(set_limits=pb.SetLimits(tier=tier, limits=limits))
        for tier, limits in (DEMO_LIMITS if demo else LIVE_LIMITS).items()
        if ("", tier, "") not in exchange.floor.limits.rows
    ]
    return commands


def _market(listing: Listing) -> marketdata_pb2.Market:
    pair = listing.symbol.split("-")
    base, quote = ("RBTC", "RUSD") if listing is REPLAY_LISTING else (pair[0], pair[1])
    return marketdata_pb2.Market(
        symbol=listing.symbol,
        kind=int(listing.kind),  # type: ignore[arg-type]  # the domain's numbers are the wire's
        state=int(listing.state),  # type: ignore[arg-type]
        base_asset=base,
        quote_asset=quote,
        tick_size=listing.tick_size,
        lot_size=listing.lot_size,
        min_quantity=listing.lot_size,
        max_quantity=listing.max_quantity,
        max_price=MAX_PRICE,
        maker_fee_rate=listing.maker_fee_rate,
        taker_fee_rate=listing.taker_fee_rate,
    )
