"""Fees: a rate pinned when the order is accepted, charged on the whole of what it traded so far.

The fee of a fill is ceil(rate x cumulative notional) less what was charged before: a ceil at every fill would outgrow the hold
by up to a unit a fill. Rebates (negative rates) round down by the same rule.
"""

from servers.domain.model import Order
from servers.domain.money import RATE


def charge(order: Order, rate: int, notional: int) -> int:
    """Add a fill's notional (quote units) at a rate (1e-8) and return the fee to charge now, in quote units."""
    order.fee_accrued += rate * notional
    fee = -(-order.fee_accrued // RATE) - order.fee_charged
    order.fee_charged += fee
    return fee


def buy_need(order: Order, lots: int) -> int:
    """What a buy must hold for `lots` at its limit: their notional and the worse fee on it, less what is charged already.

    Never grows by a fill: paid + need after <= need before (the fill's rate is at most the worse one); by a rebate at most by
    one unit, which the rebate covers.
    """
    notional = lots * order.ticks * order.market.tick_value
    worse = max(order.maker_rate, order.taker_rate, 0)
    fee = -(-(order.fee_accrued + worse * notional) // RATE) - order.fee_charged
    return notional + fee
