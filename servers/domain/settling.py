"""What a trade moves: base one way, quote the other, fees to the venue, rebates from it."""

from typing import Final

from servers.domain.ledger import InvariantBreach, Ledger
from servers.domain.model import Order
from servers.domain.terms import EntryKind

_TRADE: Final = int(EntryKind.TRADE)
_FEE: Final = int(EntryKind.FEE)


def settle(
    ledger: Ledger, buyer: Order, seller: Order, lots: int, quote: int, fees: tuple[int, int], reference: str
) -> None:
    """Move a trade's funds out of what both hold; `quote` and `fees` (the buyer's and the seller's) in quote units."""
    market = buyer.market
    base = lots * market.lot_units
    buyer.held -= quote
    seller.held -= base
    ledger.pay_held(seller.account, buyer.account, market.base_asset, base, _TRADE, reference)
    ledger.pay_held(buyer.account, seller.account, market.quote_asset, quote, _TRADE, reference)
    buyer_fee, seller_fee = fees
    if buyer_fee > 0:
        buyer.held -= buyer_fee
        ledger.pay_held(buyer.account, ledger.fees, market.quote_asset, buyer_fee, _FEE, reference)
    elif buyer_fee < 0:
        ledger.pay(ledger.fees, buyer.account, market.quote_asset, -buyer_fee, _FEE, reference)
    if seller_fee > 0:
        ledger.pay(seller.account, ledger.fees, market.quote_asset, seller_fee, _FEE, reference)
    elif seller_fee < 0:
        ledger.pay(ledger.fees, seller.account, market.quote_asset, -seller_fee, _FEE, reference)
    if buyer.held < 0 or seller.held < 0:
        raise InvariantBreach(f"trade {reference} cost more than was held")
