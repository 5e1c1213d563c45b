"""What a trade moves: base one way, quote the other, fees to the venue, rebates from it, and the positions of both sides."""

from typing import TYPE_CHECKING, Final

from servers.domain.events import PositionChanged, Traded
from servers.domain.fees import charge
from servers.domain.identifiers import trade_id
from servers.domain.ledger import InvariantBreach, Ledger
from servers.domain.model import Order, Position
from servers.domain.positions import DAY_US, add_trade, begin_day
from servers.domain.record import Record
from servers.domain.terms import Side

if TYPE_CHECKING:
    from servers.domain.placing import Floor

_BUY: Final = int(Side.BUY)


def deal(floor: "Floor", maker: Order, taker: Order, ticks: int, lots: int) -> None:
    """Let two orders trade, and settle. Books and ends are the caller's."""
    if maker.list_number or taker.list_number:
        floor.links.trading(maker)
        floor.links.trading(taker)
    market, clock, record = maker.market, floor.clock, floor.record
    clock.trade_number += 1
    notional = lots * ticks * market.tick_value
    day = record.time // DAY_US
    if market.day != day:
        begin_day(market, day)
    market.last_ticks = ticks
    market.moves.add(market)
    maker.filled_lots += lots
    maker.notional += notional
    taker.filled_lots += lots
    taker.notional += notional
    maker_fee = charge(maker, maker.maker_rate, notional)
    taker_fee = charge(taker, taker.taker_rate, notional)
    record.events.append(Traded(clock.trade_number, market, maker, taker, ticks, lots, notional, maker_fee, taker_fee))
    buyer, seller = (maker, taker) if maker.side == _BUY else (taker, maker)
    fees = (maker_fee, taker_fee) if maker is buyer else (taker_fee, maker_fee)
    settle(floor.ledger, buyer, seller, lots, notional, fees, trade_id(floor.partition, clock.trade_number))
    reposition(record, buyer, seller, lots, fees, floor.shrunk)
    if maker.exits or taker.exits:
        floor.links.filled(maker, lots, notional - maker_fee)
        floor.links.filled(taker, lots, notional - taker_fee)


def settle(
    ledger: Ledger, buyer: Order, seller: Order, lots: int, quote: int, fees: tuple[int, int], reference: str
) -> None:
    """Move a trade's funds out of what both hold; `quote` and `fees` (the buyer's and the seller's) in quote units."""
    market, base = buyer.market, lots * buyer.market.lot_units
    buyer_fee = fees[0]
    buyer.held -= quote + buyer_fee if buyer_fee > 0 else quote
    seller.held -= base
    ledger.trade(buyer.account, seller.account, market, base, quote, fees, reference)
    if buyer.held < 0 or seller.held < 0:
        raise InvariantBreach(f"trade {reference} cost more than was held")


def reposition(
    record: Record, buyer: Order, seller: Order, lots: int, fees: tuple[int, int], shrunk: list[Position]
) -> None:
    """Add a trade at the market's last price to both positions; those on which reduce-only orders rest are put into `shrunk`."""
    market = buyer.market
    # Whoever was placed has a position, if only an empty one.
    bought, sold = buyer.account.positions[market.symbol], seller.account.positions[market.symbol]
    price = market.last_ticks * market.tick_value
    add_trade(bought, lots, price, fees[0], market.day)
    add_trade(sold, -lots, price, fees[1], market.day)
    sequence = record.sequence
    for position in (bought, sold):
        if position.update_sequence != sequence:
            position.update_sequence = sequence
            record.events.append(PositionChanged(position))
        if position.reducing:
            shrunk.append(position)
    record.fold(lots + bought.realized, lots + sold.realized)
